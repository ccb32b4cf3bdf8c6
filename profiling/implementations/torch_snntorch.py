"""The network made of snnTorch's neurons."""

from typing import Any

import snntorch
import torch

from implementations.torch_base import DECAY, THRESHOLD, Stepped, TorchNetwork, per_neuron


class CarryingSLSTM(snntorch.SLSTM):
    """`snntorch.SLSTM` that keeps its states where it has fewer or more inputs than neurons.

    The call of `snntorch.SLSTM` compares the shapes of states and inputs, and resets states that differ.
    """

    def forward(self, inputs: torch.Tensor, carry: torch.Tensor, membrane: torch.Tensor) -> tuple:
        self.syn, self.mem = carry, membrane
        self.reset = self.mem_reset(self.mem)
        self.syn, self.mem = self.state_function(inputs)
        return self.fire(self.mem), self.syn, self.mem


# Rules of `Stepped`; the last spiking layer emits its membrane.


def leaky_step(neurons: torch.nn.Module, currents: torch.Tensor, membrane: Any, last: bool) -> tuple:
    """One step of `snntorch.Leaky`."""
    spikes, membrane = neurons(currents, torch.zeros_like(currents) if membrane is None else membrane)
    return membrane if last else spikes, membrane


def recurrent_step(neurons: torch.nn.Module, currents: torch.Tensor, state: Any, last: bool) -> tuple:
    """One step of `snntorch.RLeaky`."""
    state = neurons(currents, *(state or (torch.zeros_like(currents), torch.zeros_like(currents))))
    return state[1] if last else state[0], state


def lstm_step(neurons: torch.nn.Module, inputs: torch.Tensor, state: Any, last: bool) -> tuple:
    """One step of `CarryingSLSTM`."""
    zeros = inputs.new_zeros(len(inputs), neurons.hidden_size)
    spikes, *state = neurons(inputs, *(state or (zeros, zeros)))
    return state[1] if last else spikes, state


def learned_per_neuron(units: int) -> dict[str, Any]:
    """Options of neurons that learn one decay and one threshold per neuron."""
    return {
        "beta": per_neuron(DECAY, units),
        "threshold": per_neuron(THRESHOLD, units),
        "learn_beta": True,
        "learn_threshold": True,
    }


class SnnTorch(TorchNetwork):
    """Leaky, RLeaky and SLSTM neurons of snnTorch.

    RLeaky has a bias in its recurrent projection, and SLSTM has two biases, like PyTorch's LSTMCell. The parallel,
    kernel, unrolled and state-space neurons of snnTorch have no reset and are other models.
    """

    def hidden(self, inputs: int, units: int, last: bool) -> Stepped:
        if self.case.kind == "slstm":
            neurons = CarryingSLSTM(
                inputs, units, threshold=torch.rand(units), learn_threshold=True, reset_mechanism="subtract"
            )
            return Stepped(torch.nn.Identity(), neurons, lambda *step: lstm_step(*step, last))
        if self.case.kind == "rlif":
            neurons, rule = snntorch.RLeaky(linear_features=units, **learned_per_neuron(units)), recurrent_step
        else:
            neurons, rule = snntorch.Leaky(**learned_per_neuron(units)), leaky_step
        return Stepped(torch.nn.Linear(inputs, units), neurons, lambda *step: rule(*step, last))

    def integrator(self, units: int) -> Stepped:
        neurons = snntorch.Leaky(per_neuron(DECAY, units), learn_beta=True, reset_mechanism="none")
        return Stepped(torch.nn.Linear(units, units), neurons, lambda *step: leaky_step(*step, last=True))
