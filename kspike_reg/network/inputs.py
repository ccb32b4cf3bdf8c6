"""The data that a caller gives to a model: arrays in the order of its inputs, of shapes and numbers that fit."""

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np

from kspike_reg.errors import InputError

__all__ = ["arrays_for", "checked_inputs", "fitting", "is_paths"]


def is_paths(inputs: Any) -> bool:
    """Whether `inputs` are `datasets.Paths`, or something that has its inputs and its mask."""
    return hasattr(inputs, "inputs") and hasattr(inputs, "mask")


def checked_inputs(ports: Sequence[Any], inputs: Any, caller: str) -> list[np.ndarray]:
    """The inputs of a model as arrays that fit it, in its order and precision, with zeros in the padding.

    Args:
        ports: the model's inputs, see `arrays_for`.
        inputs: arrays as in `arrays_for`, or `datasets.Paths`.
        caller: named in the message.

    Raises:
        InputError: see `arrays_for` and `fitting`.
    """
    if is_paths(inputs):
        inputs = np.where(inputs.mask[..., None], inputs.inputs, 0)
    arrays = arrays_for(ports, inputs, caller)
    return [fitting(port, array, caller) for port, array in zip(ports, arrays, strict=True)]


def arrays_for(ports: Sequence[Any], inputs: Any, caller: str) -> list[np.ndarray]:
    """The inputs of a model as a list of arrays in its order.

    Args:
        ports: the model's inputs, symbolic tensors or whatever else has a `name`, a `shape` and a `dtype`.
        inputs: an array of shape (n, T, features); for a model with several inputs a list of arrays, or a dictionary
            by the names of the inputs. An input without a time axis is (n, features).
        caller: named in the message.

    Returns:
        Arrays of numbers, as many paths in each, at least one; not yet cast or checked, see `fitting`.

    Raises:
        InputError: no data, or shapes that do not fit the model.
    """
    names = [port.name for port in ports]
    if inputs is None:
        raise InputError(f"{caller}: no data; give inputs of shape (n, T, features)")
    if isinstance(inputs, dict):
        if set(inputs) != set(names):
            raise InputError(f"{caller}: the model takes the inputs {names!r}, received {list(inputs)!r}")
        inputs = [inputs[name] for name in names]
    elif len(names) == 1 and not (isinstance(inputs, (list, tuple)) and len(inputs) == 1 and _axes(inputs[0]) > 1):
        inputs = [inputs]
    if not isinstance(inputs, (list, tuple)) or len(inputs) != len(names):
        raise InputError(f"{caller}: the model takes {len(names)} inputs, {names!r}; give a list of as many arrays")
    arrays = [_array(port, array, caller) for port, array in zip(ports, inputs, strict=True)]
    counts = [len(array) for array in arrays]
    if len(set(counts)) > 1:
        raise InputError(f"{caller}: expected as many paths in every input, received {counts} for {names!r}")
    if counts[0] == 0:
        raise InputError(f"{caller}: no data; give at least one path")
    return arrays


def _axes(values):
    """How many axes an array or a nested list has; two where it is of different lengths, so that it is refused."""
    try:
        return np.ndim(values)
    except ValueError:
        return 2


def fitting(port: Any, array: np.ndarray, caller: str) -> np.ndarray:
    """An array in the precision of an input.

    Raises:
        InputError: a number that is not finite, or too large for that precision.
    """
    with np.errstate(over="ignore"):
        cast = array.astype(keras.backend.standardize_dtype(port.dtype))
    if not np.isfinite(cast.astype(np.float64)).all():
        index = tuple(int(i) for i in np.argwhere(~np.isfinite(cast.astype(np.float64)))[0])
        raise InputError(
            f"{caller}: the input {port.name!r} is {array[index]} at {index}; expected finite numbers that fit "
            f"{cast.dtype}: mask the padding, and see that the units are those of the model"
        )
    return cast


def _array(port, array, caller):
    """One input as an array of numbers whose shape fits."""
    try:
        array = np.asarray(array)
    except ValueError:  # nested lists of different lengths
        array = np.asarray(None)
    if array.dtype.kind not in "fiub":
        raise InputError(f"{caller}: expected numbers for the input {port.name!r}, received dtype {array.dtype}")
    axes = {2: ("n", "features"), 3: ("n", "T", "features")}.get(
        len(port.shape), tuple("n" + "?" * len(port.shape[1:]))
    )
    wanted = ["n", *(name if size is None else size for name, size in zip(axes[1:], port.shape[1:], strict=True))]
    fits = array.ndim == len(wanted) and all(
        size in (None, found) for size, found in zip(port.shape[1:], array.shape[1:], strict=True)
    )
    if not fits or 0 in array.shape[1:]:
        expected = f"({', '.join(map(str, wanted))})"
        raise InputError(f"{caller}: expected the input {port.name!r} of shape {expected}, received {array.shape}")
    return array
