"""The errors of predicted paths: numbers by hand, a plain loop as an oracle, and refused arguments."""

import math
import re

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

from kspike_reg.errors import InputError
from kspike_reg.metrics import (
    mean_pointwise_relative_error,
    mean_relative_error,
    rank_correlation,
    root_mean_squared_error,
)

thorough = settings(max_examples=100, deadline=None, derandomize=True)
METRICS = (mean_relative_error, mean_pointwise_relative_error, root_mean_squared_error)
RELATIVE = (mean_relative_error, mean_pointwise_relative_error)
# A handful of sums, quotients and roots, each off by half a unit in the last place.
ROUNDING = 1e-14

# Two paths, of three steps and of two; the padding must not count.
REFERENCE = np.array([[2.0, 3.0, 6.0], [4.0, 3.0, np.nan]])
PREDICTION = np.array([[2.0, 4.0, 4.0], [4.0, 0.0, 99.0]])
LENGTHS = np.array([3, 2])


@pytest.mark.parametrize(
    ("metric", "steps", "expected"),
    [
        # Norms: the first path sqrt(1 + 4) / sqrt(4 + 9 + 36), the second 3 / 5.
        (mean_relative_error, "all", (math.sqrt(5) / 7 + 3 / 5) / 2),
        (mean_relative_error, "last", (2 / 6 + 3 / 3) / 2),
        # Values without step 0: 1/3, 2/6 and 3/3.
        (mean_pointwise_relative_error, "all", (1 / 3 + 1 / 3 + 1) / 3),
        (mean_pointwise_relative_error, "last", (1 / 3 + 1) / 2),
        # Five values: 0 1 4 0 9.
        (root_mean_squared_error, "all", math.sqrt(14 / 5)),
        (root_mean_squared_error, "last", math.sqrt((4 + 9) / 2)),
    ],
)
def test_unequal_paths_by_hand(metric, steps, expected):
    assert metric(REFERENCE, PREDICTION, steps, lengths=LENGTHS) == pytest.approx(expected, rel=ROUNDING)


@pytest.mark.parametrize(
    ("metric", "steps", "expected"),
    [
        # One norm of both outputs: sqrt(0 + 9 + 16 + 0) / sqrt(9 + 16 + 144 + 0), and 4 / 12 at the last step.
        (mean_relative_error, "all", 5 / 13),
        (mean_relative_error, "last", 4 / 12),
        (root_mean_squared_error, "all", math.sqrt(25 / 4)),
        (root_mean_squared_error, "last", math.sqrt(16 / 2)),
    ],
)
def test_several_outputs_by_hand(metric, steps, expected):
    reference = np.array([[[3.0, 4.0], [12.0, 0.0]]])
    prediction = np.array([[[3.0, 7.0], [8.0, 0.0]]])
    assert metric(reference, prediction, steps) == pytest.approx(expected, rel=ROUNDING)


def test_the_pointwise_error_of_several_outputs_by_hand():
    """Step 0, where the reference may be zero, does not count: 4/12, 1/2, 6/3 and 0/5 remain."""
    reference = np.array([[[0.0, 4.0], [12.0, -2.0], [3.0, 5.0]]])
    prediction = np.array([[[9.0, 7.0], [8.0, -1.0], [-3.0, 5.0]]])
    expected = (4 / 12 + 1 / 2 + 6 / 3 + 0 / 5) / 4
    assert mean_pointwise_relative_error(reference, prediction) == pytest.approx(expected, rel=ROUNDING)
    assert mean_pointwise_relative_error(reference, prediction, "last") == pytest.approx((6 / 3 + 0) / 2, rel=ROUNDING)


def test_the_two_relative_errors_differ_several_fold_where_small_values_are_missed():
    """An error at a small reference value changes the pointwise error, but hardly the ratio of norms."""
    reference = np.array([[1.0, 0.01, 100.0]])
    prediction = np.array([[1.0, 0.11, 100.0]])
    norms = mean_relative_error(reference, prediction)
    pointwise = mean_pointwise_relative_error(reference, prediction)
    assert norms == pytest.approx(0.1 / math.sqrt(10001.0001), rel=1e-12)  # 0.11 - 0.01 loses two digits
    assert pointwise == pytest.approx((10 + 0) / 2, rel=1e-12)
    assert pointwise > 1000 * norms


def test_the_reference_not_the_prediction_is_the_denominator():
    reference, prediction = np.array([[2.0, 2.0]]), np.array([[2.0, 6.0]])
    for metric, forward, backward in (
        (mean_relative_error, 4 / math.sqrt(8), 4 / math.sqrt(40)),
        (mean_pointwise_relative_error, 4 / 2, 4 / 6),
    ):
        assert metric(reference, prediction) == pytest.approx(forward, rel=ROUNDING)
        assert metric(prediction, reference) == pytest.approx(backward, rel=ROUNDING)


# --------------------------------------------------------------------------- a plain loop as an oracle


def by_loops(metric, reference, prediction, steps, lengths):
    """The three definitions, one number at a time."""
    ratios, points, squares = [], [], []
    for path, length in enumerate(lengths):
        chosen = range(length) if steps == "all" else [length - 1]
        difference = size = 0.0
        for step in chosen:
            for output in range(len(reference[path][step])):
                expected, found = float(reference[path][step][output]), float(prediction[path][step][output])
                difference += (expected - found) ** 2
                size += expected**2
                squares.append((expected - found) ** 2)
                if steps == "last" or step > 0:
                    points.append(abs(expected - found) / abs(expected))
        ratios.append(math.sqrt(difference) / math.sqrt(size))
    results = {
        "mean_relative_error": lambda: sum(ratios) / len(ratios),
        "mean_pointwise_relative_error": lambda: sum(points) / len(points),
        "root_mean_squared_error": lambda: math.sqrt(sum(squares) / len(squares)),
    }
    return results[metric.__name__]()


@st.composite
def compared(draw):
    """Reference, prediction and lengths; no reference is near zero, and the padding of both is NaN."""
    lengths = draw(st.lists(st.integers(2, 5), min_size=1, max_size=4))
    shape = (len(lengths), max(lengths) + draw(st.integers(0, 1)), draw(st.integers(1, 3)))
    size = math.prod(shape)
    away = st.floats(0.001, 1000).flatmap(lambda number: st.sampled_from([number, -number]))
    reference = np.array(draw(st.lists(away, min_size=size, max_size=size))).reshape(shape)
    prediction = np.array(draw(st.lists(st.floats(-1000, 1000), min_size=size, max_size=size))).reshape(shape)
    padding = np.arange(shape[1]) >= np.array(lengths)[:, None]
    reference[padding] = prediction[padding] = np.nan
    return reference, prediction, np.array(lengths)


# Sums of up to sixty terms of one sign, in another order than the loop's: sixty units in the last place.
ANOTHER_ORDER = 60 * 2.3e-16


@thorough
@given(compared(), st.sampled_from(METRICS), st.sampled_from(["all", "last"]))
def test_every_metric_agrees_with_a_plain_loop(data, metric, steps):
    reference, prediction, lengths = data
    expected = by_loops(metric, reference, prediction, steps, lengths)
    assert metric(reference, prediction, steps, lengths=lengths) == pytest.approx(expected, rel=ANOTHER_ORDER, abs=0)


@thorough
@given(compared(), st.sampled_from(METRICS), st.sampled_from(["all", "last"]))
def test_the_axis_of_one_output_and_equal_lengths_are_optional(data, metric, steps):
    reference, prediction, _ = (array[:, :2] if array.ndim > 1 else array for array in data)
    whole = np.full(len(reference), 2)
    expected = metric(reference[..., :1], prediction[..., :1], steps, lengths=whole)
    assert metric(reference[..., 0], prediction[..., 0], steps) == expected


@thorough
@given(compared(), st.sampled_from(["all", "last"]), st.integers(-40, 40), st.booleans())
def test_relative_errors_do_not_depend_on_the_unit(data, steps, power, flip):
    """Powers of two scale without rounding, so the ratios are equal; the plain error scales with the unit."""
    reference, prediction, lengths = data
    factor = 2.0**power * (-1 if flip else 1)
    scaled = (factor * reference, factor * prediction, steps)
    for metric in RELATIVE:
        assert metric(*scaled, lengths=lengths) == metric(reference, prediction, steps, lengths=lengths)
    plain = root_mean_squared_error(reference, prediction, steps, lengths=lengths)
    assert root_mean_squared_error(*scaled, lengths=lengths) == abs(factor) * plain


@thorough
@given(compared(), st.sampled_from(METRICS), st.sampled_from(["all", "last"]))
def test_a_perfect_prediction_has_no_error_and_any_other_has(data, metric, steps):
    reference, _, lengths = data
    assert metric(reference, reference.copy(), steps, lengths=lengths) == 0.0
    assert metric(reference, reference + 1.0, steps, lengths=lengths) > 0.0


def test_a_path_counts_once_for_the_norms_and_by_its_values_for_the_others():
    """A long path without errors and a short one with: 1/2 by eq. 14, one value of five for the pointwise error."""
    reference = np.full((2, 5), 2.0)
    prediction = reference.copy()
    prediction[1] = 4.0
    lengths = [5, 2]
    assert mean_relative_error(reference, prediction, lengths=lengths) == pytest.approx(1 / 2, rel=ROUNDING)
    assert mean_pointwise_relative_error(reference, prediction, lengths=lengths) == pytest.approx(1 / 5, rel=ROUNDING)
    assert root_mean_squared_error(reference, prediction, lengths=lengths) == pytest.approx(
        math.sqrt(8 / 7), rel=ROUNDING
    )


def test_the_arrays_are_not_changed():
    reference, prediction = REFERENCE.copy(), PREDICTION.copy()
    for metric in METRICS:
        metric(reference, prediction, lengths=LENGTHS)
    np.testing.assert_array_equal(reference, REFERENCE)
    np.testing.assert_array_equal(prediction, PREDICTION)


# ------------------------------------------------------------------------------------- refused arguments


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize(
    ("reference", "prediction"),
    [
        ((2, 3), (3, 2)),
        ((2, 3, 1), (2, 3)),
        ((2, 3, 1), (2, 3, 2)),
        ((3,), (3,)),
        ((2, 3, 1, 1), (2, 3, 1, 1)),
        ((0, 3), (0, 3)),
        ((2, 0, 1), (2, 0, 1)),
    ],
)
def test_shapes_that_do_not_fit_are_refused_by_metric_and_shape(metric, reference, prediction):
    message = rf"{metric.__name__}: expected .* received {re.escape(str(reference))} and {re.escape(str(prediction))}"
    with pytest.raises(InputError, match=message):
        metric(np.ones(reference), np.ones(prediction))


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("steps", ["first", "", "ALL", None, 1])
def test_unknown_steps_are_refused(metric, steps):
    with pytest.raises(
        InputError, match=rf"{metric.__name__}: expected steps to be 'all' or 'last', received {steps!r}"
    ):
        metric(np.ones((2, 3)), np.ones((2, 3)), steps)


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("steps", ["all", "last"])
@pytest.mark.parametrize(
    "lengths", [[3, 0], [3, -1], [4, 3], [3], [3, 3, 3], 3, [[3, 3]], [2.5, 3], [3, math.nan], ["2", "3"]]
)
def test_lengths_that_do_not_fit_are_refused(metric, steps, lengths):
    with pytest.raises(InputError, match=f"{metric.__name__}: expected 2 .*lengths"):
        metric(np.ones((2, 3)), np.ones((2, 3)), steps, lengths=lengths)


@pytest.mark.parametrize("steps", ["all", "last"])
def test_a_path_that_is_zero_where_it_counts_has_no_relative_error(steps):
    """The first path is zero except for its padding, the second is not."""
    reference = np.array([[0.0, 0.0, 5.0], [1.0, 2.0, 3.0]])
    with pytest.raises(InputError, match="mean_relative_error: 1 of 2 denominators are zero"):
        mean_relative_error(reference, np.ones((2, 3)), steps, lengths=[2, 3])
    assert root_mean_squared_error(reference, np.ones((2, 3)), steps, lengths=[2, 3]) > 0


def test_a_zero_at_any_counted_step_has_no_pointwise_error():
    """One of the four values that count is zero; step 0 and the padding, which are zero too, do not count."""
    reference = np.array([[0.0, 2.0, 1.0], [5.0, 0.0, 0.0], [0.0, 3.0, 0.0]])
    with pytest.raises(InputError, match="mean_pointwise_relative_error: 1 of 4 denominators are zero"):
        mean_pointwise_relative_error(reference, reference + 1, lengths=[3, 2, 2])
    assert mean_relative_error(reference, reference + 1, lengths=[3, 2, 2]) > 0
    reference[1, 1] = 4.0
    assert mean_pointwise_relative_error(reference, reference + 1, lengths=[3, 2, 2]) == pytest.approx(
        (1 / 2 + 1 / 1 + 1 / 4 + 1 / 3) / 4, rel=ROUNDING
    )


@pytest.mark.parametrize(("width", "lengths"), [(1, None), (3, [1, 1])])
def test_paths_of_step_zero_alone_have_no_pointwise_error(width, lengths):
    """Step 0 does not count, so there are no values; an error, not NaN."""
    ones = np.ones((2, width))
    with pytest.raises(InputError, match="mean_pointwise_relative_error"):
        mean_pointwise_relative_error(ones, 2 * ones, lengths=lengths)
    assert mean_pointwise_relative_error(ones, 2 * ones, "last", lengths=lengths) == 1.0
    assert mean_relative_error(ones, 2 * ones, lengths=lengths) == 1.0


def test_zeros_before_the_last_step_do_not_count_for_it():
    reference = np.array([[0.0, 0.0, 4.0]])
    for metric in RELATIVE:
        assert metric(reference, np.array([[0.0, 0.0, 5.0]]), "last") == 0.25


def test_the_rank_correlation_depends_on_the_order_alone_and_equal_values_share_ranks():
    """By hand: ranks 1, 2.5, 2.5, 4 and 1, 3, 2, 4, each with mean 2.5: 4.5 / sqrt(4.5 * 5)."""
    assert rank_correlation([1.0, 5.0, 5.0, 900.0], [-3.0, 0.2, 0.1, 7.0]) == pytest.approx(4.5 / np.sqrt(22.5))
    rising = np.array([[0.1, 3.0], [2.0, 50.0]])
    assert rank_correlation(rising, np.exp(rising)) == pytest.approx(1.0)
    assert rank_correlation(rising, -rising) == pytest.approx(-1.0)
