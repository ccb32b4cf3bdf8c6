"""Initial states as a caller gives them, made to fit the paths of a call."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import keras
from keras import ops

from kspike_reg.errors import InputError
from kspike_reg.typing import Tensor

if TYPE_CHECKING:
    from kspike_reg.neurons.cell import NeuronCell

__all__ = ["fit_initial_state"]


def fit_initial_state(
    cell: "NeuronCell", sequences: Tensor, initial_state: Sequence[Tensor], stateful: bool = False
) -> list[Tensor]:
    """The initial states of all paths, in the precision of the cell.

    Args:
        cell: of the layer.
        sequences: the paths, (batch, time, features).
        initial_state: one tensor for each state, (batch, units), or (1, units) for all paths alike.
        stateful: whether the states are those that a stateful layer stores, one for each path.

    Returns:
        Tensors (batch, units), in the order of `initial_state`.

    Raises:
        InputError: another number of states, or states of another shape. Where TensorFlow knows the size of a batch
            only when a graph runs, it raises `tf.errors.InvalidArgumentError` with the same message.
    """
    names = cell.state_order
    initial_state = initial_state if isinstance(initial_state, (list, tuple)) else [initial_state]
    if len(initial_state) != len(names):
        raise InputError(
            f"{type(cell).__name__}: expected {len(names)} initial states ({', '.join(names)}), "
            f"received {len(initial_state)}"
        )
    known = sequences.shape[0]
    batch = ops.shape(sequences)[0] if known is None else known
    return [
        _fit(cell, name, ops.cast(state, cell.compute_dtype), batch, stateful)
        for name, state in zip(names, initial_state, strict=True)
    ]


def _fit(cell, name, state, batch, stateful):
    shape = tuple(state.shape)
    if len(shape) != 2 or shape[1] not in (cell.units, None):
        raise InputError(_message(cell, name, shape, stateful))
    if stateful:
        state = ops.copy(state)  # PyTorch changes the stored one in place, and gradients need this one
    rows = shape[0]
    if isinstance(batch, int) and rows is not None:
        if rows == batch:
            return state
        if rows != 1 or stateful:
            raise InputError(_message(cell, name, shape, stateful))
    elif keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        rows = tf.shape(state)[0]
        fits = tf.equal(rows, batch)
        fits = fits if stateful else fits | tf.equal(rows, 1)
        with tf.control_dependencies([tf.debugging.Assert(fits, [_message(cell, name, shape, stateful)])]):
            state = tf.identity(state)
    return ops.broadcast_to(state, (batch, cell.units))


def _message(cell, name, shape, stateful):
    if stateful:
        return (
            f"{type(cell).__name__}: a stateful layer stores {name} for a batch of {shape[0]} paths, and received "
            "another number of paths; give whole batches, or build the layer for the smaller one"
        )
    return (
        f"{type(cell).__name__}: expected the initial {name} of shape (batch, {cell.units}) or (1, {cell.units}), "
        f"where batch is the number of paths, received shape {shape}"
    )
