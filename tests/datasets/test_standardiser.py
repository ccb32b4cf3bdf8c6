"""Mean and deviation against exact fractions, for ordinary numbers and for the ends of the range."""

import math
import re
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import assume, example, given, settings, strategies as st

from kspike_reg.datasets import Standardiser
from kspike_reg.errors import InputError

thorough = settings(max_examples=100, deadline=None, derandomize=True)
EPSILON = float(np.finfo(np.float64).eps)
# Limits of single precision, the precision of networks.
LARGEST, SMALLEST, RESOLUTION = (float(getattr(np.finfo(np.float32), name)) for name in ("max", "tiny", "eps"))


def column(values):
    """One quantity, shape (n, 1)."""
    return np.array(values, dtype=np.float64)[:, None]


def exactly(values):
    """Mean and population standard deviation in exact fractions, rounded once at the end."""
    fractions = [Fraction(float(value)) for value in values]
    mean = sum(fractions) / len(fractions)
    variance = sum((value - mean) ** 2 for value in fractions) / len(fractions)
    # Scale to a number near one before the root, so that huge and tiny variances stay in the range of a double.
    scale = max(abs(value) for value in fractions) or Fraction(1)
    return float(mean), math.sqrt(variance / scale**2) * float(scale)


def rounding(values, deviation):
    """Bound on the rounding error of a standardised value, in deviations.

    A sum of n doubles is off by at most n half units in the last place of its largest term. The mean has this error
    too, and standardising divides it by the deviation. The factor of four covers the subtraction and the division.
    """
    return 4 * len(values) * EPSILON * (1 + np.max(np.abs(values)) / deviation)


ordinary = st.floats(-1e6, 1e6).map(lambda number: round(number, 6))
edges = st.sampled_from([
    0.0, 5e-324, -5e-324, 1e-310, 2.2e-308, 1e-200, 1e-45, 1.2e-38, 1e-30, 1.0, 1.0 + EPSILON, 1.0 + 1e-7, 1.0 + 1e-6,
    16777216.0, 16777217.0, 1e19, 1e30, 1e38, 3e38, -3.4e38, 3.5e38, 1e308, -1.7e308,
])  # fmt: skip


@st.composite
def adversarial(draw):
    """Lists of finite numbers of any size, of one size, or close to an offset, with huge and subnormal numbers."""
    if draw(st.booleans()):
        return draw(
            st.lists(st.one_of(st.floats(allow_nan=False, allow_infinity=False), edges), min_size=2, max_size=12)
        )
    size = 2.0 ** draw(st.one_of(st.integers(-1074, 1022), st.integers(-150, 128)))
    offset = size * draw(st.sampled_from([0, 1, -3, 1e3, 1e6, 3e6, 1e7, 1e12]))
    assume(abs(offset) < 1e308)
    return [offset + size * number for number in draw(st.lists(st.floats(-1, 1), min_size=2, max_size=12))]


def test_mean_and_deviation_by_hand():
    """2, 4, 4, 4, 5, 5, 7, 9: mean 5, squared distances 9 1 1 1 0 0 4 16, their mean 4, deviation 2."""
    scaling = Standardiser.fit(column([2, 4, 4, 4, 5, 5, 7, 9]), ("strain",))
    assert (scaling.mean, scaling.deviation, scaling.names) == ((5.0,), (2.0,), ("strain",))
    np.testing.assert_array_equal(scaling.standardise([[9.0], [4.0]]), [[2.0], [-0.5]])
    np.testing.assert_array_equal(scaling.restore([[2.0], [-0.5]]), [[9.0], [4.0]])


def test_each_quantity_has_its_own_mean_and_deviation():
    values = np.array([[[0.0, 100.0], [2.0, 300.0]], [[4.0, 500.0], [6.0, 1100.0]]])
    scaling = Standardiser.fit(values, ("strain", "stress"))
    assert scaling.mean == (3.0, 500.0)
    # Squared distances 9 1 1 9, mean 5, and 160000 40000 0 360000, mean 140000. A root rounds by half a unit.
    np.testing.assert_allclose(scaling.deviation, [5**0.5, 140000**0.5], rtol=EPSILON)
    assert scaling.standardise(values).shape == (2, 2, 2)


def test_only_values_under_the_mask_count():
    """0 and 2 and 7 count: mean 3, deviation the root of (9 + 1 + 16) / 3; the padding would change both."""
    values = np.array([[[0.0], [2.0], [1e6]], [[7.0], [np.nan], [np.inf]]])
    mask = np.array([[True, True, False], [True, False, False]])
    scaling = Standardiser.fit(values, ("strain",), mask)
    np.testing.assert_allclose([scaling.mean[0], scaling.deviation[0]], [3.0, (26 / 3) ** 0.5], rtol=2 * EPSILON)


@thorough
@given(st.lists(ordinary, min_size=2, max_size=40))
def test_standardised_data_have_mean_zero_and_deviation_one(values):
    assume(np.std(values) > 1e-6 * max(1.0, np.max(np.abs(values))))
    scaling = Standardiser.fit(column(values), ("strain",))
    standardised = scaling.standardise(column(values))
    bound = rounding(values, scaling.deviation[0])
    assert abs(standardised.mean()) <= bound
    assert abs(standardised.std() - 1) <= bound


@thorough
@given(adversarial())
@example([0.0, 5e-324])
@example([1e308, -1e308])
@example([3e38, 3e38 * (1 - 1e-6), 3e38])
@example([1.0, 1.0 + 2.0**-20])
@example([1e-30, 2e-30, 5e-30])
@example([5.0, 5.0])
def test_any_finite_numbers_are_standardised_correctly_or_refused(values):
    """The exact mean and deviation decide whether single precision can hold and resolve the numbers."""
    mean, deviation = exactly(values)
    resolution = max(SMALLEST, RESOLUTION * abs(mean))
    largest = max(abs(value) for value in values)
    try:
        scaling = Standardiser.fit(column(values), ("strain",))
    except InputError:
        # Rounding may decide at the limit, and the standardiser may refuse the largest quarter of the range. Values
        # clearly inside must be accepted.
        assert deviation < 1.01 * resolution or largest > LARGEST / 4
        return
    assert deviation > 0.99 * resolution
    assert largest <= LARGEST
    bound = rounding(values, deviation)
    assert abs(scaling.mean[0] - mean) <= bound * deviation
    assert abs(scaling.deviation[0] / deviation - 1) <= bound
    standardised = scaling.standardise(column(values))
    assert np.all(np.isfinite(standardised))
    expected = [float((Fraction(value) - Fraction(mean)) / Fraction(deviation)) for value in values]
    # A value k deviations from the mean is off by k times the relative error of the deviation.
    np.testing.assert_allclose(standardised[:, 0], expected, rtol=bound, atol=bound)


@thorough
@given(adversarial())
@example([-3.4e38, 3.4e38, 3.4e38, 3.4e38])
@example([0.0, 2.4e-38])
@example([3.4e38, 3.3e38])
def test_accepted_numbers_stay_finite_in_single_precision(values):
    """The network computes (x - mean) / deviation and x * deviation + mean in float32."""
    try:
        scaling = Standardiser.fit(column(values), ("strain",))
    except InputError:
        return
    with np.errstate(over="ignore"):
        single = np.array(values, dtype=np.float32)
        mean, deviation = np.float32(scaling.mean[0]), np.float32(scaling.deviation[0])
        standardised = (single - mean) / deviation
        restored = standardised * deviation + mean
    assert deviation >= SMALLEST
    assert np.all(np.isfinite(standardised))
    assert np.all(np.isfinite(restored))


@thorough
@given(st.lists(ordinary, min_size=2, max_size=40), st.lists(ordinary, min_size=1, max_size=10))
def test_restore_inverts_standardise(values, others):
    assume(np.std(values) > 1e-6 * max(1.0, np.max(np.abs(values))))
    scaling = Standardiser.fit(column(values), ("strain",))
    there_and_back = scaling.restore(scaling.standardise(column(others)))[:, 0]
    # Subtraction, division, product and sum round once each, relative to the number or to the mean.
    error = np.abs(there_and_back - others)
    assert np.all(error <= 4 * EPSILON * (np.abs(others) + abs(scaling.mean[0])))


@st.composite
def padded(draw):
    """Ragged values with a mask; the padding holds numbers that must not matter."""
    quantities = draw(st.integers(1, 3))
    lengths = draw(st.lists(st.integers(1, 5), min_size=2, max_size=6))
    mask = np.arange(max(lengths)) < np.array(lengths)[:, None]
    cells = mask.size * quantities
    values = np.array(draw(st.lists(ordinary, min_size=cells, max_size=cells))).reshape(*mask.shape, quantities)
    filling = draw(st.sampled_from([np.nan, np.inf, -np.inf, 1e308, 0.0]))
    return values, mask, filling


@thorough
@given(padded())
def test_padding_never_matters(data):
    values, mask, filling = data
    assume(np.all(np.std(values[mask], axis=0) > 1e-6 * np.maximum(1, np.abs(values[mask]).max(axis=0))))
    names = tuple("abc"[: values.shape[2]])
    filled = np.where(mask[..., None], values, filling)
    scaling = Standardiser.fit(filled, names, mask)
    assert scaling == Standardiser.fit(values[mask], names)
    # Each value is standardised on its own, so the padding does not change the others.
    np.testing.assert_array_equal(scaling.standardise(filled)[mask], scaling.standardise(values[mask]))


whole = st.lists(st.integers(-1000, 1000), min_size=2, max_size=20).filter(lambda values: len(set(values)) > 1)


@thorough
@given(whole, st.integers(-30, 30), st.booleans())
def test_another_unit_changes_mean_and_deviation_but_not_the_standardised_data(values, power, flip):
    """Powers of two scale doubles without rounding, so equality is exact."""
    factor = 2.0**power * (-1 if flip else 1)
    scaling = Standardiser.fit(column(values), ("strain",))
    scaled = Standardiser.fit(factor * column(values), ("strain",))
    assert scaled.mean[0] == factor * scaling.mean[0]
    assert scaled.deviation[0] == abs(factor) * scaling.deviation[0]
    np.testing.assert_array_equal(
        scaled.standardise(factor * column(values)), np.sign(factor) * scaling.standardise(column(values))
    )


@thorough
@given(whole, st.integers(-1000, 1000))
def test_an_offset_moves_the_mean_alone(values, offset):
    """Whole numbers shift without rounding; only the mean rounds, see `rounding`."""
    scaling = Standardiser.fit(column(values), ("strain",))
    shifted = Standardiser.fit(column(values) + offset, ("strain",))
    bound = rounding(np.array([2000]), scaling.deviation[0]) * len(values)
    assert abs(shifted.mean[0] - (scaling.mean[0] + offset)) <= bound * scaling.deviation[0]
    assert abs(shifted.deviation[0] / scaling.deviation[0] - 1) <= bound
    np.testing.assert_allclose(
        shifted.standardise(column(values) + offset), scaling.standardise(column(values)), rtol=bound, atol=bound
    )


@thorough
@given(st.floats(allow_nan=False, allow_infinity=False), st.integers(2, 9))
def test_a_constant_quantity_is_refused_with_its_name_for_any_value(value, count):
    values = np.stack([np.arange(count, dtype=float), np.full(count, value)], axis=-1)
    with pytest.raises(InputError, match=re.escape(f"temperature is constant, {value:g} throughout")):
        Standardiser.fit(values, ("strain", "temperature"))


def test_a_quantity_that_is_constant_under_the_mask_is_refused():
    values = np.array([[[1.0], [1.0], [5.0]], [[1.0], [7.0], [np.nan]]])
    mask = np.array([[True, True, False], [True, False, False]])
    with pytest.raises(InputError, match="strain is constant, 1 throughout"):
        Standardiser.fit(values, ("strain",), mask)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ([1.0, 1.0 + 1e-9], "strain varies by 5e-10 about 1, too little for float32"),
        ([0.0, 1e-40], "strain varies by 5e-41 about 5e-41, too little"),
        ([0.0, 5e-324], "too little"),
        ([0.0, 1e39], r"strain reaches 1e\+39, too large for float32"),
        ([-1e308, 1e308], "too large"),
    ],
)
def test_numbers_that_single_precision_cannot_hold_or_resolve_are_refused(values, message):
    with pytest.raises(InputError, match=message):
        Standardiser.fit(column(values), ("strain",))


@pytest.mark.parametrize("wrong", [np.nan, np.inf, -np.inf])
def test_a_number_that_is_not_finite_is_refused(wrong):
    """A mean or a deviation is never NaN."""
    with pytest.raises(InputError, match="strain"):
        Standardiser.fit(column([1.0, 2.0, wrong]), ("strain",))


@pytest.mark.parametrize(
    ("values", "mask"), [(np.ones((0, 1)), None), (np.ones((2, 3, 1)), np.zeros((2, 3), bool)), (np.eye(3), None)]
)
def test_no_values_or_another_number_of_quantities_are_refused(values, mask):
    with pytest.raises(InputError, match="expected values of strain, received shape"):
        Standardiser.fit(values, ("strain",), mask)
