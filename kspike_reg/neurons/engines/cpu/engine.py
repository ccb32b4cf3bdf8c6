"""What the compiled engine supports, and how it turns a layer's call into arrays, weights and a kernel."""

import math
import traceback
from functools import cache, partial
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import keras
from keras import ops

from kspike_reg.errors import InputError
from kspike_reg.neurons.engines.backend import can_unroll, run_cell
from kspike_reg.neurons.engines.base import Call, Engine, Result
from kspike_reg.neurons.precision import matmul
from kspike_reg.registry import Registry
from kspike_reg.typing import Tensor

if TYPE_CHECKING:
    from kspike_reg.neurons.cell import NeuronCell
    from kspike_reg.neurons.layer import NeuronLayer

__all__ = ["KERNELS", "CompiledEngine"]

# The kernel of each neuron by its registered name; numba is imported with the first of them, when a layer runs.
KERNELS = Registry(
    {
        "lif": "kspike_reg.neurons.engines.cpu.lif:KERNEL",
        "rlif": "kspike_reg.neurons.engines.cpu.lif:KERNEL",
        "slstm": "kspike_reg.neurons.engines.cpu.slstm:KERNEL",
        "leaky_integrator": "kspike_reg.neurons.engines.cpu.leaky_integrator:KERNEL",
    }
)

# Input weights of up to so many numbers stay in the processor's cache next to a tile of paths, so that the loops
# multiply them; larger ones are multiplied by the backend, for all steps at once. So are sums that the backend would
# not add up in the order of their terms.
LARGEST_KERNEL, LONGEST_SUM = 2**18, 384


class CompiledEngine(Engine):
    """Loops in machine code with a hand-written backward pass."""

    name = "compiled"

    def refusal(self, layer: "NeuronLayer", call: Call) -> str | None:
        cell = layer.cell
        neuron = f"the engine 'compiled' cannot run {type(cell).__name__}"
        if cell.kind not in KERNELS:
            return f"{neuron}: it has no kernel for this neuron; known are {', '.join(KERNELS)}"
        if call.mask is not None:
            return f"{neuron} with a mask"
        if cell.compute_dtype != cell.variable_dtype or cell.compute_dtype not in ("float32", "float64"):
            return f"{neuron} in {cell.dtype_policy.name}: expected float32 or float64"
        if call.training and cell.recurrent_dropout > 0:
            return f"{neuron} with dropout of recurrent inputs"
        if not _on_cpu():
            return f"{neuron} on the backend {keras.backend.backend()!r} here: expected TensorFlow or PyTorch on a CPU"
        if _leaves_the_process():
            return f"{neuron} in a graph that other programs run, or under a transform of the backend"
        # Gradients may be asked for in prediction, too.
        if not _sequence(cell, cell.output_state).compiles(cell.compute_dtype):
            return f"{neuron}: numba cannot compile the surrogate {cell.surrogate!r}"
        return None

    def run(self, layer: "NeuronLayer", call: Call) -> Result:
        if layer.cell.kind not in KERNELS:
            raise InputError(f"{self.refusal(layer, call)}; choose another engine with kspike_reg.neurons.set_engine")
        # numba takes its time to load; models that are only built, saved or read do without.
        from kspike_reg.neurons.engines.cpu import paths

        cell = layer.cell
        keep = call.training and layer.recompute is None
        arguments = _arguments(layer, call)
        found = {}
        for name in call.states:
            operations = partial(_by_operations, layer, name)
            outputs, final = paths.run(_sequence(cell, name), operations, keep, *arguments)
            found[name] = outputs
        final = cell.State(*ops.unstack(final, len(cell.state_names)))
        # A state leads after the last step, even where a piece has no steps.
        return Result(getattr(final, call.states[0]), found, cell.pack(final))


def _arguments(layer: "NeuronLayer", call: Call) -> tuple[Tensor, ...]:
    """Inputs, kernel, bias, recurrent weights, parameters and initial states, as `paths.run` takes them."""
    cell, sequences = layer.cell, call.sequences
    if layer.go_backwards:
        sequences = ops.flip(sequences, axis=1)
    none = ops.zeros((0, cell.width), cell.compute_dtype)
    inputs, kernel = cell.thin(sequences, call.training), cell.kernel
    is_large = layer.recompute is None and math.prod(kernel.shape) > LARGEST_KERNEL  # else save the currents
    if kernel.shape[0] > LONGEST_SUM or is_large:
        inputs, kernel = matmul(inputs, kernel), none
    recurrent = cell.recurrent_kernel if cell.feeds_back else none
    if len(recurrent.shape) == 1:  # each neuron receives only its own
        recurrent = ops.expand_dims(recurrent, 0)
    parameters = [ops.cast(getattr(cell, name), cell.compute_dtype) for name in cell.parameter_names]
    return (
        inputs,
        kernel,
        ops.zeros((cell.width,), cell.compute_dtype) if cell.bias is None else cell.bias,
        recurrent,
        ops.stack(parameters),
        ops.stack([ops.cast(state, cell.compute_dtype) for state in cell.unpack(call.initial_state)]),
    )


def _by_operations(layer, name, inputs, kernel, bias, recurrent, parameters, initial):
    """What `paths.run` returns, by the backend's operations, which the backend differentiates to any order."""
    cell = layer.cell
    is_projected = kernel.shape[0] == 0
    values = list(zip((getattr(cell, name) for name in cell.parameter_names), ops.unstack(parameters), strict=True))
    if not is_projected:
        values.append((cell.kernel, kernel))
    if cell.bias is not None:
        values.append((cell.bias, bias))
    if cell.feeds_back:
        values.append((cell.recurrent_kernel, ops.reshape(recurrent, cell.recurrent_kernel.shape)))
    run_forward = SimpleNamespace(cell=cell, name=layer.name, go_backwards=False, zero_output_for_mask=False)
    call = Call(inputs, cell.pack(ops.unstack(initial)), (name,))
    with keras.StatelessScope(state_mapping=values):
        currents = inputs + bias if is_projected else cell.project(inputs)
        found = run_cell(run_forward, cell.advance, currents, call, unroll=can_unroll(call))
        return found.states[name], ops.stack(cell.unpack(found.final))


def _sequence(cell: "NeuronCell", output: str) -> Any:
    """The loops for a cell that emits one of its states."""
    firing = {"surrogate": cell.surrogate, "scale": cell.surrogate_scale} if cell.fires else {}
    return _cached_sequence(
        cell.kind,
        options=KERNELS[cell.kind].options(cell),
        leading=cell.state_names.index(output),
        feedback=cell.state_names.index(cell.feeds_back) if cell.feeds_back else 0,
        **firing,
    )


@cache
def _cached_sequence(kind, *, options, leading, feedback, surrogate=None, scale=None):
    from kspike_reg.neurons.engines.cpu.sequence import Sequence

    return Sequence(
        KERNELS[kind], options=options, leading=leading, feedback=feedback, surrogate=surrogate, scale=scale
    )


def _on_cpu() -> bool:
    """Whether tensors live in the memory of this machine's CPU."""
    backend = keras.backend.backend()
    if backend == "tensorflow":
        import tensorflow as tf

        return not tf.config.list_physical_devices("GPU")
    if backend == "torch":
        import torch

        return torch.get_default_device().type == "cpu" and not torch.cuda.is_available()
    return False


# Packages that write the graph of a call to a file, for a process that has no Python functions of ours.
EXPORTERS = ("keras.src.export.", "tensorflow.python.saved_model.", "tensorflow.lite.")


def _leaves_the_process() -> bool:
    """Whether a call becomes part of a graph that cannot call back to Python, or a transform of functions runs it."""
    if keras.backend.backend() == "torch":
        import torch

        # Transforms of `torch.func` have no public test.
        return torch.compiler.is_compiling() or torch._C._are_functorch_transforms_active()
    import tensorflow as tf
    from tensorflow.python.ops.control_flow_util import GraphOrParentsInXlaContext

    if tf.executing_eagerly():
        return False
    # An exporter does not announce itself; the graph is built once, so that a look at the callers costs nothing.
    frames = (frame.f_globals.get("__name__", "") for frame, _ in traceback.walk_stack(None))
    return GraphOrParentsInXlaContext(tf.compat.v1.get_default_graph()) or any(
        name.startswith(EXPORTERS) for name in frames
    )
