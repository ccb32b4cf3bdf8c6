"""Hooke's law in one dimension."""

from kspike_reg.mechanics.arguments import require_finite, require_moduli

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
    strain = require_finite("linear_elasticity", strain=strain)
    require_moduli("linear_elasticity", youngs_modulus=youngs_modulus)
    return youngs_modulus * strain
