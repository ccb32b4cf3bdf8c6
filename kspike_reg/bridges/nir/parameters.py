"""NIR's parametrisation: what its time constants, resistances and thresholds are to our decays and thresholds.

NIR states neurons in continuous time. One step dt of Euler's method, as snnTorch and Norse take it, makes of them

    tau dv/dt = v_leak - v + r I      v[t] = (1 - dt / tau) v[t-1] + dt / tau (v_leak + r I[t])
    z = 1 where v > v_threshold

and so a decay is 1 - dt / tau, and the input counts once where r = tau / dt. Source: Pedersen et al., Neuromorphic
intermediate representation, Nature Communications 15, 8122 (2024).
"""

from dataclasses import dataclass

import numpy as np

from kspike_reg.errors import InputError

__all__ = ["FORMS", "STEP", "Parameters", "decay_in", "gain_of", "parameters_of", "threshold_in"]

# Seconds that stand for one step of a network. snnTorch reads every file with this one, other readers can be told.
STEP = 1e-4

# A time constant in steps so long that the leak of one step is lost in rounding, in double precision too: a decay of 1.
NO_LEAK = 2.0**55


def _as_trained(steps, threshold):
    return steps, np.ones_like(threshold)


def _unit_threshold(steps, threshold):
    return steps, threshold


def _unit_resistance(steps, threshold):
    return np.ones_like(steps), np.ones_like(threshold)


# Ways to write the same neurons, since readers take different things for granted: from time constants in steps and
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
        v_threshold: what the membrane has to pass, in `unit`; None for neurons that never fire.
        unit: one volt of the file in the membrane's own unit.
        scale: what every weight into the neurons is multiplied by.
    """

    tau: np.ndarray
    r: np.ndarray
    v_threshold: np.ndarray | None
    unit: np.ndarray
    scale: np.ndarray


def parameters_of(who, decay, threshold=None, dt=STEP, form="trained"):
    """NIR's numbers for neurons of ours.

    NIR fires above the threshold, we fire on it too: U >= threshold is U > the next number below it.

    Args:
        who: whose numbers they are, for the message.
        decay: leak per step, in [0, 1], shape (units,).
        threshold: > 0, shape (units,); None for leaky integrators.
        dt: seconds that stand for a step.
        form: a name in `FORMS`.

    Raises:
        InputError: numbers that NIR cannot express.
    """
    if not np.all((decay >= 0) & (decay <= 1)):
        raise InputError(
            f"{who} has decays from {decay.min()} to {decay.max()}; expected 0 to 1: NIR has no time constant for "
            "others; keep the layer's decay_constraint"
        )
    if threshold is not None and not np.all(threshold > 0):
        raise InputError(
            f"{who} has a threshold of {threshold.min()}; expected thresholds > 0; keep its threshold_constraint"
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


def decay_in(tau, dt, carried=None):
    """Our decay for a time constant.

    Args:
        tau: s, shape (units,).
        dt: seconds that stand for a step.
        carried: the decays that a file of ours carries beside, which count where they give this tau: below 1e-8,
            1 - decay knows a decay by a few digits at most.

    Returns:
        Shape (units,), double precision.
    """
    if carried is not None and np.shape(carried) == tau.shape and np.array_equal(dt * _steps(carried), tau):
        return carried
    return 1 - dt / tau


def gain_of(tau, r, dt):
    """What one unit of current adds to a membrane in one step."""
    return dt * r / tau


def threshold_in(v_threshold, unit, dtype):
    """Our threshold for a NIR one: the next number above, see `parameters_of`."""
    return np.nextafter((v_threshold * unit).astype(dtype), np.inf, dtype=dtype)
