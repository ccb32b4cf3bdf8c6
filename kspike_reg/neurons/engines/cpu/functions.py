"""tanh, sigmoid and exp for compiled loops, with the bits of TensorFlow's functions on the CPU.

A spike is a comparison, so one bit of a membrane can decide whether a neuron fires. Numba would call tanh of the C
library, which gives other bits than TensorFlow and is not vectorised. The functions here follow the steps of
TensorFlow in the same order, with arithmetic and selects alone, so that LLVM vectorises the loop that calls them.

TensorFlow uses the kernels of Eigen. Its wheels for x86-64 are compiled for AVX without fused multiply-add on every
processor: each product is rounded before it is added. The kernels have two more properties:

- Subnormal numbers count as zero, in arguments and in results.
- Eigen processes eight numbers at a time, and the last `size % 8` numbers of a tensor one by one. For those, sigmoid
  and exp may differ from these functions by one rounding. Tensors whose size is a multiple of eight have none.

In double precision, the functions are those of the C library, and their bits may differ from TensorFlow's.

Source: Eigen, https://gitlab.com/libeigen/eigen, `arch/Default/GenericPacketMathFunctions.h` and
`functors/UnaryFunctors.h`, as in TensorFlow 2.21. The coefficients come from there; the code does not.
"""

import math

import numba
import numpy as np
from numba.extending import overload

__all__ = ["exp", "flushed", "sigmoid", "tanh"]

# By default, numba's division raises for a zero divisor, and this branch would prevent vectorisation. By default,
# numba also lets the fused multiply-adds of a caller spread to the functions that it inlines.
_compiled = numba.njit(error_model="numpy", fastmath=False)

_f32 = np.float32  # a float64 operand would make the result a float64
_ZERO, _HALF, _ONE = _f32(0), _f32(0.5), _f32(1)
_SMALLEST_NORMAL = np.finfo(_f32).tiny

# tanh is one from here on, without fused multiply-add.
_TANH_BOUND = _f32(7.90738964080810547)
_TANH_NUMERATOR = tuple(_f32([1.394553628e-8, 2.102733560e-5, 3.520756727e-3, 1.340216100e-1]))
_TANH_DENOMINATOR = tuple(_f32([8.015776984e-7, 3.326951409e-4, 2.597254514e-2, 4.673548340e-1, 1]))

# exp is zero below the first bound, sigmoid is one above the second, exp is infinite above the third.
_LOWER_BOUND, _SIGMOID_BOUND, _EXP_BOUND = _f32(-104), _f32(16.6355324), _f32(88.723)
_LOG2_E = _f32(1.44269504088896341)
# ln 2 in two parts. The first has so few bits that its product with a whole number is exact.
_LN2_HIGH, _LN2_LOW = _f32(0.693359375), _f32(-2.12194440e-4)
# (exp(r) - 1 - r) / r**2, the constant first. sigmoid uses one term less.
_SIGMOID_SERIES = tuple(_f32([0.4999914169, 0.1666687727, 0.04189866781, 0.008334713057]))
_EXP_SERIES = tuple(_f32([0.4999998808, 0.1666651815, 0.04166965187, 0.008368944749, 0.00137449638]))
# The sum with a whole number has that number, plus the bias of the exponent, in its lowest bits.
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
def _flush_float32(x):
    """x, or zero with the sign of x if x is subnormal."""
    return x * _ZERO if abs(x) < _SMALLEST_NORMAL else x


@_compiled
def _power_of_two(exponent):
    """2**exponent for a whole exponent from -126 to 127; an arbitrary float for other exponents and for nan."""
    return np.int32(_f32(exponent + _EXPONENT_BIAS).view(np.int32) << 23).view(_f32)


@_compiled
def _split(x):
    """The whole number m nearest x / ln 2, and r = x - m ln 2 with |r| <= ln(2) / 2: exp(x) = 2**m exp(r)."""
    m = np.floor(x * _LOG2_E + _HALF)
    return m, (x - m * _LN2_HIGH) - m * _LN2_LOW


@_compiled
def _logistic(exponential):
    """1 / (1 + exp(-x)) from exp(x)."""
    return _flush_float32(exponential) / (_ONE + exponential)


@_compiled
def _tanh_float32(x):
    x = _at_least(_at_most(x, _TANH_BOUND), -_TANH_BOUND)
    square = x * x
    a, b, c, d = _TANH_NUMERATOR
    numerator = ((a * square + b) * square + c) * square + d
    a, b, c, d, e = _TANH_DENOMINATOR
    denominator = (((a * square + b) * square + c) * square + d) * square + e
    return _flush_float32((square * x * numerator + x) / denominator)


@_compiled
def _sigmoid_float32(x):
    # exp(x) is the square of exp(x / 2), whose power of two is well within the range of float32.
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
    # 2**128 and 2**-150 are outside the range of float32, so the power of two is a product of two factors.
    half = np.floor(m * _HALF)
    value = (square * series + (r + _ONE)) * _power_of_two(half) * _power_of_two(m - half)
    return _at_least(_flush_float32(value), x)  # infinity for infinity, for which r is nan


@_compiled
def _sigmoid_float64(x):
    return 1 / (1 + math.exp(-x))


def _by_precision(single, double):
    """A function for compiled callers: `single` for a float32 argument, `double` otherwise."""

    def function(x):  # where numba compiles nothing
        return single(x) if isinstance(x, np.float32) else double(x)

    @overload(function)
    def choose(x):
        return (lambda x: single(x)) if x == numba.float32 else (lambda x: double(x))

    return function


_tanh = _by_precision(_tanh_float32, _compiled(lambda x: math.tanh(x)))
_exp = _by_precision(_exp_float32, _compiled(lambda x: math.exp(x)))
_sigmoid = _by_precision(_sigmoid_float32, _sigmoid_float64)
_flush = _by_precision(_flush_float32, _compiled(lambda x: x))


@_compiled
def tanh(x: float) -> float:
    """The hyperbolic tangent; for a float32, with the bits of `tf.tanh`."""
    return _tanh(x)


@_compiled
def sigmoid(x: float) -> float:
    """1 / (1 + exp(-x)); for a float32, with the bits of `tf.sigmoid`."""
    return _sigmoid(x)


@_compiled
def exp(x: float) -> float:
    """The exponential; for a float32, with the bits of `tf.exp`."""
    return _exp(x)


@_compiled
def flushed(x: float) -> float:
    """x, or zero for a subnormal float32, as in TensorFlow. Processors are slow with subnormal numbers."""
    return _flush(x)
