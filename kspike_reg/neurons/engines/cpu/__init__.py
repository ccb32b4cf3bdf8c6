"""The compiled engine: whole paths in loops of machine code, for TensorFlow and PyTorch on a CPU."""

from kspike_reg.neurons.engines.cpu.engine import KERNELS, CompiledEngine

__all__ = ["KERNELS", "CompiledEngine"]
