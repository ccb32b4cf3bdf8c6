"""Every engine over a whole path compared with `keras.layers.RNN` of the cell, forward and backward, for all options.

The oracle calls the cell at each step of the path; automatic differentiation gives the gradients. `compare` lists the
results that must agree.
"""

import itertools

import keras
import numpy as np
import pytest
from keras import ops

from kspike_reg import neurons
from kspike_reg.errors import InputError
from kspike_reg.network import build
from kspike_reg.neurons import LIF, RLIF, SLSTM, LeakyIntegrator, engines, surrogates
from kspike_reg.neurons.engines.cpu import KERNELS, CompiledEngine, engine as cpu_engine
from oracles.backend import double_precision, gradients, numpy_of, torch_arrays
from oracles.weights import assign, draw, draw_on_a_grid

pytestmark = torch_arrays

BACKEND = keras.backend.backend()
# JAX has no compiled engine; forcing it selects the best of the others.
COMPILES = BACKEND != "jax"
# On JAX, `test_cells` and `conformance` test the other engines through the layers, since compiling takes JAX long.
where_compiled = pytest.mark.skipif(not COMPILES, reason="there is no compiled engine on JAX")
tensorflow_alone = pytest.mark.skipif(BACKEND != "tensorflow", reason="a matter of TensorFlow's graphs")

EVERY_ENGINE = (*engines.ENGINES, None)

# Membranes and carries are of order one. Another order of sums over the path, and surrogate derivatives in double
# precision in one engine and in single precision in the other, leave some dozens of roundings of 6e-8.
FORWARD = {"float32": 1e-5, "float64": 1e-13}
# Gradients are sums over batch, steps and neurons; roundings grow with the largest value of an array.
BACK = {"float32": 2e-5, "float64": 1e-13}

NEURONS = {
    "lif": (LIF, {}),
    "rlif-dense": (RLIF, {}),
    "rlif-one_to_one": (RLIF, {"recurrence": "one_to_one"}),
    "slstm": (SLSTM, {}),
    "leaky": (LeakyIntegrator, {}),
}
SPIKING = {name: neuron for name, neuron in NEURONS.items() if name != "leaky"}

every_neuron = pytest.mark.parametrize("name", NEURONS)
every_spiking_neuron = pytest.mark.parametrize("name", SPIKING)


COMPILED_RUNS = []


@pytest.fixture(autouse=True)
def compiled_runs(monkeypatch):
    """A growing list of the runs of the compiled engine; no engine remains forced after a test."""
    run = CompiledEngine.run

    def counted(self, layer, call):
        COMPILED_RUNS.append(layer.name)
        return run(self, layer, call)

    monkeypatch.setattr(CompiledEngine, "run", counted)
    COMPILED_RUNS.clear()
    neurons.set_engine(None)
    yield COMPILED_RUNS
    neurons.set_engine(None)


def states_of(cell):
    """The names of the states of the cell in Keras's order."""
    return list(cell.state_order)


def engine_of(layer, sequences, mask=None):
    """The name of the engine that runs a call."""
    return engines.choose(layer, engines.Call(sequences, [], (layer.cell.output_state,), mask)).name


def start(cell, batch, dtype, seed=11):
    """Initial states that no path reaches at its first step; spikes are 0 or 1."""
    generator = np.random.default_rng(seed)
    drawn = {
        "spikes": generator.integers(0, 2, (batch, cell.units)),
        "membrane": generator.normal(0.2, 0.6, (batch, cell.units)),
        "carry": generator.normal(0.1, 0.8, (batch, cell.units)),
    }
    return [drawn[state].astype(dtype) for state in states_of(cell)]


def paths(batch, time, features, seed=0):
    return np.random.default_rng(seed).normal(0.3, 1.0, (batch, time, features))


def outcome(recurrent, shape, *, dtype="float32", training=False, mask=None, initial=True, weights=draw, spread=1.0):
    """All results of a call: outputs, final states, and gradients of trainable weights, inputs and states.

    The loss is a sum of squares of all outputs and final states with unequal weights, so that no gradient is constant.
    """
    batch, time, features, _ = shape
    recurrent.build((batch if recurrent.stateful else None, None, features))
    cell = recurrent.cell
    assign(cell, weights(cell, features, seed=3))
    inputs = keras.Variable(spread * paths(batch, time, features), dtype=dtype)
    before = [keras.Variable(state, dtype=dtype) for state in (start(cell, batch, dtype) if initial else [])]

    def call():
        states = {"initial_state": [state.value for state in before]} if before else {}
        outputs = recurrent(inputs.value, mask=mask, training=training, **states)
        return list(outputs) if isinstance(outputs, (list, tuple)) else [outputs]

    seen = []

    def loss():
        outputs = call()
        seen[:] = outputs
        generator = np.random.default_rng(5)
        factors = [ops.convert_to_tensor(generator.normal(0.0, 1.0, output.shape), dtype) for output in outputs]
        return sum(
            ops.sum(factor * (output + ops.square(output) / 2)) for factor, output in zip(factors, outputs, strict=True)
        )

    variables = [*cell.trainable_weights, inputs, *before]
    names = [*(weight.name for weight in cell.trainable_weights), "inputs", *states_of(cell)]
    found = dict(zip(names, gradients(loss, variables), strict=False))
    if BACKEND == "jax":  # while it differentiates a loss, the outputs are symbolic
        return numpy_of(call()), found
    return [numpy_of(ops.stop_gradient(output)) for output in seen], found


def compare(
    name,
    options=None,
    loop=None,
    shape=(3, 6, 2, 5),
    over=("compiled",),
    compiles=True,
    recompute=None,
    exact=False,
    **call,
):
    """Compare the layer, run by each engine, with `keras.layers.RNN` of its cell: outputs, final states, gradients.

    Spikes must be equal; membranes, carries and gradients equal up to rounding.

    Args:
        name: a name in NEURONS.
        options: options of the cell.
        loop: options of `keras.layers.RNN`.
        shape: batch, time, features, units.
        over: the engines.
        compiles: whether the compiled engine supports these options.
        recompute: option of the layer alone.
        exact: whether membranes must be equal to the bit.
        **call: arguments of `outcome`.
    """
    layer_class, own = NEURONS[name]
    dtype = call.get("dtype", "float32")
    options = own | (options or {}) | {"dtype": dtype}
    loop = {"return_sequences": True, "return_state": True} | (loop or {})
    units = shape[-1]
    reference = keras.layers.RNN(layer_class.cell_class(units, **options), dtype=dtype, **loop)
    expected, of_expected = outcome(reference, shape, **call)
    kinds = states_of(reference.cell)
    kinds = [kinds[0], *kinds] if loop["return_state"] else kinds[:1]
    assert len(expected) == len(kinds)
    if name != "leaky" and expected[0].size > 20:
        assert_fires_now_and_then(reference.cell, expected[0])
    for engine in over:
        neurons.set_engine(engine)
        layer = layer_class(units, recompute=recompute, **loop, **options)
        runs = len(COMPILED_RUNS)
        found, of_found = outcome(layer, shape, **call)
        took = len(COMPILED_RUNS) - runs
        where = f"{name}, {options}, {loop}, {shape}, engine {engine}"
        assert (took > 0) == (COMPILES and compiles and engine in ("compiled", None)), f"{where}: {took} compiled runs"
        for kind, value, right in zip(kinds, found, expected, strict=True):
            assert value.dtype == right.dtype == dtype
            if kind == "spikes" or exact:
                np.testing.assert_array_equal(value, right, err_msg=f"{kind}: {where}")
            else:
                tolerance = FORWARD[dtype]
                np.testing.assert_allclose(value, right, rtol=tolerance, atol=tolerance, err_msg=f"{kind}: {where}")
        assert of_found.keys() == of_expected.keys()
        for weight, right in of_expected.items():
            largest = np.max(np.abs(right))
            np.testing.assert_allclose(
                of_found[weight], right, rtol=0, atol=BACK[dtype] * max(1, largest), err_msg=f"{weight}: {where}"
            )
    return of_expected


def assert_fires_now_and_then(cell, outputs):
    spikes = outputs if cell.output_state == "spikes" else outputs >= numpy_of(cell.threshold)
    assert set(np.unique(spikes)) == {0.0, 1.0}, "all spikes are equal, so the test is vacuous"


# Options of the neurons


@every_neuron
@pytest.mark.parametrize("training", [True, False])
def test_every_engine_gives_what_the_cell_gives(name, training):
    """Also with the automatic choice. In prediction the compiled engine stores nothing and reruns for gradients."""
    attached = {} if name == "leaky" else {"detach_reset": False}  # so that the loss depends on the first spikes too
    of = compare(name, attached, over=EVERY_ENGINE, training=training)
    assert all(np.any(gradient != 0) for gradient in of.values())


@every_spiking_neuron
@where_compiled
def test_every_reset_detached_or_not_spikes_or_membrane(name):
    seen = []
    for reset, detach, output in itertools.product(("subtract", "zero", "none"), (True, False), ("spikes", "membrane")):
        options = {"reset": reset, "detach_reset": detach, "output": output}
        seen.append(compare(name, options, training=True)["inputs"])
    for one, other in itertools.combinations(seen, 2):
        assert reset == "none" or not np.allclose(one, other), "two options give the same, so the test is vacuous"


@every_neuron
@where_compiled
def test_weights_that_are_missing_or_fixed(name):
    fixed = {"learn_decay": False} if name != "slstm" else {}
    if name != "leaky":
        fixed["learn_threshold"] = False
    of = compare(name, {"use_bias": False} | fixed, training=True)
    assert {"bias", "decay", "threshold"}.isdisjoint(of)
    assert "threshold" not in of
    assert {"kernel", "inputs"} < set(of)


@pytest.fixture
def own_surrogates(monkeypatch):
    """Surrogates of a user, written in several ways; numba can compile the first three."""
    monkeypatch.setattr(surrogates, "_REGISTRY", dict(surrogates._REGISTRY))
    from keras.ops import exp

    @surrogates.register("own_gaussian")
    def own_gaussian(x, scale=2.0):
        return scale * ops.exp(-ops.square(scale * x))

    @surrogates.register("own_window")
    def own_window(x, scale=0.4):
        near = keras.ops.abs(x) < scale
        return keras.ops.where(near, keras.ops.maximum(1.0 - keras.ops.power(x, 2), 0.0), 0.125)

    @surrogates.register("own_tangent")
    def own_tangent(x, scale=1.5):
        return (1 - ops.tanh(scale * x) ** 2) * ops.minimum(ops.sqrt(ops.abs(x) + 1), 1.25) + ops.zeros_like(x)

    @surrogates.register("own_imported")
    def own_imported(x, scale=2.0):
        return exp(-scale * ops.abs(x))

    @surrogates.register("own_relative")
    def own_relative(x, scale=2.0):
        return ops.exp(-ops.square(scale * x)) / (1 + ops.mean(ops.abs(x), axis=-1, keepdims=True))

    @surrogates.register("own_error_function")
    def own_error_function(x, scale=2.0):
        return 1 - ops.square(ops.erf(scale * x))

    class Gaussian:
        __name__ = "Gaussian"

        def __call__(self, x, scale=2.0):
            return ops.exp(-ops.square(scale * x))

    surrogates.register("own_object")(Gaussian())


@pytest.mark.parametrize("name", ["lif", "slstm"])
@where_compiled
def test_every_surrogate(name, own_surrogates):
    """Another engine runs surrogates that numba cannot compile, in training and in prediction."""
    left = {"own_imported", "own_relative", "own_error_function", "own_object"}
    known = surrogates.names()
    assert len(known) == 13
    seen = []
    for surrogate in known:
        for scale, training in ((None, True), (0.7, False)):
            options = {"surrogate": surrogate, "surrogate_scale": scale, "detach_reset": False}
            of = compare(name, options, training=training, compiles=surrogate not in left)
            seen.append(of["inputs"])
    assert all(not np.allclose(one, other) for one, other in itertools.combinations(seen, 2))


@every_neuron
@where_compiled
def test_the_same_seed_drops_the_same(name):
    """Every engine drops inputs. With dropout of the feedback another engine runs, in training only."""
    options = {"dropout": 0.4, "seed": 9}
    dropped = compare(name, options, over=EVERY_ENGINE, training=True)
    assert not np.allclose(dropped["inputs"], compare(name, training=True)["inputs"])
    compare(name, options, training=False)
    compare(name, options, training=True, recompute=3)
    if name in ("rlif-dense", "rlif-one_to_one", "slstm"):
        options["recurrent_dropout"] = 0.5
        of = compare(name, options, over=EVERY_ENGINE, compiles=False, training=True)
        assert not np.allclose(of["recurrent_kernel"], dropped["recurrent_kernel"])
        compare(name, options, compiles=False, training=True, recompute=2)
        compare(name, options, training=False)


# Options of the loop


@every_neuron
@where_compiled
def test_every_direction_and_form_of_the_outputs(name):
    for sequences, states, backwards in itertools.product((True, False), repeat=3):
        loop = {"return_sequences": sequences, "return_state": states, "go_backwards": backwards}
        compare(name, loop=loop, training=True)
    compare(name, over=("compiled", None), initial=False, training=True)


@every_neuron
@where_compiled
def test_every_size(name):
    """Sizes of one; batches and layers below, at and above the size of a tile and of a vector of the processor."""
    shapes = [(1, 1, 1, 1), (2, 1, 3, 4), (1, 9, 1, 3), (8, 2, 4, 8), (15, 3, 2, 7), (16, 3, 1, 17), (17, 4, 5, 2)]
    for shape in [*shapes, (33, 3, 2, 9), (2, 20, 2, 66)]:
        compare(name, shape=shape, training=True)


# Features and units just below and just above the limit up to which the compiled engine projects the inputs itself.
LIMITS = [
    ("lif", 384, 5, True),
    ("rlif-dense", 385, 5, False),
    ("slstm", 384, 170, True),
    ("slstm", 384, 171, False),
    ("leaky", 256, 1024, True),
    ("rlif-one_to_one", 257, 1024, False),
]


@pytest.mark.parametrize(("name", "features", "units", "projects"), LIMITS)
@where_compiled
def test_inputs_projected_by_the_engine_or_by_the_backend(name, features, units, projects, monkeypatch):
    """Products and sums of the inputs are exact, so outputs are equal to the bit; gradients up to rounding."""
    from kspike_reg.neurons.engines.cpu import paths as compiled_paths

    assert (cpu_engine.LARGEST_KERNEL, cpu_engine.LONGEST_SUM) == (256 * 1024, 384)
    layer_class, options = NEURONS[name]
    layer = layer_class(units, return_sequences=True, **options)
    layer.build((None, None, features))
    generator = np.random.default_rng(0)
    kernel = generator.integers(-1, 2, layer.cell.kernel.shape).astype("float32") / 8
    assign(layer.cell, draw_on_a_grid(layer.cell, features, seed=3) | {"kernel": kernel})
    inputs = keras.Variable(generator.integers(-8, 10, (3, 6, features)) / 8, dtype="float32")
    factors = ops.convert_to_tensor(generator.normal(0.0, 1.0, (3, 6, units)), "float32")
    run, taken = compiled_paths.run, []

    def recorded(sequence, operations, keep, inputs, kernel, *rest):
        taken.append((inputs.shape[2], kernel.shape[0]))
        return run(sequence, operations, keep, inputs, kernel, *rest)

    def loss():
        return ops.sum(factors * layer(inputs.value, training=True))

    def found():
        outputs = numpy_of(ops.stop_gradient(layer(inputs.value)))
        return [outputs, *gradients(loss, [inputs, *layer.trainable_weights])]

    monkeypatch.setattr(compiled_paths, "run", recorded)
    neurons.set_engine("compiled")
    as_it_is = found()
    for limit in ("LARGEST_KERNEL", "LONGEST_SUM"):
        monkeypatch.setattr(cpu_engine, limit, 0 if projects else 2**20)
    otherwise = found()
    sides = {True: (features, features), False: (layer.cell.width, 0)}
    assert taken == 2 * [sides[projects]] + 2 * [sides[not projects]]
    if name != "leaky":
        assert_fires_now_and_then(layer.cell, as_it_is[0])
    np.testing.assert_array_equal(as_it_is[0], otherwise[0])
    for one, other in zip(as_it_is[1:], otherwise[1:], strict=True):
        assert np.any(one != 0)
        np.testing.assert_allclose(one, other, rtol=0, atol=BACK["float32"] * max(1, np.max(np.abs(other))))


@every_neuron
@where_compiled
def test_the_compiled_engine_does_not_run_masks(name):
    """Masks with a gap, a late start and an early end, and the option of zeros at masked steps."""
    mask = np.ones((3, 6), bool)
    mask[1, :2] = mask[0, 3] = mask[2, -2:] = False
    for zeros in (False, True):
        loop = {"zero_output_for_mask": zeros}
        compare(name, loop=loop, over=("compiled", None), compiles=False, training=True, mask=mask, recompute=2)
    compare(name, loop={"zero_output_for_mask": True}, training=True)


@every_neuron
@where_compiled
def test_a_stateful_layer_keeps_its_state_between_calls(name):
    layer_class, own = NEURONS[name]
    loop = {"return_sequences": True, "stateful": True}
    inputs = paths(3, 12, 2).astype("float32")
    layers = layer_class(5, **loop, **own), keras.layers.RNN(layer_class.cell_class(5, **own), **loop)
    answers = []
    for layer in layers:
        layer.build((3, None, 2))
        assign(layer.cell, draw(layer.cell, 2, seed=3))
        calls = [numpy_of(layer(inputs[:, begin:stop])) for begin, stop in ((0, 4), (4, 5), (5, 12))]
        states = [numpy_of(state) for state in layer.states]
        layer.reset_state()
        again = numpy_of(layer(inputs[:, :4]))
        np.testing.assert_array_equal(again, calls[0])
        answers.append([*calls, *states])
    assert len(COMPILED_RUNS) == (4 if COMPILES else 0)
    for found, expected in zip(*answers, strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5)
    compare(name, loop=loop | {"return_state": True}, training=True)


@every_neuron
@where_compiled
def test_states_of_any_numbers(name):
    """Initial spikes other than 0 and 1, such as 0.3, reset a part; the compiled loop agrees with Keras's loop."""
    layer_class, own = NEURONS[name]
    for reset in ("subtract", "zero") if name != "leaky" else (None,):
        options = own | ({"reset": reset, "detach_reset": False} if reset else {})
        answers = []
        inputs = paths(3, 4, 2).astype("float32")
        loop = {"return_sequences": True, "return_state": True}
        for layer in layer_class(5, **loop, **options), keras.layers.RNN(layer_class.cell_class(5, **options), **loop):
            layer.build((3, None, 2))
            assign(layer.cell, draw(layer.cell, 2, seed=3))
            generator = np.random.default_rng(8)
            states = [keras.Variable(generator.normal(0.3, 0.5, (3, 5))) for _ in layer.cell.state_size]

            def loss(layer=layer, states=states, inputs=inputs):
                outputs = layer(inputs, initial_state=[state.value for state in states], training=True)
                return sum(ops.sum(ops.square(output + 0.5)) for output in outputs)

            answers.append(
                [*numpy_of(layer(inputs, initial_state=[s.value for s in states])), *gradients(loss, states)]
            )
        for found, expected in zip(*answers, strict=True):
            np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4)


@every_neuron
@pytest.mark.parametrize("pieces", [1, 3, 50])
def test_recomputation_changes_nothing(name, pieces):
    """Without pieces, in pieces of unequal length, and in more pieces than steps, forward and backward in time."""
    for backwards, length in ((False, 7), (True, 4)) if COMPILES or pieces == 3 else ():
        compare(
            name,
            loop={"go_backwards": backwards},
            shape=(3, length, 2, 5),
            over=EVERY_ENGINE if pieces == 3 and COMPILES else ("compiled",),
            recompute=pieces,
            training=True,
        )


@every_neuron
def test_unroll_takes_precedence_over_engines(name):
    layer_class, own = NEURONS[name]
    for unroll in (True, False):
        layer = layer_class(5, unroll=unroll, **own)
        layer.build((None, None, 2))
        for engine in EVERY_ENGINE:
            neurons.set_engine(engine)
            assert engine_of(layer, np.zeros((3, 6, 2))) == ("unrolled" if unroll else "loop")


# Precision


@every_neuron
@where_compiled
def test_double_precision(name):
    if BACKEND != "jax":  # where Keras's types are at most float32 in the cell
        for options in ({}, {"reset": "zero", "detach_reset": False}) if name != "leaky" else ({},):
            compare(name, options, dtype="float64", over=EVERY_ENGINE, training=True)
        return
    layer_class, own = NEURONS[name]
    with double_precision():
        layer = layer_class(5, dtype="float64", return_sequences=True, **own)
        layer.build((None, None, 2))
        assign(layer.cell, draw(layer.cell, 2, seed=3))
        outputs = numpy_of(layer(paths(3, 6, 2)))
    assert outputs.dtype == np.float64


@every_neuron
@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16", "float16"])
@where_compiled
def test_the_compiled_engine_does_not_run_half_precision(name, policy):
    layer_class, own = NEURONS[name]
    if name in ("rlif-dense", "slstm"):  # PyTorch cannot draw an orthogonal matrix in float16
        own = own | {"recurrent_initializer": "zeros"}
    answers = []
    for engine in ("compiled", None, "loop"):
        neurons.set_engine(engine)
        layer = layer_class(5, dtype=policy, return_sequences=True, **own)
        layer.build((None, None, 2))
        assign(layer.cell, draw_on_a_grid(layer.cell, 2, seed=3))
        inputs = np.round(4 * paths(3, 6, 2)) / 4
        outputs = layer(inputs)
        assert keras.backend.standardize_dtype(outputs.dtype) == policy.removeprefix("mixed_")
        answers.append(numpy_of(ops.cast(outputs, "float32")))
    assert not COMPILED_RUNS
    assert len(np.unique(answers[0])) > 1
    # Two engines of the framework may round at different places: 1 / 2**8 for bfloat16, with membranes of order one.
    for answer in answers[1:]:
        np.testing.assert_allclose(answer, answers[0], atol=2e-2 if name in ("slstm", "leaky") else 0)


@tensorflow_alone
@pytest.mark.parametrize(("batch", "units"), [(24, 5), (3, 64), (16, 40)])
@pytest.mark.parametrize("name", ["rlif-dense", "slstm"])
def test_membranes_are_the_same_to_the_bit(name, batch, units):
    """If batch or units is a multiple of eight, TensorFlow computes all numbers as vectors (see `cpu.functions`)."""
    shape = (batch, 15, 3, units)
    answers = []
    layer_class, _ = NEURONS[name]
    loop = {"return_sequences": True, "return_state": True}
    for layer in (
        layer_class(units, output="membrane", **loop),
        keras.layers.RNN(layer_class.cell_class(units, output="membrane"), **loop),
    ):
        layer.build((None, None, 3))
        assign(layer.cell, draw(layer.cell, 3, seed=3))
        inputs = paths(*shape[:3]).astype("float32")
        answers.append(numpy_of(layer(inputs, initial_state=start(layer.cell, batch, "float32"))))
    assert COMPILED_RUNS
    assert_fires_now_and_then(layer.cell, answers[0][0])
    for found, expected in zip(*answers, strict=True):
        np.testing.assert_array_equal(found, expected)


# Graphs, files, and the choice of an engine


def test_the_engine_may_be_forced_and_released():
    assert neurons.engine() is None
    for name in tuple(engines.ENGINES):
        neurons.set_engine(name)
        assert neurons.engine() == name
    with pytest.raises(
        InputError, match=r"set_engine: unknown engine 'bad'; choose one of 'compiled', 'unrolled', 'loop'"
    ):
        neurons.set_engine("bad")
    assert neurons.engine() == "loop"
    neurons.set_engine(None)
    assert neurons.engine() is None


def test_the_engine_of_a_layer():
    """It depends on the number of steps, known or not, on masks, on the precision and on a forced engine."""
    fast = "compiled" if COMPILES else None

    def chosen(engine, steps, mask=None, **options):
        layer = LIF(3, **options)
        layer.build((None, None, 2))
        neurons.set_engine(engine)
        return engine_of(layer, keras.KerasTensor((None, steps, 2)), mask)

    mask = keras.KerasTensor((None, None), "bool")
    for engine in (None, "compiled"):
        assert chosen(engine, 7) == (fast or "unrolled")
        assert chosen(engine, None) == chosen(engine, 33) == (fast or "loop")
        assert chosen(engine, 7, dtype="mixed_bfloat16") == "unrolled"
        assert chosen(engine, None, dtype="mixed_bfloat16") == chosen(engine, 7, mask) == "loop"
    assert [chosen("unrolled", *case) for case in ((7,), (99,), (None,), (7, mask))] == ["unrolled"] * 2 + ["loop"] * 2
    assert [chosen("loop", *case) for case in ((7,), (99,), (None,), (7, mask))] == ["loop"] * 4


@where_compiled
def test_the_framework_runs_a_neuron_without_a_kernel(monkeypatch):
    monkeypatch.delitem(KERNELS, "lif")
    compare("lif", over=EVERY_ENGINE, compiles=False, training=True)
    compare("lif", over=EVERY_ENGINE, compiles=False, training=True, recompute=3)


@pytest.mark.parametrize("kind", ["rlif", "slstm"])
@where_compiled
def test_a_model_trains_predicts_and_is_saved_the_same_by_every_engine(kind, tmp_path):
    """The file does not contain the engine. Training from the same weights gives the same weights."""
    inputs, targets = paths(5, 9, 1).astype("float32"), np.cos(paths(5, 9, 1, seed=1)).astype("float32")
    answers, configs = [], []
    for engine in (None, "loop"):
        neurons.set_engine(engine)
        model = build(kind, units=8, population=4, depth=1)
        model.compile(optimizer=keras.optimizers.SGD(0.05, name="sgd"), loss="mse", metrics=["mae"])
        runs = len(COMPILED_RUNS)
        history = model.fit(inputs, targets, epochs=2, batch_size=3, shuffle=False, verbose=0).history
        assert (len(COMPILED_RUNS) > runs) == (COMPILES and engine is None)
        file = tmp_path / f"{engine}.keras"
        model.save(file)
        configs.append(model.to_json())
        predicted = model.predict(inputs, verbose=0)
        if engine is None:
            loaded = keras.models.load_model(file)
            np.testing.assert_array_equal(loaded.predict(inputs, verbose=0), predicted)
        answers.append([*(numpy_of(weight) for weight in model.trainable_weights), predicted, *history["mae"]])
        moved = build(kind, units=8, population=4, depth=1)
        assert any(
            not np.array_equal(numpy_of(new), old)
            for new, old in zip(moved.trainable_weights, answers[-1], strict=False)
        )
    assert configs[0] == configs[1]
    assert not any(engine in configs[0] for engine in ("compiled", "unrolled"))
    for fast, slow in zip(*answers, strict=True):
        # Two epochs of two steps on weights of order one, with gradients as in `compare`.
        np.testing.assert_allclose(fast, slow, rtol=1e-4, atol=1e-5)


@every_neuron
@where_compiled
def test_several_inputs_joined(name):
    """A model of two inputs, one of them a second path: gradients reach both."""
    layer_class, own = NEURONS[name]
    answers = []
    for reference in (False, True):
        loop = {"return_sequences": True}
        layer = (
            keras.layers.RNN(layer_class.cell_class(5, **own), **loop) if reference else layer_class(5, **own, **loop)
        )
        one, other = keras.Input((None, 2)), keras.Input((None, 3))
        first = keras.layers.Dense(2, kernel_initializer=keras.initializers.RandomUniform(seed=1))
        model = keras.Model([one, other], layer(keras.layers.Concatenate()([first(one), other])))
        assign(layer.cell, draw(layer.cell, 5, seed=3))
        inputs = [paths(3, 6, 2).astype("float32"), paths(3, 6, 3, seed=2).astype("float32")]
        weights = model.trainable_weights
        found = gradients(lambda m=model, x=inputs: ops.sum(ops.square(m(x, training=True) + 0.25)), weights)
        answers.append([numpy_of(model(inputs)), *found])
    assert bool(COMPILED_RUNS) == COMPILES
    assert all(np.any(gradient != 0) for gradient in answers[0])
    for found, expected in zip(*answers, strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4)


def open_function(layer, features, traces, **options):
    """A `tf.function` for any number and length of paths: outputs, and gradients of all trainable weights."""
    import tensorflow as tf

    @tf.function(input_signature=[tf.TensorSpec((None, None, features), tf.float32)], **options)
    def run(inputs):
        traces.append(1)
        with tf.GradientTape() as tape:
            outputs = layer(inputs, training=True)
            loss = tf.reduce_sum(tf.square(outputs + 0.25))
        return outputs, tape.gradient(loss, [weight.value for weight in layer.trainable_weights])

    return run


@tensorflow_alone
@every_neuron
def test_one_trace_runs_batches_and_lengths_of_every_size(name):
    """Numba does not compile again either; there may be more pieces to recompute than steps."""
    from kspike_reg.neurons.engines.cpu import loops

    layer_class, own = NEURONS[name]
    for recompute in (None, 3):
        layer = layer_class(5, return_sequences=True, recompute=recompute, **own)
        layer.build((None, None, 2))
        assign(layer.cell, draw(layer.cell, 2, seed=3))
        traces = []
        run = open_function(layer, 2, traces)
        run(paths(2, 4, 2).astype("float32"))
        traced, compiled = len(traces), (len(loops.forward.signatures), len(loops.backward.signatures))
        assert COMPILED_RUNS
        for batch, time in ((1, 1), (3, 2), (17, 5), (33, 40)):
            inputs = paths(batch, time, 2, seed=time).astype("float32")
            outputs, found = run(inputs)
            neurons.set_engine("loop")
            expected = numpy_of(layer(inputs))
            of = gradients(
                lambda x=inputs, layer=layer: ops.sum(ops.square(layer(x, training=True) + 0.25)),
                layer.trainable_weights,
            )
            neurons.set_engine(None)
            np.testing.assert_allclose(outputs, expected, atol=1e-5)
            for one, other in zip(found, of, strict=True):
                np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-4)
        assert len(traces) == traced
        assert compiled == (len(loops.forward.signatures), len(loops.backward.signatures))


@tensorflow_alone
@every_neuron
def test_inside_xla_an_engine_of_the_framework_runs_a_layer(name):
    """Weights lie on a grid, so that fused operations of XLA change no spike."""
    import tensorflow as tf

    layer_class, own = NEURONS[name]
    layer = layer_class(5, return_sequences=True, **own)
    layer.build((None, None, 2))
    assign(layer.cell, draw_on_a_grid(layer.cell, 2, seed=3))
    inputs = (np.round(4 * paths(3, 6, 2)) / 4).astype("float32")

    @tf.function(jit_compile=True)
    def run(inputs):
        with tf.GradientTape() as tape:
            outputs = layer(inputs, training=True)
            loss = tf.reduce_sum(tf.square(outputs + 0.25))
        return outputs, tape.gradient(loss, [weight.value for weight in layer.trainable_weights])

    outputs, found = run(inputs)
    assert not COMPILED_RUNS
    np.testing.assert_allclose(outputs, numpy_of(layer(inputs)), atol=1e-5)
    expected = gradients(lambda: ops.sum(ops.square(layer(inputs, training=True) + 0.25)), layer.trainable_weights)
    assert COMPILED_RUNS
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-4)


@tensorflow_alone
def test_a_model_compiled_by_xla_fits():
    model = build("slstm", units=6, population=4, depth=1, timesteps=6)
    model.compile(optimizer="sgd", loss="mse", jit_compile=True)
    COMPILED_RUNS.clear()
    inputs = paths(4, 6, 1).astype("float32")
    before = [numpy_of(weight).copy() for weight in model.trainable_weights]
    history = model.fit(inputs, np.cos(inputs), epochs=2, verbose=0).history
    assert np.all(np.isfinite(history["loss"]))
    assert any(not np.array_equal(numpy_of(new), old) for new, old in zip(model.trainable_weights, before, strict=True))
    predicted = model.predict(inputs, verbose=0)
    assert not COMPILED_RUNS
    np.testing.assert_allclose(predicted, numpy_of(model(inputs)), atol=1e-5)
    assert COMPILED_RUNS
