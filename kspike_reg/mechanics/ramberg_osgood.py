"""The Ramberg-Osgood law in one dimension: strain explicit in stress, stress by Newton's method."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from kspike_reg.errors import InputError
from kspike_reg.mechanics.arguments import (
    require_components,
    require_finite,
    require_moduli,
    require_one_component,
    require_paths,
    require_shape,
)
from kspike_reg.mechanics.law import Law, NoState, Step
from kspike_reg.typing import FloatArray

__all__ = ["ConvergenceError", "RambergOsgood", "ramberg_osgood", "ramberg_osgood_strain"]

OFFSET = 0.002  # plastic strain at the yield stress
TOLERANCE = 1e-10  # what is promised of |strain(stress) - strain| / |strain|
TARGET = 1e-13  # what the iteration aims at; the last step from 1e-10 costs little
ITERATIONS = 60  # a bisection alone gets from any start to 1e-13 in fewer
CHUNK = 16384  # values at a time: all intermediate arrays stay in the processor's cache


class ConvergenceError(ArithmeticError):
    """The iteration for the stress of the Ramberg-Osgood law (paper, eq. 21) did not reach its tolerance."""


@dataclass(frozen=True, eq=False)
class RambergOsgood(Law):
    """The Ramberg-Osgood law (paper, eq. 21), a curve without memory; see `ramberg_osgood` for its range.

        strain = stress / E + 0.002 (stress / yield_stress)^n,    odd in the stress
        tangent = 1 / (1 / E + 0.002 n / yield_stress (|stress| / yield_stress)^(n - 1))

    Args:
        yield_stress: MPa, > 0, a number or one for each path, shape (paths,).
        youngs_modulus: E in MPa, > 0, likewise; the default is the paper's steel.
        exponent: n, >= 1, likewise; the default is the paper's.

    Raises:
        InputError: a parameter that is out of its range, or not one number or one for each path.
    """

    yield_stress: ArrayLike
    youngs_modulus: ArrayLike = 2.1e5
    exponent: ArrayLike = 10.0

    components = 1

    def __post_init__(self) -> None:
        parameters = _parameters("RambergOsgood", self.yield_stress, self.youngs_modulus, self.exponent)
        for name, value in parameters.items():
            if value.ndim > 1:
                raise InputError(
                    f"RambergOsgood: expected {name} to be one number or one for each path, shape (paths,), received "
                    f"shape {value.shape}"
                )
            object.__setattr__(self, name, value)
        require_shape("RambergOsgood", **parameters)

    def initial_state(self, paths: int) -> NoState:
        parameters = {name: getattr(self, name) for name in ("yield_stress", "youngs_modulus", "exponent")}
        require_paths("RambergOsgood", paths, **parameters)
        return NoState()

    def step(self, strain: FloatArray, state: NoState, *, tangent: bool = False) -> Step:
        strain = require_components("RambergOsgood", strain, 1)[:, 0]
        stress = _stress(strain.shape, strain, self.yield_stress, self.youngs_modulus, self.exponent)
        slope = None
        if tangent:
            power = (np.abs(stress) / self.yield_stress) ** (self.exponent - 1)
            compliance = 1 / self.youngs_modulus + OFFSET * self.exponent / self.yield_stress * power
            slope = (1 / compliance)[:, None, None]
        return Step(stress[:, None], state, slope)


def ramberg_osgood_strain(
    stress: ArrayLike,
    yield_stress: ArrayLike,
    youngs_modulus: ArrayLike = 2.1e5,
    exponent: ArrayLike = 10.0,
) -> FloatArray:
    """Strain of the Ramberg-Osgood law (paper, eq. 21).

        strain = stress / E + 0.002 (stress / yield_stress)^n,    odd in the stress

    Args:
        stress: MPa, shape (T,) or (n, T), or a number; finite.
        yield_stress, youngs_modulus, exponent: as for `ramberg_osgood`.

    Returns:
        The strain, float64, in the shape to which the arguments broadcast.

    Raises:
        InputError: an argument out of its range, a stress with an axis of components, or shapes that do not broadcast.
    """
    arguments, _ = _arguments("ramberg_osgood_strain", yield_stress, youngs_modulus, exponent, stress=stress)
    stress, yield_stress, youngs_modulus, exponent = arguments
    return stress / youngs_modulus + OFFSET * np.sign(stress) * (np.abs(stress) / yield_stress) ** exponent


def ramberg_osgood(
    strain: ArrayLike,
    yield_stress: ArrayLike,
    youngs_modulus: ArrayLike = 2.1e5,
    exponent: ArrayLike = 10.0,
) -> FloatArray:
    """Stress of the Ramberg-Osgood law (paper, eq. 21).

        strain = stress / E + 0.002 (stress / yield_stress)^n,    odd in the stress,

    solved for the stress by Newton's method inside a bracket. Each of the two terms alone bounds the stress from
    above; from there the iteration descends on a convex function without a turn. It converges for yield stresses from
    1 to 5000 MPa, exponents from 1 to 50 and strains up to 0.1 of either sign, to
    |strain(stress) - strain| <= 1e-10 |strain|. The law has no memory: unloading follows the same curve.

    Args:
        strain: dimensionless, shape (T,) or (n, T), or a number; finite.
        yield_stress: MPa, > 0, a number or an array that broadcasts with the strain: (n, 1) for one per path.
        youngs_modulus: E in MPa, > 0, likewise; the default is the paper's steel.
        exponent: n, >= 1, likewise; the default is the paper's.

    Returns:
        The stress in MPa, float64, in the shape to which the arguments broadcast.

    Raises:
        InputError: an argument out of its range, a strain with an axis of components, or shapes that do not broadcast.
        ConvergenceError: a value that did not converge.
    """
    arguments, shape = _arguments("ramberg_osgood", yield_stress, youngs_modulus, exponent, strain=strain)
    return _stress(shape, *arguments)


def _parameters(
    caller: str, yield_stress: ArrayLike, youngs_modulus: ArrayLike, exponent: ArrayLike
) -> dict[str, FloatArray]:
    """Return the parameters as float64 arrays by their names."""
    exponent = require_finite(caller, exponent=exponent)
    if np.any(exponent < 1):
        raise InputError(f"{caller}: expected an exponent of 1 or more, received {float(np.min(exponent))!r}")
    yield_stress, youngs_modulus = require_moduli(caller, yield_stress=yield_stress, youngs_modulus=youngs_modulus)
    return {"yield_stress": yield_stress, "youngs_modulus": youngs_modulus, "exponent": exponent}


def _arguments(caller: str, *parameters: ArrayLike, **variable: ArrayLike) -> tuple[list[FloatArray], tuple[int, ...]]:
    """Return variable and parameters as float64 arrays, and the shape to which they broadcast."""
    require_one_component(caller, **variable)
    parameters = _parameters(caller, *parameters)
    ((name, value),) = variable.items()
    arguments = {name: require_finite(caller, **{name: value})} | parameters
    return list(arguments.values()), require_shape(caller, **arguments)


def _stress(shape: tuple[int, ...], *arguments: FloatArray) -> FloatArray:
    """Return the stress of strain, yield stress, modulus and exponent that broadcast to this shape."""
    # A number that is the same for all values stays one number: a power with a scalar exponent is faster.
    flat = [a.reshape(()) if a.size == 1 else np.broadcast_to(a, shape).reshape(-1) for a in arguments]
    stress = np.empty(int(np.prod(shape)))
    for start in range(0, stress.size, CHUNK):
        part = slice(start, start + CHUNK)
        stress[part] = _solve(*(a if a.ndim == 0 else a[part] for a in flat))
    return stress.reshape(shape)


def _solve(
    strain: FloatArray, yield_stress: FloatArray, youngs_modulus: FloatArray, exponent: FloatArray
) -> FloatArray:
    """Return the stress of a chunk of strains; s is the size of the stress over the yield stress."""
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
