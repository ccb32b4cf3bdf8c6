"""Quantities far from zero relative to their spread: scaled in double precision, or refused."""

import importlib.util

import keras
import numpy as np
import pytest

from kspike_reg import InputError, build, load
from kspike_reg.datasets import Paths, Standardiser
from kspike_reg.evaluation import evaluate, predict, records
from kspike_reg.network.physical import Standardise, in_physical_units, require_single
from oracles.backend import double_precision, torch_arrays

pytestmark = [
    torch_arrays,
    pytest.mark.attack("Data", "columns far from zero, such as seconds since 1970"),
]
EPOCH = 1_700_000_000.0  # seconds since 1970; neighbouring numbers of single precision are 128 apart
TIMES = Standardiser((EPOCH,), (300.0,), ("time",), (EPOCH - 600,), (EPOCH + 600,))
STRESSES = Standardiser((5.0,), (2.0,), ("stress",))
# The sums of a small network in single precision.
SINGLE = 1e-5


def network():
    return build("dense", units=6, population=4, depth=1, seed=2)


def data():
    standardised = np.linspace(-2, 2, 70).reshape(10, 7, 1)
    return standardised, EPOCH + 300.0 * standardised


@pytest.fixture
def double():
    """Double precision, which JAX must be told to allow."""
    with double_precision():
        yield


def predictions(model, times):
    """The outputs of a model by every way to run it, by name."""
    paths = Paths(times, None, ("time",))
    return {
        "predict": model.predict(times, batch_size=4, verbose=0),
        "predict, spread": model.predict(times, batch_size=4, verbose=0, return_spread=True)[0],
        "on batch": model.predict_on_batch(times),
        "call": keras.ops.convert_to_numpy(model(times)),
        "evaluation": predict(model, paths, batch_size=4),
    }


def test_an_offset_is_subtracted_in_double_precision_by_every_way_to_run_the_model(double, tmp_path):
    standardised, times = data()
    inner = network()
    expected = 5.0 + 2.0 * inner.predict(standardised, verbose=0)
    assert np.ptp(expected) > 0.1  # rounding to 128 s would move it by a tenth of that
    model = in_physical_units(inner, TIMES, STRESSES)
    model.save(tmp_path / "model.keras")
    for each in (model, load(tmp_path / "model.keras")):
        for name, found in predictions(each, times).items():
            np.testing.assert_allclose(found, expected, rtol=SINGLE, atol=SINGLE, err_msg=name)


def test_an_offset_of_the_output_is_added_in_double_precision(double):
    standardised, _ = data()
    inner = network()
    model = in_physical_units(inner, STRESSES, TIMES)
    expected = EPOCH + 300.0 * inner.predict(standardised, verbose=0).astype("float64")
    for name, found in predictions(model, 5.0 + 2.0 * standardised).items():
        assert found.dtype == np.float64, name
        # Half a second is a hundredth of the numbers that single precision has there.
        np.testing.assert_allclose(found, expected, rtol=0, atol=0.5, err_msg=name)


def test_errors_and_records_are_those_without_the_offset(double):
    standardised, times = data()
    inner = build("lif", units=5, population=2, depth=1, seed=4)
    model = in_physical_units(inner, TIMES, STRESSES)
    targets = 5.0 + 2.0 * np.sin(standardised)
    near = in_physical_units(inner, Standardiser((0.0,), (300.0,), ("time",)), STRESSES)
    errors = [
        evaluate(each, Paths(given, targets, ("time",), ("stress",)))["errors"]["physical"]
        for each, given in ((model, times), (near, times - EPOCH))
    ]
    assert errors[0]["root_mean_squared_error"]["all"] == pytest.approx(
        errors[1]["root_mean_squared_error"]["all"], rel=1e-4
    )
    found, expected = records(model, times), records(near, times - EPOCH)
    np.testing.assert_array_equal(found["lif_1"].spikes, expected["lif_1"].spikes)


def test_the_range_is_checked_to_the_second(double):
    """Single precision could not tell whether a time 5 s later is outside."""
    model = in_physical_units(network(), TIMES, STRESSES)
    model.predict(np.full((1, 2, 1), EPOCH + 600), outside="raise", verbose=0)
    with pytest.raises(InputError, match="5 beyond"):
        model.predict(np.full((1, 2, 1), EPOCH + 605), outside="raise", verbose=0)


@pytest.mark.skipif(keras.backend.backend() != "jax", reason="the other backends have double precision")
def test_jax_refuses_an_offset_unless_it_may_use_double_precision():
    with pytest.raises(
        InputError, match=r"time must be scaled in double precision.*JAX_ENABLE_X64=1.*subtract an offset"
    ):
        in_physical_units(network(), TIMES, STRESSES)


@pytest.mark.parametrize("mean", [0.0, 40.0, 4000.0])
def test_other_quantities_stay_in_single_precision(mean):
    """Existing models and their files do not change."""
    scaling = Standardiser((mean,), (1.0,), ("strain",), (mean - 3,), (mean + 3,))
    model = in_physical_units(network(), scaling, STRESSES)
    assert model.inputs[0].dtype == "float32"
    assert [layer.compute_dtype for layer in model.layers if isinstance(layer, Standardise)] == ["float32"] * 2


def test_an_offset_is_refused_where_numbers_leave_keras(double):
    model = in_physical_units(build("lif", units=3, population=2, depth=1), TIMES, STRESSES)
    layers = [layer for layer in model.layers if isinstance(layer, Standardise)]
    with pytest.raises(InputError, match=r"NIR: time lie so far from zero .* subtract an offset"):
        require_single(layers[0], "NIR")
    require_single(layers[1], "NIR")
    if importlib.util.find_spec("nir"):
        from kspike_reg.bridges import to_nir

        with pytest.raises(InputError, match="NIR: time lie so far from zero"):
            to_nir(model)
    if importlib.util.find_spec("nengo") and keras.backend.backend() == "tensorflow":
        from kspike_reg.bridges import simulate

        with pytest.raises(InputError, match="the layer 'standardise' computes in float64"):
            simulate(model, data()[1])
