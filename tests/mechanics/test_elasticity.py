"""Hooke's law against numbers worked by hand."""

import re

import numpy as np
import pytest

from kspike_reg.errors import InputError
from kspike_reg.mechanics import LinearElasticity, drive, linear_elasticity

# A product of two doubles is off by at most half a unit in the last place, 1.1e-16. The number in the test is also
# rounded to a double, which doubles the error.
ONE_PRODUCT = 2.3e-16


def test_a_strain_of_one_per_mille_in_steel_gives_210_megapascal():
    np.testing.assert_allclose(linear_elasticity([0.0, 0.001]), [0.0, 210.0], rtol=ONE_PRODUCT)


def test_stress_by_hand_in_tension_and_compression():
    """E = 70 000 MPa: 0.2 per mille gives 14 MPa, -0.5 per mille -35 MPa, and so on."""
    strain = np.array([0.0, 2e-4, -5e-4, 3e-3])
    np.testing.assert_allclose(linear_elasticity(strain, 7.0e4), [0.0, 14.0, -35.0, 210.0], rtol=ONE_PRODUCT)


def test_many_paths_at_once_give_what_each_gives_alone():
    """Shape (n, T) with n != T, so that a transposed result is found."""
    strain = np.array([[0.0, 1e-4, 2e-4], [0.0, -3e-4, 7e-4]])
    stress = linear_elasticity(strain, 1000.0)
    assert stress.shape == (2, 3)
    np.testing.assert_allclose(stress, [[0.0, 0.1, 0.2], [0.0, -0.3, 0.7]], rtol=ONE_PRODUCT)
    for path, alone in zip(stress, strain, strict=True):
        np.testing.assert_array_equal(path, linear_elasticity(alone, 1000.0))


@pytest.mark.parametrize("shape", [(), (5,), (2, 3)])
def test_stress_has_the_shape_of_the_strain_in_double_precision(shape):
    stress = linear_elasticity(np.full(shape, 0.5, dtype=np.float32), 4.0)
    assert stress.shape == shape
    assert stress.dtype == np.float64
    np.testing.assert_array_equal(stress, np.full(shape, 2.0))  # exact: a half and four are powers of two


def test_opposite_strains_give_opposite_stresses():
    strain = np.array([1e-3, 4e-2, 7.0])
    stress = linear_elasticity(strain)
    assert np.all(stress > 0)
    np.testing.assert_array_equal(linear_elasticity(-strain), -stress)


def test_the_strain_is_not_modified():
    strain = np.array([0.0, 0.25])
    linear_elasticity(strain)
    np.testing.assert_array_equal(strain, [0.0, 0.25])


@pytest.mark.parametrize("wrong", [np.nan, np.inf, -np.inf])
def test_a_strain_that_is_not_finite_is_refused(wrong):
    with pytest.raises(InputError, match="linear_elasticity: expected finite values of strain"):
        linear_elasticity([[0.0, 0.1], [0.0, wrong]])


@pytest.mark.parametrize("modulus", [0.0, -2.1e5, np.nan, np.inf])
def test_a_modulus_that_is_not_positive_is_refused_with_its_value(modulus):
    with pytest.raises(
        InputError, match=rf"youngs_modulus to be more than zero, in MPa, received youngs_modulus={modulus}"
    ):
        linear_elasticity([0.0, 0.1], modulus)


@pytest.mark.parametrize("shape", [(2, 3, 4), (2, 3, 1), (1, 1, 1, 1)])
def test_a_strain_with_components_is_refused_with_the_fix(shape):
    """The last axis of such a strain holds components; a law of one dimension has only paths and steps."""
    message = (
        f"linear_elasticity: expected strain of one component, shape (T,) or (n, T), received shape {shape}; "
        "select a component, strain[..., 0] for instance, or take a law of several components along the paths with "
        "mechanics.drive"
    )
    with pytest.raises(InputError, match=re.escape(message)):
        linear_elasticity(np.zeros(shape))


def test_the_function_and_the_law_give_the_same_stress():
    """Each is one product, so they are equal to the bit; with a number and with one modulus for each path."""
    strain = np.random.default_rng(4).normal(0, 1e-2, (3, 5))
    np.testing.assert_array_equal(drive(LinearElasticity(6.9e4), strain).stress, linear_elasticity(strain, 6.9e4))
    moduli = np.array([7e4, 2.1e5, 1.3e5])
    together = linear_elasticity(strain, moduli[:, None])
    np.testing.assert_array_equal(together, [modulus * path for modulus, path in zip(moduli, strain, strict=True)])
    np.testing.assert_array_equal(drive(LinearElasticity(moduli), strain).stress, together)
