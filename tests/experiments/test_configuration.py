"""Configurations: the learning rate over the updates, the weights of the loss, the data sets."""

import numpy as np
import pytest

from kspike_reg import InputError
from kspike_reg.datasets import Paths, elasticity
from kspike_reg.experiments import Configuration
from kspike_reg.ragged import Ragged, buckets


def rates(updates, **settings):
    """The learning rate at some of the 200 updates of 25 epochs with 8 batches."""
    configuration = Configuration(task="elasticity", epochs=25, batch_size=128, units=3, population=2, **settings)
    rate = configuration.build(elasticity(1024)).optimizer._learning_rate
    return [float(rate(update)) for update in updates] if callable(rate) else float(rate.numpy())


def test_the_papers_rate_is_constant():
    assert rates([]) == pytest.approx(1e-3, rel=1e-6)  # one rounding to float32


def test_the_cosine_falls_from_the_rate_to_zero():
    """Half a cosine: the factors are 1, (1 + cos(pi/4)) / 2 = 0.853553, 0.5 and 0."""
    found = rates([0, 50, 100, 200], schedule="cosine", learning_rate=0.02)
    np.testing.assert_allclose(found, [0.02, 0.02 * 0.853553, 0.01, 0.0], rtol=1e-5, atol=1e-9)  # six digits by hand


def test_the_warm_up_rises_evenly_and_the_cosine_starts_after_it():
    """A warm-up of a fifth: 40 of 200 updates rise to 0.02; half of the other 160 are done at update 120."""
    found = rates([0, 10, 40, 120, 200], schedule="cosine", warm_up=0.2, learning_rate=0.02)
    np.testing.assert_allclose(found, [0.0, 0.005, 0.02, 0.01, 0.0], rtol=1e-5, atol=1e-9)


def test_a_constant_rate_warms_up_too():
    np.testing.assert_allclose(rates([10, 40, 199], warm_up=0.2, learning_rate=0.02), [0.005, 0.02, 0.02], rtol=1e-6)


def test_clipping_and_weight_decay_reach_the_optimizer():
    settings = {"units": 3, "population": 2, "clipping": 0.7, "weight_decay": 0.2}
    optimizer = Configuration(task="elasticity", **settings).build(elasticity(9)).optimizer
    assert (optimizer.global_clipnorm, optimizer.weight_decay) == (0.7, 0.2)


TARGETS = np.array([[[1.0], [-3.0], [2.0]], [[0.1], [0.2], [9.0]]])
RAGGED = np.array([[True, True, True], [True, True, False]])


def test_equal_weights_are_none_and_exclude_the_padding_of_ragged_paths():
    assert Configuration(task="elasticity").weights(TARGETS, np.ones((2, 3), bool)) is None
    np.testing.assert_array_equal(Configuration(task="elasticity").weights(TARGETS, RAGGED), RAGGED)


def test_the_last_step_of_each_path_weighs_more():
    """Weights 1, 1, 4 and 1, 4: their mean is 11 / 5."""
    found = Configuration(task="elasticity", last_step_weight=4.0).weights(TARGETS, RAGGED)
    np.testing.assert_allclose(found, np.array([[1, 1, 4], [1, 4, 0]]) * 5 / 11, rtol=1e-12)


def test_relative_weights_divide_by_the_mean_square_of_the_path():
    """Mean squares 14 / 3 and 0.05 / 2, of which the second counts as 0.1: weights 3 / 14 and 10."""
    found = Configuration(task="elasticity", loss_weighting="relative").weights(TARGETS, RAGGED)
    expected = np.array([[3 / 14, 3 / 14, 3 / 14], [10, 10, 0]])
    np.testing.assert_allclose(found, expected / ((9 / 14 + 20) / 5), rtol=1e-12)


def test_weights_of_several_outputs_are_taken_together():
    targets = np.concatenate([TARGETS, 2 * TARGETS], axis=2)
    both = Configuration(task="elasticity", loss_weighting="relative").weights(targets, np.ones((2, 3), bool))
    squares = np.array([14 / 3, 81.05 / 3]) * 5 / 2
    np.testing.assert_allclose(both[:, 0] / both[0, 0], squares[0] / squares, rtol=1e-12)


def test_the_sets_are_those_of_the_paper_by_default():
    papers = Configuration(task="hardening", kind="slstm")
    assert (papers.sizes, papers.steps) == ((10240, 1024, 1024), 100)
    ours = Configuration(task="hardening", training_paths=7, timesteps=12, family="cyclic", seed=3)
    training, validation, test = ours.load_data()
    assert (len(training), len(validation), len(test)) == (7, 1024, 1024)
    assert training.inputs.shape[1] == 12
    assert training.inputs.min() < 0 < training.inputs.max()


def test_differences_from_another_configuration():
    one, other = Configuration(task="elasticity", units=7), Configuration(task="elasticity", epochs=3)
    assert one.changed(other) == {"units": (7, 128), "epochs": (2000, 3)}


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"task": "plasticity"}, "unknown task 'plasticity'; choose one of elasticity, ramberg-osgood, hardening"),
        ({"schedule": "linear"}, "unknown schedule 'linear'; choose one of constant, cosine"),
        ({"loss_weighting": "fair"}, "unknown loss_weighting 'fair'"),
        ({"warm_up": 1.0}, r"warm_up in \[0, 1\), received warm_up=1.0"),
        ({"clipping": 0.0}, "clipping > 0, received clipping=0.0"),
        ({"last_step_weight": -1.0}, "last_step_weight > 0"),
        ({"weight_decay": -0.1}, "weight_decay >= 0"),
        ({"learning_rate": float("nan")}, "learning_rate > 0"),
        ({"training_paths": 0}, "training_paths to be a positive integer"),
        ({"task": None, "data": "a.csv", "inputs": "a", "outputs": "b", "family": "ramp"}, "family means nothing"),
    ],
)
def test_settings_out_of_range_are_refused_with_their_name(settings, message):
    with pytest.raises(InputError, match=message):
        Configuration(**({"task": "elasticity"} | settings))


def test_a_family_is_refused_for_a_task_with_a_fixed_strain():
    with pytest.raises(InputError, match="ramberg-osgood: its strain path is fixed; leave the family 'mirror' out"):
        Configuration(task="ramberg-osgood", family="mirror").load_data()


def test_decays_and_thresholds_start_at_the_configured_values():
    settings = {"decay": (0.8,), "threshold": (0.2, 0.4), "readout_decay": (0.5, 0.6), "units": 50, "population": 20}
    layers = Configuration(task="elasticity", kind="rlif", **settings).build(elasticity(1024)).layers
    for layer in layers[1:4]:
        np.testing.assert_array_equal(layer.cell.decay.numpy(), np.float32(0.8))
        assert 0.2 <= layer.cell.threshold.numpy().min() < 0.25 < 0.35 < layer.cell.threshold.numpy().max() <= 0.4
    for layer in layers[4:6]:
        assert 0.5 <= layer.cell.decay.numpy().min() < layer.cell.decay.numpy().max() <= 0.6


@pytest.mark.parametrize("settings", [{"decay": (1.2,)}, {"threshold": (0.0,)}, {"readout_decay": (0.6, 0.2)}])
def test_decays_and_thresholds_out_of_range_are_refused(settings):
    with pytest.raises(InputError, match=f"build: expected {next(iter(settings))} to be a number from"):
        Configuration(task="elasticity", **settings).build(elasticity(1024))


def plane(count=4):
    """Paths of two inputs and three outputs."""
    values = np.arange(count * 5 * 3.0).reshape(count, 5, 3)
    return Paths(values[..., :2], values, ("strain_11", "strain_22"), ("stress_11", "stress_22", "stress_12"))


@pytest.mark.parametrize("source", [{"task": "elasticity"}, {"data": "a.csv", "inputs": ("x",), "outputs": ("y",)}])
def test_the_network_has_as_many_inputs_and_outputs_as_the_data(source):
    """The data decide, not the task in the configuration, since users may define tasks."""
    model = Configuration(**source, units=4, population=6, depth=1).build(plane())
    assert (model.input_shape[-1], model.output_shape[-1]) == (2, 3)
    narrow = Configuration(**source, units=4, population=6, depth=1).build(elasticity(4))
    assert (narrow.input_shape[-1], narrow.output_shape[-1]) == (1, 1)


def test_a_population_that_is_no_multiple_of_the_outputs_is_refused_with_the_next_one():
    """The paper's 128 population neurons do not divide by three; the configuration does not change the number."""
    with pytest.raises(InputError, match=r"population of 128 neurons.* 3 outputs.*multiple of 3, 129"):
        Configuration(task="elasticity").build(plane())


def test_the_schedule_counts_the_smaller_last_batch_of_each_epoch():
    """1024 paths in batches of 100 are 11 updates, so the cosine of three epochs ends at update 33."""
    rate = rate_of(elasticity(1024), epochs=3, batch_size=100)
    assert rate(30) > 1e-6
    assert rate(33) == pytest.approx(0.0, abs=1e-9)  # single precision times 1e-3
    # Half of the cosine at half of the updates.
    assert (rate(16) + rate(17)) / 2 == pytest.approx(5e-4, rel=1e-5)


def test_the_schedule_counts_the_batches_of_each_length():
    """A batch holds paths of similar length: 7 of 3 steps and 1 of 9000 in batches of 4 are two updates and one."""
    lengths = np.array([3, 3, 3, 9000, 3, 3, 3, 3])
    rows = Ragged(np.arange(lengths.sum() * 1.0)[:, None], lengths, 9000)
    paths = Paths(rows, rows, ("strain",), ("stress",), lengths)
    assert len(buckets(lengths, 9000)) == 2, "a vacuous test: one length"
    rate = rate_of(paths, epochs=5, batch_size=4)
    assert rate(14) > 1e-6
    assert rate(15) == pytest.approx(0.0, abs=1e-9)


def rate_of(paths, **settings):
    configuration = Configuration(task="elasticity", schedule="cosine", units=3, population=2, depth=1, **settings)
    schedule = configuration.build(paths).optimizer._learning_rate
    return lambda update: float(schedule(update))
