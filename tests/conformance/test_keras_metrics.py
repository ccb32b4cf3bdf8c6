"""The errors as Keras metrics, against the NumPy functions over all paths at once."""

import itertools

import keras
import numpy as np
import pytest

from kspike_reg import InputError, build, load, metrics

PAIRS = [
    (metrics.MeanRelativeError, metrics.mean_relative_error),
    (metrics.MeanPointwiseRelativeError, metrics.mean_pointwise_relative_error),
    (metrics.RootMeanSquaredError, metrics.root_mean_squared_error),
]
BATCHES = (0, 3, 4, 9)  # of three, one and five paths: a mean of batches would weigh them alike
LENGTHS = np.array([5, 2, 4, 3, 5, 2, 2, 3, 4])
# The sums of some fifty numbers in single precision, and their quotient.
SINGLE = 1e-5


def drawn():
    """Reference and prediction of nine paths of two outputs; errors differ from path to path, padding is NaN."""
    generator = np.random.default_rng(7)
    reference = generator.uniform(0.5, 3, (9, 5, 2)) * np.where(generator.random((9, 5, 2)) < 0.5, -1, 1)
    prediction = reference + generator.normal(size=(9, 5, 2)) * np.arange(1, 10)[:, None, None]
    mask = np.arange(5) < LENGTHS[:, None]
    return reference, prediction, mask


@pytest.mark.parametrize("steps", ["all", "last"])
@pytest.mark.parametrize(("metric", "function"), PAIRS)
@pytest.mark.parametrize("padded", [False, True])
def test_a_metric_is_the_error_of_all_paths_whatever_the_batches(metric, function, steps, padded):
    reference, prediction, mask = drawn()
    expected = function(reference, prediction, steps, lengths=LENGTHS if padded else None)
    if padded:
        reference[~mask], prediction[~mask] = np.nan, np.inf
    measured = metric(steps=steps)
    for start, stop in itertools.pairwise(BATCHES):
        part = slice(start, stop)
        weights = 0.25 * mask[part].astype("float32") if padded else None  # any weight but zero counts as one
        measured.update_state(reference[part].astype("float32"), prediction[part].astype("float32"), weights)
    assert float(measured.result()) == pytest.approx(expected, rel=SINGLE)
    measured.reset_state()
    measured.update_state(reference[:1, :2], prediction[:1, :2])
    assert float(measured.result()) == pytest.approx(function(reference[:1, :2], prediction[:1, :2], steps), rel=SINGLE)


@pytest.mark.parametrize(("metric", "function"), PAIRS)
def test_paths_of_one_output_may_leave_its_axis_out(metric, function):
    reference, prediction, _ = drawn()
    measured = metric()
    measured.update_state(reference[..., 0], prediction[..., 0])
    assert float(measured.result()) == pytest.approx(function(reference[..., 0], prediction[..., 0]), rel=SINGLE)


def test_a_path_that_is_padding_alone_is_none():
    reference, prediction, mask = drawn()
    measured = metrics.MeanRelativeError()
    weights = mask.astype("float32")
    weights[4] = 0
    measured.update_state(reference, prediction, weights)
    rest = np.arange(9) != 4
    expected = metrics.mean_relative_error(reference[rest], prediction[rest], lengths=LENGTHS[rest])
    assert float(measured.result()) == pytest.approx(expected, rel=SINGLE)


@pytest.mark.attack("Peers' suites", "the package's errors as Keras metrics")
def test_a_model_compiled_with_the_metrics_reports_the_errors_and_keeps_them_when_saved(tmp_path):
    """`metrics` count all steps; `weighted_metrics`, to which Keras passes weights, leave padding out."""
    reference, _, mask = drawn()
    inputs = np.random.default_rng(1).normal(size=(9, 5, 1)).astype("float32")
    model = build("lif", units=4, population=2, depth=1, outputs=2)
    both = {
        "metrics": [metric() for metric, _ in PAIRS],
        "weighted_metrics": [metric("last", name=f"weighted_{number}") for number, (metric, _) in enumerate(PAIRS)],
    }
    model.compile("sgd", keras.losses.MeanSquaredError(reduction="mean_with_sample_weight"), **both)
    weights = mask.astype("float32")
    model.fit(inputs, reference, sample_weight=weights, batch_size=4, epochs=1, verbose=0, shuffle=False)
    model.save(tmp_path / "model.keras")
    for each in (model, load(tmp_path / "model.keras")):
        found = each.evaluate(inputs, reference, sample_weight=weights, batch_size=4, verbose=0, return_dict=True)
        prediction = each.predict(inputs, verbose=0)
        for number, (_, function) in enumerate(PAIRS):
            assert found[function.__name__] == pytest.approx(function(reference, prediction), rel=SINGLE)
            last = function(reference, prediction, "last", lengths=LENGTHS)
            assert found[f"weighted_{number}"] == pytest.approx(last, rel=SINGLE)


def test_the_mask_of_a_prediction_marks_padding():
    reference, _, mask = drawn()
    inputs = keras.Input((5, 2))
    model = keras.Model(inputs, keras.layers.TimeDistributed(keras.layers.Dense(2))(keras.layers.Masking(9.0)(inputs)))
    model.compile("sgd", "mse", metrics=[metrics.MeanRelativeError()])
    given = np.where(mask[..., None], reference, 9.0)
    found = model.evaluate(given, reference, batch_size=4, verbose=0, return_dict=True)
    expected = metrics.mean_relative_error(reference, model.predict(given, verbose=0), lengths=LENGTHS)
    assert found["mean_relative_error"] == pytest.approx(expected, rel=SINGLE)


@pytest.mark.parametrize(("metric", "function"), PAIRS)
def test_a_metric_comes_back_from_its_configuration(metric, function):
    again = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(metric("last")))
    assert type(again) is metric
    assert (again.steps, again.name) == ("last", f"{function.__name__}_last")
    assert metric().name == function.__name__


def test_other_steps_are_refused():
    with pytest.raises(InputError, match="MeanRelativeError: expected steps to be 'all' or 'last', received 'first'"):
        metrics.MeanRelativeError("first")


def test_a_zero_reference_shows_in_the_metric():
    measured = metrics.MeanRelativeError()
    measured.update_state(np.zeros((2, 3, 1)), np.ones((2, 3, 1)))
    assert not np.isfinite(float(measured.result()))
