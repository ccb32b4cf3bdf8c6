"""Leaky integrators: neurons that never fire, which turn spikes and membranes back into real numbers."""

from collections.abc import Sequence

import keras

from kspike_reg.neurons.cell import LeakyCell
from kspike_reg.neurons.layer import NeuronLayer
from kspike_reg.typing import Tensor

__all__ = ["LeakyIntegrator", "LeakyIntegratorCell", "leaky_integrator_step"]


def leaky_integrator_step(current: Tensor, membrane: Tensor, *, decay: Tensor) -> Tensor:
    """Advance leaky integrators by one step (paper, eq. 11).

        U[t] = decay * U[t-1] + I[t]

    Args:
        current, membrane: I[t] and U[t-1], each (batch, units).
        decay: leak per step, in [0, 1], broadcastable to (units,).

    Returns:
        U[t], shape (batch, units).
    """
    return decay * membrane + current


@keras.saving.register_keras_serializable("kspike_reg")
class LeakyIntegratorCell(LeakyCell):
    """One step of leaky integrators, for `keras.layers.RNN` (paper, eq. 11): U[t] = decay * U[t-1] + W h[t] + b.

    Weights: kernel (features, units), bias and decay (units,).

    Args:
        units: number of neurons.
        **options: those of `LeakyCell` and `NeuronCell`.

    Call arguments:
        inputs: h[t], shape (batch, features).
        states: [U] of the last step, (batch, units).
    """

    state_names = ("membrane",)
    parameter_names = ("decay",)

    def advance(self, current: Tensor, states: Sequence[Tensor], training: bool = False) -> tuple[Tensor, list[Tensor]]:
        membrane = leaky_integrator_step(current, states[0], decay=self.decay)
        return membrane, [membrane]


@keras.saving.register_keras_serializable("kspike_reg")
class LeakyIntegrator(NeuronLayer):
    """A layer of leaky integrators (paper, eqs. 11 and 12); see `LeakyIntegratorCell` and `NeuronLayer`.

    Example:

    ```python
    decoded = LeakyIntegrator(64, return_sequences=True)(membrane)  # (batch, time, 64)
    ```
    """

    cell_class = LeakyIntegratorCell
