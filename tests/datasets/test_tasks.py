"""The paper's tasks: the ramps of linear elasticity, and independent sets from one seed."""

import numpy as np
import pytest

from kspike_reg.datasets import TASKS, elasticity, generate
from kspike_reg.errors import InputError

EPSILON = np.finfo(np.float64).eps


@pytest.mark.parametrize("timesteps", [2, 3, 5, 100])
def test_ramps_start_at_zero_and_rise_evenly_to_their_end(timesteps):
    paths = elasticity(7, timesteps=timesteps, seed=1)
    assert paths.inputs.shape == (7, timesteps, 1)
    strain = paths.inputs[..., 0]
    np.testing.assert_array_equal(strain[:, 0], 0.0)
    increments = np.diff(strain, axis=1)
    assert np.all(increments > 0)
    expected = np.broadcast_to(strain[:, -1:] / (timesteps - 1), increments.shape)
    # A strain is end * fraction, each rounded, so off by one unit in the last place of the end, which is at most 0.001;
    # the difference of two strains by two, and the expected increment by a fraction of one.
    np.testing.assert_allclose(increments, expected, atol=3 * EPSILON * 1e-3, rtol=0)


def test_two_steps_are_the_start_and_the_end():
    strain = elasticity(4, timesteps=2, seed=5).inputs[..., 0]
    np.testing.assert_array_equal(strain[:, 0], 0.0)
    assert np.all(strain[:, 1] > 0)


def test_stress_is_the_modulus_times_the_strain():
    paths = elasticity(6, timesteps=4, seed=2)
    np.testing.assert_array_equal(paths.targets, 2.1e5 * paths.inputs)
    softer = elasticity(6, timesteps=4, seed=2, youngs_modulus=7e4)
    np.testing.assert_array_equal(softer.inputs, paths.inputs)
    np.testing.assert_array_equal(softer.targets, 7e4 * paths.inputs)


def test_a_data_set_says_what_it_is():
    paths = elasticity(2, maximum_strain=0.02, youngs_modulus=1e3)
    assert (paths.input_names, paths.target_names) == (("strain",), ("stress",))
    assert paths.units == {"stress": "MPa"}
    assert paths.source == {"task": "elasticity", "maximum_strain": 0.02, "youngs_modulus": 1e3}


@pytest.mark.parametrize("maximum_strain", [1e-3, 0.25])
def test_ends_are_spread_uniformly_over_their_range(maximum_strain):
    """Kolmogorov and Smirnov: 4096 uniform draws stray from a straight line by over 0.035 once in ten thousand seeds.

    That is 2 exp(-2 n d**2) = 8.8e-5 (Massart's bound).
    """
    ends = elasticity(4096, timesteps=2, seed=11, maximum_strain=maximum_strain).inputs[:, -1, 0]
    assert ends.min() >= 0
    assert ends.max() <= maximum_strain
    rank = np.arange(1, 4097) / 4096
    assert np.max(np.abs(np.sort(ends) / maximum_strain - rank)) < 0.035


def test_the_same_seed_gives_the_same_paths_and_another_gives_others():
    first, again, other = (elasticity(9, seed=seed) for seed in (4, 4, 5))
    np.testing.assert_array_equal(first.inputs, again.inputs)
    np.testing.assert_array_equal(first.targets, again.targets)
    assert not np.isin(first.inputs[:, -1], other.inputs[:, -1]).any()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"paths": 0}, "expected paths to be a positive integer, received paths=0"),
        ({"paths": -2}, "received paths=-2"),
        ({"timesteps": 1}, "expected timesteps to be an integer, at least 2, received timesteps=1"),
        ({"timesteps": -5}, "received timesteps=-5"),
        ({"maximum_strain": 0.0}, "maximum strain > 0, received 0.0"),
        ({"maximum_strain": -1e-3}, "maximum strain > 0, received -0.001"),
        ({"maximum_strain": np.nan}, "maximum strain > 0, received nan"),
        ({"maximum_strain": np.inf}, "maximum strain > 0, received inf"),
        ({"youngs_modulus": 0.0}, "Young's modulus > 0 MPa, received 0.0"),
        ({"paths": 2.5}, "paths=2.5"),
        ({"timesteps": 4.5}, "timesteps=4.5"),
        ({"seed": -1}, "-1"),
    ],
)
def test_numbers_out_of_range_are_refused_by_name(options, message):
    with pytest.raises(InputError, match=message):
        elasticity(**{"paths": 3} | options)


def test_generate_gives_sets_of_the_sizes_asked_for():
    sets = generate("elasticity", (5, 3, 2), seed=0, timesteps=7)
    assert [part.inputs.shape for part in sets] == [(5, 7, 1), (3, 7, 1), (2, 7, 1)]


def test_no_path_is_shared_between_training_validation_and_test():
    """The draws are continuous, so independent sets share no end."""
    ends = [set(part.inputs[:, -1, 0].tolist()) for part in generate("elasticity", (300, 200, 100), seed=3)]
    assert [len(part) for part in ends] == [300, 200, 100]
    assert not ends[0] & ends[1]
    assert not ends[0] & ends[2]
    assert not ends[1] & ends[2]


@pytest.mark.parametrize("changed", [0, 1, 2])
def test_the_size_of_one_set_leaves_the_others_as_they_were(changed):
    sizes = [6, 5, 4]
    before = generate("elasticity", sizes, seed=8)
    sizes[changed] += 10
    after = generate("elasticity", sizes, seed=8)
    for index in range(3):
        if index == changed:
            assert len(after[index]) == len(before[index]) + 10
        else:
            np.testing.assert_array_equal(after[index].inputs, before[index].inputs)
            np.testing.assert_array_equal(after[index].targets, before[index].targets)


def test_generate_repeats_itself_with_the_same_seed_only():
    first, again, other = (generate("elasticity", (4, 3), seed=seed) for seed in (0, 0, 1))
    for one, two, three in zip(first, again, other, strict=True):
        np.testing.assert_array_equal(one.inputs, two.inputs)
        assert not np.array_equal(one.inputs, three.inputs)


def test_an_unknown_task_is_refused_with_the_choices():
    with pytest.raises(InputError, match="unknown task 'elastisity'; choose one of elasticity"):
        generate("elastisity")


@pytest.mark.parametrize("task", TASKS)
def test_every_task_obeys_its_size_and_its_steps(task):
    for size, part in zip((3, 2), generate(task, (3, 2), timesteps=6), strict=True):
        assert part.inputs.shape[:2] == (size, 6)
        assert part.targets.shape[:2] == (size, 6)
        assert part.source["task"] == task
