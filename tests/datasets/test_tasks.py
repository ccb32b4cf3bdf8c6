"""The tasks of the paper: their paths, their stresses, and independent sets from one seed."""

import json

import numpy as np
import pytest

from kspike_reg.datasets import TASKS, elasticity, generate, hardening, ramberg_osgood
from kspike_reg.errors import InputError
from kspike_reg.mechanics import isotropic_hardening

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
    # A strain is end * fraction, each rounded, so it is off by one unit in the last place of the end, at most 0.001.
    # The difference of two strains is off by two units, and the expected increment by a fraction of one.
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


def test_a_data_set_describes_itself():
    paths = elasticity(2, maximum_strain=0.02, youngs_modulus=1e3)
    assert (paths.input_names, paths.target_names) == (("strain",), ("stress",))
    assert paths.units == {"stress": "MPa"}
    assert paths.source == {
        "task": "elasticity",
        "family": "ramp",
        "maximum_strain": 0.02,
        "youngs_modulus": 1e3,
    }


@pytest.mark.parametrize("maximum_strain", [1e-3, 0.25])
def test_ends_are_spread_uniformly_over_their_range(maximum_strain):
    """Kolmogorov and Smirnov: 4096 uniform draws deviate from a straight line by over 0.035 in 1 of 10,000 seeds.

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
        ({"youngs_modulus": 0.0}, "youngs_modulus to be more than zero, in MPa, received youngs_modulus=0.0"),
        ({"family": "spiral"}, "elasticity: unknown family of paths 'spiral'; choose one of ramp, mirror, cyclic"),
        ({"paths": 2.5}, "paths=2.5"),
        ({"timesteps": 4.5}, "timesteps=4.5"),
        ({"seed": -1}, "-1"),
    ],
)
def test_numbers_out_of_range_are_refused_by_name(options, message):
    with pytest.raises(InputError, match=message):
        elasticity(**{"paths": 3} | options)


def test_ramberg_osgood_has_the_yield_stress_at_every_step_as_input_and_the_stress_as_target():
    paths = ramberg_osgood(7, timesteps=4, seed=3)
    assert paths.inputs.shape == paths.targets.shape == (7, 4, 1)
    assert (paths.input_names, paths.target_names) == (("yield_stress",), ("stress",))
    assert paths.units == {"yield_stress": "MPa", "stress": "MPa"}
    np.testing.assert_array_equal(paths.inputs, np.repeat(paths.inputs[:, :1], 4, axis=1))
    assert len(np.unique(paths.inputs)) == 7


def test_ramberg_osgood_gives_the_stress_of_evenly_spaced_strains():
    """The law gives the strain explicitly, so its formula is repeated here."""
    paths = ramberg_osgood(6, timesteps=5, seed=4, maximum_strain=0.02, youngs_modulus=1.5e5, exponent=6.0)
    stress, yield_stress = paths.targets[..., 0], paths.inputs[..., 0]
    strain = stress / 1.5e5 + 0.002 * (stress / yield_stress) ** 6
    # The stress solves the law to a relative 1e-10 of the strain.
    np.testing.assert_allclose(strain, np.tile([0.0, 0.005, 0.01, 0.015, 0.02], (6, 1)), rtol=1e-10)


def test_ramberg_osgood_has_the_numbers_of_the_paper_by_default():
    paths = ramberg_osgood(4096, seed=11)
    assert paths.source == {
        "task": "ramberg-osgood",
        "least_yield_stress": 100.0,
        "greatest_yield_stress": 500.0,
        "maximum_strain": 0.01,
        "youngs_modulus": 2.1e5,
        "exponent": 10.0,
    }
    assert paths.inputs.shape == (4096, 20, 1)
    yield_stress, stress = paths.inputs[:, -1, 0], paths.targets[:, -1, 0]
    recovered = stress / 2.1e5 + 0.002 * (stress / yield_stress) ** 10
    np.testing.assert_allclose(recovered, 0.01, rtol=1e-10)  # as above
    # The bound for uniform draws in the test of elasticity above, for the same number of draws.
    rank = np.arange(1, 4097) / 4096
    assert np.max(np.abs((np.sort(yield_stress) - 100.0) / 400.0 - rank)) < 0.035


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"paths": 0}, "ramberg_osgood: expected paths to be a positive integer, received paths=0"),
        ({"timesteps": 1}, "ramberg_osgood: expected timesteps to be an integer, at least 2, received timesteps=1"),
        ({"seed": -1}, "ramberg_osgood: expected seed to be a whole number, zero or more, received seed=-1"),
        ({"least_yield_stress": 0.0}, "the least below the greatest, received 0.0 and 500.0"),
        ({"least_yield_stress": 600.0}, "the least below the greatest, received 600.0 and 500.0"),
        ({"least_yield_stress": 500.0}, "the least below the greatest, received 500.0 and 500.0"),
        ({"greatest_yield_stress": np.inf}, "received 100.0 and inf"),
        ({"greatest_yield_stress": np.nan}, "received 100.0 and nan"),
        ({"maximum_strain": 0.0}, "ramberg_osgood: expected a maximum strain > 0, received 0.0"),
        ({"maximum_strain": np.nan}, "ramberg_osgood: expected a maximum strain > 0, received nan"),
        ({"youngs_modulus": -1.0}, "youngs_modulus to be more than zero, in MPa, received youngs_modulus=-1.0"),
        ({"exponent": 0.5}, "expected an exponent of 1 or more, received 0.5"),
    ],
)
def test_ramberg_osgood_refuses_numbers_out_of_range_by_name(options, message):
    with pytest.raises(InputError, match=message):
        ramberg_osgood(**{"paths": 3} | options)


def test_hardening_loads_and_unloads_the_steel_of_the_paper_by_default():
    paths = hardening(40, seed=2)
    assert paths.inputs.shape == paths.targets.shape == (40, 100, 1)
    assert (paths.input_names, paths.target_names, paths.units) == (("strain",), ("stress",), {"stress": "MPa"})
    assert paths.source == {
        "task": "hardening",
        "family": "mirror",
        "maximum_strain": 0.01,
        "yield_stress": 300.0,
        "youngs_modulus": 2.1e5,
        "hardening_modulus": 2.1e4,
        "kinematic_modulus": 0.0,
    }
    strain, stress = paths.inputs[..., 0], paths.targets[..., 0]
    np.testing.assert_array_equal(strain, strain[:, ::-1])
    peak = strain.max(axis=1)
    assert 0.005 < peak.max() <= 0.01
    expected = np.where(peak <= 1 / 700, 2.1e5 * peak, 300 + 2.1e4 / 1.1 * (peak - 1 / 700))
    # Fifty steps up to a few hundred MPa; each rounds trial stresses of up to 2100 MPa (2.3e-13) a few times.
    np.testing.assert_allclose(stress[:, 49], expected, rtol=0, atol=1e-10)


def test_hardening_passes_its_constants_to_the_law():
    constants = {"yield_stress": 90.0, "youngs_modulus": 7e4, "hardening_modulus": 500.0, "kinematic_modulus": 3e3}
    paths = hardening(5, timesteps=9, seed=6, family="cyclic", maximum_strain=0.03, **constants)
    expected = isotropic_hardening(paths.inputs[..., 0], 90.0, 7e4, 500.0, 3e3)
    np.testing.assert_array_equal(paths.targets[..., 0], expected)
    assert paths.source == {"task": "hardening", "family": "cyclic", "maximum_strain": 0.03} | constants


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"paths": -1}, "hardening: expected paths to be a positive integer, received paths=-1"),
        ({"maximum_strain": -0.01}, "hardening: expected a maximum strain > 0, received -0.01"),
        ({"family": "spiral"}, "hardening: unknown family of paths 'spiral'; choose one of ramp, mirror, cyclic"),
        ({"family": "cyclic", "timesteps": 5}, "cyclic: 5 segments need at least 6 steps, received 5"),
        ({"yield_stress": 0.0}, "yield_stress to be more than zero, in MPa, received yield_stress=0.0"),
        ({"kinematic_modulus": -1.0}, "kinematic_modulus to be zero or more, in MPa, received kinematic_modulus=-1.0"),
    ],
)
def test_hardening_refuses_numbers_out_of_range_by_name(options, message):
    with pytest.raises(InputError, match=message):
        hardening(**{"paths": 3} | options)


@pytest.mark.parametrize(
    ("task", "sizes", "timesteps"),
    [
        ("elasticity", (1024, 1024, 1024), 5),
        ("ramberg-osgood", (1024, 1024, 1024), 20),
        ("hardening", (10240, 1024, 1024), 100),
    ],
)
def test_generate_has_the_sizes_and_steps_of_the_paper_by_default(task, sizes, timesteps):
    sets = generate(task)
    assert [part.inputs.shape for part in sets] == [(size, timesteps, 1) for size in sizes]
    assert (TASKS[task].sizes, TASKS[task].timesteps) == (sizes, timesteps)


def test_generate_gives_sets_of_the_requested_sizes():
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
def test_the_size_of_one_set_does_not_change_the_others(changed):
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


def test_generate_is_repeatable_with_the_same_seed_only():
    first, again, other = (generate("elasticity", (4, 3), seed=seed) for seed in (0, 0, 1))
    for one, two, three in zip(first, again, other, strict=True):
        np.testing.assert_array_equal(one.inputs, two.inputs)
        assert not np.array_equal(one.inputs, three.inputs)


@pytest.mark.parametrize("family", ["ramp", "mirror", "cyclic"])
def test_generate_passes_the_family_on(family):
    part, _ = generate("hardening", (3, 2), seed=5, family=family, timesteps=7)
    assert part.source["family"] == family
    stream = np.random.SeedSequence(5).spawn(2)[0]
    np.testing.assert_array_equal(part.inputs, hardening(3, timesteps=7, seed=stream, family=family).inputs)


@pytest.mark.parametrize("task", TASKS)
def test_none_means_the_value_of_the_paper(task):
    """For every task, also for one without families."""
    plain = generate(task, (3, 2), seed=1)
    none = generate(task, (3, 2), seed=1, family=None, timesteps=None, maximum_strain=None)
    for one, other in zip(plain, none, strict=True):
        np.testing.assert_array_equal(one.inputs, other.inputs)
        np.testing.assert_array_equal(one.targets, other.targets)
        assert one.source == other.source
        assert one.source.get("family") == TASKS[task].family


def test_a_family_is_refused_for_a_task_with_a_fixed_strain_path():
    with pytest.raises(InputError, match="ramberg-osgood: its strain path is fixed; leave the family 'ramp' out"):
        generate("ramberg-osgood", (3,), family="ramp")


def test_an_unknown_task_is_refused_with_the_choices():
    with pytest.raises(
        InputError, match="unknown task 'elastisity'; choose one of elasticity, ramberg-osgood, hardening"
    ):
        generate("elastisity")


@pytest.mark.parametrize("task", TASKS)
def test_every_task_obeys_its_size_and_its_steps(task):
    for size, part in zip((3, 2), generate(task, (3, 2), timesteps=6), strict=True):
        assert part.inputs.shape[:2] == (size, 6)
        assert part.targets.shape[:2] == (size, 6)
        assert part.source["task"] == task
        assert json.loads(json.dumps(part.source)) == part.source  # reports store it as JSON
