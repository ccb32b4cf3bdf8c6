"""Constructor options: their effects, invalid values, and the output of help()."""

import inspect
import math
import pydoc

import keras
import numpy as np
import pytest
from keras import ops

from kspike_reg.errors import InputError
from kspike_reg.neurons import (
    LIF,
    RLIF,
    SLSTM,
    LeakyIntegrator,
    LeakyIntegratorCell,
    LIFCell,
    PopulationMean,
    RLIFCell,
    SLSTMCell,
)
from kspike_reg.neurons.cell import SMALLEST_THRESHOLD
from kspike_reg.neurons.constraints import Interval
from oracles.backend import numpy_of, torch_arrays
from oracles.weights import assign, draw

pytestmark = torch_arrays

LAYERS = [LIF, RLIF, SLSTM, LeakyIntegrator]
CELLS = [LIFCell, RLIFCell, SLSTMCell, LeakyIntegratorCell]
BATCH, TIME, FEATURES, UNITS = 3, 6, 2, 5


def built(layer, features=FEATURES):
    layer.build((None, None, features))
    return layer


# Weights during training


def fit_hard(layer, seed=0):
    """Train with a few large steps on random targets; returns the weights by name after every step."""
    generator = np.random.default_rng(seed)
    inputs = generator.normal(0.3, 1.0, (BATCH, TIME, FEATURES)).astype("float32")
    targets = generator.normal(0.0, 2.0, (BATCH, TIME, UNITS)).astype("float32")
    model = keras.Sequential([keras.Input((TIME, FEATURES)), layer])
    model.compile(optimizer=keras.optimizers.SGD(learning_rate=5.0), loss="mse")
    history = []

    def record(epoch, logs):
        history.append({weight.name: numpy_of(weight).copy() for weight in layer.cell.weights})

    record(-1, None)
    model.fit(inputs, targets, epochs=3, verbose=0, callbacks=[keras.callbacks.LambdaCallback(on_epoch_end=record)])
    assert len(history) == 4
    return history


def test_training_keeps_the_decay_in_its_interval_and_the_threshold_above_zero():
    """Without the constraints the same steps leave the intervals, so the constraints are necessary."""
    options = {"return_sequences": True, "seed": 0, "kernel_initializer": 0.4, "decay_initializer": 0.5}
    free = fit_hard(LIF(UNITS, **options, decay_constraint=None, threshold_constraint=None))
    assert not all(np.all((step["decay"] >= 0) & (step["decay"] <= 1)) for step in free)
    assert not all(np.all(step["threshold"] > 0) for step in free)
    constrained = fit_hard(LIF(UNITS, **options))
    assert not np.array_equal(constrained[0]["decay"], constrained[-1]["decay"])
    for step in constrained:
        assert np.all((step["decay"] >= 0) & (step["decay"] <= 1))
        assert np.all(step["threshold"] >= np.float32(SMALLEST_THRESHOLD))
    assert any(np.any(step["threshold"] == np.float32(SMALLEST_THRESHOLD)) for step in constrained)


def test_the_smallest_threshold_is_above_zero_in_half_precision():
    assert np.float16(SMALLEST_THRESHOLD) >= np.finfo("float16").tiny


def test_decay_and_threshold_may_be_fixed():
    layer = LIF(UNITS, return_sequences=True, kernel_initializer=0.4, learn_decay=False, learn_threshold=False)
    built(layer)
    assert [weight.name for weight in layer.trainable_weights] == ["kernel", "bias"]
    assert sorted(weight.name for weight in layer.non_trainable_weights if weight.name != "seed_generator_state") == [
        "decay",
        "threshold",
    ]
    first, *_, last = fit_hard(layer)
    assert not np.array_equal(first["kernel"], last["kernel"])
    for name in ("decay", "threshold"):
        np.testing.assert_array_equal(first[name], last[name])


def test_a_layer_that_is_not_trainable_has_no_trainable_weights():
    layer = built(SLSTM(UNITS, trainable=False))
    assert layer.trainable_weights == []
    assert len(layer.non_trainable_weights) >= 4


def test_an_interval_clips():
    values = ops.convert_to_tensor(np.array([-3.0, -0.5, 0.25, 2.0], "float32"))
    assert numpy_of(Interval(-0.5, 1.5)(values)).tolist() == [-0.5, -0.5, 0.25, 1.5]
    assert numpy_of(Interval(lower=0.0)(values)).tolist() == [0.0, 0.0, 0.25, 2.0]
    assert numpy_of(Interval(upper=0.0)(values)).tolist() == [-3.0, -0.5, 0.0, 0.0]
    assert numpy_of(Interval(0.5, 0.5)(values)).tolist() == [0.5] * 4
    assert repr(Interval(-0.5, 1.5)) == "Interval(-0.5, 1.5)"


def test_an_interval_survives_its_config():
    for interval in (Interval(-0.5, 1.5), Interval(lower=0.25)):
        copy = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(interval))
        assert isinstance(copy, Interval)
        assert (copy.lower, copy.upper) == (interval.lower, interval.upper)


@pytest.mark.parametrize("bounds", [(1.0, 0.0), (math.nan, 1.0)])
def test_an_empty_interval_is_refused(bounds):
    with pytest.raises(InputError, match="Interval: expected lower <= upper, received lower="):
        Interval(*bounds)


# Initial weights


def test_weights_start_as_in_the_paper():
    """Decays and thresholds start at 0.1, the thresholds of an SLSTM anywhere in [0, 1)."""
    for layer in (LIF(7), RLIF(7)):
        weights = {weight.name: numpy_of(weight) for weight in built(layer).weights}
        np.testing.assert_array_equal(weights["decay"], np.full(7, 0.1, "float32"))
        np.testing.assert_array_equal(weights["threshold"], np.full(7, 0.1, "float32"))
        assert weights["kernel"].shape == (FEATURES, 7)
        assert weights["bias"].shape == (7,)
    keras.utils.set_random_seed(1)
    threshold = numpy_of(built(SLSTM(200)).cell.threshold)
    assert np.all((threshold >= 0) & (threshold < 1))
    # Mean and deviation of 200 uniform numbers, 0.5 and 1 / sqrt(12), within five standard errors.
    assert threshold.mean() == pytest.approx(0.5, abs=0.1)
    assert threshold.std() == pytest.approx(1 / math.sqrt(12), abs=0.06)


def test_a_number_stands_for_a_constant_initializer():
    layer = built(
        RLIF(
            UNITS,
            kernel_initializer=0.25,
            bias_initializer=-1,
            decay_initializer=0.75,
            threshold_initializer=2,
            recurrent_initializer=0.125,
        )
    )
    expected = {"kernel": 0.25, "bias": -1, "decay": 0.75, "threshold": 2, "recurrent_kernel": 0.125}
    found = {weight.name: numpy_of(weight) for weight in layer.trainable_weights}
    assert set(found) == set(expected)
    for name, value in expected.items():
        np.testing.assert_array_equal(found[name], np.full(found[name].shape, value, "float32"))


def test_keras_initializers_are_accepted():
    decay = numpy_of(built(LIF(50, decay_initializer=keras.initializers.RandomUniform(0.6, 0.7, seed=1))).cell.decay)
    assert np.all((decay >= 0.6) & (decay < 0.7))
    assert len(np.unique(decay)) > 40


def test_the_initializer_of_the_recurrent_kernel_of_rlif_depends_on_the_recurrence():
    """Dense: an orthogonal matrix; one to one: a vector, which cannot be orthogonal."""
    dense = numpy_of(built(RLIF(UNITS)).cell.recurrent_kernel)
    np.testing.assert_allclose(dense @ dense.T, np.eye(UNITS), atol=1e-5)  # float32
    one_to_one = numpy_of(built(RLIF(UNITS, recurrence="one_to_one")).cell.recurrent_kernel)
    assert one_to_one.shape == (UNITS,)
    assert len(np.unique(one_to_one)) == UNITS


FORGETFUL = np.repeat([0.0, 1.0, 0.0, 0.0], UNITS)


def test_the_forget_gate_of_an_slstm_starts_open():
    np.testing.assert_array_equal(numpy_of(built(SLSTM(UNITS)).cell.bias), FORGETFUL)
    np.testing.assert_array_equal(numpy_of(built(SLSTM(UNITS, unit_forget_bias=False)).cell.bias), 0 * FORGETFUL)
    expected = np.where(FORGETFUL == 1, 1.0, 0.25)  # one for any initializer of the others, as in keras.layers.LSTM
    np.testing.assert_array_equal(numpy_of(built(SLSTM(UNITS, bias_initializer=0.25)).cell.bias), expected)
    assert built(SLSTM(UNITS, use_bias=False)).cell.bias is None


def test_the_forget_gate_starts_open_if_fit_builds_the_layer():
    """A model without an input builds its layers inside fit, on symbols; the initial weights must be the same."""
    inputs = np.random.default_rng(0).normal(size=(BATCH, TIME, FEATURES)).astype("float32")
    model = keras.Sequential([SLSTM(UNITS, output="membrane", return_sequences=True)])
    assert not model.built
    model.compile(optimizer=keras.optimizers.SGD(learning_rate=0.0), loss="mse")
    model.fit(inputs, np.ones((BATCH, TIME, UNITS), "float32"), verbose=0)
    np.testing.assert_array_equal(numpy_of(model.layers[0].cell.bias), FORGETFUL)
    model.optimizer.learning_rate = 0.1
    model.fit(inputs, np.ones((BATCH, TIME, UNITS), "float32"), verbose=0)
    assert not np.array_equal(numpy_of(model.layers[0].cell.bias), FORGETFUL)


# Additional losses


def test_regularizers_add_their_losses():
    """One factor for each weight, l2(w) = factor * sum(w^2); the sum shows whether each acts on its own weight."""
    factors = {"kernel": 0.1, "bias": 0.2, "decay": 0.3, "threshold": 0.4, "recurrent": 0.5}
    options = {f"{name}_regularizer": keras.regularizers.L2(factor) for name, factor in factors.items()}
    layer = built(RLIF(UNITS, **options))
    weights = assign(layer.cell, draw(layer.cell, FEATURES, seed=3))
    expected = [
        factors[name.removesuffix("_kernel") if name.startswith("recurrent") else name] * np.sum(np.square(values))
        for name, values in weights.items()
    ]
    assert len(set(np.round(expected, 3))) == 5
    found = [float(numpy_of(loss)) for loss in layer.losses]
    np.testing.assert_allclose(sorted(found), sorted(expected), rtol=1e-5)  # float32 sums
    assert built(RLIF(UNITS)).losses == []


def test_an_activity_regularizer_receives_the_outputs():
    layer = LIF(UNITS, return_sequences=True, activity_regularizer=keras.regularizers.L1(0.5))
    built(layer)
    assign(layer.cell, draw(layer.cell, FEATURES, seed=3))
    outputs = numpy_of(layer(np.ones((1, TIME, FEATURES), "float32")))
    assert outputs.sum() > 0
    np.testing.assert_allclose(float(numpy_of(layer.losses[0])), 0.5 * outputs.sum(), rtol=1e-6)  # float32


# Dropout


def integrator(**options):
    """Leaky integrators that return their inputs: identity kernel, no memory."""
    layer = LeakyIntegrator(40, use_bias=False, decay_initializer=0, return_sequences=True, **options)
    built(layer, features=40)
    layer.cell.kernel.assign(np.eye(40))
    return layer


ONES = np.ones((BATCH, TIME, 40), "float32")


def test_dropout_acts_in_training_only():
    layer = integrator(dropout=0.25, seed=1)
    np.testing.assert_array_equal(numpy_of(layer(ONES)), ONES)
    np.testing.assert_array_equal(numpy_of(layer(ONES, training=False)), ONES)
    trained = numpy_of(layer(ONES, training=True))
    scale = np.float32(1 / 0.75)
    np.testing.assert_allclose(np.unique(trained), [0, scale], rtol=1e-6)  # a division in float32
    # 120 draws with probability one quarter: 30 with a deviation of 4.7; the bounds are five deviations.
    assert 6 < np.sum(trained[:, 0] == 0) < 54


def test_dropout_uses_one_mask_for_all_steps_and_another_for_the_next_call():
    layer = integrator(dropout=0.5, seed=1)
    first, second = (numpy_of(layer(ONES, training=True)) for _ in range(2))
    for trained in (first, second):
        np.testing.assert_array_equal(trained, np.repeat(trained[:, :1], TIME, axis=1))
        assert not np.array_equal(trained[0], trained[1])
    assert not np.array_equal(first, second)


def test_dropout_follows_its_seed():
    first, same, other = (numpy_of(integrator(dropout=0.5, seed=seed)(ONES, training=True)) for seed in (3, 3, 4))
    np.testing.assert_array_equal(first, same)
    assert not np.array_equal(first, other)


@pytest.mark.parametrize(("layer", "cell"), [(LIF, LIFCell), (RLIF, RLIFCell), (SLSTM, SLSTMCell)])
def test_dropout_of_a_layer_is_that_of_its_cell_in_keras_rnn(layer, cell):
    """The same seed drops the same inputs, and the same feedback where there is one, in both loops."""
    options = {"dropout": 0.5, "seed": 7} | ({} if layer is LIF else {"recurrent_dropout": 0.25})
    inputs = np.random.default_rng(1).normal(0.3, 1.0, (BATCH, TIME, FEATURES)).astype("float32")
    outputs = []
    for recurrent in (
        layer(UNITS, return_sequences=True, **options),
        keras.layers.RNN(cell(UNITS, **options), return_sequences=True),
        layer(UNITS, return_sequences=True),
    ):
        built(recurrent)
        assign(recurrent.cell, draw(recurrent.cell, FEATURES, seed=3))
        outputs.append(numpy_of(recurrent(inputs, training=True)))
    assert set(np.unique(outputs[0])) == {0.0, 1.0}
    np.testing.assert_array_equal(outputs[0], outputs[1])
    assert not np.array_equal(outputs[0], outputs[2])


def test_recurrent_dropout_drops_the_spikes_fed_back_with_one_mask_for_all_steps():
    """All neurons fire at every step (bias 1, threshold 0.5, no reset, no memory), so from the second step on
    U = 1 + V * mask, with V = 0.25 and a mask of 0 or 2 at a rate of one half."""
    layer = RLIF(
        40,
        recurrence="one_to_one",
        recurrent_initializer=0.25,
        recurrent_dropout=0.5,
        seed=2,
        bias_initializer=1.0,
        threshold_initializer=0.5,
        decay_initializer=0.0,
        reset="none",
        output="membrane",
        return_sequences=True,
    )
    inputs = np.zeros((BATCH, TIME, FEATURES), "float32")
    expected = np.ones((BATCH, TIME, 40))
    expected[:, 1:] = 1.25
    np.testing.assert_array_equal(numpy_of(layer(inputs)), expected)
    trained = numpy_of(layer(inputs, training=True))
    np.testing.assert_array_equal(trained[:, 0], expected[:, 0])
    assert set(np.unique(trained[:, 1:])) == {1.0, 1.5}
    np.testing.assert_array_equal(trained[:, 1:], np.repeat(trained[:, 1:2], TIME - 1, axis=1))
    assert not np.array_equal(trained[0], trained[1])


def test_recurrent_dropout_of_an_slstm_drops_the_membrane_fed_back():
    """V connects each neuron to itself: a rate of one half has the same effect as V = 0 or twice V, for all steps."""
    columns = np.eye(40, dtype="float32")
    inputs = np.random.default_rng(1).normal(0.5, 1.0, (BATCH, TIME, FEATURES)).astype("float32")

    def membranes(strength, rate):
        layer = SLSTM(40, output="membrane", return_sequences=True, recurrent_dropout=rate, seed=5)
        built(layer)
        weights = draw(layer.cell, FEATURES, seed=3)
        weights["recurrent_kernel"] = strength * np.concatenate([columns, -columns, 2 * columns, columns], axis=1)
        assign(layer.cell, weights)
        return numpy_of(layer(inputs, training=True))

    dropped, doubled, thinned = membranes(0.0, 0.0), membranes(2.0, 0.0), membranes(1.0, 0.5)
    assert not np.allclose(dropped, doubled, atol=1e-2)
    like_dropped = np.all(np.isclose(thinned, dropped, atol=1e-5), axis=1)  # float32 over six steps
    like_doubled = np.all(np.isclose(thinned, doubled, atol=1e-5), axis=1)
    assert np.all(like_dropped | like_doubled)
    assert like_dropped.sum() > 30
    assert like_doubled.sum() > 30


# The population mean


@pytest.mark.parametrize(("outputs", "expected"), [(1, [16]), (2, [2, 30]), (3, [1.5, 6.5, 40]), (6, None)])
def test_the_population_mean_averages_neighbouring_neurons(outputs, expected):
    neurons = np.array([[1.0, 2, 3, 10, 20, 60], [-1.0, -2, -3, -10, -20, -60]], "float32")
    means = numpy_of(PopulationMean(outputs)(neurons))
    expected = neurons[0] if expected is None else np.array(expected)
    np.testing.assert_allclose(means, [expected, -expected], rtol=1e-6)  # float32
    paths = np.stack([neurons, 2 * neurons, 3 * neurons], axis=1)
    means = numpy_of(PopulationMean(outputs)(paths))
    np.testing.assert_allclose(means[1], -np.outer([1, 2, 3], expected), rtol=1e-6)


def test_a_population_that_does_not_divide_is_refused_with_a_valid_size():
    with pytest.raises(InputError, match=r"PopulationMean: 5 neurons do not divide into 3 equal groups; .* 6 say"):
        PopulationMean(3)(np.ones((1, 5), "float32"))


@pytest.mark.parametrize("outputs", [0, -1, 2.0, True, "2", None])
def test_a_population_mean_needs_a_positive_integer(outputs):
    with pytest.raises(InputError, match=r"PopulationMean: expected outputs to be a positive integer, received"):
        PopulationMean(outputs)


# Invalid options


@pytest.mark.parametrize("units", [0, -3, True, 2.5, 3.0, "3", None])
@pytest.mark.parametrize("neuron", [*LAYERS, *CELLS])
def test_units_must_be_a_positive_integer(neuron, units):
    cell = neuron.__name__ if neuron in CELLS else neuron.cell_class.__name__
    with pytest.raises(InputError) as error:
        neuron(units)
    assert str(error.value) == f"{cell}: expected units to be a positive integer, received units={units!r}"


@pytest.mark.parametrize("neuron", [*LAYERS, *CELLS, PopulationMean])
def test_a_count_may_come_from_numpy(neuron):
    """It is stored as a Python integer, which can be saved in a file."""
    counts = [value for value in neuron(np.int64(4)).get_config().values() if type(value) is int]
    assert counts == [4]


REFUSED = [
    ("reset", "substract", "unknown reset 'substract'; choose one of 'subtract', 'zero', 'none'", (LIF, RLIF, SLSTM)),
    ("output", "spike", "unknown output 'spike'; choose one of 'spikes', 'membrane'", (LIF, RLIF, SLSTM)),
    ("surrogate", "atna", "unknown surrogate 'atna': choose one of atan, ", (LIF, RLIF, SLSTM)),
    ("surrogate_scale", 0.0, "surrogate 'atan': expected a finite scale > 0, received scale=0.0", (LIF, RLIF, SLSTM)),
    ("surrogate_scale", -2, "surrogate 'atan': expected a finite scale > 0, received scale=-2", (LIF, RLIF, SLSTM)),
    ("recurrence", "full", "unknown recurrence 'full'; choose one of 'dense', 'one_to_one'", (RLIF,)),
    ("dropout", 1.0, "expected dropout in [0, 1), received dropout=1.0", LAYERS),
    ("dropout", -0.1, "expected dropout in [0, 1), received dropout=-0.1", LAYERS),
    ("recurrent_dropout", 1.0, "expected recurrent_dropout in [0, 1), received recurrent_dropout=1.0", (RLIF, SLSTM)),
    ("decay_initializer", 1.5, "expected a decay in [0, 1], received 1.5", (LIF, RLIF, LeakyIntegrator)),
    ("decay_initializer", -0.1, "expected a decay in [0, 1], received -0.1", (LIF, RLIF, LeakyIntegrator)),
    ("decay_initializer", math.nan, "expected a decay in [0, 1], received nan", (LIF, RLIF, LeakyIntegrator)),
    ("threshold_initializer", 0, "expected a threshold > 0, received 0", (LIF, RLIF, SLSTM)),
    ("threshold_initializer", 5e-5, "received 5e-05; the smallest is 0.0001", (LIF, RLIF, SLSTM)),
    ("threshold_initializer", -0.5, "expected a threshold > 0, received -0.5", (LIF, RLIF, SLSTM)),
    ("threshold_initializer", math.inf, "expected a threshold > 0, received inf", (LIF, RLIF, SLSTM)),
]


@pytest.mark.parametrize("layer", LAYERS)
@pytest.mark.parametrize("shape", [(4,), (4, 3), (4, 3, 2, 2)])
def test_paths_of_another_rank_are_refused(layer, shape):
    with pytest.raises(InputError, match=rf"{layer.__name__}: expected paths of shape \(batch, time, features\)"):
        layer(5)(np.ones(shape, "float32"))


@pytest.mark.parametrize(("option", "value", "message", "layers"), REFUSED)
def test_an_option_out_of_its_range_is_refused(option, value, message, layers):
    """By the layer and by the cell; the message names the cell, the received value and the expected one."""
    assert len(layers) > 0
    for layer in layers:
        for neuron in (layer, layer.cell_class):
            with pytest.raises(InputError) as error:
                neuron(4, **{option: value})
            assert message in str(error.value)
            if option not in ("surrogate", "surrogate_scale"):
                assert str(error.value).startswith(f"{layer.cell_class.__name__}: ")


@pytest.mark.parametrize(
    ("neuron", "option"),
    [(LIF, "recurrence"), (LIF, "recurrent_dropout"), (LeakyIntegrator, "reset"), (SLSTM, "decay_initializer")],
)
def test_an_option_of_another_neuron_is_refused(neuron, option):
    with pytest.raises((TypeError, ValueError), match=option):
        neuron(4, **{option: 0.5})


def test_the_ends_of_the_ranges_are_valid():
    for decay in (0, 1, 0.0, 1.0):
        assert np.all(numpy_of(built(LIF(3, decay_initializer=decay)).cell.decay) == decay)
    assert built(LIF(1, dropout=0.0)).units == 1
    assert np.all(numpy_of(built(LIF(3, threshold_initializer=100)).cell.threshold) == 100)


# The output of help()

OF_EVERY_CELL = {"units", "use_bias", "kernel_initializer", "bias_constraint", "dropout", "seed"}
OF_LEAKY_CELLS = {"decay_initializer", "decay_regularizer", "decay_constraint", "learn_decay"}
OF_SPIKING_CELLS = {"output", "reset", "detach_reset", "surrogate", "surrogate_scale", "threshold_constraint"}
OF_RECURRENT_CELLS = {"recurrent_initializer", "recurrent_regularizer", "recurrent_constraint", "recurrent_dropout"}
OF_LAYERS = {"return_sequences", "return_state", "go_backwards", "stateful", "unroll", "zero_output_for_mask"}


@pytest.mark.parametrize(
    ("layer", "options"),
    [
        (LeakyIntegrator, OF_LEAKY_CELLS),
        (LIF, OF_LEAKY_CELLS | OF_SPIKING_CELLS),
        (RLIF, OF_LEAKY_CELLS | OF_SPIKING_CELLS | OF_RECURRENT_CELLS | {"recurrence"}),
        (SLSTM, OF_SPIKING_CELLS | OF_RECURRENT_CELLS | {"unit_forget_bias", "threshold_initializer"}),
    ],
)
def test_help_shows_every_option(layer, options):
    for neuron, expected in (
        (layer, options | OF_EVERY_CELL | OF_LAYERS),
        (layer.cell_class, options | OF_EVERY_CELL),
    ):
        parameters = inspect.signature(neuron).parameters
        assert expected <= set(parameters)
        assert next(iter(parameters)) == "units"
        assert parameters["units"].default is inspect.Parameter.empty
        heading = pydoc.render_doc(neuron, renderer=pydoc.plaintext).split("\n\n")[1]
        assert all(option in heading for option in expected)
    assert not OF_LAYERS & set(inspect.signature(layer.cell_class).parameters)
