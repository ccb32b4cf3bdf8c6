"""Readers of NIR files for nir_consumers.py: functions from the name of a file to a PyTorch module."""

import nir
import nirtorch
import norse.torch
import snntorch
import torch
from snntorch.import_nir import import_from_nir

from kspike_reg.bridges.nir.parameters import STEP


class Integrator(torch.nn.Module):
    """`nir.LI` by its equation, with one Euler step per step, because NIRTorch has no module for it."""

    def __init__(self, node: nir.LI) -> None:
        super().__init__()
        self.rate = torch.nn.Buffer(torch.from_numpy(STEP / node.tau))
        self.r, self.v_leak = (torch.nn.Buffer(torch.from_numpy(each)) for each in (node.r, node.v_leak))

    def forward(self, current: torch.Tensor, state: torch.Tensor | None = None) -> tuple[torch.Tensor, torch.Tensor]:
        """Run one step; the membrane is both output and state."""
        v = torch.zeros_like(current) if state is None else state
        v = v + self.rate * (self.v_leak - v + self.r * current)
        return v, v


class Threshold(torch.nn.Module):
    """`nir.Threshold` by its equation."""

    def __init__(self, node: nir.Threshold) -> None:
        super().__init__()
        self.threshold = torch.nn.Buffer(torch.from_numpy(node.threshold))

    def forward(self, v: torch.Tensor) -> torch.Tensor:
        """Spikes where v > threshold."""
        return (v > self.threshold).to(v.dtype)


def affine(node: nir.Affine) -> torch.nn.Linear:
    """`nir.Affine` with its bias; NIRTorch's own conversion leaves the bias random."""
    module = torch.nn.Linear(*node.weight.shape[::-1])
    module.weight.data, module.bias.data = torch.from_numpy(node.weight), torch.from_numpy(node.bias)
    return module


def snntorch_as_imported(file: str) -> torch.nn.Module:
    """Read a file with snnTorch, whose neurons reset to zero at once."""
    return import_from_nir(nir.read(file))


def snntorch_as_trained(file: str) -> torch.nn.Module:
    """Read a file with snnTorch, then set the reset that our files state in words: subtract, one step later."""
    net = import_from_nir(nir.read(file))
    for module in net.modules():
        if isinstance(module, snntorch.Leaky):
            module.reset_mechanism, module.reset_delay, module.state_function = "subtract", True, module._base_sub
    return net


def norse_as_imported(file: str) -> torch.nn.Module:
    """Read a file with Norse, whose neurons reset to zero at once."""
    return norse.torch.from_nir(nir.read(file), ignore_warnings=True, dt=STEP)


def nirtorch_by_definition(file: str) -> torch.nn.Module:
    """Read a file with NIRTorch, with modules that follow NIR's definitions."""
    return nirtorch.nir_to_torch(
        nir.read(file), {nir.LI: Integrator, nir.Threshold: Threshold, nir.Affine: affine}, dtype=torch.float32
    )


# For each reader the function that reads a file, and the form in which the file is written.
READERS = {
    "snnTorch": (snntorch_as_imported, "unit_threshold"),
    "snnTorch, set to our reset": (snntorch_as_trained, "unit_threshold"),
    "Norse": (norse_as_imported, "unit_resistance"),
    "Norse, resistances not one": (norse_as_imported, "trained"),
    "NIRTorch": (nirtorch_by_definition, "exact"),
}
