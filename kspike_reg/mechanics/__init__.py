"""Stress from strain by the laws of solid mechanics: NumPy only, MPa, vectorised over paths."""

from kspike_reg.mechanics.elasticity import LinearElasticity, linear_elasticity
from kspike_reg.mechanics.hardening import HardeningHistory, HardeningState, IsotropicHardening, isotropic_hardening
from kspike_reg.mechanics.law import Law, NoState, Response, Step, drive
from kspike_reg.mechanics.ramberg_osgood import ConvergenceError, RambergOsgood, ramberg_osgood, ramberg_osgood_strain

__all__ = [
    "ConvergenceError",
    "HardeningHistory",
    "HardeningState",
    "IsotropicHardening",
    "Law",
    "LinearElasticity",
    "NoState",
    "RambergOsgood",
    "Response",
    "Step",
    "drive",
    "isotropic_hardening",
    "linear_elasticity",
    "ramberg_osgood",
    "ramberg_osgood_strain",
]
