"""The Ramberg-Osgood law in one dimension: strain explicit in stress, stress by Newton's method."""

import numpy as np

from kspike_reg.errors import InputError
from kspike_reg.mechanics.arguments import require_finite, require_moduli, require_shape

__all__ = ["ConvergenceError", "ramberg_osgood", "ramberg_osgood_strain"]

OFFSET = 0.002  # plastic strain at the yield stress
TOLERANCE = 1e-10  # what is promised of |strain(stress) - strain| / |strain|
TARGET = 1e-13  # what the iteration aims at; the last step from 1e-10 costs little
ITERATIONS = 60  # a bisection alone gets from any start to 1e-13 in fewer
CHUNK = 16384  # values at a time: all intermediate arrays stay in the processor's cache


class ConvergenceError(ArithmeticError):
    """The iteration for the stress of the Ramberg-Osgood law (paper, eq. 21) did not reach its tolerance."""


def ramberg_osgood_strain(stress, yield_stress, youngs_modulus=2.1e5, exponent=10.0):
    """Strain of the Ramberg-Osgood law (paper, eq. 21).

        strain = stress / E + 0.002 (stress / yield_stress)^n,    odd in the stress

    Args:
        stress: MPa, any shape.
        yield_stress, youngs_modulus, exponent: as for `ramberg_osgood`.

    Returns:
        The strain, float64, in the shape to which the arguments broadcast.

    Raises:
        InputError: an argument out of its range, or shapes that do not broadcast.
    """
    stress, yield_stress, youngs_modulus, exponent, _ = _arguments(
        "ramberg_osgood_strain", yield_stress, youngs_modulus, exponent, stress=stress
    )
    return stress / youngs_modulus + OFFSET * np.sign(stress) * (np.abs(stress) / yield_stress) ** exponent


def ramberg_osgood(strain, yield_stress, youngs_modulus=2.1e5, exponent=10.0):
    """Stress of the Ramberg-Osgood law (paper, eq. 21).

        strain = stress / E + 0.002 (stress / yield_stress)^n,    odd in the stress,

    solved for the stress by Newton's method inside a bracket. Both terms alone bound the stress from above; from there
    the iteration descends on a convex function without a turn. Converges for yield stresses from 1 to 5000 MPa,
    exponents from 1 to 50 and strains up to 0.1 of either sign, to |strain(stress) - strain| <= 1e-10 |strain|. The
    law has no memory: unloading follows the same curve.

    Args:
        strain: dimensionless, shape (T,) or (n, T), any shape in fact; finite.
        yield_stress: MPa, > 0, a number or an array that broadcasts with the strain: (n, 1) for one per path.
        youngs_modulus: E in MPa, > 0, likewise; the default is the paper's steel.
        exponent: n, >= 1, likewise; the default is the paper's.

    Returns:
        The stress in MPa, float64, in the shape to which the arguments broadcast.

    Raises:
        InputError: an argument out of its range, or shapes that do not broadcast.
        ConvergenceError: a value that did not converge.
    """
    *arguments, shape = _arguments("ramberg_osgood", yield_stress, youngs_modulus, exponent, strain=strain)
    # What is one number for all stays one number: a power with a scalar exponent is the faster one.
    flat = [a.reshape(()) if a.size == 1 else np.broadcast_to(a, shape).reshape(-1) for a in arguments]
    count = int(np.prod(shape))
    stress = np.empty(count)
    for start in range(0, count, CHUNK):
        part = slice(start, start + CHUNK)
        stress[part] = _solve(*(a if a.ndim == 0 else a[part] for a in flat))
    return stress.reshape(shape)


def _arguments(law, yield_stress, youngs_modulus, exponent, **variable):
    """The four arguments as float64 arrays, and the shape to which they broadcast."""
    exponent = require_finite(law, exponent=exponent)
    if np.any(exponent < 1):
        raise InputError(f"{law}: expected an exponent of 1 or more, received {float(np.min(exponent))!r}")
    yield_stress, youngs_modulus = require_moduli(law, yield_stress=yield_stress, youngs_modulus=youngs_modulus)
    constants = {"yield_stress": yield_stress, "youngs_modulus": youngs_modulus, "exponent": exponent}
    ((name, value),) = variable.items()
    arguments = {name: require_finite(law, **{name: value})} | constants
    return *arguments.values(), require_shape(law, **arguments)


def _solve(strain, yield_stress, youngs_modulus, exponent):
    """The stress of a handful of strains; s is the stress over the yield stress, both without sign."""
    size = np.abs(strain)
    elastic = yield_stress / youngs_modulus
    upper = np.minimum(size / elastic, (size / OFFSET) ** (1 / exponent))
    lower = np.zeros_like(upper)
    s = upper
    for _ in range(ITERATIONS):
        power = OFFSET * s ** (exponent - 1)
        excess = s * (elastic + power) - size
        if np.all(np.abs(excess) <= TARGET * size):
            break
        lower = np.where(excess < 0, s, lower)
        upper = np.where(excess > 0, s, upper)
        step = s - excess / (elastic + exponent * power)
        s = np.where((step >= lower) & (step <= upper), step, 0.5 * (lower + upper))
    residual = np.abs(s * (elastic + OFFSET * s ** (exponent - 1)) - size)
    if not np.all(residual <= TOLERANCE * size):  # a NaN does not converge either
        worst = np.argmax(np.nan_to_num(residual / np.where(size > 0, size, 1), nan=np.inf))
        at = [float(np.broadcast_to(a, s.shape).flat[worst]) for a in (strain, yield_stress, youngs_modulus, exponent)]
        raise ConvergenceError(
            f"ramberg_osgood: no convergence to a relative residual of {TOLERANCE} within {ITERATIONS} iterations for "
            "strain {}, yield stress {} MPa, Young's modulus {} MPa, exponent {}".format(*at)
        )
    return np.sign(strain) * s * yield_stress
