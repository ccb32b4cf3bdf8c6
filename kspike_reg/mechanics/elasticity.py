"""Hooke's law in one dimension."""

import math

import numpy as np

from kspike_reg.errors import InputError

__all__ = ["linear_elasticity"]


def linear_elasticity(strain, youngs_modulus=2.1e5):
    """Stress of a linear elastic bar (paper, eq. 16): stress = E * strain.

    Args:
        strain: dimensionless, shape (T,) or (n, T), any shape in fact; finite.
        youngs_modulus: E in MPa, > 0; the default is the paper's steel.

    Returns:
        The stress in MPa, a float64 array of the strain's shape.

    Raises:
        InputError: a strain that is not finite, or a modulus that is not positive.
    """
    strain = np.asarray(strain, dtype=np.float64)
    if not np.all(np.isfinite(strain)):
        raise InputError("linear_elasticity: expected finite strains, received NaN or infinity among them")
    if not 0 < youngs_modulus < math.inf:
        raise InputError(f"linear_elasticity: expected a Young's modulus > 0 MPa, received {youngs_modulus!r}")
    return youngs_modulus * strain
