"""Recurrent leaky integrate-and-fire neurons: LIF that receive their own layer's last spikes."""

import operator
from typing import Any

import keras

from kspike_reg.neurons.layer import NeuronLayer
from kspike_reg.neurons.lif import LIFCell, lif_step
from kspike_reg.neurons.precision import matmul
from kspike_reg.typing import Tensor

__all__ = ["RLIF", "RLIFCell", "rlif_step"]

# How the layer's spikes feed back: each neuron receives all of them, or only its own.
RECURRENCES = {"dense": matmul, "one_to_one": operator.mul}


def rlif_step(
    current: Tensor,
    membrane: Tensor,
    spikes: Tensor,
    *,
    recurrent_kernel: Tensor,
    recurrence: str = "dense",
    feedback: Tensor | None = None,
    **lif: Any,
) -> tuple[Tensor, Tensor]:
    """Advance recurrent leaky integrate-and-fire neurons by one step (paper, eq. 19).

        U[t] = decay * U[t-1] + I[t] + V S[t-1] - threshold * S[t-1],   S[t] = H(U[t] - threshold)

    Args:
        current, membrane, spikes: I[t], U[t-1] and S[t-1], each (batch, units).
        recurrent_kernel: V, shape (units, units) for "dense", (units,) for "one_to_one".
        recurrence: "dense" or "one_to_one".
        feedback: what V reads in place of S[t-1], for dropout; same shape.
        **lif: decay, threshold and the further options of `lif_step`.

    Returns:
        (S[t], U[t]), each (batch, units).
    """
    feedback = spikes if feedback is None else feedback
    return lif_step(current + RECURRENCES[recurrence](feedback, recurrent_kernel), membrane, spikes, **lif)


@keras.saving.register_keras_serializable("kspike_reg")
class RLIFCell(LIFCell):
    """One step of recurrent leaky integrate-and-fire neurons, for `keras.layers.RNN` (paper, eq. 19).

        U[t] = decay * U[t-1] + W h[t] + b + V S[t-1] - threshold * S[t-1],   S[t] = H(U[t] - threshold)

    Weights: kernel (features, units), bias, decay, threshold (units,), and recurrent_kernel, V, (units, units) or
    (units,) where the recurrence is one to one.

    Args:
        units: number of neurons.
        recurrence: "dense": each neuron receives the spikes of its whole layer; "one_to_one": only its own.
        recurrent_initializer, recurrent_regularizer, recurrent_constraint: for V, as for every Keras weight. None
            chooses the initializer by the recurrence: "orthogonal", which needs a matrix, or "random_uniform".
        recurrent_dropout: fraction of the fed-back spikes to drop in training, in [0, 1).
        **options: those of `LIFCell`.

    Call arguments:
        inputs: h[t], shape (batch, features).
        states: [S, U] of the last step, or [U, S] where `output="membrane"`; each (batch, units).
    """

    feeds_back = "spikes"

    def __init__(
        self,
        units: int,
        *,
        recurrence: str = "dense",
        recurrent_initializer: Any = None,
        recurrent_regularizer: Any = None,
        recurrent_constraint: Any = None,
        recurrent_dropout: float = 0.0,
        **options: Any,
    ) -> None:
        super().__init__(units, **options)
        self.recurrence = self._choice("recurrence", recurrence, RECURRENCES)
        if recurrent_initializer is None:
            recurrent_initializer = "orthogonal" if recurrence == "dense" else "random_uniform"
        self._keep_weight_options("recurrent", recurrent_initializer, recurrent_regularizer, recurrent_constraint)
        self.recurrent_dropout = self._rate("recurrent_dropout", recurrent_dropout)

    @property
    def recurrent_fan_out(self) -> int:
        return self.units if self.recurrence == "dense" else 1

    def build(self, input_shape: Any) -> None:
        super().build(input_shape)
        shape = (self.units, self.units) if self.recurrence == "dense" else (self.units,)
        self.recurrent_kernel = self._add_weight("recurrent_kernel", shape, options="recurrent")

    def step(self, current: Tensor, membrane: Tensor, spikes: Tensor, training: bool) -> tuple[Tensor, Tensor]:
        return rlif_step(
            current,
            membrane,
            spikes,
            recurrent_kernel=self.recurrent_kernel,
            recurrence=self.recurrence,
            feedback=self._drop_recurrent(spikes, training),
            decay=self.decay,
            **self.firing,
        )


@keras.saving.register_keras_serializable("kspike_reg")
class RLIF(NeuronLayer):
    """A layer of recurrent leaky integrate-and-fire neurons (paper, eq. 19); see `RLIFCell` and `NeuronLayer`.

    Example:

    ```python
    spikes = RLIF(64, return_sequences=True, recurrence="one_to_one")(paths)  # (batch, time, 64), 0.0 or 1.0
    ```
    """

    cell_class = RLIFCell
