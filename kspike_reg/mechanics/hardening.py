"""Plasticity in one dimension with linear isotropic and kinematic hardening, by return mapping."""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from kspike_reg.mechanics.arguments import (
    require_components,
    require_moduli,
    require_number,
    require_one_component,
)
from kspike_reg.mechanics.law import Law, Step, drive
from kspike_reg.typing import FloatArray

__all__ = ["HardeningHistory", "HardeningState", "IsotropicHardening", "isotropic_hardening"]


class HardeningState(NamedTuple):
    """What a path of `IsotropicHardening` remembers (paper, eq. 28); stress in MPa is E (strain - plastic_strain).

    Attributes:
        plastic_strain: dimensionless, shape (paths,).
        equivalent_plastic_strain: sum of the sizes of all plastic strain increments, dimensionless, shape (paths,).
    """

    plastic_strain: FloatArray
    equivalent_plastic_strain: FloatArray


class HardeningHistory(NamedTuple):
    """What happened along paths of `isotropic_hardening` (paper, eq. 28).

    Attributes:
        stress: MPa, of the shape of the strain, like all of them.
        plastic_strain: dimensionless.
        equivalent_plastic_strain: sum of the sizes of all plastic strain increments, dimensionless.
        back_stress: MPa; zero without kinematic hardening.
    """

    stress: FloatArray
    plastic_strain: FloatArray
    equivalent_plastic_strain: FloatArray
    back_stress: FloatArray


@dataclass(frozen=True)
class IsotropicHardening(Law):
    """An elastic-plastic bar with linear hardening (paper, eq. 28).

        stress = E (strain - plastic strain),     |stress - q| <= yield_stress + K alpha

    The equivalent plastic strain alpha grows with every plastic step, and the back stress q follows the plastic
    strain, q = H * plastic strain. Each step is solved exactly by return mapping: an elastic trial, then, where the
    trial lies outside the elastic range, a plastic step of (|trial - q| - yield_stress - K alpha) / (E + K + H)
    (Simo and Hughes, Computational Inelasticity (1998), box 1.5). The tangent is E in an elastic step and
    E (K + H) / (E + K + H) in a plastic one.

    Args:
        yield_stress: MPa, > 0.
        youngs_modulus: E in MPa, > 0.
        hardening_modulus: K in MPa, of isotropic hardening, >= 0.
        kinematic_modulus: H in MPa, of kinematic hardening, >= 0.

    Raises:
        InputError: a constant that is out of its range or not a single number.
    """

    yield_stress: float = 300.0
    youngs_modulus: float = 2.1e5
    hardening_modulus: float = 2.1e4
    kinematic_modulus: float = 0.0

    components = 1

    def __post_init__(self) -> None:
        positive = {"yield_stress": self.yield_stress, "youngs_modulus": self.youngs_modulus}
        may_vanish = {"hardening_modulus": self.hardening_modulus, "kinematic_modulus": self.kinematic_modulus}
        require_number("IsotropicHardening", **positive, **may_vanish)
        require_moduli("IsotropicHardening", **positive)
        require_moduli("IsotropicHardening", least_is_zero=True, **may_vanish)
        for name, value in (positive | may_vanish).items():
            object.__setattr__(self, name, float(value))

    def initial_state(self, paths: int) -> HardeningState:
        return HardeningState(np.zeros(paths), np.zeros(paths))

    def step(self, strain: FloatArray, state: HardeningState, *, tangent: bool = False) -> Step:
        strain = require_components("IsotropicHardening", strain, 1)[:, 0]
        plastic_strain, alpha = state
        elastic, isotropic, kinematic = self.youngs_modulus, self.hardening_modulus, self.kinematic_modulus
        relative = elastic * (strain - plastic_strain) - kinematic * plastic_strain
        excess = np.maximum(np.abs(relative) - (self.yield_stress + isotropic * alpha), 0.0)
        growth = excess / (elastic + isotropic + kinematic)
        plastic_strain = plastic_strain + np.copysign(growth, relative)
        stress = elastic * (strain - plastic_strain)
        slope = None
        if tangent:
            hardening = isotropic + kinematic
            slope = np.where(excess > 0, elastic * hardening / (elastic + hardening), elastic)[:, None, None]
        return Step(stress[:, None], HardeningState(plastic_strain, alpha + growth), slope)


def isotropic_hardening(
    strain: ArrayLike,
    yield_stress: float = 300.0,
    youngs_modulus: float = 2.1e5,
    hardening_modulus: float = 2.1e4,
    kinematic_modulus: float = 0.0,
    *,
    return_history: bool = False,
) -> FloatArray | HardeningHistory:
    """Stress of an elastic-plastic bar with linear hardening along strain paths (paper, eq. 28).

        stress = E (strain - plastic strain),     |stress - q| <= yield_stress + K alpha

    See `IsotropicHardening` for the symbols and the algorithm. Before its first step a path is free of strain and
    stress.

    Args:
        strain: dimensionless, shape (T,) or (n, T); finite; time runs along the last axis.
        yield_stress: MPa, > 0.
        youngs_modulus: E in MPa, > 0.
        hardening_modulus: K in MPa, of isotropic hardening, >= 0.
        kinematic_modulus: H in MPa, of kinematic hardening, >= 0.
        return_history: whether to return the internal variables too.

    Returns:
        The stress in MPa, float64, of the shape of the strain, or a `HardeningHistory`.

    Raises:
        InputError: a strain that is not finite, has no time axis or has an axis of components, or a constant that is
            out of its range.
    """
    require_one_component("isotropic_hardening", time=True, strain=strain)
    law = IsotropicHardening(yield_stress, youngs_modulus, hardening_modulus, kinematic_modulus)
    response = drive(law, strain, states=return_history, caller="isotropic_hardening")
    if not return_history:
        return response.stress
    plastic_strain, alpha = response.states
    return HardeningHistory(response.stress, plastic_strain, alpha, law.kinematic_modulus * plastic_strain)
