"""Leaky integrate-and-fire neurons."""

from collections.abc import Sequence

import keras
from keras import ops

from kspike_reg.neurons.cell import LeakyCell, SpikingCell
from kspike_reg.neurons.layer import NeuronLayer
from kspike_reg.neurons.surrogates import spike
from kspike_reg.typing import Tensor

__all__ = ["LIF", "LIFCell", "lif_step"]


def lif_step(
    current: Tensor,
    membrane: Tensor,
    spikes: Tensor,
    *,
    decay: Tensor,
    threshold: Tensor,
    reset: str = "subtract",
    detach_reset: bool = True,
    surrogate: str = "atan",
    surrogate_scale: float | None = None,
) -> tuple[Tensor, Tensor]:
    """Advance leaky integrate-and-fire neurons by one step (paper, eqs. 6 and 7).

        subtract   U[t] = decay * U[t-1] + I[t] - threshold * S[t-1]
        zero       U[t] = decay * U[t-1] * (1 - S[t-1]) + I[t]
        none       U[t] = decay * U[t-1] + I[t]
        S[t] = H(U[t] - threshold),   H(0) = 1

    Args:
        current: I[t], shape (batch, units), in the units of the threshold.
        membrane: U[t-1], same shape and units.
        spikes: S[t-1], same shape, 0.0 or 1.0.
        decay: leak per step, in [0, 1], broadcastable to (units,).
        threshold: firing level, > 0, broadcastable to (units,).
        reset: "subtract" (the paper's), "zero" (a hard reset, as chips do it) or "none".
        detach_reset: whether gradients stop at S[t-1] where it resets.
        surrogate, surrogate_scale: derivative of the spike in the backward pass.

    Returns:
        (S[t], U[t]), each (batch, units).
    """
    fired = ops.stop_gradient(spikes) if detach_reset else spikes
    if reset == "zero":
        membrane = membrane * (1 - fired)
    membrane = decay * membrane + current
    if reset == "subtract":
        membrane = membrane - threshold * fired
    return spike(membrane - threshold, surrogate, surrogate_scale), membrane


@keras.saving.register_keras_serializable("kspike_reg")
class LIFCell(SpikingCell, LeakyCell):
    """One step of leaky integrate-and-fire neurons, for `keras.layers.RNN` (paper, eqs. 6 and 7).

        U[t] = decay * U[t-1] + W h[t] + b - threshold * S[t-1],   S[t] = H(U[t] - threshold)

    Weights: kernel (features, units), bias, decay and threshold (units,).

    Args:
        units: number of neurons.
        **options: those of `SpikingCell`, `LeakyCell` and `NeuronCell`.

    Call arguments:
        inputs: h[t], shape (batch, features).
        states: [S, U] of the last step, or [U, S] where `output="membrane"`; each (batch, units).
    """

    state_names = ("spikes", "membrane")
    parameter_names = ("threshold", "decay")

    def advance(self, current: Tensor, states: Sequence[Tensor], training: bool = False) -> tuple[Tensor, list[Tensor]]:
        spikes, membrane = self.unpack(states)
        states = self.pack(self.step(current, membrane, spikes, training))
        return states[0], states

    def step(self, current: Tensor, membrane: Tensor, spikes: Tensor, training: bool) -> tuple[Tensor, Tensor]:
        """(S[t], U[t]) by the pure step, with this cell's weights.

        Args:
            current: I[t], shape (batch, units).
            membrane, spikes: U[t-1] and S[t-1], likewise.
            training: whether dropout acts.

        Returns:
            (S[t], U[t]), each (batch, units).
        """
        return lif_step(current, membrane, spikes, decay=self.decay, **self.firing)


@keras.saving.register_keras_serializable("kspike_reg")
class LIF(NeuronLayer):
    """A layer of leaky integrate-and-fire neurons (paper, eqs. 6 and 7); see `LIFCell` and `NeuronLayer`.

    Example:

    ```python
    spikes = LIF(64, return_sequences=True, decay_initializer=0.5)(paths)  # (batch, time, 64), 0.0 or 1.0
    ```
    """

    cell_class = LIFCell
