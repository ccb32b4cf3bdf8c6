"""The checks that every public layer must pass; see `conformance.table`."""

import functools
import inspect
import json

import keras
import numpy as np
import pytest
from keras import ops

import kspike_reg.network.physical
import kspike_reg.neurons
from conformance.table import BATCH, ROWS, TIME
from kspike_reg.neurons.constraints import Interval
from oracles.backend import double_precision, numpy_of, torch_arrays

pytestmark = torch_arrays

RECURRENT = {name: row for name, row in ROWS.items() if row.recurrent}


def every(rows):
    """Run a check on each of the rows."""
    assert rows, "there are no rows, so the check is empty"
    return pytest.mark.parametrize("row", list(rows.values()), ids=list(rows))


def varied(outputs, row):
    """The outputs as a NumPy array, after checking that they are not all equal and that spikes are exactly 0 or 1."""
    outputs = numpy_of(outputs)
    assert np.all(np.isfinite(outputs.astype("float64")))
    assert len(np.unique(outputs)) >= 2
    if row.spiking:
        assert set(np.unique(outputs).tolist()) == {0.0, 1.0}
    return outputs


def assert_same(actual, expected, row, state=False):
    """Bit by bit, except for membranes of SLSTM, since two engines may run two calls.

    JAX always compiles the symbolic loop and fuses multiplications and additions. On other backends, masked paths and
    unmasked paths run on different engines, and the size of this layer is not a multiple of eight (see
    `engines.cpu.functions`). A state holds membranes as well as spikes.
    """
    if row.exact or (row.spiking and not state):
        np.testing.assert_array_equal(actual, expected)
    else:
        np.testing.assert_allclose(actual, expected, rtol=1e-5, atol=1e-6)


def assert_same_states(actual, expected, row):
    assert len(actual) == len(expected) >= 1
    for one, other in zip(actual, expected, strict=True):
        assert_same(one, other, row, state=True)


def sequences_of(row):
    return {"return_sequences": True} if row.recurrent else {}


@functools.cache
def whole(row):
    """Outputs of all steps of the row's inputs, and the final state; computed once for all checks."""
    if not row.recurrent:
        return varied(row.build()(row.inputs()), row), []
    outputs, *states = numpy_of(row.build(return_sequences=True, return_state=True)(row.inputs()))
    return varied(outputs, row), states


# The table


def public_layers():
    for module in (kspike_reg.neurons, kspike_reg.network.physical):
        for name in module.__all__:
            public = getattr(module, name)
            if (
                isinstance(public, type)
                and issubclass(public, keras.layers.Layer)
                and not issubclass(public, keras.Model)
            ):
                yield public


def test_every_public_layer_is_in_the_table():
    public = set(public_layers())
    assert len(public) >= 10
    assert len(ROWS) >= len(public)
    missing = public - {row.layer for row in ROWS.values()}
    assert not missing, f"add rows to tests/conformance/table.py for {sorted(layer.__name__ for layer in missing)}"


# Configuration


def constructor_arguments(layer):
    """All named arguments of the constructors of our classes in the hierarchy."""
    names = set()
    for owner in layer.__mro__:
        if owner.__module__.startswith("kspike_reg") and "__init__" in vars(owner):
            parameters = list(inspect.signature(vars(owner)["__init__"]).parameters.values())[1:]
            names |= {one.name for one in parameters if one.kind is not inspect.Parameter.VAR_KEYWORD}
    if hasattr(layer, "cell_class"):
        names |= constructor_arguments(layer.cell_class)
    return names


@every({row.layer.__name__: row for row in ROWS.values()})
def test_the_config_holds_every_constructor_argument(row):
    arguments = constructor_arguments(row.layer)
    assert arguments
    assert arguments == set(inspect.signature(row.layer).parameters) - {"kwargs"}
    config = row.layer(**row.options).get_config()
    assert arguments <= set(config)
    assert {"name", "dtype", "trainable"} <= set(config)
    assert {name: config[name] for name in row.options} == row.options


# For each argument a value other than its default; the options of weights are matched by their suffixes.
OTHER_VALUES = {
    "units": 9,
    "use_bias": False,
    "dropout": 0.25,
    "recurrent_dropout": 0.125,
    "seed": 11,
    "learn_decay": False,
    "learn_threshold": False,
    "output": "membrane",
    "reset": "zero",
    "detach_reset": False,
    "surrogate": "boxcar",
    "surrogate_scale": 0.75,
    "recurrence": "one_to_one",
    "unit_forget_bias": False,
    "return_sequences": True,
    "return_state": True,
    "go_backwards": True,
    "stateful": True,
    "unroll": True,
    "recompute": 3,
    "zero_output_for_mask": True,
    "outputs": 4,
    "mean": [3.0],
    "deviation": [5.0],
    "names": ["stress"],
    "invert": True,
    "lower": [1.0],
    "upper": [7.5],
}


def other_value(argument, layer):
    if argument in OTHER_VALUES:
        return OTHER_VALUES[argument]
    default = inspect.signature(layer).parameters[argument].default
    if isinstance(default, float):
        return default / 2 + 0.0625  # another number, in [0, 1] where the default is
    kind = argument.rpartition("_")[2]
    seed = sum(map(ord, argument))  # a different value for each weight, so that a mix-up is found
    return {
        "initializer": lambda: keras.initializers.RandomUniform(0.0, 0.5, seed=seed),
        "regularizer": lambda: keras.regularizers.L2(seed / 1000),
        "constraint": lambda: Interval(0.0, float(seed)),
    }[kind]()


def arguments_of(config):
    """A config as JSON, which can be compared, without the values that are drawn anew for each layer."""
    return json.loads(json.dumps(keras.saving.serialize_keras_object(config)))


@every({row.layer.__name__: row for row in ROWS.values()})
def test_every_argument_survives_the_config(row):
    """Setting an argument to a value other than its default changes the config, and the config restores the value."""
    arguments = constructor_arguments(row.layer)
    required = [name for name in ("units", "mean", "deviation", "names") if name in arguments]
    default = row.layer(**{name: row.options[name] for name in required}).get_config()
    changed = row.layer(
        **{name: other_value(name, row.layer) for name in arguments},
        name="changed",
        dtype="mixed_bfloat16",
        trainable=False,
    )
    config = changed.get_config()
    for name in arguments:
        assert arguments_of(config[name]) != arguments_of(default[name]), name
        if name in OTHER_VALUES:
            assert config[name] == OTHER_VALUES[name]
    copy = row.layer.from_config(config)
    assert arguments_of(copy.get_config()) == arguments_of(config)
    assert copy.name == "changed"
    assert copy.trainable is False
    expected = "float32" if row.keeps_float32 else "bfloat16"
    assert changed.compute_dtype == copy.compute_dtype == expected
    if hasattr(copy, "cell"):
        assert copy.cell.compute_dtype == expected
        assert copy.cell.trainable is False


@every(ROWS)
def test_from_config_gives_an_equal_layer(row):
    """For cells, together with the `keras.layers.RNN` around them."""
    layer = row.make()
    config = layer.get_config()
    copy = type(layer).from_config(layer.get_config())
    assert type(copy) is type(layer)
    assert arguments_of(copy.get_config()) == arguments_of(config)
    again = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(layer))
    assert type(again) is type(layer)
    assert arguments_of(again.get_config()) == arguments_of(config)


@every({row.layer.__name__: row for row in ROWS.values()})
def test_the_layer_is_registered_under_its_own_name(row):
    assert keras.saving.get_registered_name(row.layer) == f"kspike_reg>{row.layer.__name__}"


# Files, and the ways to call


def functional(row, time, **loop):
    """A model of this layer alone, with known weights."""
    start = keras.Input((time, row.features))
    layer = row.make(**loop)
    model = keras.Model(start, layer(start))
    row.with_weights(layer)
    return model


def assert_predicts(model, row):
    """`predict` returns what a layer with the same weights computes when it is called on the array."""
    expected, _ = whole(row)
    predicted = model.predict(row.inputs(), verbose=0)
    assert predicted.dtype == expected.dtype == np.float32
    if row.exact or row.spiking:
        np.testing.assert_array_equal(predicted, expected)
    else:
        # predict compiles the model. On TensorFlow and JAX it uses XLA, which has its own logistic and tangent.
        np.testing.assert_allclose(predicted, expected, rtol=1e-5, atol=1e-6)
    return predicted


@every(ROWS)
def test_a_model_predicts_what_its_layer_computes_and_its_file_bitwise_the_same(row, tmp_path):
    """The number of steps is open. The file is a .keras file, loaded in safe mode, Keras's default."""
    model = functional(row, None, **sequences_of(row))
    predicted = assert_predicts(model, row)
    file = tmp_path / "model.keras"
    model.save(file)
    loaded = keras.models.load_model(file)
    assert type(loaded.layers[-1]) is type(model.layers[-1])
    assert loaded.layers[-1] is not model.layers[-1]
    for weight, other in zip(model.weights, loaded.weights, strict=True):
        assert weight.name == other.name
        np.testing.assert_array_equal(numpy_of(weight), numpy_of(other))
    np.testing.assert_array_equal(loaded.predict(row.inputs(), verbose=0), predicted)


@every({name: row for name, row in RECURRENT.items() if not row.is_cell})
def test_a_model_of_paths_of_known_length_predicts_what_its_layer_computes(row):
    """With a known number of steps the layers unroll their loops."""
    assert_predicts(functional(row, TIME, **sequences_of(row)), row)


@every(ROWS)
def test_the_static_shape_is_the_real_one(row):
    variants = [{}]
    if row.recurrent:
        variants = [{}, {"return_sequences": True, "return_state": True}]
    inputs = row.inputs()
    for loop in variants:
        layer = row.build(**loop)
        outputs = layer(inputs)
        static = layer.compute_output_shape(inputs.shape)
        symbolic = layer(keras.Input((None, row.features), batch_size=BATCH))
        if not loop.get("return_state"):
            outputs, static, symbolic = [outputs], [static], [symbolic]
        assert len(outputs) == len(static) == len(symbolic)
        for output, shape, symbol in zip(outputs, static, symbolic, strict=True):
            assert tuple(output.shape) == tuple(shape)
            assert len(symbol.shape) == len(shape)
            assert all(known in (None, real) for known, real in zip(symbol.shape, shape, strict=True))
            assert symbol.shape[-1] == shape[-1]


# Precision


@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16"])
@every(ROWS)
def test_mixed_precision_computes_in_half_and_keeps_variables_in_float32(row, policy):
    loop = {"return_sequences": True, "return_state": True} if row.recurrent else {}
    layer = row.build(dtype=policy, **loop)
    outputs = layer(row.inputs())
    outputs = list(outputs) if row.recurrent else [outputs]
    expected = "float32" if row.keeps_float32 else policy.removeprefix("mixed_")
    for output in outputs:
        assert keras.backend.standardize_dtype(output.dtype) == expected
        assert np.all(np.isfinite(numpy_of(ops.cast(output, "float32"))))
    varied(ops.cast(outputs[0], "float32"), row)
    floats = [weight for weight in layer.weights if "int" not in weight.dtype]
    assert bool(floats) == row.recurrent
    assert all(weight.dtype == "float32" for weight in floats)


@every(ROWS)
def test_double_precision_reaches_the_outputs(row):
    with double_precision():
        layer = row.build(dtype="float64", **sequences_of(row))
        outputs = varied(layer(row.inputs().astype("float64")), row)
    assert outputs.dtype == np.float64
    np.testing.assert_allclose(outputs, whole(row)[0], rtol=1e-5, atol=1e-6)  # float32


# Time


@every(RECURRENT)
def test_step_by_step_with_a_state_equals_the_whole_path(row):
    inputs = row.inputs()
    expected, _ = whole(row)
    layer = row.build(stateful=True, time=1, return_sequences=True)
    steps = [numpy_of(layer(inputs[:, step : step + 1])) for step in range(TIME)]
    assert_same(np.concatenate(steps, axis=1), expected, row)
    layer.reset_state()
    steps = [numpy_of(layer(inputs[:, step : step + 1])) for step in range(2)]
    assert_same(np.concatenate(steps, axis=1), expected[:, :2], row)
    alone = numpy_of(row.build()(inputs.reshape(-1, 1, row.features))).reshape(expected.shape)
    assert not np.allclose(alone, expected, atol=1e-3), "no step needs memory, so the test is vacuous"


@every(RECURRENT)
def test_a_path_may_be_split_and_the_state_passed_on(row):
    inputs = row.inputs()
    expected, final = whole(row)
    layer = row.build(return_sequences=True, return_state=True)
    first, *states = layer(inputs[:, :3])
    assert all(np.any(state != 0) for state in numpy_of(states)), "the state is zero, so the test is vacuous"
    second, *ends = layer(inputs[:, 3:], initial_state=states)
    assert_same(np.concatenate([numpy_of(first), numpy_of(second)], axis=1), expected, row)
    assert_same_states(numpy_of(ends), final, row)


@every(RECURRENT)
def test_the_last_output_is_the_first_state(row):
    """Without return_sequences the layer returns the last step alone, which equals the first of the states."""
    last, *states = numpy_of(row.build(return_state=True)(row.inputs()))
    expected, final = whole(row)
    assert_same(last, expected[:, -1], row)
    assert_same_states(states, final, row)
    np.testing.assert_array_equal(states[0], last)


@every(RECURRENT)
def test_going_backwards_is_running_on_the_reversed_path(row):
    inputs = row.inputs()
    loop = {"return_sequences": True, "return_state": True}
    backwards, *states = numpy_of(row.build(go_backwards=True, **loop)(inputs))
    expected, *final = numpy_of(row.build(**loop)(inputs[:, ::-1]))
    assert_same(backwards, varied(expected, row), row)
    assert_same_states(states, final, row)
    assert not np.array_equal(expected, whole(row)[0])


# Masks

LENGTHS = (4, TIME, 2)  # valid steps of the three paths; the second has no padding


def padded(row):
    """Paths of unequal length, padded with numbers that would change the result if they were read, and their mask."""
    inputs, mask = row.inputs(), np.arange(TIME) < np.array(LENGTHS)[:, None]
    inputs[~mask] = 99.0
    return inputs, mask


@functools.cache
def masked(row):
    """Outputs and final state on the padded paths with their mask; computed once for all checks."""
    inputs, mask = padded(row)
    outputs, *states = numpy_of(row.build(return_sequences=True, return_state=True)(inputs, mask=mask))
    return varied(outputs, row), states


@every(RECURRENT)
def test_padding_changes_nothing(row):
    """Valid outputs and the final state equal those of each shorter path alone; padded steps repeat the last output."""
    inputs, _ = padded(row)
    outputs, states = masked(row)
    layer = row.build(return_sequences=True, return_state=True)
    assert len(LENGTHS) == BATCH
    for path, length in enumerate(LENGTHS):
        # The whole batch is cut short and one path compared: matrix products of another height may round differently.
        alone, *final = numpy_of(layer(inputs[:, :length])) if length < TIME else (whole(row)[0], *whole(row)[1])
        assert_same(outputs[path, :length], alone[path], row)
        assert_same_states([state[path] for state in states], [state[path] for state in final], row)
        repeated = np.repeat(outputs[path, length - 1 : length], TIME - length, axis=0)
        np.testing.assert_array_equal(outputs[path, length:], repeated)
    assert not np.array_equal(outputs, whole(row)[0])


@every(RECURRENT)
def test_the_last_output_of_a_padded_path_is_its_last_valid_one(row):
    inputs, mask = padded(row)
    outputs, _ = masked(row)
    last = numpy_of(row.build()(inputs, mask=mask))
    assert_same(last, np.stack([path[length - 1] for path, length in zip(outputs, LENGTHS, strict=True)]), row)


@every(RECURRENT)
def test_masked_steps_give_zeros_if_requested(row):
    inputs, mask = padded(row)
    expected, _ = masked(row)
    outputs = numpy_of(row.build(return_sequences=True, zero_output_for_mask=True)(inputs, mask=mask))
    np.testing.assert_array_equal(outputs[~mask], 0)
    assert np.any(expected[~mask] != 0)
    assert_same(outputs[mask], expected[mask], row)


@every(RECURRENT)
def test_a_gap_in_a_path_is_skipped(row):
    """Masked steps at the start or in the middle do not change the results on the other steps."""
    inputs = row.inputs()
    mask = np.ones((BATCH, TIME), bool)
    mask[:, [0, 3, 4]] = False
    layer = row.build(return_sequences=True, return_state=True)
    outputs, *states = numpy_of(layer(inputs, mask=mask))
    expected, *final = numpy_of(layer(inputs[:, mask[0]]))
    assert_same(outputs[:, mask[0]], varied(expected, row), row)
    assert_same_states(states, final, row)


@every(ROWS)
def test_a_mask_passes_through(row):
    """The mask of a Masking layer reaches all following layers and the loss."""
    inputs, mask = padded(row)
    layer = row.build(**sequences_of(row))
    hidden = keras.layers.Masking(mask_value=99.0)(inputs)
    np.testing.assert_array_equal(numpy_of(hidden._keras_mask), mask)
    outputs = layer(hidden)
    np.testing.assert_array_equal(numpy_of(outputs._keras_mask), mask)
    expected = masked(row)[0] if row.recurrent else whole(row)[0]
    assert_same(numpy_of(outputs)[mask], expected[mask], row)


# Training


@every({name: row for name, row in RECURRENT.items() if row.options.keys() == {"units"} and not row.is_cell})
def test_training_moves_every_weight(row):
    """One step of gradient descent through the compiled loop, on a model with an open number of steps."""
    model = functional(row, None, return_sequences=True)
    model.compile(optimizer=keras.optimizers.SGD(learning_rate=0.01), loss="mse")
    before = [numpy_of(weight).copy() for weight in model.trainable_weights]
    assert len(before) >= 3
    targets = np.random.default_rng(5).normal(size=(BATCH, TIME, row.options["units"])).astype("float32")
    assert np.isfinite(model.train_on_batch(row.inputs(), targets))
    for weight, start in zip(model.trainable_weights, before, strict=True):
        assert np.all(np.isfinite(numpy_of(weight))), weight.name
        assert not np.array_equal(numpy_of(weight), start), weight.name
