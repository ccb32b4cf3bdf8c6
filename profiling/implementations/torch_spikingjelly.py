"""The network made of SpikingJelly's neurons.

SpikingJelly has no spiking LSTM whose output is a membrane that fires: the gates of its LSTM spike.
"""

from typing import Any

import torch
from spikingjelly.activation_based import functional, layer, neuron, surrogate

from implementations.torch_base import DECAY, THRESHOLD, TorchNetwork


def spiking_neurons(**options: Any) -> neuron.ParametricLIFNode:
    """LIF neurons with a learned decay that subtract the threshold."""
    return neuron.ParametricLIFNode(
        init_tau=1 / (1 - DECAY),
        decay_input=False,
        v_threshold=THRESHOLD,
        v_reset=None,
        surrogate_function=surrogate.ATan(),
        detach_reset=True,
        **options,
    )


class Spiking(torch.nn.Module):
    """A projection and neurons over all steps in the multi-step mode; the last layer stores its membranes."""

    def __init__(self, inputs: int, units: int, last: bool) -> None:
        super().__init__()
        self.last, self.project = last, torch.nn.Linear(inputs, units)
        self.neurons = spiking_neurons(step_mode="m", store_v_seq=last)

    def forward(self, paths: torch.Tensor) -> torch.Tensor:
        functional.reset_net(self.neurons)
        spikes = self.neurons(self.project(paths))
        return self.neurons.v_seq if self.last else spikes


class Recurrent(torch.nn.Module):
    """Neurons in a `LinearRecurrentContainer`, which projects inputs and last spikes side by side.

    The container needs as many inputs as neurons, so the first layer has an additional projection.
    """

    def __init__(self, inputs: int, units: int, last: bool) -> None:
        super().__init__()
        self.last, self.project = last, torch.nn.Identity() if inputs == units else torch.nn.Linear(inputs, units)
        # The multi-step mode of the container does not store membranes.
        mode = "s" if last else "m"
        self.neurons = layer.LinearRecurrentContainer(spiking_neurons(), units, units, step_mode=mode)

    def forward(self, paths: torch.Tensor) -> torch.Tensor:
        functional.reset_net(self.neurons)
        currents = self.project(paths)
        if not self.last:
            return self.neurons(currents)
        membranes = []
        for current in currents:
            self.neurons(current)
            membranes.append(self.neurons.sub_module.v)
        return torch.stack(membranes)


class Integrator(torch.nn.Module):
    """A projection and neurons that do not spike."""

    def __init__(self, units: int) -> None:
        super().__init__()
        self.project, self.neurons = torch.nn.Linear(units, units), neuron.NonSpikingLIFNode(tau=1 / (1 - DECAY))

    def forward(self, paths: torch.Tensor) -> torch.Tensor:
        return torch.stack(self.neurons(self.project(paths)))


class SpikingJelly(TorchNetwork):
    """Parametric LIF neurons of SpikingJelly, with one decay per layer.

    Thresholds and the decays of the readout are not learned, and the reset follows the spike at once.
    """

    kinds = ("lif", "rlif")
    forms = ("layer by layer",)

    def hidden(self, inputs: int, units: int, last: bool) -> torch.nn.Module:
        return {"lif": Spiking, "rlif": Recurrent}[self.case.kind](inputs, units, last)

    def integrator(self, units: int) -> Integrator:
        return Integrator(units)
