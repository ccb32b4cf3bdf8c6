"""Stress from strain by the laws of solid mechanics: NumPy only, MPa, vectorised over paths."""

from kspike_reg.mechanics.elasticity import linear_elasticity
from kspike_reg.mechanics.hardening import HardeningHistory, isotropic_hardening
from kspike_reg.mechanics.ramberg_osgood import ConvergenceError, ramberg_osgood, ramberg_osgood_strain

__all__ = [
    "ConvergenceError",
    "HardeningHistory",
    "isotropic_hardening",
    "linear_elasticity",
    "ramberg_osgood",
    "ramberg_osgood_strain",
]
