"""Looking at neurons while they run: their states at every step, by name."""

from collections.abc import Sequence

import keras
from keras import ops

from kspike_reg.errors import InputError
from kspike_reg.neurons.engines.backend import run_cell
from kspike_reg.neurons.engines.base import Call
from kspike_reg.neurons.initial_state import fit_initial_state
from kspike_reg.typing import Tensor

__all__ = ["observe", "observing"]


def observe(
    layer: keras.layers.RNN,
    sequences: Tensor,
    states: Sequence[str],
    initial_state: Sequence[Tensor] | None = None,
    mask: Tensor | None = None,
) -> dict[str, Tensor]:
    """States of a layer's neurons at every step, in prediction, whatever the layer itself emits.

    Args:
        layer: a neuron layer, or a `keras.layers.RNN` around one of our cells.
        sequences: shape (batch, time, features).
        states: names among `cell.state_names`.
        initial_state: tensors (batch, units) in the order of `cell.state_order`; None starts from rest.
        mask: booleans (batch, time); None where all steps count.

    Returns:
        By name, (batch, time, units), in the order in which the layer runs the steps.

    Raises:
        InputError: the neurons have no state of such a name.
    """
    if hasattr(layer, "observe"):
        return layer.observe(sequences, states, initial_state, mask)
    call = observing(layer, sequences, states, initial_state, mask)
    return run_cell(layer, layer.cell, call.sequences, call, layer.unroll).states


def observing(
    layer: keras.layers.RNN,
    sequences: Tensor,
    states: Sequence[str],
    initial_state: Sequence[Tensor] | None,
    mask: Tensor | None,
) -> Call:
    """The call of an engine that `observe` stands for; arguments as there."""
    cell = layer.cell
    unknown = [name for name in states if name not in cell.state_names]
    if unknown or not states:
        raise InputError(
            f"{type(cell).__name__}: expected names among the states {', '.join(map(repr, cell.state_names))}, "
            f"received {list(states)!r}"
        )
    sequences = ops.cast(sequences, cell.compute_dtype)
    if initial_state is None:
        initial_state = cell.get_initial_state(batch_size=ops.shape(sequences)[0])
    else:
        initial_state = fit_initial_state(cell, sequences, initial_state)
    return Call(sequences, initial_state, tuple(states), mask)
