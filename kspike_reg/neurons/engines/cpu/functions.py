"""tanh, sigmoid and exp for compiled loops, bit for bit those of TensorFlow on the processor.

A spike is a comparison, so one bit of a membrane can decide whether it falls. The C library's tanh, which numba would
call, has other bits than TensorFlow's, and no compiler vectorises a call. These functions take TensorFlow's steps in
TensorFlow's order, with arithmetic and selects alone, so that LLVM vectorises the loop that calls them.

TensorFlow's kernels are Eigen's. Its wheels for x86-64 are compiled for AVX without fused multiply-add, whatever the
processor has: each product is rounded before it is added. Two more habits of the kernels:

- Subnormal numbers count as zero, as arguments and as results.
- Eigen takes eight numbers at a time. The last `size % 8` of a tensor it takes one by one, where sigmoid and exp may
  differ from these functions by one rounding; a batch or a layer whose size is a multiple of eight has none.

In double precision nothing is promised to the bit: the functions are those of the C library.

Source: Eigen, https://gitlab.com/libeigen/eigen, `arch/Default/GenericPacketMathFunctions.h` and
`functors/UnaryFunctors.h`, as TensorFlow 2.21 ships them. The coefficients are theirs; the code is not.
"""

import math

import numba
import numpy as np
from numba.extending import overload

__all__ = ["exp", "flushed", "sigmoid", "tanh"]

# numba's own division raises for a zero divisor, and the branch would keep the caller's loop from being vectorised.
# Nor may a caller's fused multiply-adds reach in here, which is what numba lets them do unless told.
_compiled = numba.njit(error_model="numpy", fastmath=False)

_f32 = np.float32  # a float64 among the operands would make float64 of the result
_ZERO, _HALF, _ONE = _f32(0), _f32(0.5), _f32(1)
_SMALLEST_NORMAL = np.finfo(_f32).tiny

# Where tanh, without fused multiply-add, becomes one.
_TANH_BOUND = _f32(7.90738964080810547)
_TANH_NUMERATOR = tuple(_f32([1.394553628e-8, 2.102733560e-5, 3.520756727e-3, 1.340216100e-1]))
_TANH_DENOMINATOR = tuple(_f32([8.015776984e-7, 3.326951409e-4, 2.597254514e-2, 4.673548340e-1, 1]))

# Where exp becomes zero, where sigmoid becomes one, where exp becomes infinite.
_LOWER_BOUND, _SIGMOID_BOUND, _EXP_BOUND = _f32(-104), _f32(16.6355324), _f32(88.723)
_LOG2_E = _f32(1.44269504088896341)
# ln 2 in two parts, the first of so few bits that its product with a whole number is exact.
_LN2_HIGH, _LN2_LOW = _f32(0.693359375), _f32(-2.12194440e-4)
# (exp(r) - 1 - r) / r**2, the constant first. sigmoid makes do with a term less.
_SIGMOID_SERIES = tuple(_f32([0.4999914169, 0.1666687727, 0.04189866781, 0.008334713057]))
_EXP_SERIES = tuple(_f32([0.4999998808, 0.1666651815, 0.04166965187, 0.008368944749, 0.00137449638]))
# Added to a whole number, it brings that number, biased as an exponent is, to the lowest bits of the sum.
_EXPONENT_BIAS = _f32(2**23 + 127)


@_compiled
def _at_most(x, bound):
    """The smaller of the two, nan for x = nan."""
    return bound if bound < x else x


@_compiled
def _at_least(x, bound):
    """The larger of the two, nan for x = nan."""
    return bound if bound > x else x


@_compiled
def _flush(x):
    """x, but zero of its sign for a subnormal x."""
    return x * _ZERO if abs(x) < _SMALLEST_NORMAL else x


@_compiled
def _power_of_two(exponent):
    """2**exponent for a whole exponent from -126 to 127. For others, and for nan, some float of no meaning."""
    return np.int32(_f32(exponent + _EXPONENT_BIAS).view(np.int32) << 23).view(_f32)


@_compiled
def _split(x):
    """The whole number m nearest x / ln 2, and r = x - m ln 2, at most ln(2) / 2 in size: exp(x) = 2**m exp(r)."""
    m = np.floor(x * _LOG2_E + _HALF)
    return m, (x - m * _LN2_HIGH) - m * _LN2_LOW


@_compiled
def _logistic(exponential):
    """1 / (1 + exp(-x)) by exp(x)."""
    return _flush(exponential) / (_ONE + exponential)


@_compiled
def _tanh_float32(x):
    x = _at_least(_at_most(x, _TANH_BOUND), -_TANH_BOUND)
    square = x * x
    a, b, c, d = _TANH_NUMERATOR
    numerator = ((a * square + b) * square + c) * square + d
    a, b, c, d, e = _TANH_DENOMINATOR
    denominator = (((a * square + b) * square + c) * square + d) * square + e
    return _flush((square * x * numerator + x) / denominator)


@_compiled
def _sigmoid_float32(x):
    # exp(x) is the square of exp(x / 2), whose power of two lies well within the range of float32.
    m, r = _split(_at_least(_at_most(x, _SIGMOID_BOUND), _LOWER_BOUND) * _HALF)
    square = r * r
    a, b, c, d = _SIGMOID_SERIES
    series = r * (square * d + b) + (square * c + a)
    root = (square * series + (r + _ONE)) * _power_of_two(m)
    return _logistic(root * root)


@_compiled
def _exp_float32(x):
    m, r = _split(_at_least(_at_most(x, _EXP_BOUND), _LOWER_BOUND))
    square = r * r
    a, b, c, d, e = _EXP_SERIES
    series = r * (square * d + b) + (square * (square * e + c) + a)
    # 2**128 and 2**-150 are no float32: the power of two goes in by two factors.
    half = np.floor(m * _HALF)
    value = (square * series + (r + _ONE)) * _power_of_two(half) * _power_of_two(m - half)
    return _at_least(_flush(value), x)  # infinity for infinity, whose r is none


@_compiled
def _sigmoid_float64(x):
    return 1 / (1 + math.exp(-x))


def _by_precision(single, double):
    """A function for compiled callers: `single` where its argument is a float32, else `double`."""

    def function(x):
        return double(x)

    @overload(function)
    def choose(x):
        return (lambda x: single(x)) if x == numba.float32 else (lambda x: double(x))

    return function


_tanh = _by_precision(_tanh_float32, _compiled(lambda x: math.tanh(x)))
_exp = _by_precision(_exp_float32, _compiled(lambda x: math.exp(x)))
_sigmoid = _by_precision(_sigmoid_float32, _sigmoid_float64)
_flushed = _by_precision(_flush, _compiled(lambda x: x))


@_compiled
def tanh(x):
    """The hyperbolic tangent of a float32 as `tf.tanh` gives it."""
    return _tanh(x)


@_compiled
def sigmoid(x):
    """1 / (1 + exp(-x)) of a float32 as `tf.sigmoid` gives it."""
    return _sigmoid(x)


@_compiled
def exp(x):
    """exp of a float32 as `tf.exp` gives it."""
    return _exp(x)


@_compiled
def flushed(x):
    """x, but zero for a subnormal float32: so does TensorFlow, and processors are slow with subnormal numbers."""
    return _flushed(x)
