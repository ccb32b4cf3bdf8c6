"""Linear hardening: closed forms, a minimisation of the energy step by step, and the laws of thermodynamics."""

import math
import re

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st
from hypothesis.extra import numpy as arrays

from kspike_reg.errors import InputError
from kspike_reg.mechanics import HardeningHistory, IsotropicHardening, drive, isotropic_hardening

E = 2.1e5  # MPa
EPSILON = np.finfo(np.float64).eps
# Stresses are differences of numbers up to E * 0.1 = 21 000 MPa. The plastic strain is at most 0.1, and its error
# stays for the rest of the path. Each of some 40 steps rounds a few times: 200 half units in the last place.
ROUNDING = 100 * EPSILON * E * 0.1  # 4.7e-10 MPa

# The documented range; hardening moduli from zero to Young's modulus.
STRAINS = st.floats(-0.1, 0.1)
YIELD_STRESSES = st.floats(1.0, 5000.0)
MODULI = st.just(0.0) | st.floats(0.0, E)


def paths(count, steps):
    return arrays.arrays(np.float64, (count, steps), elements=STRAINS, fill=st.nothing())


def by_least_energy(strain, yield_stress, youngs_modulus, hardening_modulus, kinematic_modulus):
    """One path in plain Python: the plastic strain of each step minimises the stored and dissipated energy.

    energy(d) = E/2 (strain - p - d)^2 + H/2 (p + d)^2 + K/2 (alpha + |d|)^2 + yield_stress |d|

    is convex in the growth d of the plastic strain p. Its derivative is bisected until no double lies between the ends.
    There is no trial stress and no yield condition: in an elastic step the derivative changes its sign at d = 0.
    """

    def slope(growth, now, plastic, alpha):
        sign = 1.0 if growth > 0 else -1.0
        return (
            -youngs_modulus * (now - plastic - growth)
            + kinematic_modulus * (plastic + growth)
            + sign * (yield_stress + hardening_modulus * (alpha + abs(growth)))
        )

    plastic = alpha = 0.0
    stress = []
    for now in strain:
        low, high = -1.0, 1.0  # a growth of one is far more than strains up to 0.1 can cause
        # Less than 1e-18 of strain, 1e-12 MPa, does not matter.
        while high - low > 1e-18 and low < (middle := 0.5 * (low + high)) < high:
            low, high = (middle, high) if slope(middle, now, plastic, alpha) < 0 else (low, middle)
        growth = 0.5 * (low + high)
        plastic += growth
        alpha += abs(growth)
        stress.append(youngs_modulus * (now - plastic))
    return stress


def by_plain_loop(strain, yield_stress, youngs_modulus, hardening_modulus, kinematic_modulus):
    """One path in plain Python by return mapping: stress, plastic strain, equivalent plastic strain, back stress.

    Frozen: these operations in this order produced the recorded data sets, and a data set must not change by a bit.
    """
    moduli = youngs_modulus + hardening_modulus + kinematic_modulus
    plastic = alpha = 0.0
    history = []
    for now in strain:
        relative = youngs_modulus * (now - plastic) - kinematic_modulus * plastic
        growth = max(abs(relative) - (yield_stress + hardening_modulus * alpha), 0.0) / moduli
        plastic = plastic + math.copysign(growth, relative)
        alpha = alpha + growth
        history.append((youngs_modulus * (now - plastic), plastic, alpha, kinematic_modulus * plastic))
    return np.transpose(history)


@settings(deadline=None, max_examples=50)
@given(paths(5, 11), YIELD_STRESSES, MODULI, MODULI)
def test_any_path_is_that_of_the_plain_loop_to_the_bit(strain, yield_stress, hardening_modulus, kinematic_modulus):
    constants = (yield_stress, E, hardening_modulus, kinematic_modulus)
    history = isotropic_hardening(strain, *constants, return_history=True)
    expected = np.stack([by_plain_loop(path, *constants) for path in strain.tolist()], axis=1)
    for part, numbers in zip(history, expected, strict=True):
        np.testing.assert_array_equal(part, numbers)
    np.testing.assert_array_equal(isotropic_hardening(strain[3], *constants), expected[0, 3])


@settings(deadline=None, max_examples=50)
@given(paths(3, 13), YIELD_STRESSES, MODULI, MODULI)
def test_any_path_is_the_one_of_least_energy(strain, yield_stress, hardening_modulus, kinematic_modulus):
    constants = (yield_stress, E, hardening_modulus, kinematic_modulus)
    stress = isotropic_hardening(strain, *constants)
    expected = [by_least_energy(path, *constants) for path in strain.tolist()]
    np.testing.assert_allclose(stress, expected, rtol=0, atol=2 * ROUNDING)  # both round


def test_random_cycles_in_the_paper_steel_are_those_of_least_energy():
    generator = np.random.default_rng(21)
    strain = np.cumsum(generator.normal(0.0, 0.0015, (6, 60)), axis=1)
    history = isotropic_hardening(strain, return_history=True)
    yields = np.diff(history.equivalent_plastic_strain, axis=1) > 0
    # The test is not vacuous: there are elastic and plastic steps, and plastic flow in both directions on every path.
    assert 0.2 < yields.mean() < 0.8
    flow = np.diff(history.plastic_strain, axis=1)
    assert np.all(flow.max(axis=1) > 0)
    assert np.all(flow.min(axis=1) < 0)
    expected = [by_least_energy(path, 300.0, E, 2.1e4, 0.0) for path in strain.tolist()]
    np.testing.assert_allclose(history.stress, expected, rtol=0, atol=2 * ROUNDING)


@settings(deadline=None, max_examples=50)
@given(
    arrays.arrays(np.float64, (4, 9), elements=st.floats(0.0, 0.1), fill=st.nothing()),
    st.sampled_from([1.0, -1.0]),
    YIELD_STRESSES,
    MODULI,
    MODULI,
)
def test_monotone_loading_follows_two_straight_lines(size, sign, yield_stress, hardening_modulus, kinematic_modulus):
    """Slope E up to the yield stress, then E (K + H) / (E + K + H), in tension and compression."""
    size = np.sort(size, axis=1)
    stress = isotropic_hardening(sign * size, yield_stress, E, hardening_modulus, kinematic_modulus)
    hardening = hardening_modulus + kinematic_modulus
    tangent = E * hardening / (E + hardening)
    expected = np.where(E * size <= yield_stress, E * size, yield_stress + tangent * (size - yield_stress / E))
    np.testing.assert_allclose(stress, sign * expected, rtol=0, atol=ROUNDING)


def test_the_paper_steel_follows_numbers_worked_by_hand():
    """E = 210 000, K = 21 000, yield stress 300 MPa, so a tangent of 21 000 / 1.1 = 19 090.909 MPa.

    Strain 0.001 is elastic, 210; yield is at 1/700; at 0.005 the plastic strain is 750 / 231 000 = 0.00324675 and the
    stress 210 000 * (0.005 - 0.00324675) = 368.1818. Back at 0.003 it has fallen by 420 to -51.8182; at 0 the trial
    -681.8182 exceeds 368.1818 by 313.6364, so the plastic strain falls by 313.6364 / 231 000 = 0.00135773 to
    0.00188902 and the stress is -396.6942.
    """
    strain = [0.0, 0.001, 0.005, 0.003, 0.0]
    stress, plastic, alpha, back_stress = isotropic_hardening(strain, return_history=True)
    # The numbers in the text have seven digits or are written here as fractions; half a unit of the last digit.
    np.testing.assert_allclose(stress, [0.0, 210.0, 368.1818, -51.8182, -396.6942], rtol=0, atol=5.1e-5)
    np.testing.assert_allclose(plastic, [0.0, 0.0, 0.00324675, 0.00324675, 0.00188902], rtol=0, atol=1.1e-8)
    np.testing.assert_allclose(alpha, [0.0, 0.0, 0.00324675, 0.00324675, 0.00460449], rtol=0, atol=1.1e-8)
    np.testing.assert_array_equal(back_stress, np.zeros(5))


@pytest.mark.parametrize(("hardening_modulus", "kinematic_modulus"), [(0.0, 0.0), (2.1e4, 0.0), (0.0, 3e4), (5e3, 1e4)])
def test_unloading_has_the_slope_of_elasticity(hardening_modulus, kinematic_modulus):
    """Unloading from 0.006 by less than two yield stresses does not change the plastic strain by a bit."""
    strain = np.array([0.0, 0.002, 0.006, 0.0055, 0.0047, 0.004, 0.0058])
    history = isotropic_hardening(strain, 290.0, E, hardening_modulus, kinematic_modulus, return_history=True)
    assert history.plastic_strain[2] > 0
    assert np.all(history.plastic_strain[3:] == history.plastic_strain[2])
    slopes = np.diff(history.stress[2:]) / np.diff(strain[2:])
    # Stresses of up to 400 MPa round to 6e-14, over strains that differ by 5e-4: 1e-10 MPa of the 2.1e5.
    np.testing.assert_allclose(slopes, E, rtol=1e-11)


def test_perfect_plasticity_holds_the_yield_stress():
    strain = np.array([0.0, 0.001, 0.004, 0.05, 0.049, 0.01, -0.1])
    stress = isotropic_hardening(strain, 250.0, E, 0.0)
    np.testing.assert_allclose(stress, [0.0, 210.0, 250.0, 250.0, 40.0, -250.0, -250.0], rtol=0, atol=ROUNDING)


def elastic_range(**moduli):
    """Width in MPa of the elastic range after loading to 2 %: from there down to where the plastic strain changes."""
    down = np.linspace(0.02, 0.0, 20001)  # steps of 1e-6, 0.21 MPa
    history = isotropic_hardening(np.concatenate([[0.0], down]), 300.0, E, **moduli, return_history=True)
    still = history.plastic_strain[1:] == history.plastic_strain[1]
    assert not still.all()
    last = np.flatnonzero(still)[-1] + 1
    return history.stress[1], history.stress[1] - history.stress[last]


def test_kinematic_hardening_keeps_the_elastic_range_two_yield_stresses_wide():
    """Bauschinger effect: compression loses the strength that tension gains."""
    peak, width = elastic_range(hardening_modulus=0.0, kinematic_modulus=2.1e4)
    assert peak > 1.9 * 300.0
    assert abs(width - 600.0) <= 0.21  # one step of the strain


def test_isotropic_hardening_widens_the_elastic_range_to_twice_the_peak():
    peak, width = elastic_range(hardening_modulus=2.1e4, kinematic_modulus=0.0)
    assert peak > 1.9 * 300.0
    assert abs(width - 2 * peak) <= 0.21  # one step of the strain


def test_both_hardenings_share_one_curve_of_first_loading():
    """The tangent of first loading depends only on the sum K + H; unloading distinguishes the two."""
    strain = np.array([0.0, 0.003, 0.01, 0.004, -0.001])
    isotropic, kinematic = (isotropic_hardening(strain, 300.0, E, k, h) for k, h in ((2.1e4, 0.0), (0.0, 2.1e4)))
    np.testing.assert_allclose(isotropic[:3], kinematic[:3], rtol=0, atol=ROUNDING)
    assert np.all(np.abs(isotropic[3:] - kinematic[3:]) > 100.0)


@settings(deadline=None, max_examples=50)
@given(paths(5, 12), YIELD_STRESSES, MODULI, MODULI)
def test_stress_stays_inside_the_elastic_range_and_dissipation_is_never_negative(
    strain, yield_stress, hardening_modulus, kinematic_modulus
):
    constants = (yield_stress, E, hardening_modulus, kinematic_modulus)
    history = isotropic_hardening(strain, *constants, return_history=True)
    alpha = history.equivalent_plastic_strain
    radius = yield_stress + hardening_modulus * alpha
    relative = history.stress - history.back_stress
    assert np.all(np.abs(relative) <= radius * (1 + 1e-9))
    flow = np.diff(history.plastic_strain, axis=1, prepend=0.0)
    growth = np.diff(alpha, axis=1, prepend=0.0)
    assert np.all(growth >= 0)
    # The flow has the sign of the stress: no step may have a negative product, not even a tiny one.
    assert np.all(relative * flow >= 0)
    dissipated = relative * flow - hardening_modulus * alpha * growth
    # The work that is not stored is yield_stress * growth. The stress is exact to ROUNDING. Flow and growth are
    # differences of strains below ten, so exact to ten units in the last place, and multiply the radius or K alpha.
    bound = ROUNDING * growth + 10 * EPSILON * (radius + hardening_modulus * alpha)
    assert np.all(np.abs(dissipated - yield_stress * growth) <= bound)
    assert np.all(dissipated >= -bound)


@settings(deadline=None, max_examples=50)
@given(paths(3, 8), YIELD_STRESSES, MODULI, MODULI)
def test_the_history_is_consistent(strain, yield_stress, hardening_modulus, kinematic_modulus):
    constants = (yield_stress, E, hardening_modulus, kinematic_modulus)
    history = isotropic_hardening(strain, *constants, return_history=True)
    assert isinstance(history, HardeningHistory)
    assert all(part.shape == strain.shape and part.dtype == np.float64 for part in history)
    np.testing.assert_array_equal(history.stress, isotropic_hardening(strain, *constants))
    np.testing.assert_array_equal(history.stress, E * (strain - history.plastic_strain))  # the same two operations
    np.testing.assert_array_equal(history.back_stress, kinematic_modulus * history.plastic_strain)
    cumulative = np.cumsum(np.abs(np.diff(history.plastic_strain, axis=1, prepend=0.0)), axis=1)
    # Plastic strains up to 0.1 and their sums over 8 steps, up to 1.6, with one rounding each.
    np.testing.assert_allclose(history.equivalent_plastic_strain, cumulative, rtol=0, atol=8 * 1.6 * EPSILON)


@settings(deadline=None, max_examples=50)
@given(paths(2, 5), st.integers(2, 12), YIELD_STRESSES, MODULI, MODULI)
def test_the_stress_at_a_turn_does_not_depend_on_the_steps_towards_it(
    turns, pieces, yield_stress, hardening_modulus, kinematic_modulus
):
    """Linear hardening is solved exactly, so a monotone segment may be taken in one step or in many."""
    fractions = np.arange(1, pieces + 1) / pieces
    start = np.concatenate([np.zeros((2, 1)), turns[:, :-1]], axis=1)
    fine = start[..., None] + (turns - start)[..., None] * fractions
    fine[..., -1] = turns  # start + (turn - start) may round
    constants = (yield_stress, E, hardening_modulus, kinematic_modulus)
    coarse = isotropic_hardening(turns, *constants, return_history=True)
    refined = isotropic_hardening(fine.reshape(2, -1), *constants, return_history=True)
    for one, other, scale in zip(coarse, refined, (1.0, 1 / E, 1 / E, 1.0), strict=True):
        # Sixty steps at most instead of forty, and alpha is as large as 1 instead of 0.1.
        np.testing.assert_allclose(other[:, pieces - 1 :: pieces], one, rtol=0, atol=15 * ROUNDING * scale)


@settings(deadline=None, max_examples=50)
@given(paths(4, 7), YIELD_STRESSES, MODULI, MODULI)
def test_opposite_strains_give_opposite_stresses(strain, yield_stress, hardening_modulus, kinematic_modulus):
    constants = (yield_stress, E, hardening_modulus, kinematic_modulus)
    np.testing.assert_array_equal(isotropic_hardening(-strain, *constants), -isotropic_hardening(strain, *constants))


@settings(deadline=None, max_examples=50)
@given(paths(3, 5), YIELD_STRESSES, MODULI, MODULI)
def test_many_paths_at_once_give_what_each_gives_alone(strain, yield_stress, hardening_modulus, kinematic_modulus):
    """Shape (n, T) with n != T; the same operations on each number, so results are equal to the bit."""
    constants = (yield_stress, E, hardening_modulus, kinematic_modulus)
    together = isotropic_hardening(strain, *constants, return_history=True)
    for index, path in enumerate(strain):
        alone = isotropic_hardening(path, *constants, return_history=True)
        for one, other in zip(together, alone, strict=True):
            assert other.shape == (5,)
            np.testing.assert_array_equal(one[index], other)


def test_no_strain_gives_no_stress_and_no_history():
    for part in isotropic_hardening(np.zeros((2, 3)), 300.0, return_history=True):
        np.testing.assert_array_equal(part, np.zeros((2, 3)))


def test_a_path_may_begin_beyond_yield():
    """The material is stress-free before the first step, not at it: 0.005 in one step, by hand as above."""
    stress = isotropic_hardening([0.005])
    np.testing.assert_allclose(stress, [300 + 2.1e4 / 1.1 * (0.005 - 1 / 700)], rtol=0, atol=ROUNDING)


def test_the_kinematic_modulus_is_zero_by_default():
    strain = np.array([0.0, 0.01, -0.01, 0.004])
    np.testing.assert_array_equal(
        isotropic_hardening(strain, 250.0, 2e5, 1e4), isotropic_hardening(strain, 250.0, 2e5, 1e4, 0.0)
    )


def test_the_strain_is_not_modified():
    strain = np.array([[0.0, 0.01], [0.0, -0.02], [0.0, 0.03]])
    stress = isotropic_hardening(strain)
    stress += 1.0
    np.testing.assert_array_equal(strain, [[0.0, 0.01], [0.0, -0.02], [0.0, 0.03]])


@pytest.mark.parametrize("wrong", [np.nan, np.inf, -np.inf])
def test_a_strain_that_is_not_finite_is_refused(wrong):
    with pytest.raises(InputError, match="isotropic_hardening: expected finite values of strain"):
        isotropic_hardening([[0.0, 0.1], [0.0, wrong]])


def test_a_single_strain_is_refused_since_it_is_not_a_path():
    with pytest.raises(InputError, match=r"expected paths of shape \(T,\) or \(n, T\), received a single strain"):
        isotropic_hardening(0.1)


@pytest.mark.parametrize("name", ["yield_stress", "youngs_modulus"])
@pytest.mark.parametrize("wrong", [0.0, -5.0, np.nan, np.inf])
def test_a_constant_that_is_not_positive_is_refused_with_name_and_value(name, wrong):
    with pytest.raises(InputError, match=rf"{name} to be more than zero, in MPa, received {name}={wrong}"):
        isotropic_hardening([0.0, 0.1], **{name: wrong})


@pytest.mark.parametrize("name", ["hardening_modulus", "kinematic_modulus"])
@pytest.mark.parametrize("wrong", [-1e-3, -2.1e4, np.nan, np.inf])
def test_a_modulus_of_softening_is_refused_with_name_and_value(name, wrong):
    with pytest.raises(InputError, match=rf"{name} to be zero or more, in MPa, received {name}={wrong}"):
        isotropic_hardening([0.0, 0.1], **{name: wrong})


@pytest.mark.parametrize("shape", [(2, 3, 4), (2, 3, 1)])
def test_a_strain_with_components_is_refused_with_the_fix(shape):
    """The last axis holds components, and time would be the axis before it."""
    message = (
        f"isotropic_hardening: expected strain of one component, shape (T,) or (n, T), received shape {shape}; "
        "select a component, strain[..., 0] for instance, or take a law of several components along the paths with "
        "mechanics.drive"
    )
    with pytest.raises(InputError, match=re.escape(message)):
        isotropic_hardening(np.zeros(shape))


@pytest.mark.parametrize(("hardening_modulus", "kinematic_modulus"), [(2.1e4, 0.0), (0.0, 3e4), (5e3, 1e4), (0.0, 0.0)])
def test_the_tangent_is_elastic_inside_the_range_and_the_slope_of_hardening_outside(
    hardening_modulus, kinematic_modulus
):
    """Loading to 0.001 is elastic, to 0.004 and 0.006 plastic, back to 0.005 elastic, to -0.004 plastic."""
    law = IsotropicHardening(300.0, E, hardening_modulus, kinematic_modulus)
    response = drive(law, [0.001, 0.004, 0.006, 0.005, -0.004], tangents=True)
    slope = E * (hardening_modulus + kinematic_modulus) / (E + hardening_modulus + kinematic_modulus)
    np.testing.assert_allclose(response.tangents, [E, slope, slope, E, slope], rtol=4 * EPSILON)
    rise = (response.stress[2] - response.stress[1]) / 0.002
    np.testing.assert_allclose(rise, slope, rtol=0, atol=ROUNDING / 0.002)
