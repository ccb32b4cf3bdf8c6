"""Models in physical units: scaling inside the file, evaluation, prediction, loading."""

import keras
import numpy as np
import pytest

from kspike_reg import InputError, build, datasets, evaluation, load, metrics, neurons
from kspike_reg.network.physical import Standardise, in_physical_units, scaling_of
from kspike_reg.network.saving import save

# Far from zero and from one another, so that a missing or exchanged scaling changes the results.
INPUTS = datasets.Standardiser((3e-4, 293.0), (2e-4, 7.0), ("strain", "temperature"))
TARGETS = datasets.Standardiser((40.0, -5.0, 0.2), (90.0, 3.0, 0.01), ("stress", "force", "damage"))


def ragged_paths(count=9, steps=6):
    random = np.random.default_rng(2)
    return datasets.Paths(
        inputs=INPUTS.restore(random.normal(size=(count, steps, 2))),
        targets=TARGETS.restore(random.normal(size=(count, steps, 3))),
        input_names=INPUTS.names,
        target_names=TARGETS.names,
        lengths=random.integers(2, steps + 1, size=count),
    )


@pytest.fixture(params=["lif", "slstm", "dense"])
def core(request):
    return build(request.param, features=2, outputs=3, units=7, population=6, depth=2, seed=1)


def test_the_physical_model_is_the_network_between_two_scalings(core):
    paths = ragged_paths()
    model = in_physical_units(core, INPUTS, TARGETS)
    expected = TARGETS.restore(core.predict(INPUTS.standardise(paths.inputs).astype("float32"), verbose=0))
    prediction = model.predict(paths.inputs, verbose=0)
    # The model standardises in float32, the test in float64: 1e-7 of 293 K is 4e-6 deviations of 7 K. A spike more or
    # less would be a difference a thousand times larger.
    np.testing.assert_allclose(prediction, expected, rtol=1e-4, atol=1e-4)
    assert np.std(prediction[..., 0]) > 1e-3


def test_the_physical_model_has_weights_of_its_own(core):
    model = in_physical_units(core, INPUTS, TARGETS)
    before = [weight.copy() for weight in model.get_weights()]
    core.set_weights([weight + 1 for weight in core.get_weights()])
    for old, new in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)


def test_the_scaling_is_part_of_the_file(core, tmp_path):
    model = in_physical_units(core, INPUTS, TARGETS)
    save(model, tmp_path / "model.keras")
    loaded = load(tmp_path / "model.keras")
    paths = ragged_paths()
    np.testing.assert_array_equal(
        evaluation.predict(loaded, paths)[paths.mask], evaluation.predict(model, paths)[paths.mask]
    )
    inputs, targets = scaling_of(loaded)
    assert (inputs.names, targets.names) == (list(INPUTS.names), list(TARGETS.names))
    assert (inputs.mean, targets.deviation) == (list(INPUTS.mean), list(TARGETS.deviation))


def test_prediction_does_not_depend_on_batches_or_padding(core):
    paths = ragged_paths()
    model = in_physical_units(core, INPUTS, TARGETS)
    whole = evaluation.predict(model, paths)
    assert whole.shape == (9, 6, 3)
    # Other batch sizes may sum in other orders: a few roundings of float32, in deviations, since a value near zero in
    # physical units is a difference of larger ones. A spike more or less would be a difference of 1e-3 at least.
    same = {"rtol": 0, "atol": 1e-5}
    standardised = TARGETS.standardise(whole)
    by_two = TARGETS.standardise(evaluation.predict(model, paths, batch_size=2))
    np.testing.assert_allclose(by_two[paths.mask], standardised[paths.mask], **same)
    for index, length in enumerate(paths.lengths):
        alone = TARGETS.standardise(model.predict(paths.inputs[index : index + 1, :length], verbose=0)[0])
        np.testing.assert_allclose(alone, standardised[index, :length], **same)


def test_errors_are_the_metrics_over_the_steps_of_each_path(core):
    paths = ragged_paths()
    model = in_physical_units(core, INPUTS, TARGETS)
    report = evaluation.evaluate(model, paths, batch_size=4)
    prediction = evaluation.predict(model, paths)
    scaled = [TARGETS.standardise(values) for values in (paths.targets, prediction)]
    for steps in ("all", "last"):
        for metric in (metrics.mean_relative_error, metrics.mean_pointwise_relative_error):
            value = report["errors"]["standardised"][metric.__name__][steps]
            assert value == pytest.approx(metric(*scaled, steps, lengths=paths.lengths), rel=1e-6)
        physical = report["errors"]["physical"]["root_mean_squared_error"][steps]
        by_hand = metrics.root_mean_squared_error(paths.targets, prediction, steps, lengths=paths.lengths)
        assert physical == pytest.approx(by_hand, rel=1e-6)
    assert report["parameters"] == core.count_params()


@pytest.mark.parametrize("readout", ["membrane", "spikes"])
def test_spike_rates_are_counted_over_the_steps_of_each_path(readout):
    core = build("lif", features=2, outputs=3, units=7, population=6, depth=2, readout=readout, seed=1)
    paths = ragged_paths()
    rates = evaluation.evaluate(in_physical_units(core, INPUTS, TARGETS), paths, batch_size=4)["spike_rates"]
    x = INPUTS.standardise(paths.inputs).astype("float32")
    for layer in core.layers[1:3]:
        x = keras.ops.convert_to_numpy(layer(x))
        spikes = x if layer.cell.output == "spikes" else x >= layer.cell.threshold.numpy()
        # A mean of zeros and ones, summed in float64 on both sides.
        assert rates[layer.name] == pytest.approx(spikes[paths.mask].mean(dtype="float64"), rel=1e-12)
        assert 0 < rates[layer.name] < 1
    assert list(rates) == ["lif_1", "lif_2"]


def test_an_undefined_error_is_none():
    """A target at its mean is zero when standardised, so eq. 14 is undefined."""
    core = build("lif", units=3, population=2, depth=1)
    one = datasets.Standardiser((0.0,), (1.0,), ("strain",)), datasets.Standardiser((2.0,), (1.0,), ("stress",))
    paths = datasets.Paths(np.ones((2, 3, 1)), np.full((2, 3, 1), 2.0), ("strain",), ("stress",))
    errors = evaluation.evaluate(in_physical_units(core, *one), paths)["errors"]
    assert errors["standardised"]["mean_relative_error"] == {"all": None, "last": None}
    assert errors["standardised"]["root_mean_squared_error"]["all"] > 0


def test_paths_that_do_not_fit_are_refused(core):
    paths = ragged_paths()
    model = in_physical_units(core, INPUTS, TARGETS)
    few = datasets.Paths(paths.inputs[..., :1], paths.targets, ("strain",), TARGETS.names)
    with pytest.raises(InputError, match=r"takes 2 inputs, the paths have 1 \(strain\)"):
        evaluation.predict(model, few)
    few = datasets.Paths(paths.inputs, paths.targets[..., :1], INPUTS.names, ("stress",))
    with pytest.raises(InputError, match=r"gives 3 outputs .* the paths have 1"):
        evaluation.evaluate(model, few)
    with pytest.raises(InputError, match="no targets"):
        evaluation.evaluate(model, datasets.Paths(paths.inputs, None, INPUTS.names))
    with pytest.raises(InputError, match="carries no scaling"):
        evaluation.evaluate(core, paths)
    with pytest.raises(InputError, match="takes paths of 4 steps, the paths have 6"):
        evaluation.predict(build("lif", features=2, units=3, population=2, timesteps=4), paths)


def test_an_input_beyond_single_precision_is_refused(core):
    inputs = np.ones((3, 4, 2))
    inputs[1, 2, 0] = 1e300
    with pytest.raises(InputError, match="path 1: strain is too large for float32"):
        evaluation.predict(in_physical_units(core, INPUTS, TARGETS), datasets.Paths(inputs, None, INPUTS.names))


def test_standardise_refuses_numbers_that_do_not_fit():
    for deviation in (0.0, -1.0, np.inf, np.nan):
        with pytest.raises(InputError, match="finite deviations > 0"):
            Standardise([1.0], [deviation], ["strain"])
    with pytest.raises(InputError, match="a mean and a deviation for each of the names"):
        Standardise([1.0, 2.0], [1.0], ["strain"])
    with pytest.raises(InputError, match=r"expected 2 quantities on the last axis \(strain, temperature\)"):
        Standardise(INPUTS.mean, INPUTS.deviation, INPUTS.names)(np.zeros((3, 4, 1)))


def test_standardise_resolves_small_deviations_and_stays_in_single_precision():
    """keras.layers.Normalization uses 1e-7 for a deviation of 1e-9; half precision cannot represent 1e-9."""
    layer = Standardise([2e-9], [1e-9], ["strain"], dtype="mixed_float16")
    result = keras.ops.convert_to_numpy(layer(np.array([[[4e-9]], [[1.5e-9]]], "float32")))
    assert result.dtype == "float32"
    # A few roundings of float32.
    np.testing.assert_allclose(result.ravel(), [2.0, -0.5], rtol=1e-6)


# ------------------------------------------------------------------------------------------------ records


def test_records_contain_what_each_layer_emits(core):
    """Spikes of the layers that emit spikes, membranes of the last, and in all layers both by the neuron's step."""
    model = in_physical_units(core, INPUTS, TARGETS)
    inputs = ragged_paths().inputs
    if core.name == "dense":
        with pytest.raises(InputError, match="'dense' has no spiking layers"):
            evaluation.records(model, inputs)
        return
    found = evaluation.records(model, inputs, batch_size=4)
    assert list(found) == [f"{core.name}_1", f"{core.name}_2"]
    for layer, outputs in ((model.layers[2], "spikes"), (model.layers[3], "membranes")):
        record = found[layer.name]
        emitted = keras.Model(model.input, layer.output).predict(inputs, verbose=0)
        # Batches of other sizes may sum in other orders: a few roundings of float32.
        np.testing.assert_allclose(getattr(record, outputs), emitted, rtol=0, atol=1e-5)
        assert record.spikes.shape == record.membranes.shape == (9, 6, 7)
        np.testing.assert_array_equal(record.thresholds, keras.ops.convert_to_numpy(layer.cell.threshold))
        assert set(np.unique(record.spikes)) == {0.0, 1.0}
        np.testing.assert_array_equal(record.spikes, record.membranes >= record.thresholds)


def test_records_of_a_layer_that_emits_its_last_spikes_alone_have_every_step():
    inputs = keras.Input((5, 2))
    layer = neurons.LIF(4, decay_initializer=0.7, threshold_initializer=0.3, name="alone")
    model = keras.Model(inputs, layer(inputs))
    values = np.random.default_rng(3).normal(size=(3, 5, 2)).astype("float32")
    record = evaluation.records(model, values)["alone"]
    np.testing.assert_array_equal(record.spikes[:, -1], model.predict(values, verbose=0))
    # The equation (paper, eq. 6), step by step.
    kernel, bias, decay, threshold = (keras.ops.convert_to_numpy(weight) for weight in layer.get_weights())
    membrane = spikes = np.zeros((3, 4))
    for step in range(5):
        membrane = decay * membrane + values[:, step] @ kernel + bias - threshold * spikes
        spikes = (membrane >= threshold).astype(float)
        np.testing.assert_allclose(record.membranes[:, step], membrane, atol=1e-6)  # roundings of float32
        np.testing.assert_array_equal(record.spikes[:, step], spikes)
    assert 0 < record.spikes.mean() < 1


def test_records_refuse_inputs_of_another_shape():
    model = build("lif", features=2, units=3, population=2, timesteps=4)
    for shape in ((3, 4), (3, 4, 1), (3, 5, 2)):
        with pytest.raises(InputError, match=r"records: expected the input 'inputs' of shape \(n, 4, 2\)"):
            evaluation.records(model, np.ones(shape))
