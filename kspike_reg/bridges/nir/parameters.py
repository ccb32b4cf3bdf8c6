"""NIR's parametrisation: its time constants, resistances and thresholds from our decays and thresholds, and back.

NIR states neurons in continuous time. One step dt of Euler's method, as snnTorch and Norse take it, gives

    tau dv/dt = v_leak - v + r I      v[t] = (1 - dt / tau) v[t-1] + dt / tau (v_leak + r I[t])
    z = 1 where v > v_threshold

so a decay is 1 - dt / tau, and the input counts once where r = tau / dt. Source: Pedersen et al., Neuromorphic
intermediate representation, Nature Communications 15, 8122 (2024).
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kspike_reg.archives import require_memory
from kspike_reg.errors import InputError
from kspike_reg.typing import FloatArray

__all__ = ["FORMS", "STEP", "Parameters", "decay_in", "gain_of", "parameters_of", "square", "threshold_in"]

# Seconds that stand for one step of a network. snnTorch reads every file with this one; other readers take an argument.
STEP = 1e-4

# The time constant, in steps, of a decay of 1: so long that the leak of one step is lost in rounding, even in double
# precision.
NO_LEAK = 2.0**55


def _as_trained(steps, threshold):
    return steps, np.ones_like(threshold)


def _unit_threshold(steps, threshold):
    return steps, threshold


def _unit_resistance(steps, threshold):
    return np.ones_like(steps), np.ones_like(threshold)


# Ways to write the same neurons, since readers make different assumptions: functions from time constants, in steps, and
# thresholds to r and to the unit in which the file counts membranes. "exact" differs in its nodes, not its numbers.
FORMS = {
    "trained": _as_trained,
    "exact": _as_trained,
    "unit_threshold": _unit_threshold,
    "unit_resistance": _unit_resistance,
}


@dataclass(frozen=True)
class Parameters:
    """A layer's numbers as a NIR file states them, each of shape (units,).

    Attributes:
        tau: time constant, s.
        r: resistance.
        v_threshold: the membrane above which a neuron fires, in `unit`; None for neurons that never fire.
        unit: one volt of the file in the membrane's own unit.
        scale: factor of every weight into the neurons.
    """

    tau: FloatArray
    r: FloatArray
    v_threshold: NDArray | None
    unit: NDArray
    scale: FloatArray


def parameters_of(
    place: str, decay: NDArray, threshold: NDArray | None = None, dt: float = STEP, form: str = "trained"
) -> Parameters:
    """NIR's numbers for neurons of ours.

    NIR fires above the threshold, we also fire at it: U >= threshold is U > the next number below it.

    Args:
        place: caller and layer, named in messages.
        decay: leak per step, in [0, 1], shape (units,).
        threshold: > 0, shape (units,); None for leaky integrators.
        dt: seconds that stand for a step.
        form: a name in `FORMS`.

    Returns:
        The `Parameters`.

    Raises:
        InputError: decays outside [0, 1], or thresholds that are not positive.
    """
    if not np.all((decay >= 0) & (decay <= 1)):
        raise InputError(
            f"{place} has decays from {decay.min()} to {decay.max()}; expected 0 to 1, since NIR has no time constant "
            "for others; keep the layer's decay_constraint"
        )
    if threshold is not None and not np.all(threshold > 0):
        raise InputError(
            f"{place} has a threshold of {threshold.min()}; expected thresholds > 0; keep its threshold_constraint"
        )
    steps = _steps(decay)
    r, unit = FORMS[form](steps, np.ones_like(decay) if threshold is None else threshold)
    return Parameters(
        tau=dt * steps,
        r=r,
        v_threshold=None if threshold is None else np.nextafter(threshold / unit, 0, dtype=threshold.dtype),
        unit=unit,
        scale=steps / r / unit,
    )


def _steps(decay):
    """Time constants in steps, 1 / (1 - decay), in double precision."""
    leak = 1 - decay.astype(np.float64)
    return np.divide(1, leak, out=np.full_like(leak, NO_LEAK), where=leak > 0)


def decay_in(tau: FloatArray, dt: float, carried: Any = None) -> NDArray:
    """Our decay for a time constant.

    Args:
        tau: s, shape (units,).
        dt: seconds that stand for a step.
        carried: the decays in the metadata of a file of ours, which are used if they give this tau: 1 - dt / tau
            restores a decay below 1e-8 to a few digits at most.

    Returns:
        Shape (units,); in double precision unless carried.
    """
    if carried is not None and np.shape(carried) == tau.shape and np.array_equal(dt * _steps(carried), tau):
        return carried
    return 1 - dt / tau


def gain_of(tau: FloatArray, r: FloatArray, dt: float) -> FloatArray:
    """The change of a membrane in one step per unit of current, (units,)."""
    return dt * r / tau


def threshold_in(v_threshold: NDArray, unit: NDArray, dtype: str) -> NDArray:
    """Our threshold for a NIR one in a precision: the next number above it, see `parameters_of`."""
    return np.nextafter((v_threshold * unit).astype(dtype), np.inf, dtype=dtype)


def square(place: str, diagonal: NDArray) -> NDArray:
    """A diagonal matrix.

    Args:
        place: caller and node, named in the message.
        diagonal: its numbers, shape (units,); a compressed file can hold so many that the matrix fits nowhere.

    Returns:
        Shape (units, units).

    Raises:
        InputError: another shape, or too many numbers.
    """
    if diagonal.ndim != 1:
        raise InputError(f"{place} has numbers of shape {diagonal.shape}; expected one axis, the features")
    require_memory(diagonal.size * diagonal.nbytes, f"{place}, as a matrix,")
    return np.diag(diagonal)
