"""Hooke's law in one dimension."""

from kspike_reg.mechanics.arguments import require_finite, require_moduli, require_shape

__all__ = ["linear_elasticity"]


def linear_elasticity(strain, youngs_modulus=2.1e5):
    """Stress of a linear elastic bar (paper, eq. 16): stress = E * strain.

    Args:
        strain: dimensionless, shape (T,) or (n, T), any shape in fact; finite.
        youngs_modulus: E in MPa, > 0, a number or an array that broadcasts with the strain; the default is the
            paper's steel.

    Returns:
        The stress in MPa, float64, in the shape to which the arguments broadcast.

    Raises:
        InputError: a strain that is not finite, a modulus that is not positive, or shapes that do not broadcast.
    """
    strain = require_finite("linear_elasticity", strain=strain)
    (youngs_modulus,) = require_moduli("linear_elasticity", youngs_modulus=youngs_modulus)
    require_shape("linear_elasticity", strain=strain, youngs_modulus=youngs_modulus)
    return youngs_modulus * strain
