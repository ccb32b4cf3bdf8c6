"""Plasticity in one dimension with linear isotropic and kinematic hardening, by return mapping."""

from typing import NamedTuple

import numpy as np

from kspike_reg.errors import InputError
from kspike_reg.mechanics.arguments import require_finite, require_moduli

__all__ = ["HardeningHistory", "isotropic_hardening"]


class HardeningHistory(NamedTuple):
    """What happened along paths of `isotropic_hardening` (paper, eq. 28).

    Attributes:
        stress: MPa, of the strain's shape, as all of them.
        plastic_strain: dimensionless.
        equivalent_plastic_strain: the length of the plastic strain's way, dimensionless.
        back_stress: MPa; zero without kinematic hardening.
    """

    stress: np.ndarray  # MPa
    plastic_strain: np.ndarray
    equivalent_plastic_strain: np.ndarray
    back_stress: np.ndarray  # MPa


def isotropic_hardening(
    strain,
    yield_stress=300.0,
    youngs_modulus=2.1e5,
    hardening_modulus=2.1e4,
    kinematic_modulus=0.0,
    *,
    return_history=False,
):
    """Stress of an elastic-plastic bar with linear hardening along strain paths (paper, eq. 28).

        stress = E (strain - plastic strain),     |stress - q| <= yield_stress + K alpha

    where the equivalent plastic strain alpha grows with every plastic step and the back stress q follows the plastic
    strain, q = H * plastic strain. Each step is solved exactly by return mapping: an elastic trial, then, where the
    trial lies outside the elastic range, a plastic step of (|trial - q| - yield_stress - K alpha) / (E + K + H)
    (Simo and Hughes, Computational Inelasticity, box 1.5). Before its first step a path is free of strain and stress.

    Args:
        strain: dimensionless, shape (T,) or (n, T); finite; time runs along the last axis.
        yield_stress: MPa, > 0.
        youngs_modulus: E in MPa, > 0.
        hardening_modulus: K in MPa, of isotropic hardening, >= 0.
        kinematic_modulus: H in MPa, of kinematic hardening, >= 0.
        return_history: whether to return the internal variables too.

    Returns:
        The stress in MPa, float64, of the strain's shape, or a `HardeningHistory`.

    Raises:
        InputError: a strain that is not finite or has no time axis, or a constant out of its range.
    """
    strain = require_finite("isotropic_hardening", strain=strain)
    if strain.ndim == 0:
        raise InputError("isotropic_hardening: expected paths of shape (T,) or (n, T), received a single strain")
    constants = {"yield_stress": yield_stress, "youngs_modulus": youngs_modulus}
    may_vanish = {"hardening_modulus": hardening_modulus, "kinematic_modulus": kinematic_modulus}
    for name, value in (constants | may_vanish).items():
        if np.ndim(value):
            raise InputError(f"isotropic_hardening: expected one number for all paths, received {name}={value!r}")
    require_moduli("isotropic_hardening", **constants)
    require_moduli("isotropic_hardening", least_is_zero=True, **may_vanish)
    moduli = youngs_modulus + hardening_modulus + kinematic_modulus
    # Time first: a step then reads and writes contiguous memory.
    steps = np.ascontiguousarray(np.moveaxis(strain, -1, 0))
    stress, plastic, equivalent = np.empty_like(steps), np.empty_like(steps), np.empty_like(steps)
    plastic_strain, alpha = np.zeros(steps.shape[1:]), np.zeros(steps.shape[1:])
    for step, now in enumerate(steps):
        relative = youngs_modulus * (now - plastic_strain) - kinematic_modulus * plastic_strain
        growth = np.maximum(np.abs(relative) - (yield_stress + hardening_modulus * alpha), 0.0) / moduli
        plastic_strain = plastic_strain + np.copysign(growth, relative)
        alpha = alpha + growth
        stress[step] = youngs_modulus * (now - plastic_strain)
        plastic[step], equivalent[step] = plastic_strain, alpha
    stress, plastic, equivalent = (np.ascontiguousarray(np.moveaxis(a, 0, -1)) for a in (stress, plastic, equivalent))
    if return_history:
        return HardeningHistory(stress, plastic, equivalent, kinematic_modulus * plastic)
    return stress
