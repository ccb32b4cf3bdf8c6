"""The set of paths: valid and invalid arguments, and how it splits paths into sets."""

import re

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

from kspike_reg.datasets import Paths, elasticity
from kspike_reg.errors import InputError

thorough = settings(max_examples=150, deadline=None, derandomize=True)


def ragged(count, longest=4):
    """Paths in which every number identifies its path, step and quantity; several paths differ in length."""
    lengths = 2 + np.arange(count) % (longest - 1)
    path, step = np.meshgrid(np.arange(count), np.arange(longest), indexing="ij")
    inputs = np.stack([100.0 * path + step, -100.0 * path - step], axis=-1)
    inputs[step >= lengths[:, None]] = np.nan
    return Paths(
        inputs=inputs,
        targets=1000.0 + inputs[..., :1],
        input_names=("strain", "temperature"),
        target_names=("stress",),
        lengths=lengths,
        labels=tuple(f"specimen {number}" for number in range(count)),
        steps=10.0 * step + path,
        units={"stress": "MPa"},
        source={"file": "tests.csv"},
    )


def test_defaults_number_the_paths_and_their_steps_and_count_all():
    paths = Paths(inputs=np.zeros((2, 3, 1)), targets=None, input_names=("strain",))
    assert len(paths) == 2
    assert paths.labels == (0, 1)
    np.testing.assert_array_equal(paths.lengths, [3, 3])
    np.testing.assert_array_equal(paths.steps, [[0, 1, 2], [0, 1, 2]])
    assert paths.mask.shape == (2, 3)
    assert paths.mask.all()


def test_the_mask_is_true_up_to_each_length():
    paths = Paths(inputs=np.zeros((3, 4, 1)), targets=None, input_names=("strain",), lengths=[2, 4, 3])
    expected = [[True, True, False, False], [True, True, True, True], [True, True, True, False]]
    np.testing.assert_array_equal(paths.mask, expected)


def test_padding_may_hold_anything():
    """NaN and infinity beyond the length of a path are ignored, in inputs and in targets."""
    inputs = np.array([[[1.0], [2.0], [np.nan]], [[1.0], [2.0], [3.0]]])
    targets = np.array([[[1.0], [2.0], [np.inf]], [[1.0], [2.0], [3.0]]])
    paths = Paths(inputs, targets, ("strain",), ("stress",), lengths=[2, 3])
    assert np.isnan(paths.inputs[0, 2, 0])


@pytest.mark.parametrize("wrong", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("side", ["inputs", "targets"])
def test_the_error_names_path_step_and_quantity_of_a_number_that_is_not_finite(side, wrong):
    values = {"inputs": np.ones((2, 3, 2)), "targets": np.ones((2, 3, 2))}
    values[side][1, 2, 1] = wrong
    names = {"input_names": ("strain", "heat"), "target_names": ("stress", "flux")}
    steps = np.array([[0, 1, 2], [0, 5, 9]])
    name = "heat" if side == "inputs" else "flux"
    with pytest.raises(InputError, match=rf"path 'second', step 9: {name} is {wrong}, expected a finite number"):
        Paths(**values, **names, labels=("first", "second"), steps=steps)


@pytest.mark.parametrize("length", [1, 0, -3, 4])
def test_a_length_out_of_range_is_refused_with_its_path(length):
    """A path of one step has no history; no path is longer than its array."""
    with pytest.raises(InputError, match=rf"path 'short' has {length} steps?; expected 2 to 3"):
        Paths(np.ones((2, 3, 1)), None, ("strain",), lengths=np.array([3, length]), labels=("long", "short"))


def test_paths_of_one_step_alone_are_refused():
    with pytest.raises(InputError, match="path 0 has 1 step;"):
        Paths(np.ones((2, 1, 1)), None, ("strain",))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"inputs": np.ones((2, 3))}, "inputs of shape (paths, steps, features), received (2, 3)"),
        ({"inputs": np.ones((0, 3, 2))}, "received (0, 3, 2)"),
        ({"inputs": np.ones((2, 3, 0))}, "received (2, 3, 0)"),
        ({"targets": np.ones((2, 4, 1))}, "targets of shape (2, 4, 1) do not belong to inputs of (2, 3, 2)"),
        ({"targets": np.ones((3, 3, 1))}, "targets of shape (3, 3, 1) do not belong"),
        ({"targets": np.ones((2, 3))}, "targets of shape (2, 3) do not belong"),
        ({"input_names": ("strain",)}, "2 input quantities but 1 names"),
        ({"target_names": ("stress", "flux")}, "1 target quantities but 2 names"),
        ({"lengths": np.array([2.0, 3.0])}, "expected 2 whole lengths, received float64"),
        ({"lengths": np.array([2, 3, 3])}, "expected 2 whole lengths"),
        ({"labels": ("only one",)}, "expected 2 labels and steps of shape (2, 3)"),
        ({"steps": np.ones((2, 2))}, "expected 2 labels and steps of shape (2, 3)"),
    ],
)
def test_shapes_that_do_not_match_are_refused(change, message):
    fitting = {
        "inputs": np.ones((2, 3, 2)),
        "targets": np.ones((2, 3, 1)),
        "input_names": ("strain", "heat"),
        "target_names": ("stress",),
    }
    assert len(Paths(**fitting)) == 2  # without the change it is accepted
    with pytest.raises(InputError, match=re.escape(message)):
        Paths(**fitting | change)


def test_take_returns_whole_paths_in_the_requested_order():
    paths = ragged(5)
    taken = paths.take([3, 0])
    assert taken.labels == ("specimen 3", "specimen 0")
    for new, old in ((0, 3), (1, 0)):
        assert taken.lengths[new] == paths.lengths[old]
        np.testing.assert_array_equal(taken.inputs[new], paths.inputs[old])
        np.testing.assert_array_equal(taken.targets[new], paths.targets[old])
        np.testing.assert_array_equal(taken.steps[new], paths.steps[old])
    assert (taken.input_names, taken.target_names) == (paths.input_names, paths.target_names)
    assert (taken.units, taken.source) == (paths.units, paths.source)


@st.composite
def shares_and_count(draw):
    """Between one and five shares that sum to one, some of them tiny, and at least as many paths."""
    weights = draw(st.lists(st.integers(1, 1000), min_size=1, max_size=5))
    count = draw(st.integers(len(weights), 40))
    return [weight / sum(weights) for weight in weights], count


@thorough
@given(shares_and_count(), st.integers(0, 2**32))
def test_split_puts_every_path_into_exactly_one_set_and_leaves_none_empty(shares, seed):
    fractions, count = shares
    paths = ragged(count)
    sets = paths.split(fractions, seed)
    assert len(sets) == len(fractions)
    assert all(len(part) >= 1 for part in sets)
    dealt = [label for part in sets for label in part.labels]
    assert len(dealt) == count
    assert set(dealt) == set(paths.labels)
    again = paths.split(fractions, seed)
    assert [part.labels for part in again] == [part.labels for part in sets]


@pytest.mark.parametrize("count", range(3, 45))
def test_every_size_from_three_on_fills_the_default_sets(count):
    sizes = [len(part) for part in ragged(count).split()]
    assert sum(sizes) == count
    assert min(sizes) >= 1
    # Each end is rounded to the nearest path, so a size is off by at most one. Only a set that would be empty
    # takes a path from another one, which moves an end by one more if there are fewer than seven paths.
    expected = np.array([0.7, 0.15, 0.15]) * count
    assert np.all(np.abs(sizes - expected) <= (1 if count >= 7 else 2))


def test_split_keeps_each_path_whole():
    """Inputs, targets, steps and lengths stay with their label, and the paths are shuffled, not cut in order."""
    paths = ragged(40)
    sets = paths.split((0.5, 0.3, 0.2), seed=3)
    assert [len(part) for part in sets] == [20, 12, 8]
    for part in sets:
        for index, label in enumerate(part.labels):
            number = int(label.removeprefix("specimen "))
            assert part.inputs[index, 0, 0] == 100.0 * number
            assert part.targets[index, 0, 0] == 1000.0 + 100.0 * number
            assert part.steps[index, 1] == 10.0 + number
            assert part.lengths[index] == paths.lengths[number]
    assert sets[0].labels != paths.labels[:20]


def test_another_seed_gives_another_split():
    """With 40 paths the probability of the same split is below 1e-30."""
    paths = ragged(40)
    assert paths.split(seed=0)[0].labels != paths.split(seed=1)[0].labels


@pytest.mark.parametrize(
    "fractions",
    [(0.5, 0.4), (0.7, 0.2, 0.2), (1.5, -0.5), (1.0, 0.0), (np.nan, 0.5, 0.5), (np.inf, 0.5), ()],
)
def test_shares_that_do_not_sum_to_one_are_refused(fractions):
    with pytest.raises(InputError, match=re.escape(f"sum to one, received {fractions!r}")):
        ragged(10).split(fractions)


@pytest.mark.parametrize("count", [1, 2])
def test_fewer_paths_than_sets_are_refused_with_their_number(count):
    with pytest.raises(InputError, match=rf"split: {count} paths? cannot fill 3 sets"):
        ragged(count).split()


def test_the_representation_of_paths_is_one_line():
    paths = elasticity(4, timesteps=5, seed=0)
    assert repr(paths) == "Paths(4 of 5 steps: strain -> stress / MPa)"
    ragged = Paths(np.zeros((2, 6, 2)), None, ("strain", "temperature"), lengths=np.array([3, 6]))
    assert repr(ragged) == "Paths(2 of 3 to 6 steps: strain, temperature)"


def test_the_ends_of_the_sets_are_rounded_to_the_nearest_path():
    """Of 11 paths, 7.7 and 9.35 end the sets, so 8 and 9; of 16, 11.2 and 13.6, so 11 and 14."""
    assert [len(part) for part in ragged(11).split()] == [8, 1, 2]
    assert [len(part) for part in ragged(16).split()] == [11, 3, 2]
