"""What a caller may pass to a layer: types, initial states, batches of stateful layers, numbers that overflow."""

import keras
import numpy as np
import pytest
from keras import ops

from kspike_reg.errors import InputError
from kspike_reg.neurons import INTEGRATORS, LIF, RLIF, SLSTM, SPIKING
from kspike_reg.neurons.registry import RESETS
from oracles.backend import gradients, numpy_of, torch_arrays
from oracles.weights import assign, draw, draw_on_a_grid

pytestmark = torch_arrays

BACKEND = keras.backend.backend()
LAYERS = dict(SPIKING.items()) | dict(INTEGRATORS.items())
every_layer = pytest.mark.parametrize("kind", LAYERS)
every_spiking_layer = pytest.mark.parametrize("kind", SPIKING)
where_compiled = pytest.mark.skipif(BACKEND == "jax", reason="there is no compiled engine on JAX")


def built(layer, features=2, weights=draw_on_a_grid):
    layer.build((None, None, features))
    assign(layer.cell, weights(layer.cell, features, seed=3))
    return layer


def paths(batch=5, time=7, features=2, seed=0):
    return np.random.default_rng(seed).normal(0.3, 1.0, (batch, time, features)).astype("float32")


# Types


@every_layer
@pytest.mark.parametrize("dtype", ["bool", "int8", "int32", "uint8", "float16", "float64"])
@pytest.mark.attack("Compiled engine", "inputs of every type")
def test_inputs_of_every_type_are_cast(kind, dtype):
    """The layer gives what it gives for the same numbers in its own precision."""
    inputs = np.random.default_rng(0).integers(0, 2 if dtype == "bool" else 5, (5, 7, 2)).astype(dtype)
    layer = built(LAYERS[kind](6, return_sequences=True))
    found = layer(inputs)
    assert keras.backend.standardize_dtype(found.dtype) == "float32"
    np.testing.assert_array_equal(numpy_of(found), numpy_of(layer(inputs.astype("float32"))))


@pytest.mark.attack("Compiled engine", "boolean inputs, many times in one process")
def test_boolean_inputs_leave_the_heap_alone(record_property):
    """Outputs in the inputs' type took a quarter of the memory that was written."""
    inputs = paths(20, 7, 5) > 0.5
    layer = LIF(64, return_sequences=True)
    first = numpy_of(layer(inputs))
    for _ in range(40):
        np.testing.assert_array_equal(numpy_of(layer(inputs)), first)
    record_property("times", 41)


@every_layer
def test_a_model_of_whole_numbers_trains_and_predicts(kind):
    model = keras.Sequential(
        [keras.Input((None, 2), dtype="int32"), LAYERS[kind](6, return_sequences=True), keras.layers.Dense(1)]
    )
    model.compile("sgd", "mse")
    inputs = np.random.default_rng(0).integers(-3, 4, (5, 7, 2)).astype("int32")
    before = [numpy_of(weight).copy() for weight in model.layers[0].trainable_weights]
    model.fit(inputs, np.cos(inputs[..., :1]), verbose=0)
    after = [numpy_of(weight) for weight in model.layers[0].trainable_weights]
    assert any(not np.array_equal(one, other) for one, other in zip(before, after, strict=True))
    assert model.predict(inputs, verbose=0).shape == (5, 7, 1)


@every_layer
@pytest.mark.parametrize(("features", "units"), [(390, 5), (3, 5), (300, 900)])
@pytest.mark.skipif(BACKEND == "jax", reason="JAX has no double precision unless told so")
@pytest.mark.attack("Compiled engine", "double precision with many features and large kernels")
def test_double_precision_is_double_throughout(kind, features, units):
    """Outputs and gradients agree with Keras's loop to double precision; PyTorch's products are single in Keras."""
    if kind == "slstm" and units > 100:
        units = 230
    answers = []
    for recurrent in (
        LAYERS[kind](units, dtype="float64", return_sequences=True),
        keras.layers.RNN(LAYERS[kind].cell_class(units, dtype="float64"), dtype="float64", return_sequences=True),
    ):
        built(recurrent, features, draw)
        inputs = keras.Variable(paths(3, 4, features).astype("float64") / np.sqrt(features), dtype="float64")
        slopes = gradients(lambda: ops.sum(ops.square(recurrent(inputs.value) + 0.25)), [recurrent.cell.kernel])  # noqa: B023
        outputs = recurrent(inputs.value)
        assert keras.backend.standardize_dtype(outputs.dtype) == "float64"
        answers.append([numpy_of(ops.stop_gradient(outputs)), *slopes])
    for one, other in zip(*answers, strict=True):
        assert one.dtype == other.dtype == np.float64
        # Sums of some hundred terms of order one in another order; single precision would leave 1e-6.
        np.testing.assert_allclose(one, other, rtol=0, atol=1e-12 * max(1, np.abs(other).max()))


@every_layer
@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16", "float16"])
@pytest.mark.attack("Compiled engine", "wrappers of another precision")
def test_a_wrapper_of_another_precision_changes_no_weight(kind, policy):
    """TimeDistributed calls the layer without Keras's casts, under the policy of its own."""
    layer = built(LAYERS[kind](6, return_sequences=True, dtype="float32"))
    inputs = np.round(4 * paths()) / 4
    found = keras.layers.TimeDistributed(layer, dtype=policy)(inputs[:, None])
    np.testing.assert_array_equal(numpy_of(ops.cast(found, "float32"))[:, 0], numpy_of(layer(inputs)))


# Initial states


@every_layer
@pytest.mark.attack("Compiled engine", "initial states of wrong shapes and numbers")
def test_initial_states_that_do_not_fit_are_refused(kind, record_property):
    layer = built(LAYERS[kind](6, return_sequences=True))
    number = len(layer.cell.state_names)
    wrong = [(4, 6), (6, 6), (5, 5), (5, 7), (5, 1), (6,), (5, 6, 1), (5, 7, 6)]
    for shape in wrong:
        with pytest.raises(InputError, match=r"expected the initial \w+ of shape \(batch, 6\) or \(1, 6\)"):
            layer(paths(), initial_state=[np.zeros(shape, "float32")] * number)
    for count in (number - 1, number + 1, number + 2):
        with pytest.raises(InputError, match=f"expected {number} initial states .*, received {count}"):
            layer(paths(), initial_state=[np.zeros((5, 6), "float32")] * count)
    record_property("times", len(wrong) + 3)


@every_layer
def test_an_initial_state_of_one_path_serves_all(kind):
    layer = built(LAYERS[kind](6, return_sequences=True))
    generator = np.random.default_rng(4)
    states = [generator.integers(0, 3, (1, 6)).astype("float32") / 2 for _ in layer.cell.state_names]
    whole = [np.repeat(state, 5, axis=0) for state in states]
    found = numpy_of(layer(paths(), initial_state=states))
    np.testing.assert_array_equal(found, numpy_of(layer(paths(), initial_state=whole)))
    assert not np.array_equal(found, numpy_of(layer(paths())))


@every_layer
def test_initial_states_of_a_model_are_inputs_like_others(kind):
    """Their shapes are known when the graph runs; on TensorFlow those that do not fit are refused then."""
    layer = LAYERS[kind](6, return_sequences=True)
    states = [keras.Input((6,)) for _ in range(len(layer.cell.state_names))]
    inputs = keras.Input((None, 2))
    model = keras.Model([inputs, *states], layer(inputs, initial_state=states))
    built(layer)
    given = [np.random.default_rng(number).normal(size=(5, 6)).astype("float32") for number in range(len(states))]
    expected = numpy_of(layer(paths(), initial_state=given))
    np.testing.assert_allclose(model.predict([paths(), *given], verbose=0), expected, atol=1e-6)


@every_layer
@pytest.mark.attack("Compiled engine", "a last batch smaller than a stateful layer's")
def test_a_stateful_layer_refuses_a_smaller_batch(kind):
    """On TensorFlow it once gave twelve answers for ten paths."""
    if BACKEND == "jax":
        pytest.skip("JAX knows every batch before it runs, and Keras refuses it")
    model = keras.Sequential(
        [keras.Input(batch_shape=(4, None, 2)), LAYERS[kind](6, return_sequences=True, stateful=True)]
    )
    model.compile("sgd", "mse")
    assert model.predict(paths(8), batch_size=4, verbose=0).shape == (8, 7, 6)
    with pytest.raises(Exception, match=r"a stateful layer stores .* for a batch of 4 paths"):
        model.predict(paths(10), batch_size=4, verbose=0)


# Numbers that overflow


@every_spiking_layer
@pytest.mark.parametrize("reset", RESETS)
@where_compiled
@pytest.mark.filterwarnings("ignore:overflow encountered:RuntimeWarning")
@pytest.mark.attack("Compiled engine", "membranes that overflow, zero times infinity")
def test_overflow_is_what_the_cell_makes_of_it(kind, reset, record_property):
    """One feature, so that no order of terms matters; NaN where the cell gives NaN, and nowhere else."""
    generator, times = np.random.default_rng(0), 0
    for output in ("spikes", "membrane"):
        for detach in (True, False):
            inputs = keras.Variable(
                generator.choice([3e38, -3e38, 1.0, 0.0, -1.0], (33, 6, 1), p=[0.3, 0.3, 0.2, 0.1, 0.1])
            )
            answers = []
            options = {"reset": reset, "output": output, "detach_reset": detach}
            for recurrent in (
                LAYERS[kind](5, return_sequences=True, return_state=True, **options),
                keras.layers.RNN(LAYERS[kind].cell_class(5, **options), return_sequences=True, return_state=True),
            ):
                built(recurrent, 1)
                cell = recurrent.cell
                cell.kernel.assign(np.ones(cell.kernel.shape))
                if hasattr(cell, "decay"):
                    cell.decay.assign(np.ones(5))

                def loss(recurrent=recurrent, inputs=inputs):
                    first, *_ = recurrent(inputs.value, training=True)
                    return ops.sum(ops.where(ops.isfinite(first), first, 0.0))

                answers.append([*numpy_of(recurrent(inputs.value)), *gradients(loss, [inputs])])
            states = (output, *cell.state_names)
            for number, (found, expected) in enumerate(zip(*answers, strict=True)):
                # Infinity minus infinity in a gradient may be NaN in one order of operations and a number in another.
                is_number = ~np.isnan(expected) if number >= len(states) else slice(None)
                np.testing.assert_allclose(found[is_number], expected[is_number], rtol=1e-5, atol=1e-5, equal_nan=True)
            times += inputs.shape[0]
    record_property("times", times)


@where_compiled
@pytest.mark.parametrize("layer_class", [LIF, RLIF, SLSTM])
def test_the_entry_refuses_arrays_that_do_not_belong_together(layer_class):
    """In one place, before a loop takes an address."""
    from kspike_reg.neurons.engines.cpu import arguments

    units, width = 6, 6 * layer_class.cell_class.projections
    shapes = {
        "inputs": (5, 7, 2), "kernel": (2, width), "bias": (width,), "recurrent": (units, width),
        "parameters": (2, units), "initial": (2, 5, units),
    }  # fmt: skip
    arrays = {name: np.zeros(shape, "float32") for name, shape in shapes.items()}
    whole = arguments.fit(arrays)
    assert all(one is other for one, other in zip(whole, arrays.values(), strict=True))
    for name, shape in shapes.items():
        for axis, size in enumerate(shape):
            for other in (size - 1, size + 1):
                if (name, axis) in (("inputs", 1), ("parameters", 0), ("initial", 0)):
                    continue  # no other array says how many
                wrong = np.zeros((*shape[:axis], other, *shape[axis + 1 :]), "float32")
                with pytest.raises(InputError, match=r"the engine 'compiled' expected .*; received inputs float32"):
                    arguments.fit(arrays | {name: wrong})
        for dtype in ("float64", "float16", "int32", ">f4"):
            with pytest.raises(InputError, match="expected arrays of one precision"):
                arguments.fit(arrays | {name: arrays[name].astype(dtype)})
    with pytest.raises(InputError, match="expected arrays of one precision, float32 or float64"):
        arguments.fit({name: array.astype("int32") for name, array in arrays.items()})
    crooked = np.frombuffer(bytearray(5 * 7 * 2 * 4 + 1), "uint8")[1:].view("float32").reshape(5, 7, 2)
    for strange in (np.asfortranarray(arrays["inputs"]), arrays["inputs"][::-1], crooked):
        found = arguments.fit(arrays | {"inputs": strange})[0]
        assert found.flags.c_contiguous
        assert found.flags.aligned
        np.testing.assert_array_equal(found, strange)


@pytest.mark.skipif(BACKEND != "tensorflow", reason="graphs whose numbers of paths are known only when they run")
@every_layer
def test_the_paths_of_an_initial_state_are_counted_when_a_graph_runs(kind):
    """The graph knows neither number; as many rows as units are no sign of a fit."""
    import tensorflow as tf

    layer = built(LAYERS[kind](6, return_sequences=True))
    number = len(layer.cell.state_names)
    unknown = [tf.TensorSpec((None, None, 2)), *[tf.TensorSpec((None, 6))] * number]
    run = tf.function(lambda sequences, *states: layer(sequences, initial_state=list(states)), input_signature=unknown)
    states = [np.random.default_rng(seed).normal(size=(5, 6)).astype("float32") for seed in range(number)]
    for given in (states, [state[:1] for state in states]):
        # The engine of a graph may add in another order.
        expected = numpy_of(layer(paths(), initial_state=given))
        np.testing.assert_allclose(numpy_of(run(paths(), *given)), expected, atol=1e-6)
    with pytest.raises(tf.errors.InvalidArgumentError, match=r"expected the initial \w+ of shape"):
        run(paths(6), *states)
