"""Ramberg and Osgood's law: the strain recovered from the stress, a bisection, and closed forms."""

import math
import re

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st
from hypothesis.extra import numpy as arrays

from kspike_reg.errors import InputError
from kspike_reg.mechanics import ConvergenceError, RambergOsgood, drive, ramberg_osgood, ramberg_osgood_strain

# `kspike_reg.mechanics.ramberg_osgood` is the function; monkeypatch finds its module by the function's own globals.
MODULE = ramberg_osgood.__globals__

# The documented accuracy: the strain of the returned stress equals the strain to a relative 1e-10.
PROMISED = 1e-10
# The iteration stops at a relative residual of 1e-13 in the strain. The logarithm of the strain grows 1 to n times as
# fast as that of the stress, so the stress is as exact. Two stresses differ by twice that; 50 roundings add 1e-14.
TWO_ITERATIONS = 3e-13

# The documented range. Numbers below the smallest normal double have no relative precision.
STRAINS = st.floats(-0.1, 0.1, allow_subnormal=False)
YIELD_STRESSES = st.floats(1.0, 5000.0)
EXPONENTS = st.floats(1.0, 50.0)


def many(elements, shape):
    return arrays.arrays(np.float64, shape, elements=elements, fill=st.nothing())


def by_bisection(strain, yield_stress, youngs_modulus, exponent):
    """One stress in plain Python: halve the interval until no double lies inside it."""
    size = abs(strain)
    low, high = 0.0, youngs_modulus * size
    while low < (middle := 0.5 * (low + high)) < high:
        # The power is computed by its logarithm, so that a far too large stress does not overflow.
        logarithm = exponent * math.log(middle / yield_stress)
        plastic = 0.002 * math.exp(logarithm) if logarithm < 100 else math.inf
        if middle / youngs_modulus + plastic < size:
            low = middle
        else:
            high = middle
    return math.copysign(high, strain) if strain else 0.0


def by_plain_loop(strain, yield_stress, youngs_modulus, exponent):
    """The iteration for one chunk of values; all arguments are arrays of one shape or numbers.

    Frozen: these operations in this order produced the recorded data sets, and a data set must not change by a bit.
    """
    size, elastic = np.abs(strain), yield_stress / youngs_modulus
    upper = np.minimum(size / elastic, (size / 0.002) ** (1 / exponent))
    lower, s = np.zeros_like(upper), upper
    for _ in range(60):
        power = 0.002 * s ** (exponent - 1)
        excess = s * (elastic + power) - size
        if np.all(np.abs(excess) <= 1e-13 * size):
            break
        lower, upper = np.where(excess < 0, s, lower), np.where(excess > 0, s, upper)
        step = s - excess / (elastic + exponent * power)
        s = np.where((step >= lower) & (step <= upper), step, 0.5 * (lower + upper))
    return np.sign(strain) * s * yield_stress


def test_the_stress_is_that_of_the_plain_loop_to_the_bit():
    """On the paper's task, with one strain path and numbers for modulus and exponent, and on arrays of each."""
    generator = np.random.default_rng(7)
    strain, yield_stress = np.linspace(0.0, 1e-2, 20), generator.uniform(100.0, 500.0, (37, 1))
    modulus, exponent = np.array(2.1e5), np.array(10.0)
    flat = [np.broadcast_to(array, (37, 20)).reshape(-1) for array in (strain, yield_stress)]
    expected = by_plain_loop(*flat, modulus, exponent).reshape(37, 20)
    np.testing.assert_array_equal(ramberg_osgood(strain, yield_stress), expected)
    strain, moduli = generator.uniform(-0.1, 0.1, (11, 6)), generator.uniform(4e4, 3e5, 6)
    yield_stress, exponents = generator.uniform(1.0, 5000.0, (11, 1)), generator.uniform(1.0, 50.0, (11, 1))
    arrays_of_all = (strain, yield_stress, moduli, exponents)
    flat = [np.broadcast_to(array, (11, 6)).reshape(-1) for array in arrays_of_all]
    np.testing.assert_array_equal(ramberg_osgood(*arrays_of_all), by_plain_loop(*flat).reshape(11, 6))


@settings(deadline=None, max_examples=50)
@given(many(STRAINS, (5, 3)), many(YIELD_STRESSES, 5), many(EXPONENTS, 5))
def test_the_law_gives_the_stress_of_the_function_and_the_tangent_of_its_strain(strain, yield_stress, exponent):
    """Differentiating the strain by the stress, d strain / d stress = 1/E + 0.002 n / Y (|stress| / Y)^(n - 1)."""
    response = drive(RambergOsgood(yield_stress, exponent=exponent), strain, tangents=True)
    stress = ramberg_osgood(strain, yield_stress[:, None], exponent=exponent[:, None])
    # In a batch, other values can add a step of the iteration to a value.
    np.testing.assert_allclose(response.stress, stress, rtol=TWO_ITERATIONS)
    size = np.abs(response.stress) / yield_stress[:, None]
    # The power is computed by its logarithm, a different function; at zero stress it is zero, or one for n = 1.
    logarithm = np.log(np.where(size > 0, size, 1))
    power = np.where(size > 0, np.exp((exponent[:, None] - 1) * logarithm), exponent[:, None] == 1)
    compliance = 1 / 2.1e5 + 0.002 * exponent[:, None] / yield_stress[:, None] * power
    # A power below 1e-16 is lost next to 1 / E, and none is near 1e16, so the logarithm is below 40 in size. Its
    # roundings, a few times 1e-16, change the power by a few times 40 * 1e-16.
    np.testing.assert_allclose(response.tangents, 1 / compliance, rtol=5e-14)


def test_the_tangent_at_no_strain_is_the_modulus_unless_the_law_is_linear():
    law = RambergOsgood([300.0, 250.0, 100.0], 2e5, [10.0, 1.5, 1.0])
    tangents = drive(law, np.zeros((3, 1)), tangents=True).tangents[:, 0]
    # With an exponent of one: 1 / (1/E + 0.002 / 100), with some roundings.
    np.testing.assert_allclose(tangents, [2e5, 2e5, 1 / (5e-6 + 2e-5)], rtol=1e-15)


@settings(deadline=None, max_examples=50)
@given(many(STRAINS, (6, 4)), many(YIELD_STRESSES, (6, 1)), many(EXPONENTS, (6, 1)))
def test_the_strain_of_the_stress_is_the_strain_over_the_documented_range(strain, yield_stress, exponent):
    stress = ramberg_osgood(strain, yield_stress, exponent=exponent)
    recovered = ramberg_osgood_strain(stress, yield_stress, exponent=exponent)
    np.testing.assert_allclose(recovered, strain, rtol=PROMISED)


def test_the_strain_is_recovered_on_the_corners_and_the_edges_of_the_range():
    """Strains over 300 powers of ten with both signs; yield stresses and exponents over their whole range."""
    strain = np.concatenate([[0.1, 0.002, 1e-4], np.geomspace(1e-300, 0.1, 61)])
    strain = np.concatenate([strain, -strain])
    exponents = np.array([1.0, 1.0 + 1e-15, 1.5, 2.0, 7.0, 10.0, 33.3, 50.0])
    yield_stress = np.repeat(np.geomspace(1.0, 5000.0, 9), 8)[:, None]
    exponent = np.tile(exponents, 9)[:, None]
    stress = ramberg_osgood(strain, yield_stress, exponent=exponent)
    assert stress.shape == (9 * 8, 128)
    recovered = ramberg_osgood_strain(stress, yield_stress, exponent=exponent)
    np.testing.assert_allclose(recovered, np.broadcast_to(strain, stress.shape), rtol=PROMISED)


@settings(deadline=None, max_examples=50)
@given(many(STRAINS, 5), many(YIELD_STRESSES, 5), many(EXPONENTS, 5))
def test_the_stress_is_the_one_that_a_bisection_finds(strain, yield_stress, exponent):
    stress = ramberg_osgood(strain, yield_stress, 1.9e5, exponent)
    every = zip(strain, yield_stress, exponent, strict=True)
    expected = [by_bisection(float(e), float(s), 1.9e5, float(n)) for e, s, n in every]
    # One iteration and the logarithm of the bisection, whose exponential is off by up to 50 ln(1e5) units of 1e-16.
    np.testing.assert_allclose(stress, expected, rtol=TWO_ITERATIONS)


def test_the_paper_steel_has_two_per_mille_of_plastic_strain_at_its_yield_stress():
    """At 300 MPa the strain is 300 / 2.1e5 + 0.002 = 0.0034285714... for any exponent."""
    for exponent in (1.0, 4.5, 10.0, 50.0):
        np.testing.assert_allclose(ramberg_osgood_strain(300.0, 300.0, exponent=exponent), 0.024 / 7, rtol=1e-15)
        # 1e-13 from the residual of the iteration, and the roundings of 0.024 / 7 and the quotients, some 1e-16.
        np.testing.assert_allclose(ramberg_osgood(0.024 / 7, 300.0, exponent=exponent), 300.0, rtol=1.1e-13)


def test_strain_follows_numbers_worked_by_hand():
    """E = 1000, yield stress 10, n = 3: at 20 the strain is 0.02 + 0.002 * 8, at -5 it is -0.005 - 0.002 / 8."""
    strain = ramberg_osgood_strain([0.0, 20.0, -5.0, 10.0], 10.0, 1000.0, 3.0)
    # Four operations, each rounded to half a unit in the last place.
    np.testing.assert_allclose(strain, [0.0, 0.036, -0.00525, 0.012], rtol=5e-16)


@settings(deadline=None, max_examples=50)
@given(many(STRAINS, (4, 3)), many(YIELD_STRESSES, (4, 1)))
def test_an_exponent_of_one_gives_a_softer_linear_law(strain, yield_stress):
    """Strain = stress (1 / E + 0.002 / yield stress)."""
    stress = ramberg_osgood(strain, yield_stress, exponent=1.0)
    np.testing.assert_allclose(stress, strain / (1 / 2.1e5 + 0.002 / yield_stress), rtol=TWO_ITERATIONS)


def test_far_below_the_yield_stress_the_law_is_hookes_law():
    """Below a tenth of the yield stress and with n = 10 the plastic strain is below 0.002 * 0.1**10, 2e-9 of 1e-4."""
    strain = np.array([1e-4, -7e-5, 3e-6])
    np.testing.assert_allclose(ramberg_osgood(strain, 300.0), 2.1e5 * strain, rtol=2e-9)


@settings(deadline=None, max_examples=50)
@given(many(STRAINS, (3, 5)), many(YIELD_STRESSES, (3, 1)), many(EXPONENTS, (3, 1)))
def test_opposite_strains_give_opposite_stresses(strain, yield_stress, exponent):
    stress = ramberg_osgood(strain, yield_stress, exponent=exponent)
    np.testing.assert_array_equal(ramberg_osgood(-strain, yield_stress, exponent=exponent), -stress)  # sign is exact
    np.testing.assert_array_equal(np.sign(stress), np.sign(strain))


def test_no_strain_gives_no_stress():
    for exponent in (1.0, 1.5, 50.0):
        np.testing.assert_array_equal(ramberg_osgood(np.zeros((2, 3)), 250.0, exponent=exponent), np.zeros((2, 3)))
        assert ramberg_osgood_strain(0.0, 250.0, exponent=exponent) == 0


@settings(deadline=None, max_examples=50)
@given(many(STRAINS, 40), YIELD_STRESSES, EXPONENTS)
def test_more_strain_gives_more_stress(strain, yield_stress, exponent):
    strain = np.sort(strain)
    stress = ramberg_osgood(strain, yield_stress, exponent=exponent)
    # Two neighbours may each be off by the residual, and so may swap.
    assert np.all(np.diff(stress) >= -TWO_ITERATIONS * np.abs(stress[1:]))
    # The logarithm of the stress grows by at least 1/50 of that of the strain, so 1e-9 in strain cannot be lost.
    apart = np.diff(strain) > 1e-9 * np.abs(strain[1:])
    assert np.all(np.diff(stress)[apart] > 0)


@pytest.mark.parametrize("shape", [(), (1,), (5,), (2, 3), (0, 3)])
def test_stress_has_the_shape_of_the_strain_in_double_precision(shape):
    stress = ramberg_osgood(np.full(shape, 0.024 / 7, dtype=np.float32), 300.0)
    assert stress.shape == shape
    assert stress.dtype == np.float64
    # 0.024 / 7 was rounded to single precision, 6e-8; the relative error of the stress is smaller.
    np.testing.assert_allclose(stress, np.full(shape, 300.0), rtol=6e-8)


def test_one_yield_stress_per_path_gives_what_each_path_gives_alone():
    """Shape (n, T) with n != T, so that a yield stress applied to a step is found."""
    strain = np.linspace(-0.004, 0.01, 5) * np.array([[1.0], [0.5], [-0.2]])
    yield_stress = np.array([[120.0], [300.0], [455.0]])
    together = ramberg_osgood(strain, yield_stress)
    assert together.shape == (3, 5)
    alone = [ramberg_osgood(path, float(own[0])) for path, own in zip(strain, yield_stress, strict=True)]
    # The iteration ends when all values converged, so other values can add a step to a value.
    np.testing.assert_allclose(together, alone, rtol=TWO_ITERATIONS)
    # One strain path for all, as in the paper's task.
    shared = ramberg_osgood(strain[0], yield_stress)
    np.testing.assert_allclose(shared, [ramberg_osgood(strain[0], float(s)) for s in yield_stress[:, 0]], rtol=3e-13)


def test_modulus_and_exponent_broadcast_too():
    strain, modulus, exponent = np.array([0.003, -0.008]), np.array([[7e4], [2.1e5], [1e5]]), np.array([3.0, 12.0])
    stress = ramberg_osgood(strain, 200.0, modulus, exponent)
    expected = [
        [by_bisection(float(e), 200.0, float(m), float(n)) for e, n in zip(strain, exponent, strict=True)]
        for m in modulus[:, 0]
    ]
    np.testing.assert_allclose(stress, expected, rtol=TWO_ITERATIONS)


def test_a_batch_over_several_chunks_is_the_same_as_its_pieces():
    """Three chunks, the last partly filled, with arguments of each shape: full, per path, per step, one number."""
    chunk = MODULE["CHUNK"]
    paths, steps = 2 * chunk // 7 + 11, 7
    assert 2 * chunk < paths * steps < 3 * chunk
    generator = np.random.default_rng(12)
    strain = generator.uniform(-0.1, 0.1, (paths, steps))
    yield_stress = generator.uniform(1.0, 5000.0, (paths, 1))
    exponent = generator.uniform(1.0, 50.0, steps)
    whole = ramberg_osgood(strain, yield_stress, 2.0e5, exponent)
    for start in range(0, paths, 500):
        part = slice(start, start + 500)
        piece = ramberg_osgood(strain[part], yield_stress[part], 2.0e5, exponent)
        # As above, other values can add a step of the iteration to a value.
        np.testing.assert_allclose(whole[part], piece, rtol=TWO_ITERATIONS)


def test_the_law_has_no_memory():
    """Unloading follows the loading curve, unlike plasticity; the values share a call, so they are equal to the bit."""
    up = np.linspace(0.0, 0.01, 6)
    stress = ramberg_osgood(np.concatenate([up, up[::-1]]), 300.0)
    np.testing.assert_array_equal(stress[6:], stress[5::-1])


def test_arguments_are_not_modified():
    strain, yield_stress = np.array([0.0, -0.005, 0.02]), np.array([100.0, 200.0, 300.0])
    ramberg_osgood(strain, yield_stress)
    np.testing.assert_array_equal(strain, [0.0, -0.005, 0.02])
    np.testing.assert_array_equal(yield_stress, [100.0, 200.0, 300.0])


def test_an_iteration_that_does_not_converge_raises_and_names_its_values(monkeypatch):
    monkeypatch.setitem(MODULE, "ITERATIONS", 1)
    with pytest.raises(ConvergenceError) as caught:
        ramberg_osgood([[0.0, 1e-6], [-0.0037, 0.0]], 310.0, 2.0e5, 8.5)
    message = str(caught.value)
    # The error names the value that is far from converged, not those that are right after one step.
    assert "relative residual of 1e-10 within 1 iterations" in message
    assert "strain -0.0037, yield stress 310.0 MPa, Young's modulus 200000.0 MPa, exponent 8.5" in message
    assert isinstance(caught.value, ArithmeticError)


def test_a_single_strain_that_does_not_converge_raises_too(monkeypatch):
    monkeypatch.setitem(MODULE, "ITERATIONS", 1)
    with pytest.raises(ConvergenceError, match=r"strain 0\.01, yield stress 155\.0 MPa"):
        ramberg_osgood(0.01, 155.0)


def test_a_dozen_iterations_are_enough_for_the_documented_range(monkeypatch):
    """Sixty are allowed; this finds a wrong Newton step that leaves the work to the bisection."""
    monkeypatch.setitem(MODULE, "ITERATIONS", 12)
    generator = np.random.default_rng(3)
    yield_stress = np.exp(generator.uniform(0.0, np.log(5000.0), (400, 1)))
    ramberg_osgood(generator.uniform(-0.1, 0.1, (400, 50)), yield_stress, exponent=generator.uniform(1, 50, (400, 1)))


@pytest.mark.parametrize("wrong", [np.nan, np.inf, -np.inf])
def test_a_number_that_is_not_finite_is_refused(wrong):
    with pytest.raises(InputError, match="ramberg_osgood: expected finite values of strain"):
        ramberg_osgood([0.0, wrong], 300.0)
    with pytest.raises(InputError, match="ramberg_osgood: expected finite values of exponent"):
        ramberg_osgood([0.0, 0.1], 300.0, exponent=wrong)
    with pytest.raises(InputError, match="ramberg_osgood_strain: expected finite values of stress"):
        ramberg_osgood_strain([0.0, wrong], 300.0)


@pytest.mark.parametrize("name", ["yield_stress", "youngs_modulus"])
@pytest.mark.parametrize("wrong", [0.0, -300.0, np.nan, np.inf])
def test_a_constant_that_is_not_positive_is_refused_with_name_and_value(name, wrong):
    constants = {"yield_stress": 300.0} | {name: wrong}
    with pytest.raises(InputError, match=f"ramberg_osgood: expected {name} to be more than zero, in MPa.*{name}="):
        ramberg_osgood([0.0, 0.1], **constants)


def test_one_wrong_yield_stress_among_many_is_refused_with_their_range():
    with pytest.raises(InputError, match=r"yield_stress to be more than zero.*values from -2\.0 to 100\.0"):
        ramberg_osgood(np.zeros((2, 3)), np.array([[100.0], [-2.0]]))


@pytest.mark.parametrize("exponent", [0.999, 0.0, -10.0, [10.0, 0.5]])
def test_an_exponent_below_one_is_refused_with_its_value(exponent):
    with pytest.raises(InputError, match=rf"expected an exponent of 1 or more, received {np.min(exponent)}"):
        ramberg_osgood([0.0, 0.1], 300.0, exponent=exponent)


def test_shapes_that_do_not_broadcast_are_refused_with_the_fix():
    with pytest.raises(
        InputError, match=r"do not broadcast: strain \(2, 3\), yield_stress \(2,\).*array of shape \(paths, 1\)"
    ):
        ramberg_osgood(np.zeros((2, 3)), np.array([100.0, 200.0]))


@pytest.mark.parametrize("shape", [(2, 3, 4), (2, 3, 1)])
def test_components_are_refused_with_the_fix(shape):
    """The last axis of such an array holds components; a law of one dimension has only paths and steps."""
    for function, name in ((ramberg_osgood, "strain"), (ramberg_osgood_strain, "stress")):
        message = (
            f"{function.__name__}: expected {name} of one component, shape (T,) or (n, T), received shape {shape}; "
            f"select a component, {name}[..., 0] for instance, or take a law of several components along the paths "
            "with mechanics.drive"
        )
        with pytest.raises(InputError, match=re.escape(message)):
            function(np.zeros(shape), 300.0)
