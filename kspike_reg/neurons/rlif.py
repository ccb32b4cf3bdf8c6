"""Recurrent leaky integrate-and-fire neurons: LIF that hear their own layer's last spikes."""

import keras
from keras import ops

from kspike_reg.neurons.layer import NeuronLayer
from kspike_reg.neurons.lif import LIFCell, lif_step

__all__ = ["RLIF", "RLIFCell", "rlif_step"]

# How the layer's spikes feed back: each neuron hears all of them, or its own alone.
RECURRENCES = {"dense": ops.matmul, "one_to_one": ops.multiply}


def rlif_step(current, membrane, spikes, *, recurrent_kernel, recurrence="dense", feedback=None, **lif):
    """Advance recurrent leaky integrate-and-fire neurons by one step (paper, eq. 19).

        U[t] = decay * U[t-1] + I[t] + V S[t-1] - threshold * S[t-1],   S[t] = H(U[t] - threshold)

    Args:
        current, membrane, spikes: I[t], U[t-1] and S[t-1], each (batch, units).
        recurrent_kernel: V, shape (units, units) for "dense", (units,) for "one_to_one".
        recurrence: "dense" or "one_to_one".
        feedback: what V sees in place of S[t-1], for dropout; same shape.
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
        recurrence: "dense": each neuron hears all of its layer; "one_to_one": itself alone.
        recurrent_initializer, recurrent_regularizer, recurrent_constraint: for V, as for every Keras weight. None
            chooses the initializer by the recurrence: "orthogonal", which wants a matrix, or "random_uniform".
        recurrent_dropout: fraction of the fed-back spikes to drop in training, in [0, 1).
        **options: those of `LIFCell`.

    Call arguments:
        inputs: h[t], shape (batch, features).
        states: [S, U] of the last step, or [U, S] where `output="membrane"`; each (batch, units).
    """

    def __init__(
        self,
        units,
        *,
        recurrence="dense",
        recurrent_initializer=None,
        recurrent_regularizer=None,
        recurrent_constraint=None,
        recurrent_dropout=0.0,
        **options,
    ):
        super().__init__(units, **options)
        self.recurrence = self._choice("recurrence", recurrence, RECURRENCES)
        if recurrent_initializer is None:
            recurrent_initializer = "orthogonal" if recurrence == "dense" else "random_uniform"
        self._keep_weight_options("recurrent", recurrent_initializer, recurrent_regularizer, recurrent_constraint)
        self.recurrent_dropout = self._rate("recurrent_dropout", recurrent_dropout)

    def build(self, input_shape):
        super().build(input_shape)
        shape = (self.units, self.units) if self.recurrence == "dense" else (self.units,)
        self.recurrent_kernel = self._add_weight("recurrent_kernel", shape, options="recurrent")

    def compiled_weights(self):
        weights = self.recurrent_kernel
        return super().compiled_weights()[0], ops.expand_dims(weights, 0) if len(weights.shape) == 1 else weights

    def step(self, current, membrane, spikes, training):
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
