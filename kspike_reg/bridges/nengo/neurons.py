"""The neurons of this package as Nengo neuron types: one step of each, in NumPy.

One Nengo time step is one step of the network, however long it lasts: the types ignore dt. Spikes are 0.0 or 1.0 as in
Keras, not 1 / dt. A spike resets its neuron one step later; the state `voltage` is the membrane after the step, `fired`
the spikes. Both can be probed on `ensemble.neurons`, whatever the neurons emit.

Nothing is delayed within a step: `J` is the sum of the connections with synapse=None in the same step. The recurrence
of a layer is part of its neuron type, since a connection from an ensemble to itself would be delayed or close a cycle.

The types run trained networks; they are no neurons of the Neural Engineering Framework. The output of most depends on
earlier steps, so they have no tuning curves, from which Nengo finds gains, biases and decoders. An ensemble of yours
gives gain and bias, and connects from `ensemble.neurons`; everything else raises an error that says so.

Importing this module needs Nengo; `to_nengo` raises the error where it is missing.
"""
# ruff: noqa: N803 - Nengo calls the input current J

from collections.abc import Callable
from typing import Any

import numpy as np
from nengo.builder import Builder, Signal
from nengo.builder.neurons import SimNeurons
from nengo.dists import Choice
from nengo.neurons import NeuronType
from nengo.params import BoolParam, EnumParam, NdarrayParam, NumberParam, StringParam
from numpy.typing import ArrayLike, NDArray

from kspike_reg.bridges.nengo.checks import require_fit, require_no_drive
from kspike_reg.errors import InputError

__all__ = [
    "ACTIVATIONS", "LeakyIntegrator", "Rate", "RecurrentSubtractLIF", "SimLayer", "SpikingLSTM", "SubtractLIF"
]  # fmt: skip


class SimLayer(SimNeurons):
    """The operator of one layer. Nengo merges its own operators of equal neuron types, whatever their weights are."""


class _Neurons(NeuronType):
    """Neurons driven by their currents alone: gain and bias of the ensemble are given, tuning curves do not matter."""

    state: dict[str, Any] = {}  # noqa: RUF012 - Nengo declares states in this way
    driven_at_ensemble = False  # whether currents arrive at the ensemble, not at its neurons

    def __init__(self) -> None:
        super().__init__(initial_state=None)

    def max_rates_intercepts(self, gain: NDArray, bias: NDArray) -> tuple[NDArray, NDArray]:
        """Nengo asks for them when it builds an ensemble; they have no meaning here."""
        return np.full_like(gain, np.nan), np.full_like(bias, np.nan)

    def gain_bias(self, max_rates: ArrayLike, intercepts: ArrayLike) -> tuple[NDArray, NDArray]:
        """Nengo asks for them when an ensemble has none.

        Raises:
            InputError: always.
        """
        raise InputError(
            f"{type(self).__name__}: these neurons run a trained network, so their gain and bias do not follow from "
            "max_rates and intercepts; give the ensemble gain=np.ones(units) and bias=np.zeros(units), or your own"
        )

    def rates(self, x: ArrayLike, gain: ArrayLike, bias: ArrayLike) -> NDArray:
        """Nengo asks for them to find decoders, and to draw tuning curves.

        Raises:
            InputError: the output of the neurons depends on earlier steps.
        """
        if self.state:
            raise InputError(
                f"{type(self).__name__}: these neurons run a trained network; their output depends on earlier steps, "
                "so they have no tuning curve and nothing can be decoded from it; connect and probe ensemble.neurons, "
                "with synapse=None, not the ensemble"
            )
        return super().rates(x, gain, bias)


@Builder.register(_Neurons)
def _build_neurons(model, neuron_type, neurons):
    """As Nengo builds neurons, but with our operator, and driven at the place that the type declares."""
    current = model.sig[neurons.ensemble if neuron_type.driven_at_ensemble else neurons]["in"]
    if neuron_type.driven_at_ensemble:
        require_no_drive(model, neuron_type, neurons)
    require_fit(neuron_type, neurons, current.shape)
    state = {}
    for name, start in neuron_type.make_state(neurons.size_in, rng=np.random, dtype=current.dtype).items():
        state[name] = model.sig[neurons][name] = Signal(start, name=f"{neurons}.{name}")
    model.add_op(SimLayer(neuron_type, current, model.sig[neurons]["out"], state))


class _Spiking(_Neurons):
    """Base of neurons that fire: a threshold, a reset, an output, and the derivative for training.

    Args:
        threshold: firing level of each neuron, shape (units,), > 0.
        reset: effect of a spike on the membrane one step later: "subtract", "zero" or "none".
        output: what the neurons emit: "spikes" or "membrane".
        detach_reset, surrogate, surrogate_scale: of the backward pass, which only NengoDL runs.
    """

    spiking = True
    state: dict[str, Any] = {"voltage": Choice([0]), "fired": Choice([0])}  # noqa: RUF012

    threshold = NdarrayParam("threshold", shape=("*",))
    reset = EnumParam("reset", default="subtract", values=("subtract", "zero", "none"), readonly=True)
    output = EnumParam("output", default="spikes", values=("spikes", "membrane"), readonly=True)
    detach_reset = BoolParam("detach_reset", default=True, readonly=True)
    surrogate = StringParam("surrogate", default="atan", readonly=True)
    surrogate_scale = NumberParam("surrogate_scale", default=None, optional=True, readonly=True)

    def __init__(
        self,
        threshold: ArrayLike,
        reset: str = "subtract",
        output: str = "spikes",
        detach_reset: bool = True,
        surrogate: str = "atan",
        surrogate_scale: float | None = None,
    ) -> None:
        super().__init__()
        self.threshold = threshold
        self.reset = reset
        self.output = output
        self.detach_reset = detach_reset
        self.surrogate = surrogate
        self.surrogate_scale = surrogate_scale

    def _emit(self, membrane, output, voltage, fired):
        voltage[...] = membrane
        fired[...] = membrane >= self.threshold
        output[...] = fired if self.output == "spikes" else membrane


class SubtractLIF(_Spiking):
    """Leaky integrate-and-fire neurons (`kspike_reg.neurons.LIF`).

        subtract   U[t] = decay * U[t-1] + J[t] - threshold * S[t-1]
        zero       U[t] = decay * U[t-1] * (1 - S[t-1]) + J[t]
        none       U[t] = decay * U[t-1] + J[t]
        S[t] = H(U[t] - threshold),   H(0) = 1

    Args:
        decay: leak per step of each neuron, shape (units,), in [0, 1].
        threshold: firing level of each neuron, shape (units,), > 0.
        **firing: reset, output, detach_reset, surrogate and surrogate_scale, as in `kspike_reg.neurons.LIF`.
    """

    decay = NdarrayParam("decay", shape=("*",))

    def __init__(self, decay: ArrayLike, threshold: ArrayLike, **firing: Any) -> None:
        super().__init__(threshold, **firing)
        self.decay = decay

    def step(self, dt: float, J: NDArray, output: NDArray, voltage: NDArray, fired: NDArray) -> None:
        last = voltage * (1 - fired) if self.reset == "zero" else voltage
        membrane = self.decay * last + J
        if self.reset == "subtract":
            membrane -= self.threshold * fired
        self._emit(membrane, output, voltage, fired)


class RecurrentSubtractLIF(SubtractLIF):
    """Leaky integrate-and-fire neurons that receive their own layer's last spikes (`kspike_reg.neurons.RLIF`).

        U[t] = decay * U[t-1] + J[t] + V S[t-1] - threshold * S[t-1],   S[t] = H(U[t] - threshold)

    Args:
        decay, threshold: of each neuron, shape (units,).
        recurrent_kernel: V, shape (units, units), from row to column, or (units,) if each neuron receives only its own.
        **firing: as in `SubtractLIF`.
    """

    recurrent_kernel = NdarrayParam("recurrent_kernel", shape=("...",))

    def __init__(self, decay: ArrayLike, threshold: ArrayLike, recurrent_kernel: ArrayLike, **firing: Any) -> None:
        super().__init__(decay, threshold, **firing)
        self.recurrent_kernel = recurrent_kernel

    @property
    def recurrence(self) -> str:
        """How the spikes feed back, by the shape of the kernel: "dense" or "one_to_one"."""
        return "dense" if self.recurrent_kernel.ndim == 2 else "one_to_one"

    def step(self, dt: float, J: NDArray, output: NDArray, voltage: NDArray, fired: NDArray) -> None:
        own = fired @ self.recurrent_kernel if self.recurrence == "dense" else fired * self.recurrent_kernel
        super().step(dt, J + own, output, voltage, fired)


class SpikingLSTM(_Spiking):
    """Spiking long short-term memory (`kspike_reg.neurons.SLSTM`).

        i, f, g, o = split(J[t] + bias + V h[t-1])
        c[t] = sigmoid(f) * c[t-1] + sigmoid(i) * tanh(g)
        h[t] = sigmoid(o) * tanh(c[t]) - threshold * S[t-1],   S[t] = H(h[t] - threshold)

    Each neuron receives four currents, one for each gate. They arrive at the ensemble, of 4 * units dimensions in the
    order i, f, g, o, not at its neurons. `voltage` is h, the state `carry` is c.

    Args:
        threshold: firing level of each neuron, shape (units,).
        recurrent_kernel: V, shape (units, 4 * units).
        gate_bias: of the four gates, shape (4 * units,).
        **firing: as in `SubtractLIF`.
    """

    driven_at_ensemble = True
    state: dict[str, Any] = {**_Spiking.state, "carry": Choice([0])}  # noqa: RUF012

    recurrent_kernel = NdarrayParam("recurrent_kernel", shape=("*", "*"))
    gate_bias = NdarrayParam("gate_bias", shape=("*",))

    def __init__(self, threshold: ArrayLike, recurrent_kernel: ArrayLike, gate_bias: ArrayLike, **firing: Any) -> None:
        super().__init__(threshold, **firing)
        self.recurrent_kernel = recurrent_kernel
        self.gate_bias = gate_bias

    def step(self, dt: float, J: NDArray, output: NDArray, voltage: NDArray, fired: NDArray, carry: NDArray) -> None:
        gates = J + self.gate_bias + voltage @ self.recurrent_kernel
        input_gate, forget_gate, candidate, output_gate = np.split(gates, 4)
        carry[...] = _logistic(forget_gate) * carry + _logistic(input_gate) * np.tanh(candidate)
        membrane = _logistic(output_gate) * np.tanh(carry)
        if self.reset == "zero":
            membrane *= 1 - fired
        elif self.reset == "subtract":
            membrane -= self.threshold * fired
        self._emit(membrane, output, voltage, fired)


class LeakyIntegrator(_Neurons):
    """Leaky integrators, which never fire (`kspike_reg.neurons.LeakyIntegrator`): U[t] = decay * U[t-1] + J[t].

    Args:
        decay: leak per step of each neuron, shape (units,), in [0, 1].
    """

    state: dict[str, Any] = {"voltage": Choice([0])}  # noqa: RUF012
    decay = NdarrayParam("decay", shape=("*",))

    def __init__(self, decay: ArrayLike) -> None:
        super().__init__()
        self.decay = decay

    def step(self, dt: float, J: NDArray, output: NDArray, voltage: NDArray) -> None:
        voltage[...] = self.decay * voltage + J
        output[...] = voltage


def _logistic(x):
    # np.exp overflows to infinity for gates far below zero, where the logistic is correctly zero.
    with np.errstate(over="ignore"):
        return 1 / (1 + np.exp(-x))


# The activations of `Rate`, by their names in Keras.
ACTIVATIONS: dict[str, Callable[[NDArray], NDArray]] = {
    "linear": lambda x: x,
    "relu": lambda x: np.maximum(x, 0),
    "sigmoid": _logistic,
    "tanh": np.tanh,
}


class Rate(_Neurons):
    """Units without memory, like those of `keras.layers.Dense`: output = activation(factor * J).

    Args:
        activation: a name in `ACTIVATIONS`.
        factor: one number for each unit, shape (units,); None is one. Standardising subtracts the mean before it
            scales; the other order would round differently.
    """

    activation = EnumParam("activation", default="linear", values=tuple(ACTIVATIONS), readonly=True)
    factor = NdarrayParam("factor", default=None, shape=("*",), optional=True, readonly=True)

    def __init__(self, activation: str = "linear", factor: ArrayLike | None = None) -> None:
        super().__init__()
        self.activation = activation
        self.factor = factor

    def step(self, dt: float, J: NDArray, output: NDArray) -> None:
        output[...] = ACTIVATIONS[self.activation](J if self.factor is None else J * self.factor)
