"""Stress from strain by the laws of solid mechanics: NumPy only, MPa, vectorised over paths."""

from kspike_reg.mechanics.elasticity import linear_elasticity

__all__ = ["linear_elasticity"]
