"""The structure of Keras's own tests of recurrent layers, for every registered neuron.

The numbers are those of `keras.layers.RNN(cell)`. A new neuron in the registries takes part. Weights and inputs lie on
a grid where all sums are exact, so only the gates of an SLSTM round, see `oracles.weights`.
"""

import subprocess
import sys

import keras
import numpy as np
import pytest
from keras import layers

from kspike_reg.neurons.registry import INTEGRATORS, SPIKING
from oracles.backend import double_precision, numpy_of, torch_arrays
from oracles.weights import assign, draw_on_a_grid

pytestmark = [torch_arrays, pytest.mark.attack("Peers' suites", "Keras's tests of recurrent layers")]

KINDS = {**dict(SPIKING.items()), **dict(INTEGRATORS.items())}
BATCH, TIME, FEATURES, UNITS = 3, 4, 2, 5
every = pytest.mark.parametrize("kind", KINDS)
on_tensorflow = pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="a format of TensorFlow")


def paths(*shape, seed=4):
    shape = shape or (BATCH, TIME, FEATURES)
    return np.random.default_rng(seed).integers(-3, 8, shape).astype("float32") / 4


def drawn(layer, features=FEATURES, seed=2):
    """The layer with weights on the grid; built if it is not."""
    if not layer.built:
        layer.build((BATCH if layer.stateful else None, None, features))
    assign(layer.cell, draw_on_a_grid(layer.cell, features, seed))
    return layer


def make(kind, weights=2, **options):
    return drawn(KINDS[kind](UNITS, **options), seed=weights)


def reference(layer, **changed):
    """Keras's own loop around the cell of a layer, with the same options of the loop."""
    names = ("return_sequences", "return_state", "go_backwards", "stateful", "zero_output_for_mask")
    return layers.RNN(layer.cell, **{name: getattr(layer, name) for name in names} | changed)


def same(found, expected, kind, some=True):
    """Equal; of gated neurons up to rounding in a few steps. `some`: the numbers must not be all alike."""
    found, expected = numpy_of(found), numpy_of(expected)
    if not isinstance(found, list):
        found, expected = [found], [expected]
    tolerance = 1e-5 if KINDS[kind].cell_class.projections > 1 else 0
    for one, other in zip(found, expected, strict=True):
        assert one.shape == other.shape
        np.testing.assert_allclose(one, other, rtol=0, atol=tolerance)
    assert not some or np.ptp(expected[0]) > 0, "all outputs are alike, so the test is vacuous"


def alone(layer, time=None, batch=None):
    """A functional model of one layer."""
    inputs = keras.Input(batch_shape=(batch, time, FEATURES))
    return keras.Model(inputs, layer(inputs))


# ------------------------------------------------------------------------------------------------- outputs and states


@every
@pytest.mark.parametrize("go_backwards", [False, True])
@pytest.mark.parametrize("return_sequences", [False, True])
def test_outputs_and_states(kind, return_sequences, go_backwards):
    layer = make(kind, return_sequences=return_sequences, return_state=True, go_backwards=go_backwards)
    outputs, *states = layer(paths())
    same([outputs, *states], reference(layer)(paths()), kind)
    assert tuple(outputs.shape) == ((BATCH, TIME, UNITS) if return_sequences else (BATCH, UNITS))
    assert len(states) == len(layer.cell.state_names) == len(layer.cell.state_size)
    assert all(tuple(state.shape) == (BATCH, UNITS) for state in states)


@every
def test_initial_states_as_a_list_and_as_symbolic_tensors(kind):
    layer = make(kind, return_state=True)
    start = [paths(BATCH, UNITS, seed=10 + number) for number in range(len(layer.cell.state_size))]
    expected = reference(layer)(paths(), initial_state=start)
    found = layer(paths(), initial_state=start)
    same(found, expected, kind)
    assert any(not np.array_equal(*pair) for pair in zip(numpy_of(found), numpy_of(layer(paths())), strict=True))
    inputs, *given = keras.Input((None, FEATURES)), *[keras.Input((UNITS,)) for _ in start]
    model = keras.Model([inputs, *given], layer(inputs, initial_state=given))
    same(model.predict([paths(), *start], verbose=0), expected, kind)


@every
def test_states_of_an_encoder_start_a_decoder(kind):
    encoder, decoder = make(kind, return_state=True), make(kind, weights=3, return_sequences=True)
    inputs, targets = keras.Input((None, FEATURES)), keras.Input((None, FEATURES))
    _, *states = encoder(inputs)
    model = keras.Model([inputs, targets], decoder(targets, initial_state=states))
    _, *expected = reference(encoder)(paths())
    expected = reference(decoder)(paths(seed=5), initial_state=expected)
    same(model.predict([paths(), paths(seed=5)], verbose=0), expected, kind)


@every
def test_a_stateful_layer_goes_on_where_it_stopped(kind):
    """Through a model, with a reset, and with new states."""
    layer = make(kind, return_sequences=True, stateful=True)
    model, whole = alone(layer, batch=BATCH), make(kind, return_sequences=True)(paths())

    def run(part):
        # On JAX, Keras keeps no state between calls of `predict`, of its own layers neither.
        is_jax = keras.backend.backend() == "jax"
        return numpy_of(model(part)) if is_jax else model.predict(part, batch_size=BATCH, verbose=0)

    for _ in range(2):
        halves = [run(part) for part in np.split(paths(), 2, axis=1)]
        same(np.concatenate(halves, axis=1), whole, kind)
        layer.reset_state()
    expected = reference(layer)
    for _ in range(2):
        same(layer(paths()), expected(paths()), kind)
    assert [tuple(state.shape) for state in layer.states] == [(BATCH, UNITS)] * len(layer.cell.state_size)


# --------------------------------------------------------------------------------------------------------------- masks


@every
@pytest.mark.parametrize("zero_output_for_mask", [False, True])
@pytest.mark.parametrize("return_sequences", [False, True])
def test_masks(kind, return_sequences, zero_output_for_mask):
    """One path whole, one padded and with a gap, one that is masked from end to end."""
    mask = np.ones((BATCH, TIME), bool)
    mask[1, [1, 3]], mask[2] = False, False
    options = {"return_sequences": return_sequences, "zero_output_for_mask": zero_output_for_mask}
    layer = make(kind, return_state=True, **options)
    same(layer(paths(), mask=mask), reference(layer)(paths(), mask=mask), kind)
    inputs = np.where(mask[..., None], paths(), 99).astype("float32")
    layer = make(kind, **options)
    model = keras.Sequential([keras.Input((None, FEATURES)), layers.Masking(99.0), layer])
    same(model.predict(inputs, verbose=0), reference(layer)(paths(), mask=mask), kind)
    assert layer.supports_masking


# ------------------------------------------------------------------------------------------------------------ wrappers


@every
@pytest.mark.parametrize("return_sequences", [False, True])
def test_bidirectional_with_each_merge_mode(kind, return_sequences):
    ahead, back = (make(kind, weights=seed, return_sequences=return_sequences) for seed in (2, 3))
    one = numpy_of(reference(ahead)(paths()))
    other = numpy_of(reference(back, go_backwards=True)(paths()))
    other = other[:, ::-1] if return_sequences else other
    for merge_mode in ("concat", "sum", "mul", "ave", None):
        wrapper = layers.Bidirectional(KINDS[kind](UNITS, return_sequences=return_sequences), merge_mode=merge_mode)
        wrapper.build((None, None, FEATURES))
        drawn(wrapper.forward_layer), drawn(wrapper.backward_layer, seed=3)
        assert type(wrapper.backward_layer) is KINDS[kind]
        assert wrapper.backward_layer.go_backwards
        expected = {
            "concat": np.concatenate([one, other], axis=-1), "sum": one + other, "mul": one * other,
            "ave": (one + other) / 2, None: [one, other],
        }[merge_mode]  # fmt: skip
        same(wrapper(paths()), expected, kind, some=merge_mode != "mul")


@every
def test_bidirectional_in_a_model_with_a_mask_and_in_a_file(kind, tmp_path):
    wrapper = layers.Bidirectional(KINDS[kind](UNITS, return_sequences=True))
    model = keras.Sequential([keras.Input((None, FEATURES)), layers.Masking(99.0), wrapper])
    drawn(wrapper.forward_layer), drawn(wrapper.backward_layer, seed=3)
    inputs = paths()
    inputs[1, 3:] = 99
    outputs = model.predict(inputs, verbose=0)
    short = numpy_of(wrapper(np.concatenate([inputs[1:2, :3]] * BATCH)))[0]
    same(outputs[1, :3], short, kind)
    model.save(tmp_path / "model.keras")
    again = keras.models.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(again.predict(inputs, verbose=0), outputs)


@every
def test_stacked_cells_are_layers_one_after_the_other(kind):
    first, second = make(kind, return_sequences=True), KINDS[kind](3, return_sequences=True)
    drawn(second, features=UNITS, seed=4)
    stack = layers.RNN(layers.StackedRNNCells([first.cell, second.cell]), return_sequences=True)
    same(stack(paths()), second(first(paths())), kind)
    nested = layers.RNN([first.cell, layers.LSTMCell(2)], return_sequences=True)
    assert tuple(nested(paths()).shape) == (BATCH, TIME, 2)


@every
@pytest.mark.parametrize("return_sequences", [False, True])
def test_time_distributed_runs_each_part_alone(kind, return_sequences):
    """Three parts; as a tensor, and in a model of open lengths."""
    layer, inputs = make(kind, return_sequences=return_sequences), paths(BATCH, 3, TIME, FEATURES)
    expected = np.stack([numpy_of(reference(layer)(inputs[:, part])) for part in range(3)], axis=1)
    same(layers.TimeDistributed(layer)(inputs), expected, kind)
    symbolic = keras.Input((None, TIME, FEATURES))
    model = keras.Model(symbolic, layers.TimeDistributed(layer)(symbolic))
    same(model.predict(inputs, verbose=0), expected, kind)


# -------------------------------------------------------------------------------------------------------------- models


@every
def test_a_layer_in_a_nested_model_and_a_layer_called_twice(kind):
    """One set of weights, whatever calls it."""
    layer = make(kind, return_sequences=True)
    inner = alone(layer)
    one, other = keras.Input((None, FEATURES)), keras.Input((None, FEATURES))
    model = keras.Model([one, other], layers.Subtract()([inner(one), layer(other)]))
    assert len(model.weights) == len(layer.weights)
    expected = numpy_of(reference(layer)(paths())) - numpy_of(reference(layer)(paths(seed=5)))
    same(model.predict([paths(), paths(seed=5)], verbose=0), expected, kind)
    sequential = keras.Sequential([keras.Input((None, FEATURES)), inner, layers.Dense(2)])
    assert sequential.predict(paths(), verbose=0).shape == (BATCH, TIME, 2)


@every
def test_batch_and_time_are_open(kind):
    """One model, several sizes; a layer that knows neither until its first call."""
    layer = make(kind, return_sequences=True)
    model = alone(layer)
    assert model.output_shape == (None, None, UNITS)
    for batch, time in ((1, 1), (2, 9), (5, 4)):
        inputs = paths(batch, time, FEATURES)
        same(model.predict(inputs, verbose=0), reference(layer)(inputs), kind, some=batch > 1)
    late = keras.Sequential([KINDS[kind](UNITS, return_sequences=True)])
    assert late.predict(paths(), verbose=0).shape == (BATCH, TIME, UNITS)
    assert layer.compute_output_shape((None, 7, FEATURES)) == (None, 7, UNITS)
    assert make(kind).compute_output_shape((4, None, FEATURES)) == (4, UNITS)


@every
def test_configurations_and_clones(kind):
    layer = make(kind, return_sequences=True, zero_output_for_mask=True, name="some")
    again = KINDS[kind].from_config(layer.get_config())
    assert again.get_config() == layer.get_config()
    model = alone(layer)
    clone = keras.models.clone_model(model)
    assert clone.get_layer("some") is not layer
    clone.set_weights(model.get_weights())
    np.testing.assert_array_equal(clone.predict(paths(), verbose=0), model.predict(paths(), verbose=0))
    for copy in (keras.Model.from_config(model.get_config()), keras.models.model_from_json(model.to_json())):
        copy.set_weights(model.get_weights())
        np.testing.assert_array_equal(copy.predict(paths(), verbose=0), model.predict(paths(), verbose=0))


@every
@pytest.mark.parametrize("suffix", ["keras", "h5"])
@pytest.mark.filterwarnings("ignore:You are saving your model as an HDF5 file")
def test_models_and_weights_in_files(kind, suffix, tmp_path):
    model = alone(make(kind, return_sequences=True))
    outputs = model.predict(paths(), verbose=0)
    model.save(tmp_path / f"model.{suffix}")
    again = keras.models.load_model(tmp_path / f"model.{suffix}")
    np.testing.assert_array_equal(again.predict(paths(), verbose=0), outputs)
    model.save_weights(tmp_path / "some.weights.h5")
    fresh = alone(KINDS[kind](UNITS, return_sequences=True))
    assert not np.array_equal(fresh.predict(paths(), verbose=0), outputs)
    fresh.load_weights(tmp_path / "some.weights.h5")
    np.testing.assert_array_equal(fresh.predict(paths(), verbose=0), outputs)


SERVE = """
import sys, numpy as np, tensorflow as tf
with np.load(sys.argv[2]) as arrays:
    program = tf.saved_model.load(sys.argv[1])
    served = program.serve(arrays["inputs"])
    for found, name in zip(served, sorted(set(arrays) - {"inputs"}), strict=True):
        np.testing.assert_allclose(found, arrays[name], atol=1e-5, err_msg=name)
    print("served", len(served))
"""


@on_tensorflow
def test_an_export_serves_every_layer_in_a_process_without_the_package(tmp_path):
    """Also one that is wrapped. Gates round in a few steps."""
    inputs = keras.Input((None, FEATURES))
    outputs = [make(kind, return_sequences=True)(inputs) for kind in KINDS]
    outputs.append(layers.Bidirectional(make("lif"), backward_layer=make("lif", weights=3, go_backwards=True))(inputs))
    model = keras.Model(inputs, outputs)
    model.export(tmp_path / "exported", verbose=False)
    named = {f"output_{number:02}": found for number, found in enumerate(model.predict(paths(), verbose=0))}
    assert any(np.ptp(found) > 0 for found in named.values())
    np.savez(tmp_path / "arrays.npz", inputs=paths(), **named)
    command = [sys.executable, "-c", SERVE, tmp_path / "exported", tmp_path / "arrays.npz"]
    served = subprocess.run(command, capture_output=True, text=True, check=False)
    assert served.stdout == f"served {len(outputs)}\n", served.stderr[-3000:]


# ------------------------------------------------------------------------------------------------ precision, training


@every
@pytest.mark.parametrize("policy", ["mixed_float16", "float64"])
def test_precisions(kind, policy):
    """Half precision is exact on the grid too, since no number needs more digits than it has."""
    with double_precision():
        layer = make(kind, return_sequences=True, return_state=True, dtype=policy)
        outputs, *states = layer(paths())
        expected = reference(layer, dtype=policy)(paths())
    precision = keras.dtype_policies.DTypePolicy(policy)
    for found in (outputs, *states):
        assert keras.backend.standardize_dtype(found.dtype) == precision.compute_dtype
    assert {weight.dtype for weight in layer.weights} == {precision.variable_dtype}
    if KINDS[kind].cell_class.projections == 1:
        same([outputs, *states], expected, kind)
    else:  # float16 has a precision of 1/2048 near one; the membrane is a sum of a few such numbers
        found, wanted = (numpy_of(keras.ops.cast(part[2], "float32")) for part in ([outputs, *states], expected))
        np.testing.assert_allclose(found, wanted, atol=0.01)


@every
def test_training_with_everything_around(kind):
    """A mask, dropout, a wrapper and a Dense layer: every weight moves, and what is not trainable stays."""
    wrapper = layers.Bidirectional(KINDS[kind](UNITS, return_sequences=True, dropout=0.25, seed=3))
    frozen = make(kind, return_sequences=True)
    frozen.trainable = False
    model = keras.Sequential([keras.Input((None, FEATURES)), layers.Masking(99.0), frozen, wrapper, layers.Dense(2)])
    drawn(wrapper.forward_layer, features=UNITS), drawn(wrapper.backward_layer, features=UNITS, seed=3)
    model.compile(optimizer=keras.optimizers.SGD(0.05), loss="mse")
    inputs = paths()
    inputs[1, 3:] = 99
    before = {weight.path: numpy_of(weight).copy() for weight in model.weights}
    assert np.isfinite(model.train_on_batch(inputs, paths(BATCH, TIME, 2, seed=6)))
    still = {weight.path for weight in model.weights if np.array_equal(numpy_of(weight), before[weight.path])}
    assert {weight.path for weight in frozen.weights} <= still
    moved = {weight.path for weight in model.trainable_weights} - still
    assert {path.rpartition("/")[2] for path in moved} >= {"kernel", "bias"}
    assert all(np.all(np.isfinite(numpy_of(weight))) for weight in model.weights)


@every
def test_dropout_repeats_itself(kind):
    """Two layers with one seed, and the same program run twice; another call drops others."""
    first, second = (make(kind, return_sequences=True, dropout=0.5, seed=7) for _ in range(2))
    outputs = [numpy_of(first(paths(), training=True)) for _ in range(2)]
    np.testing.assert_array_equal(numpy_of(second(paths(), training=True)), outputs[0])
    assert not np.array_equal(*outputs)
    same(first(paths(), training=False), reference(first)(paths()), kind)
    found = []
    for _ in range(2):
        keras.utils.set_random_seed(11)
        found.append(numpy_of(make(kind, return_sequences=True, dropout=0.5)(paths(), training=True)))
    np.testing.assert_array_equal(*found)


@every
def test_regularizers_and_constraints_are_those_of_the_cell(kind):
    """As in `keras.layers.SimpleRNN`: three losses, and constraints on the weights that have them."""
    options = {"kernel_regularizer": "l2", "bias_regularizer": "l2", "activity_regularizer": "l1"}
    layer = make(kind, **options)
    layer(paths())
    assert len(layer.losses) == 3
    expected = [0.01 * np.sum(numpy_of(weight) ** 2) for weight in (layer.cell.kernel, layer.cell.bias)]
    found = sorted(float(numpy_of(loss)) for loss in layer.losses[-2:])
    np.testing.assert_allclose(found, sorted(expected), rtol=1e-5)  # sums of a dozen squares
    again = KINDS[kind].from_config(layer.get_config())
    assert again.get_config() == layer.get_config()
