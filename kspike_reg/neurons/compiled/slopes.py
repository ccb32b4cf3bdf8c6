"""The derivatives of `neurons.surrogates`, compiled from the very functions that are registered there.

A surrogate is written once, on tensors, in `keras.ops`. Here the same code runs with functions of single numbers in
place of `keras.ops`, which numba compiles: any surrogate, a user's own too, that is made of arithmetic and of NUMBERS.
"""

import math
import types
from functools import cache

import keras
import numba
import numpy as np
from numba.extending import overload_attribute

from kspike_reg.neurons import surrogates
from kspike_reg.neurons.compiled import functions
from kspike_reg.neurons.compiled.kernels import TileFunction

__all__ = ["flat", "slope"]

_compiled = numba.njit(error_model="numpy")


@overload_attribute(numba.types.Float, "dtype")
def dtype_of_a_number(number):
    """What `ops.cast(..., x.dtype)` asks for; `cast` below has no use for it."""
    return lambda number: None


# What the names of keras.ops mean for single numbers. Literals make all arithmetic double, so no precision is lost.
NUMBERS = {
    "abs": abs,
    "absolute": abs,
    "cast": lambda x, dtype: x * 1.0,
    "clip": lambda x, x_min, x_max: min(max(x, x_min), x_max),
    "cos": math.cos,
    "exp": math.exp,
    "log": math.log,
    "maximum": max,
    "minimum": min,
    "negative": lambda x: -x,
    "ones_like": lambda x: 1.0,
    "power": lambda x, exponent: x**exponent,
    "relu": lambda x: max(x, 0.0),
    "sigmoid": lambda x: 1.0 / (1.0 + math.exp(-x)),
    "sign": np.sign,
    "sin": math.sin,
    "sqrt": math.sqrt,
    "square": lambda x: x * x,
    "tanh": math.tanh,
    "where": lambda condition, x, y: x if condition else y,
    "zeros_like": lambda x: 0.0,
}
# In single precision these are enough, and the compiler takes many numbers at once.
SINGLE = {
    "exp": lambda x: functions.exp(np.float32(x)),
    "sigmoid": lambda x: functions.sigmoid(np.float32(x)),
    "tanh": lambda x: functions.tanh(np.float32(x)),
}


@cache
def slope(surrogate, dtype):
    """A surrogate's derivative on a tile: function(rows, kept, parameters, slopes, scale) fills `slopes`.

    The membranes are the first columns of `kept`, the thresholds the first of the parameters.

    Args:
        surrogate: a registered name.
        dtype: "float32" or "float64".

    Returns:
        The machine code, or None where numba cannot compile the surrogate.
    """
    try:
        derivative = _compiled(_on_numbers(surrogates.function(surrogate), dtype))
    except AttributeError:  # an object that may be called, but is no function
        return None

    def fill(rows, kept, parameters, slopes, scale):
        for r in range(rows):
            for n in range(slopes.shape[1]):
                slopes[r, n] = derivative(kept[r, n] - parameters[0, n], scale)

    # Made anew in every process: the source may stand in a notebook, which is no file.
    try:
        return TileFunction(fill, (2, 2, 2, None), on_disk=False).of(dtype)
    except Exception:  # numba has no one error for what it does not know; a name missing in NUMBERS: AttributeError
        return None


@cache
def flat(dtype):
    """In place of a derivative where no neuron fires; never called."""

    def leave(rows, kept, parameters, slopes, scale):
        pass

    return TileFunction(leave, (2, 2, 2, None), on_disk=False).of(dtype)


def _on_numbers(function, dtype):
    """`function` with NUMBERS in place of keras.ops, however its module calls it."""
    ops = types.ModuleType("numbers")
    for name, of_number in (NUMBERS | (SINGLE if dtype == "float32" else {})).items():
        setattr(ops, name, _compiled(of_number) if isinstance(of_number, types.LambdaType) else of_number)
    stand_in = types.ModuleType("keras")
    stand_in.ops = ops
    known = {
        name: ops if value is keras.ops else stand_in if value is keras else value
        for name, value in function.__globals__.items()
    }
    return types.FunctionType(function.__code__, known, function.__name__, function.__defaults__, function.__closure__)
