"""Surrogate derivatives in compiled loops, made from the functions that `neurons.surrogates` registers.

A surrogate is written once, on tensors, with `keras.ops`. Here the same code runs on single numbers: each function of
`keras.ops` is replaced by one that numba compiles. This works for every surrogate, also a user's own, that consists of
arithmetic and of the functions in SCALAR_OPS.
"""

import math
import types
from functools import cache
from typing import Any

import keras
import numba
import numpy as np
from numba.extending import overload_attribute

from kspike_reg.neurons import surrogates
from kspike_reg.neurons.engines.cpu import functions
from kspike_reg.neurons.engines.cpu.threads import uninterrupted
from kspike_reg.neurons.engines.cpu.tile_functions import TileFunction

__all__ = ["surrogate_derivative", "zero_derivative"]

_compiled = numba.njit(error_model="numpy")
# Rows, residuals, parameters, derivatives, scale.
ARGUMENTS = numba.int64, 2, 2, 2, numba.float64


@overload_attribute(numba.types.Float, "dtype")
def _dtype_of_a_number(number):
    """The attribute that `ops.cast(..., x.dtype)` reads; `cast` below ignores its value."""
    return lambda number: None


# Functions on single numbers, by their names in keras.ops.
SCALAR_OPS = {
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
def surrogate_derivative(surrogate: str, dtype: str) -> Any:
    """The derivative of a surrogate on a tile: function(rows, residuals, parameters, derivatives, scale).

    The function fills `derivatives`, (rows, units). It reads the membranes from the first columns of `residuals` and
    the thresholds from the first row of `parameters`.

    Args:
        surrogate: a registered name.
        dtype: "float32" or "float64".

    Returns:
        The machine code, or None where numba cannot compile the surrogate.
    """
    return uninterrupted(_compile, surrogate, dtype)


def _compile(surrogate, dtype):
    number = np.dtype(dtype).type
    function = surrogates.function(surrogate)
    is_ours = getattr(function, "__module__", None) == surrogates.__name__
    try:
        derivative = _compiled(_on_scalars(function, number))
    except AttributeError:  # a callable object, which has no code of its own
        return None

    def fill(rows, residuals, parameters, derivatives, scale):
        for r in range(rows):
            for n in range(derivatives.shape[1]):
                derivatives[r, n] = derivative(residuals[r, n] - parameters[0, n], number(scale))

    try:
        return TileFunction(fill, ARGUMENTS, closure=surrogate if is_ours else None).machine_code(dtype)
    except Exception:  # numba raises many classes of errors; a name that SCALAR_OPS lacks raises AttributeError
        return None


@cache
def zero_derivative(dtype: str) -> Any:
    """A placeholder for the derivative of neurons that never fire. The loops do not call it.

    Args:
        dtype: "float32" or "float64".

    Returns:
        The machine code.
    """

    def leave(rows, residuals, parameters, derivatives, scale):
        pass

    return TileFunction(leave, ARGUMENTS).machine_code(dtype)


def _on_scalars(function, number):
    """`function` with SCALAR_OPS in place of keras.ops, under every name that its module has for it.

    All constants are cast to the type `number`, because a Python constant would promote single to double precision.
    """
    ops, mathematics, stand_in = (types.ModuleType(name) for name in ("ops", "math", "keras"))
    for name, scalar_op in SCALAR_OPS.items():
        is_ours = isinstance(scalar_op, types.LambdaType)
        setattr(ops, name, _compiled(_with_constants(scalar_op, number)) if is_ours else scalar_op)
    for name, value in vars(math).items():
        setattr(mathematics, name, number(value) if isinstance(value, float) else value)
    stand_in.ops = ops
    replacements = {id(keras.ops): ops, id(keras): stand_in, id(math): mathematics}
    names = {name: replacements.get(id(value), value) for name, value in function.__globals__.items()}
    return _with_constants(function, number, names)


def _with_constants(function, number, names=None):
    """A copy of `function` whose constants have the type `number`, with `names` as the names of its module."""
    code = function.__code__
    constants = tuple(number(value) if type(value) in (int, float) else value for value in code.co_consts)
    return types.FunctionType(
        code.replace(co_consts=constants),
        function.__globals__ if names is None else names,
        function.__name__,
        function.__defaults__,
        function.__closure__,
    )
