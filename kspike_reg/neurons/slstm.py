"""Spiking long short-term memory: an LSTM whose output is a membrane that fires."""

from collections.abc import Sequence
from typing import Any

import keras
from keras import ops

from kspike_reg.neurons.cell import SpikingCell
from kspike_reg.neurons.layer import NeuronLayer
from kspike_reg.neurons.precision import matmul
from kspike_reg.neurons.surrogates import spike
from kspike_reg.typing import Tensor

__all__ = ["SLSTM", "SLSTMCell", "slstm_step"]


def slstm_step(
    currents: Tensor,
    membrane: Tensor,
    spikes: Tensor,
    carry: Tensor,
    *,
    recurrent_kernel: Tensor,
    threshold: Tensor,
    feedback: Tensor | None = None,
    reset: str = "subtract",
    detach_reset: bool = True,
    surrogate: str = "atan",
    surrogate_scale: float | None = None,
) -> tuple[Tensor, Tensor, Tensor]:
    """Advance spiking LSTM neurons by one step (paper, eqs. 23 to 26).

        i, f, g, o = split(I[t] + V h[t-1])
        c[t] = sigmoid(f) * c[t-1] + sigmoid(i) * tanh(g)
        h[t] = sigmoid(o) * tanh(c[t]) - threshold * S[t-1]
        S[t] = H(h[t] - threshold),   H(0) = 1

    The reset "zero" multiplies sigmoid(o) * tanh(c[t]) by 1 - S[t-1] instead, "none" leaves it. h is the membrane:
    without a reset it stays below 1 in size, so a threshold of 1 or more never fires.

    Args:
        currents: I[t] of the four gates i, f, g, o, in this order, shape (batch, 4 * units).
        membrane, spikes, carry: h[t-1], S[t-1] and c[t-1], each (batch, units).
        recurrent_kernel: V, shape (units, 4 * units), gates in the same order.
        threshold: firing level, > 0, broadcastable to (units,).
        feedback: what V reads in place of h[t-1], for dropout; same shape.
        reset, detach_reset, surrogate, surrogate_scale: as in `lif_step`.

    Returns:
        (S[t], h[t], c[t]), each (batch, units).
    """
    feedback = membrane if feedback is None else feedback
    gates = currents + matmul(feedback, recurrent_kernel)
    input_gate, forget_gate, candidate, output_gate = ops.split(gates, 4, axis=-1)
    carry = ops.sigmoid(forget_gate) * carry + ops.sigmoid(input_gate) * ops.tanh(candidate)
    membrane = ops.sigmoid(output_gate) * ops.tanh(carry)
    fired = ops.stop_gradient(spikes) if detach_reset else spikes
    if reset == "zero":
        membrane = membrane * (1 - fired)
    elif reset == "subtract":
        membrane = membrane - threshold * fired
    return spike(membrane - threshold, surrogate, surrogate_scale), membrane, carry


@keras.saving.register_keras_serializable("kspike_reg")
class SLSTMCell(SpikingCell):
    """One step of spiking LSTM neurons, for `keras.layers.RNN` (paper, eqs. 23 to 26; see `slstm_step`).

    Weights: kernel (features, 4 * units), recurrent_kernel (units, 4 * units) and bias (4 * units,) with the gates
    in Keras's order i, f, c, o, and threshold (units,).

    Args:
        units: number of neurons.
        recurrent_initializer, recurrent_regularizer, recurrent_constraint: for V, as for every Keras weight.
        recurrent_dropout: fraction of the fed-back membranes to drop in training, in [0, 1).
        unit_forget_bias: whether the forget gate's bias starts at one, as in `keras.layers.LSTM`.
        threshold_initializer: as in `SpikingCell`; None draws from U(0, 1), the paper's choice for SLSTM.
        **options: those of `SpikingCell` and `NeuronCell`.

    Call arguments:
        inputs: spikes or values of the preceding layer, shape (batch, features).
        states: [S, h, c] of the last step, or [h, S, c] where `output="membrane"`; each (batch, units).
    """

    state_names = ("spikes", "membrane", "carry")
    projections = 4
    parameter_names = ("threshold",)
    feeds_back = "membrane"
    starts = {"threshold": (0.0, 1.0), "readout_decay": (0.0, 1.0)}  # noqa: RUF012 - read only

    def __init__(
        self,
        units: int,
        *,
        recurrent_initializer: Any = "orthogonal",
        recurrent_regularizer: Any = None,
        recurrent_constraint: Any = None,
        recurrent_dropout: float = 0.0,
        unit_forget_bias: bool = True,
        threshold_initializer: Any = None,
        **options: Any,
    ) -> None:
        if threshold_initializer is None:
            threshold_initializer = keras.initializers.RandomUniform(*self.starts["threshold"])
        super().__init__(units, threshold_initializer=threshold_initializer, **options)
        self._keep_weight_options("recurrent", recurrent_initializer, recurrent_regularizer, recurrent_constraint)
        self.recurrent_dropout = self._rate("recurrent_dropout", recurrent_dropout)
        self.unit_forget_bias = unit_forget_bias

    def build(self, input_shape: Any) -> None:
        super().build(input_shape)
        self.recurrent_kernel = self._add_weight("recurrent_kernel", (self.units, 4 * self.units), options="recurrent")

    def _start(self, options):
        start = super()._start(options)
        if options != "bias" or not self.unit_forget_bias:
            return start

        def open_forget_gate(shape, dtype=None):
            forget = ops.ones((self.units,), dtype=dtype)
            bias = start(shape, dtype)
            return ops.concatenate([bias[: self.units], forget, bias[2 * self.units :]])

        return open_forget_gate

    def advance(
        self, currents: Tensor, states: Sequence[Tensor], training: bool = False
    ) -> tuple[Tensor, list[Tensor]]:
        spikes, membrane, carry = self.unpack(states)
        spikes, membrane, carry = slstm_step(
            currents,
            membrane,
            spikes,
            carry,
            recurrent_kernel=self.recurrent_kernel,
            feedback=self._drop_recurrent(membrane, training),
            **self.firing,
        )
        states = self.pack([spikes, membrane, carry])
        return states[0], states


@keras.saving.register_keras_serializable("kspike_reg")
class SLSTM(NeuronLayer):
    """A layer of spiking LSTM neurons (paper, eqs. 23 to 26); see `SLSTMCell` and `NeuronLayer`.

    Example:

    ```python
    membrane = SLSTM(64, return_sequences=True, output="membrane")(paths)  # (batch, time, 64)
    ```
    """

    cell_class = SLSTMCell
