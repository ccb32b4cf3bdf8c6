"""The neurons of this package as Nengo neuron types: what one of them does in one step, in NumPy.

One Nengo time step is one step of the network, however long it lasts: the types do not look at dt. Spikes are 0.0 or
1.0 as in Keras, not 1 / dt high. A spike resets its neuron one step later; the state `voltage` is the membrane after
the step, `fired` the spikes. Both can be probed on `ensemble.neurons`, whatever the neurons hand on.

Within a step nothing is delayed: `J` holds what the connections with synapse=None bring in the same step. What a layer
hears of its own last step lies in the neuron type, since a connection back would either be delayed or close a circle.

Importing this module needs Nengo; `to_nengo` sees to the message where it is missing.
"""

import numpy as np
from nengo.builder import Builder, Signal
from nengo.builder.neurons import SimNeurons
from nengo.dists import Choice
from nengo.neurons import NeuronType
from nengo.params import BoolParam, EnumParam, NdarrayParam, NumberParam, StringParam

__all__ = [
    "ACTIVATIONS", "LeakyIntegrator", "Rate", "RecurrentSubtractLIF", "SimLayer", "SpikingLSTM", "SubtractLIF"
]  # fmt: skip


class SimLayer(SimNeurons):
    """The operator of one layer. Nengo merges its own operators of equal neurons, whatever weights lie in them."""


class _Neurons(NeuronType):
    """Neurons driven by their currents alone: gain and bias of the ensemble are given, tuning curves do not matter."""

    state = {}  # noqa: RUF012 - Nengo's own way
    driven_at_ensemble = False  # where the currents arrive: at the neurons, or at the ensemble

    def __init__(self):
        super().__init__(initial_state=None)

    def max_rates_intercepts(self, gain, bias):
        """Nengo asks for them when it builds an ensemble; they have no meaning here."""
        return np.full_like(gain, np.nan), np.full_like(bias, np.nan)


@Builder.register(_Neurons)
def _build_neurons(model, neuron_type, neurons):
    """As Nengo builds neurons, but by our operator, and driven by what arrives where the type says."""
    current = model.sig[neurons.ensemble if neuron_type.driven_at_ensemble else neurons]["in"]
    state = {}
    for name, start in neuron_type.make_state(neurons.size_in, rng=np.random, dtype=current.dtype).items():
        state[name] = model.sig[neurons][name] = Signal(start, name=f"{neurons}.{name}")
    model.add_op(SimLayer(neuron_type, current, model.sig[neurons]["out"], state))


class _Spiking(_Neurons):
    """What neurons that fire share: a threshold, a reset, what they hand on, and the derivative for training.

    Args:
        threshold: firing level of each neuron, shape (units,), > 0.
        reset: what a spike does to the membrane one step later: "subtract", "zero" or "none".
        output: what the neurons hand on: "spikes" or "membrane".
        detach_reset, surrogate, surrogate_scale: of the backward pass, which only NengoDL takes.
    """

    spiking = True
    state = {"voltage": Choice([0]), "fired": Choice([0])}  # noqa: RUF012

    threshold = NdarrayParam("threshold", shape=("*",))
    reset = EnumParam("reset", default="subtract", values=("subtract", "zero", "none"), readonly=True)
    output = EnumParam("output", default="spikes", values=("spikes", "membrane"), readonly=True)
    detach_reset = BoolParam("detach_reset", default=True, readonly=True)
    surrogate = StringParam("surrogate", default="atan", readonly=True)
    surrogate_scale = NumberParam("surrogate_scale", default=None, optional=True, readonly=True)

    def __init__(
        self, threshold, reset="subtract", output="spikes", detach_reset=True, surrogate="atan", surrogate_scale=None
    ):
        super().__init__()
        self.threshold = threshold
        self.reset = reset
        self.output = output
        self.detach_reset = detach_reset
        self.surrogate = surrogate
        self.surrogate_scale = surrogate_scale

    def _hand_on(self, membrane, output, voltage, fired):
        voltage[...] = membrane
        fired[...] = membrane >= self.threshold
        output[...] = fired if self.output == "spikes" else membrane


class SubtractLIF(_Spiking):
    """Leaky integrate-and-fire neurons whose spike takes the threshold off the membrane (`kspike_reg.neurons.LIF`).

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

    def __init__(self, decay, threshold, **firing):
        super().__init__(threshold, **firing)
        self.decay = decay

    def step(self, dt, J, output, voltage, fired):  # noqa: N803 - Nengo's own names
        last = voltage * (1 - fired) if self.reset == "zero" else voltage
        membrane = self.decay * last + J
        if self.reset == "subtract":
            membrane -= self.threshold * fired
        self._hand_on(membrane, output, voltage, fired)


class RecurrentSubtractLIF(SubtractLIF):
    """Leaky integrate-and-fire neurons that hear their own layer's last spikes (`kspike_reg.neurons.RLIF`).

        U[t] = decay * U[t-1] + J[t] + V S[t-1] - threshold * S[t-1],   S[t] = H(U[t] - threshold)

    Args:
        decay, threshold: of each neuron, shape (units,).
        recurrent_kernel: V, shape (units, units), from row to column, or (units,) where each neuron hears itself.
        **firing: as in `SubtractLIF`.
    """

    recurrent_kernel = NdarrayParam("recurrent_kernel", shape=("...",))

    def __init__(self, decay, threshold, recurrent_kernel, **firing):
        super().__init__(decay, threshold, **firing)
        self.recurrent_kernel = recurrent_kernel

    @property
    def recurrence(self):
        """How the spikes feed back, by the shape of the kernel: "dense" or "one_to_one"."""
        return "dense" if self.recurrent_kernel.ndim == 2 else "one_to_one"

    def step(self, dt, J, output, voltage, fired):  # noqa: N803
        own = fired @ self.recurrent_kernel if self.recurrence == "dense" else fired * self.recurrent_kernel
        super().step(dt, J + own, output, voltage, fired)


class SpikingLSTM(_Spiking):
    """Spiking long short-term memory (`kspike_reg.neurons.SLSTM`).

        i, f, g, o = split(J[t] + bias + V h[t-1])
        c[t] = sigmoid(f) * c[t-1] + sigmoid(i) * tanh(g)
        h[t] = sigmoid(o) * tanh(c[t]) - threshold * S[t-1],   S[t] = H(h[t] - threshold)

    Each neuron hears four currents, one for each gate. So the currents arrive at the ensemble, of 4 * units
    dimensions, in the order i, f, g, o, and not at its neurons; `voltage` is h, the state `carry` is c.

    Args:
        threshold: firing level of each neuron, shape (units,).
        recurrent_kernel: V, shape (units, 4 * units).
        gate_bias: of the four gates, shape (4 * units,).
        **firing: as in `SubtractLIF`.
    """

    driven_at_ensemble = True
    state = {**_Spiking.state, "carry": Choice([0])}  # noqa: RUF012

    recurrent_kernel = NdarrayParam("recurrent_kernel", shape=("*", "*"))
    gate_bias = NdarrayParam("gate_bias", shape=("*",))

    def __init__(self, threshold, recurrent_kernel, gate_bias, **firing):
        super().__init__(threshold, **firing)
        self.recurrent_kernel = recurrent_kernel
        self.gate_bias = gate_bias

    def step(self, dt, J, output, voltage, fired, carry):  # noqa: N803
        gates = J + self.gate_bias + voltage @ self.recurrent_kernel
        input_gate, forget_gate, candidate, output_gate = np.split(gates, 4)
        carry[...] = _logistic(forget_gate) * carry + _logistic(input_gate) * np.tanh(candidate)
        membrane = _logistic(output_gate) * np.tanh(carry)
        if self.reset == "zero":
            membrane *= 1 - fired
        elif self.reset == "subtract":
            membrane -= self.threshold * fired
        self._hand_on(membrane, output, voltage, fired)


class LeakyIntegrator(_Neurons):
    """Leaky integrators, which never fire (`kspike_reg.neurons.LeakyIntegrator`): U[t] = decay * U[t-1] + J[t].

    Args:
        decay: leak per step of each neuron, shape (units,), in [0, 1].
    """

    state = {"voltage": Choice([0])}  # noqa: RUF012
    decay = NdarrayParam("decay", shape=("*",))

    def __init__(self, decay):
        super().__init__()
        self.decay = decay

    def step(self, dt, J, output, voltage):  # noqa: N803
        voltage[...] = self.decay * voltage + J
        output[...] = voltage


def _logistic(x):
    # np.exp overflows to infinity for gates far below zero, where the logistic is zero as it should be.
    with np.errstate(over="ignore"):
        return 1 / (1 + np.exp(-x))


# The activations that a layer of rates may have, by the names that Keras gives them.
ACTIVATIONS = {
    "linear": lambda x: x,
    "relu": lambda x: np.maximum(x, 0),
    "sigmoid": _logistic,
    "tanh": np.tanh,
}


class Rate(_Neurons):
    """Units without memory, as those of `keras.layers.Dense`: output = activation(factor * J).

    Args:
        activation: a name in `ACTIVATIONS`.
        factor: one number for each unit, shape (units,); None is one. Standardising takes the mean off before it
            scales; to scale first would round otherwise.
    """

    activation = EnumParam("activation", default="linear", values=tuple(ACTIVATIONS), readonly=True)
    factor = NdarrayParam("factor", default=None, shape=("*",), optional=True, readonly=True)

    def __init__(self, activation="linear", factor=None):
        super().__init__()
        self.activation = activation
        self.factor = factor

    def step(self, dt, J, output):  # noqa: N803
        output[...] = ACTIVATIONS[self.activation](J if self.factor is None else J * self.factor)
