"""The network made of Norse's neurons.

Norse has no spiking LSTM: its LSNN is no LSTM.
"""

from typing import Any

import torch
from norse.torch import LIBoxCell, LIFBoxCell, LIFRecurrentCell
from norse.torch.functional.leaky_integrator_box import LIBoxParameters
from norse.torch.functional.lif import LIFParameters
from norse.torch.functional.lif_box import LIFBoxParameters

from implementations.torch_base import DECAY, THRESHOLD, Stepped, TorchNetwork, per_neuron


def learned_rate(units: int) -> torch.nn.Parameter:
    """One learned leak rate, 1 - decay, per neuron."""
    return torch.nn.Parameter(per_neuron(1 - DECAY, units))


# Rules of `Stepped`; the last spiking layer emits its membrane.


def spiking_step(neurons: torch.nn.Module, currents: torch.Tensor, state: Any) -> tuple:
    """One step that emits the output of the cell."""
    return neurons(currents, state)


def membrane_step(neurons: torch.nn.Module, currents: torch.Tensor, state: Any) -> tuple:
    """One step that emits the membrane."""
    _, state = neurons(currents, state)
    return state.v, state


class Norse(TorchNetwork):
    """Cells of Norse: LIFBox, which is LIF without a synapse with its own decay, and LIFRecurrent.

    Norse's modules over time (Lift, LIFRecurrent) run the same loop over the same cells and do not emit membranes. The
    reset is to zero, and recurrent layers have no bias.
    """

    kinds = ("lif", "rlif")

    def hidden(self, inputs: int, units: int, last: bool) -> Stepped:
        learned = [learned_rate(units), torch.nn.Parameter(per_neuron(THRESHOLD, units))]
        options = {"tau_mem_inv": learned[0], "v_th": learned[1]}
        if self.case.kind == "rlif":
            options["tau_syn_inv"] = torch.tensor(1.0)
            projection = torch.nn.Identity()
            neurons = LIFRecurrentCell(inputs, units, LIFParameters(**options), autapses=True, dt=1.0)
        else:
            projection = torch.nn.Linear(inputs, units)
            neurons = LIFBoxCell(LIFBoxParameters(**options), dt=1.0)
        return Stepped(projection, neurons, membrane_step if last else spiking_step, learned)

    def integrator(self, units: int) -> Stepped:
        learned = learned_rate(units)
        neurons = LIBoxCell(LIBoxParameters(tau_mem_inv=learned), dt=1.0)
        return Stepped(torch.nn.Linear(units, units), neurons, spiking_step, [learned])
