"""The range of the training data of a network and the spread of its population: in files, predictions, commands."""

import json
import re
import zipfile

import keras
import numpy as np
import pandas as pd
import pytest

import kspike_reg
from kspike_reg import InputError, OutOfRangeWarning, build, datasets, evaluation
from kspike_reg.cli import main
from kspike_reg.network.physical import PhysicalModel, Standardise, in_physical_units, scaling_of
from kspike_reg.network.saving import load, save
from kspike_reg.neurons import PopulationMean

INPUTS = datasets.Standardiser((3e-4, 293.0), (2e-4, 7.0), ("strain", "temperature"), (-1e-3, 280.0), (3e-3, 305.0))
TARGETS = datasets.Standardiser((40.0, -5.0, 0.2), (90.0, 3.0, 0.01), ("stress", "force", "damage"))
INSIDE, LENGTHS = [3e-4, 293.0], (6, 2, 4)


def physical(kind="lif", inputs=INPUTS, **sizes):
    sizes = {"features": 2, "outputs": 3, "units": 7, "population": 12, "depth": 2, "seed": 1} | sizes
    return in_physical_units(build(kind, **sizes), inputs, TARGETS)


@pytest.fixture(scope="module")
def model():
    return physical()


def inside(count=3, steps=6):
    """Different inputs well inside the range."""
    fractions = np.random.default_rng(5).uniform(0.1, 0.9, size=(count, steps, 2))
    return INPUTS.lower + fractions * np.subtract(INPUTS.upper, INPUTS.lower)


def ragged(inputs=None, filling=1e9):
    """Paths of 6, 2 and 4 steps; the padding is far outside the range."""
    inputs = inside() if inputs is None else inputs
    padding = np.arange(6) >= np.array(LENGTHS)[:, None]
    inputs = np.where(padding[..., None], filling, inputs)
    targets = TARGETS.restore(np.random.default_rng(6).normal(size=(3, 6, 3)))
    return datasets.Paths(inputs, targets, INPUTS.names, TARGETS.names, np.array(LENGTHS), ("a", "b", "c"))


# ------------------------------------------------------------------------------------------- the range in the file


def test_the_range_is_that_of_the_valid_steps():
    values = np.array([[[4.0, -1.0], [2.0, 5.0], [99.0, -99.0]], [[7.0, 0.5], [np.nan, np.inf], [0.0, 0.0]]])
    mask = np.array([[True, True, False], [True, False, False]])
    scaling = datasets.Standardiser.fit(values, ("strain", "temperature"), mask)
    assert (scaling.lower, scaling.upper) == ((2.0, -1.0), (7.0, 5.0))


def test_the_file_holds_the_range_and_the_class(model, tmp_path):
    """For a model that is saved and loaded in safe mode (Keras's default), cloned, or made from its config."""
    save(model, tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    copies = [loaded, load(tmp_path / "model.keras"), keras.models.clone_model(loaded)]
    copies.append(PhysicalModel.from_config(loaded.get_config()))
    for copy in copies:
        assert type(copy) is PhysicalModel
        inputs, _ = scaling_of(copy)
        assert (inputs.lower, inputs.upper) == ([-1e-3, 280.0], [3e-3, 305.0])
        with pytest.raises(InputError, match="temperature reaches 400"):
            copy.predict(np.full((1, 2, 2), [0.0, 400.0]), outside="raise", verbose=0)
    expected = model.predict(inside(), verbose=0)
    np.testing.assert_array_equal(loaded.predict(inside(), verbose=0), expected)


def test_a_model_that_computed_its_spread_can_be_saved(tmp_path):
    model = physical()
    save(model, tmp_path / "before.keras")
    prediction, spread = model.predict(inside(), return_spread=True, verbose=0)
    save(model, tmp_path / "after.keras")
    for name in ("before", "after"):
        again = load(tmp_path / f"{name}.keras").predict(inside(), return_spread=True, verbose=0)
        np.testing.assert_array_equal(again, (prediction, spread))
    assert (tmp_path / "after.keras").stat().st_size == (tmp_path / "before.keras").stat().st_size


def test_an_older_file_without_a_range_is_loaded_and_not_checked(model, tmp_path):
    """Such a file holds a plain Keras model and a configuration without a range."""
    old = keras.Model(model.input, model.outputs[0])
    old.save(tmp_path / "new.keras")
    with zipfile.ZipFile(tmp_path / "new.keras") as new, zipfile.ZipFile(tmp_path / "old.keras", "w") as file:
        for name in new.namelist():
            content = new.read(name)
            if name == "config.json":
                config = json.loads(content)
                for layer in config["config"]["layers"]:
                    bounds = {"lower", "upper"} & layer["config"].keys()
                    assert bool(bounds) == (layer["class_name"] == "Standardise")
                    for bound in bounds:
                        del layer["config"][bound]
                content = json.dumps(config)
            file.writestr(name, content)
    loaded, paths = load(tmp_path / "old.keras"), ragged(outliers())
    assert not isinstance(loaded, PhysicalModel)
    asked = {"outside": "raise", "return_spread": True}
    expected = evaluation.predict(model, paths, outside="ignore", return_spread=True)
    for values, other in zip(evaluation.predict(loaded, paths, **asked), expected, strict=True):
        np.testing.assert_array_equal(values[paths.mask], other[paths.mask])


def test_a_model_without_a_range_is_not_checked():
    model = physical(inputs=datasets.Standardiser(INPUTS.mean, INPUTS.deviation, INPUTS.names))
    assert model.predict(outliers(), outside="raise", verbose=0).shape == (3, 6, 3)


@pytest.mark.parametrize(
    ("lower", "upper"),
    [
        ([0.0], None),
        (None, [1.0]),
        ([0.0, 0.0], [1.0, 1.0]),
        ([0.0], [1.0, 2.0]),
        ([2.0], [1.0]),
        ([1.0], [1.0]),
        ([np.nan], [1.0]),
        ([0.0], [np.inf]),
    ],
)
def test_an_invalid_range_is_refused(lower, upper):
    with pytest.raises(InputError, match=re.escape(f"received lower={lower!r}, upper={upper!r}")):
        Standardise([0.5], [2.0], ["strain"], lower=lower, upper=upper)


# ------------------------------------------------------------------------------------------------------- the check


def outliers():
    """In two of three paths the strain leaves -0.001 to 0.003, by at most 0.001 and 0.0005.

    In one of them the temperature falls below 280 to 305, by 2.5.
    """
    inputs = inside()
    inputs[0, 3, 0] = -1.5e-3
    inputs[2, 1] = 4e-3, 277.5
    inputs[2, 3, 0] = 3.2e-3
    return inputs


MESSAGE = (
    "inputs outside the range that the network was trained on, where it extrapolates: "
    "strain reaches 0.004 in path {0}, 0.001 beyond -0.001 to 0.003 (0.25 of that range's width), "
    "and leaves it in 2 of 3 paths; "
    "temperature reaches 277.5 in path {0}, 2.5 beyond 280 to 305 (0.1 of that range's width), "
    "and leaves it in 1 of 3 paths"
)


def ours(caught):
    """The warnings of the package; on PyTorch, Keras may add deprecation warnings of NumPy."""
    return [warning for warning in caught if warning.category is OutOfRangeWarning]


def test_one_warning_names_the_quantities_outside_the_range_with_distance_and_path(model):
    with pytest.warns(OutOfRangeWarning) as caught:
        prediction = model.predict(outliers(), verbose=0)
    assert [str(warning.message) for warning in ours(caught)] == [MESSAGE.format(2)]
    assert ours(caught)[0].filename == __file__
    assert issubclass(OutOfRangeWarning, UserWarning)
    # The prediction is the same with and without the warning.
    np.testing.assert_array_equal(model.predict(outliers(), outside="ignore", verbose=0), prediction)


@pytest.mark.parametrize("function", [evaluation.predict, evaluation.evaluate])
def test_the_warning_names_the_labels_of_paths_and_ignores_the_padding(model, function):
    function(model, ragged(), outside="raise")
    with pytest.warns(OutOfRangeWarning) as caught:
        function(model, ragged(outliers()))
    assert [str(warning.message) for warning in ours(caught)] == [MESSAGE.format("'c'")]
    assert ours(caught)[0].filename == __file__
    function(model, ragged(outliers()), outside="ignore")
    with pytest.raises(InputError, match=re.escape(MESSAGE.format("'c'"))):
        function(model, ragged(outliers()), outside="raise")


def test_the_check_may_raise_and_an_unknown_choice_is_refused_first(model):
    with pytest.raises(InputError, match=re.escape(f"{MESSAGE.format(2)}; train it on such inputs too, or choose")):
        model.predict(outliers(), outside="raise", verbose=0)
    for function in (model.predict, lambda x, **options: evaluation.predict(model, ragged(x), **options)):
        with pytest.raises(InputError, match="unknown outside='warm'; choose one of 'warn', 'raise', 'ignore'"):
            function(inside(), outside="warm")


@pytest.mark.parametrize("column", [0, 1])
@pytest.mark.parametrize("end", ["lower", "upper"])
def test_the_range_includes_its_ends_in_either_precision_but_no_values_beyond(column, end):
    """Single precision cannot represent -1e-3 and 3e-3: rounded, the first is inside, the second outside."""
    sign = 1 if end == "upper" else -1
    inputs = np.full((2, 3, 2), INSIDE)
    inputs[1, 1, column] = bound = getattr(INPUTS, end)[column]
    model = physical(units=2, population=3, depth=1)
    model.predict(inputs, outside="raise", verbose=0)
    model.predict(inputs.astype("float32"), outside="raise", verbose=0)
    # A number converted from another unit in single precision: three roundings.
    kilo = inputs.astype("float32") * np.float32(1e-3)
    model.predict(kilo / np.float32(1e-3), outside="raise", verbose=0)
    # Rounding is allowed up to two epsilons, 2.4e-7, of the larger end of the range; this is 3e-7 of it.
    inputs[1, 1, column] = bound + sign * 3e-7 * (3e-3, 305.0)[column]
    with pytest.raises(InputError, match=f"{INPUTS.names[column]} reaches .* in path 1"):
        model.predict(inputs, outside="raise", verbose=0)


def test_the_allowance_for_rounding_is_needed():
    """Guard of the test above: rounded to single precision, the upper end of the strain is above itself."""
    assert float(np.float32(INPUTS.upper[0])) > INPUTS.upper[0]


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_nan_is_in_no_range(model, value):
    """A spiking network would hide it, since it emits zeros and ones."""
    inputs = inside()
    inputs[1, 2, 0] = value
    with pytest.raises(InputError, match=f"strain reaches {value} in path 1, .* in 1 of 3 paths"):
        model.predict(inputs, outside="raise", verbose=0)


@pytest.mark.parametrize(
    "kind", [np.asarray, keras.ops.convert_to_tensor, lambda x: {"physical_inputs": x}], ids=["array", "tensor", "dict"]
)
def test_arrays_are_checked_in_every_container(model, kind):
    with pytest.raises(InputError, match=r"temperature reaches 277\.5 in path 2"):
        model.predict(kind(outliers().astype("float32")), outside="raise", verbose=0)


def test_a_single_quantity_is_also_checked_without_its_axis():
    """Keras treats (paths, steps) as (paths, steps, 1)."""
    one = datasets.Standardiser((1.0,), (2.0,), ("strain",), (-3.0,), (5.0,))
    model = in_physical_units(build("lif", units=3, population=2, depth=1), one, one)
    inputs = np.array([[0.0, 1.0, 2.0], [0.0, -7.0, 1.0]])
    with pytest.warns(OutOfRangeWarning, match=r"strain reaches -7 in path 1, 4 beyond -3 to 5 \(0.5 of"):
        assert model.predict(inputs, verbose=0).shape == (2, 3, 1)


def test_inputs_that_are_not_arrays_are_not_checked(model):
    class Batches(keras.utils.PyDataset):
        def __len__(self):
            return 3

        def __getitem__(self, index):
            return (outliers()[index : index + 1],)

    prediction = model.predict(Batches(), outside="raise", verbose=0)
    # Batches of one and three paths: roundings of float32, relative to deviations of up to 90 and means of up to 40.
    np.testing.assert_allclose(prediction, model.predict(outliers(), outside="ignore", verbose=0), rtol=1e-5, atol=1e-3)


# ------------------------------------------------------------------------------------------------------ the spread


def test_the_spread_of_a_population_by_hand():
    """Groups 1 3, 2 10 and 5 5 with the means 2, 6 and 5: distances 1, 4 and 0."""
    neurons = np.array([[[1.0, 3, 2, 10, 5, 5]]], "float32")
    layer = PopulationMean(3)
    np.testing.assert_array_equal(keras.ops.convert_to_numpy(layer(neurons)), [[[2.0, 6.0, 5.0]]])
    # A root in single precision.
    spread = keras.ops.convert_to_numpy(layer.spread(neurons))
    np.testing.assert_allclose(spread, [[[1.0, 4.0, 0.0]]], rtol=1e-6, atol=1e-6)


def averages_by_hand(model, inputs):
    """(mean, standard deviation) of the four population neurons of each output in physical units, with NumPy."""
    population = keras.Model(model.input, model.get_layer("population").output).predict(inputs, verbose=0)
    groups = population.astype("float64").reshape(*population.shape[:2], 3, 4)
    return groups.mean(axis=-1) * TARGETS.deviation + TARGETS.mean, groups.std(axis=-1) * TARGETS.deviation


@pytest.mark.parametrize("kind", ["lif", "slstm", "lstm"])
def test_the_spread_is_the_deviation_of_the_population_in_the_unit_of_the_output(kind):
    model = physical(kind)
    prediction, spread = model.predict(inside(), return_spread=True, batch_size=2, verbose=0)
    assert prediction.shape == spread.shape == (3, 6, 3)
    assert prediction.dtype == spread.dtype == np.float32
    mean, deviation = averages_by_hand(model, inside())
    # Population neurons emit values of order one, each with a few roundings of float32, in deviations of the output.
    np.testing.assert_allclose(TARGETS.standardise(prediction), TARGETS.standardise(mean), rtol=0, atol=2e-6)
    np.testing.assert_allclose(spread / TARGETS.deviation, deviation / TARGETS.deviation, rtol=1e-5, atol=2e-6)
    # Another grouping, of every third neuron, gives other numbers.
    population = keras.Model(model.input, model.get_layer("population").output).predict(inside(), verbose=0)
    strided = population.reshape(3, 6, 4, 3).std(axis=2)
    assert np.max(np.abs(strided - spread / TARGETS.deviation)) > 1e-2


def test_the_prediction_with_a_spread_is_the_same_prediction(model):
    np.testing.assert_array_equal(
        model.predict(inside(), return_spread=True, verbose=0)[0], model.predict(inside(), verbose=0)
    )


def test_the_spread_follows_the_weights(model):
    """A separate model computes it and shares the weights."""
    copy = keras.models.clone_model(model)
    copy.set_weights(model.get_weights())
    _, before = copy.predict(inside(), return_spread=True, verbose=0)
    copy.set_weights([1.25 * weight for weight in model.get_weights()])
    _, after = copy.predict(inside(), return_spread=True, verbose=0)
    _, expected = averages_by_hand(copy, inside())
    np.testing.assert_allclose(after / TARGETS.deviation, expected / TARGETS.deviation, rtol=1e-5, atol=2e-6)
    assert not np.allclose(after, before)


@pytest.mark.parametrize("batch_size", [256, 2])
def test_paths_have_the_same_spread_at_their_valid_steps(model, batch_size):
    paths = ragged()
    prediction, spread = evaluation.predict(model, paths, batch_size, return_spread=True)
    mean, deviation = averages_by_hand(model, inside())
    own = paths.mask
    assert spread.shape == (3, 6, 3)
    np.testing.assert_allclose(TARGETS.standardise(prediction)[own], TARGETS.standardise(mean)[own], rtol=0, atol=2e-6)
    scaled = [(values / TARGETS.deviation)[own] for values in (spread, deviation)]
    np.testing.assert_allclose(*scaled, rtol=1e-5, atol=2e-6)


def test_the_network_runs_once_for_both(model):
    """The test counts the batches that the first layer of neurons receives."""
    network = build("lif", features=2, outputs=3, units=7, population=12, depth=2)
    model = in_physical_units(network, INPUTS, TARGETS)
    layer, met = model.layers[2], []
    compute = layer.call

    def counted(*arguments, **options):
        met.append(arguments[0].shape)
        return compute(*arguments, **options)

    layer.call = counted
    model.predict(inside(), verbose=0)
    once = len(met)
    model.predict(inside(), return_spread=True, verbose=0)
    assert len(met) == 2 * once > 0


def test_a_model_without_a_population_has_no_spread():
    start = keras.Input((None, 2))
    x = Standardise(INPUTS.mean, INPUTS.deviation, INPUTS.names)(start)
    x = Standardise(TARGETS.mean, TARGETS.deviation, TARGETS.names, invert=True)(keras.layers.Dense(3)(x))
    model = PhysicalModel(start, x, name="bare")
    assert model.predict(inside(), verbose=0).shape == (3, 6, 3)
    for call in (
        lambda: model.predict(inside(), return_spread=True),
        lambda: evaluation.predict(model, ragged(), return_spread=True),
    ):
        with pytest.raises(InputError, match="'bare' has no PopulationMean layer"):
            call()


# ------------------------------------------------------------------------------------------------ the command line


@pytest.fixture
def workspace(model, tmp_path, monkeypatch):
    """The current folder with a model, a table inside its range and a table outside."""
    monkeypatch.chdir(tmp_path)
    save(model, "model.keras")
    for name, inputs in (("inside", inside()), ("outliers", outliers())):
        paths = ragged(inputs)
        columns = {"path": np.repeat(paths.labels, LENGTHS), "step": paths.steps[paths.mask]}
        for values, names in ((paths.inputs, INPUTS.names), (paths.targets, TARGETS.names)):
            columns |= dict(zip(names, values[paths.mask].T, strict=True))
        pd.DataFrame(columns).to_csv(f"{name}.csv", index=False)
    return tmp_path


def predict(table, *more):
    return ["predict", "model.keras", "--input", table, "--output", "predicted.csv", *more]


def test_functionwarns_in_one_line(workspace, capfd):
    assert main(predict("outliers.csv")) == 0
    captured = capfd.readouterr()
    assert captured.err == f"kspike-reg predict: warning: {MESSAGE.format(chr(39) + 'c' + chr(39))}\n"
    assert captured.out == "wrote stress, force, damage of 3 paths to predicted.csv\n"
    assert main(predict("outliers.csv", "--overwrite", "--outside", "ignore")) == 0
    assert main(predict("inside.csv", "--overwrite", "--outside", "raise")) == 0
    assert capfd.readouterr().err == ""


def test_functionraises_on_request_and_writes_nothing(workspace, capfd):
    assert main(predict("outliers.csv", "--outside", "raise")) == 2
    captured = capfd.readouterr()
    assert captured.out == ""
    assert re.fullmatch(r"kspike-reg predict: error: .*strain reaches 0\.004 in path 'c'.*\n", captured.err)
    assert not (workspace / "predicted.csv").exists()


def test_evaluate_warns_and_raises_as_well(workspace, capfd):
    command = ["evaluate", "model.keras", "--data", "outliers.csv"]
    assert main(command) == 0
    captured = capfd.readouterr()
    assert re.fullmatch(r"kspike-reg evaluate: warning: .*strain reaches 0\.004.*\n", captured.err)
    assert "mean relative error" in captured.out
    assert main([*command, "--outside", "raise"]) == 2
    assert main([*command, "--outside", "ignore"]) == 0
    assert capfd.readouterr().err.count("\n") == 1


def test_functionwrites_the_spread_next_to_the_outputs(workspace, model, capfd):
    assert main(predict("inside.csv", "--spread")) == 0
    assert (
        "wrote stress, force, damage, stress_spread, force_spread, damage_spread of 3 paths" in capfd.readouterr().out
    )
    table = pd.read_csv("predicted.csv")
    assert list(table.columns) == ["path", "step", *TARGETS.names, *(f"{name}_spread" for name in TARGETS.names)]
    expected = evaluation.predict(model, ragged(), return_spread=True)
    # The table holds inputs to the last bit, but pandas may read another last digit.
    for offset, values in zip((2, 5), expected, strict=True):
        np.testing.assert_allclose(
            table.iloc[:, offset : offset + 3].to_numpy() / TARGETS.deviation,
            values[ragged().mask] / TARGETS.deviation,
            rtol=1e-5,
            atol=1e-5,
        )


def test_a_spread_never_replaces_the_column_of_an_output(workspace, capfd):
    names = ("stress", "stress_spread", "damage")
    clashing = datasets.Standardiser(TARGETS.mean, TARGETS.deviation, names)
    save(in_physical_units(build("lif", features=2, outputs=3, units=3, population=3), INPUTS, clashing), "model.keras")
    assert main(predict("inside.csv", "--spread")) == 2
    assert "two columns cannot both be named 'stress_spread'" in capfd.readouterr().err
    assert not (workspace / "predicted.csv").exists()
    assert main(predict("inside.csv")) == 0


def test_the_warning_is_public():
    assert kspike_reg.OutOfRangeWarning is OutOfRangeWarning


# ------------------------------------------------------------------------------------------- the scaling by hand


def test_values_are_scaled_there_and_back_as_by_hand():
    """(7 - 3) / 2 = 2, (-1 - 5) / 4 = -1.5 and (1 - 3) / 2 = -1, (6 - 5) / 4 = 0.25; all exact in binary."""
    values, scaled = np.array([[7.0, -1.0], [1.0, 6.0]]), np.array([[2.0, -1.5], [-1.0, 0.25]])
    options = {"mean": (3.0, 5.0), "deviation": (2.0, 4.0), "names": ("strain", "temperature")}
    np.testing.assert_array_equal(Standardise(**options)(values), scaled)
    np.testing.assert_array_equal(Standardise(**options, invert=True)(scaled), values)


@pytest.mark.parametrize(("mean", "precision"), [(4096.0, "float32"), (-4097.0, "float64")])
def test_double_precision_begins_where_single_moves_a_value_by_2_to_the_minus_12(mean, precision):
    """A value near 4096 deviations is rounded by up to 2**-24 of it, 2**-12 = 2.4e-4 deviations."""
    seconds = datasets.Standardiser((1.5, mean), (2.0, 1.0), ("strain", "seconds"))
    network = build("dense", features=2, outputs=3, units=2, population=3, depth=1)
    layers = in_physical_units(network, seconds, TARGETS).layers
    assert [layers[1].compute_dtype, layers[-1].compute_dtype] == [precision, "float32"]
