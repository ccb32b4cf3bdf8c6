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
from kspike_reg.neurons.engines.cpu import functions
from kspike_reg.neurons.engines.cpu.tile_functions import TileFunction

__all__ = ["flat", "slope"]

_compiled = numba.njit(error_model="numpy")
# Rows, kept, parameters, slopes, scale.
ARGUMENTS = numba.int64, 2, 2, 2, numba.float64


@overload_attribute(numba.types.Float, "dtype")
def dtype_of_a_number(number):
    """What `ops.cast(..., x.dtype)` asks for; `cast` below has no use for it."""
    return lambda number: None


# What the names of keras.ops mean for single numbers.
NUMBERS = {
    "abs": abs,
    "absolute": abs,
    "cast": lambda x, dtype: x * 1,
    "clip": lambda x, x_min, x_max: min(max(x, x_min), x_max),
    "cos": math.cos,
    "exp": functions.exp,
    "log": math.log,
    "maximum": max,
    "minimum": min,
    "negative": lambda x: -x,
    "ones_like": lambda x: x * 0 + 1,
    "power": lambda x, exponent: x**exponent,
    "relu": lambda x: max(x, 0),
    "sigmoid": functions.sigmoid,
    "sign": np.sign,
    "sin": math.sin,
    "sqrt": math.sqrt,
    "square": lambda x: x * x,
    "tanh": functions.tanh,
    "where": lambda condition, x, y: x if condition else y,
    "zeros_like": lambda x: x * 0,
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
    number = np.dtype(dtype).type
    try:
        derivative = _compiled(_on_numbers(surrogates.function(surrogate), number))
    except AttributeError:  # an object that may be called, but is no function
        return None

    def fill(rows, kept, parameters, slopes, scale):
        for r in range(rows):
            for n in range(slopes.shape[1]):
                slopes[r, n] = derivative(kept[r, n] - parameters[0, n], number(scale))

    # Made anew in every process: the source may stand in a notebook, which is no file.
    try:
        return TileFunction(fill, ARGUMENTS, on_disk=False).of(dtype)
    except Exception:  # numba has no one error for what it does not know; a name missing in NUMBERS: AttributeError
        return None


@cache
def flat(dtype):
    """In place of a derivative where no neuron fires; never called."""

    def leave(rows, kept, parameters, slopes, scale):
        pass

    return TileFunction(leave, ARGUMENTS, on_disk=False).of(dtype)


def _on_numbers(function, number):
    """`function` with NUMBERS in place of keras.ops, however its module calls it, and all constants of one kind.

    A constant of Python's would make a double of every single it meets.
    """
    ops, mathematics, stand_in = (types.ModuleType(name) for name in ("ops", "math", "keras"))
    for name, of_number in NUMBERS.items():
        is_ours = isinstance(of_number, types.LambdaType)
        setattr(ops, name, _compiled(_with_constants(of_number, number)) if is_ours else of_number)
    for name, value in vars(math).items():
        setattr(mathematics, name, number(value) if isinstance(value, float) else value)
    stand_in.ops = ops
    instead = {id(keras.ops): ops, id(keras): stand_in, id(math): mathematics}
    known = {name: instead.get(id(value), value) for name, value in function.__globals__.items()}
    return _with_constants(function, number, known)


def _with_constants(function, number, known=None):
    """A copy of `function` whose constants are of the kind `number`, and which sees `known` as its module's names."""
    code = function.__code__
    constants = tuple(number(value) if type(value) in (int, float) else value for value in code.co_consts)
    return types.FunctionType(
        code.replace(co_consts=constants),
        function.__globals__ if known is None else known,
        function.__name__,
        function.__defaults__,
        function.__closure__,
    )
