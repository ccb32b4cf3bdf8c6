"""The entry into machine code, which reads and writes memory without checks.

Every array passes `fit` before a loop takes its address.
"""

import numpy as np
from numpy.typing import NDArray

from kspike_reg.errors import InputError

__all__ = ["fit"]

# The axes of the arrays of `Sequence.forward` and `Sequence.backward`; axes of one name have one size.
AXES = {
    "inputs": ("paths", "steps", "features"),
    "kernel": ("features", "currents"),
    "bias": ("currents",),
    "recurrent": ("sources", "currents"),
    "parameters": ("number", "neurons"),
    "initial": ("states", "paths", "neurons"),
    "outputs_gradient": ("paths", "steps", "neurons"),
    "states_gradient": ("states", "paths", "neurons"),
    "residuals": ("tiles", "steps", "height", "values"),
}
PRECISIONS = (np.dtype("float32"), np.dtype("float64"))


def fit(arrays: dict[str, NDArray], sizes: dict[str, tuple[int, ...]] | None = None) -> list[NDArray]:
    """Check that arrays belong together, and make them contiguous and aligned.

    Args:
        arrays: by their names in `AXES`; "inputs", "bias" and "parameters" among them.
        sizes: the sizes that axes may have, by their names, where no other array says it.

    Returns:
        The arrays, C-contiguous and aligned, in the order of the dictionary; copies where they were not.

    Raises:
        InputError: arrays of different precision, of a precision without machine code, or whose shapes do not belong
            together.
    """
    dtype = arrays["inputs"].dtype
    if dtype not in PRECISIONS or any(array.dtype != dtype for array in arrays.values()):
        raise InputError(_message("arrays of one precision, float32 or float64", arrays))
    features, currents = arrays["inputs"].shape[-1], arrays["bias"].size
    found = {"features": features, "currents": currents, "neurons": arrays["parameters"].shape[-1]}
    if found["neurons"] == 0 or currents % found["neurons"]:
        raise InputError(_message("a whole number of currents for each neuron", arrays))
    # No rows stand for inputs that are currents already, for no recurrence, and for residuals that are not kept.
    allowed = (sizes or {}) | {"sources": (0, found["neurons"], *((1,) if currents == found["neurons"] else ()))}
    for name, array in arrays.items():
        axes = AXES[name]
        if array.ndim != len(axes):
            raise InputError(_message(f"{name} of shape ({', '.join(axes)})", arrays))
        for axis, size in zip(axes, array.shape, strict=True):
            if name == "kernel" and axis == "features" and size == 0 and features == currents:
                continue
            if size not in allowed[axis] if axis in allowed else size != found.setdefault(axis, size):
                raise InputError(_message(f"{name} of shape ({', '.join(axes)}), with other {axis}", arrays))
    return [
        array if array.flags.c_contiguous and array.flags.aligned else np.require(array, requirements=("C", "A"))
        for array in arrays.values()
    ]


def _message(expected, arrays):
    received = ", ".join(f"{name} {array.dtype} {array.shape}" for name, array in arrays.items())
    return f"the engine 'compiled' expected {expected}; received {received}"
