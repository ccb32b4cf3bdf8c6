"""Hooke's law, of one component and of several."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from kspike_reg.errors import InputError, require_whole
from kspike_reg.mechanics.arguments import (
    require_components,
    require_finite,
    require_moduli,
    require_one_component,
    require_paths,
    require_shape,
)
from kspike_reg.mechanics.law import Law, NoState, Step
from kspike_reg.typing import FloatArray

__all__ = ["LinearElasticity", "linear_elasticity"]


@dataclass(frozen=True, eq=False)
class LinearElasticity(Law):
    """Linear elasticity (paper, eq. 16): stress = stiffness * strain; the tangent is the stiffness.

    Args:
        stiffness: MPa. A modulus E > 0, or one for each path, shape (paths,); or a matrix, shape (c, c), with
            stress_i = sum_j stiffness_ij strain_j and positive energy for every strain. The default is the paper's
            steel.
        components: c. With a modulus each component is a spring of its own; None means one component. With a matrix
            it may be left out.

    Raises:
        InputError: a modulus that is not positive, a matrix that is not square, not finite or not positive definite,
            or a number of components that differs from that of the matrix.
    """

    stiffness: ArrayLike = 2.1e5
    components: int | None = None

    def __post_init__(self) -> None:
        stiffness = np.asarray(self.stiffness, dtype=np.float64)
        if stiffness.ndim < 2:
            require_moduli("LinearElasticity", stiffness=stiffness)
            components = 1 if self.components is None else self.components
            require_whole("LinearElasticity", components=components)
        else:
            components = _components_of(stiffness, self.components)
        object.__setattr__(self, "stiffness", stiffness)
        object.__setattr__(self, "components", components)

    def initial_state(self, paths: int) -> NoState:
        require_paths("LinearElasticity", paths, stiffness=self.stiffness)
        return NoState()

    def step(self, strain: FloatArray, state: NoState, *, tangent: bool = False) -> Step:
        strain = require_components("LinearElasticity", strain, self.components)
        return Step(_stress(strain, self.stiffness), state, self._tangent(len(strain)) if tangent else None)

    def _tangent(self, paths: int) -> FloatArray:
        matrix = self.stiffness
        if matrix.ndim < 2:
            matrix = matrix[..., None, None] * np.eye(self.components)
        return np.broadcast_to(matrix, (paths, self.components, self.components)).copy()


def linear_elasticity(strain: ArrayLike, youngs_modulus: ArrayLike = 2.1e5) -> FloatArray:
    """Stress of a linear elastic bar (paper, eq. 16): stress = E * strain.

    Args:
        strain: dimensionless, shape (T,) or (n, T), or a number; finite.
        youngs_modulus: E in MPa, > 0, a number or an array that broadcasts with the strain; the default is the
            paper's steel.

    Returns:
        The stress in MPa, float64, in the shape to which the arguments broadcast.

    Raises:
        InputError: a strain that is not finite or has an axis of components, a modulus that is not positive, or
            shapes that do not broadcast.
    """
    require_one_component("linear_elasticity", strain=strain)
    strain = require_finite("linear_elasticity", strain=strain)
    (youngs_modulus,) = require_moduli("linear_elasticity", youngs_modulus=youngs_modulus)
    require_shape("linear_elasticity", strain=strain, youngs_modulus=youngs_modulus)
    return youngs_modulus * strain


def _stress(strain: FloatArray, stiffness: FloatArray) -> FloatArray:
    """Stress of a step, (paths, components)."""
    if stiffness.ndim == 2:
        return strain @ stiffness.T
    return stiffness[..., None] * strain


def _components_of(matrix: FloatArray, components: int | None) -> int:
    """Return the number of components of a stiffness matrix; refuse one that is not a stiffness."""
    if matrix.ndim != 2 or matrix.shape[0] != matrix.shape[1] or components not in (None, matrix.shape[0]):
        raise InputError(
            "LinearElasticity: expected a modulus, one for each path, or a matrix (c, c), received a stiffness of "
            f"shape {matrix.shape}" + (f" for {components} components" if components is not None else "")
        )
    require_finite("LinearElasticity", stiffness=matrix)
    least = np.linalg.eigvalsh(0.5 * (matrix + matrix.T))[0]
    if not least > 0:
        raise InputError(
            "LinearElasticity: expected a stiffness with positive energy for every strain, received a matrix whose "
            f"symmetric part has the eigenvalue {least:g}"
        )
    return len(matrix)
