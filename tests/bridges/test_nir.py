"""Networks to NIR files and back: the same predictions bit for bit, NIR's own numbers, complete shapes."""

import itertools

import keras
import numpy as np
import pytest

import kspike_reg
from bridges.nir_networks import cut, draw_on_a_grid, network, paths, paths_on_a_grid, set_weights
from kspike_reg.bridges.nir.files import from_nir, read_nir, to_nir, write_nir
from kspike_reg.bridges.nir.parameters import FORMS
from kspike_reg.network.physical import PhysicalModel, Standardise
from kspike_reg.neurons import LIF, RLIF, LeakyIntegrator, PopulationMean
from oracles import nir_loop
from oracles.backend import double_precision, numpy_of, torch_arrays
from oracles.weights import assign

nir = pytest.importorskip("nir", reason="the extra nir is not installed")

pytestmark = torch_arrays

KINDS = {
    "lif": (LIF, {}),
    "rlif": (RLIF, {"recurrence": "dense"}),
    "one_to_one": (RLIF, {"recurrence": "one_to_one"}),
    "bare": (RLIF, {"use_bias": False}),
}
COMBINATIONS = [
    (kind, reset, output, form)
    for kind, reset, output, form in itertools.product(
        KINDS, ("subtract", "zero", "none"), ("spikes", "membrane"), FORMS
    )
    if (reset, output, form) != ("zero", "membrane", "exact")  # does not exist, see test_nir_input.py
]


def through_a_file(model, folder, **options):
    write_nir(model, folder / "model.nir", **options)
    return read_nir(folder / "model.nir")


def assert_alike(model, back, inputs):
    """Equal outputs that are not constant."""
    expected, received = (numpy_of(each(inputs)) for each in (model, back))
    assert np.std(expected) > 0
    np.testing.assert_array_equal(received, expected, strict=True)


@pytest.mark.parametrize(("kind", "reset", "output", "form"), COMBINATIONS)
def test_a_round_trip_predicts_the_same(tmp_path, kind, reset, output, form):
    layer, options = KINDS[kind]
    model = network(layer, reset=reset, output=output, **options)
    back = through_a_file(model, tmp_path, form=form)
    assert_alike(model, back, paths())
    assert [type(each) for each in back.layers] == [type(each) for each in model.layers]
    for ours, theirs in zip(model.layers, back.layers, strict=True):
        assert theirs.get_config() == ours.get_config()
        for one, other in zip(ours.get_weights(), theirs.get_weights(), strict=True):
            np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("name", ["lif-elasticity", "rlif-ramberg-osgood"])
def test_a_trained_network_predicts_the_same(tmp_path, name, form):
    model = kspike_reg.load(name)
    inputs = np.random.default_rng(1).uniform(-0.01, 0.01, (5, 8, 1)).astype("float32")
    back = through_a_file(model, tmp_path, form=form)
    assert type(back) is PhysicalModel
    assert back.name == model.name
    assert_alike(model, back, inputs)


def test_a_network_in_physical_units_keeps_its_spread(tmp_path):
    model = kspike_reg.load("lif-elasticity")
    back = through_a_file(model, tmp_path)
    inputs = np.random.default_rng(2).uniform(-0.001, 0.001, (5, 8, 1)).astype("float32")
    expected = model.predict(inputs, verbose=0, outside="ignore", return_spread=True)
    received = back.predict(inputs, verbose=0, outside="ignore", return_spread=True)
    for one, other in zip(expected, received, strict=True):
        assert np.std(one) > 0
        np.testing.assert_array_equal(other, one)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("reset", "output"), [("subtract", "spikes"), ("subtract", "membrane"), ("none", "spikes")])
def test_every_reader_computes_our_network_from_the_exact_form(kind, reset, output):
    """A reader that follows NIR's definitions and ignores metadata gets the same numbers.

    On the grid all sums are exact, but 1 - dt / tau and r dt / tau are not: 1e-12 is some thousand roundings in double
    precision. The spikes are compared on membranes off their thresholds; on them, see the test of ties.
    """
    layer, options = KINDS[kind]
    model = network(layer, draw_on_a_grid, reset=reset, output=output, **options)
    graph, inputs = to_nir(model, form="exact"), paths_on_a_grid() + np.float32(1 / 64)
    traces = nir_loop.run(graph, {"paths": inputs}, graph.metadata["dt"])
    expected = model.predict(inputs, verbose=0)
    assert np.std(expected) > 0
    np.testing.assert_allclose(traces["output"], expected, rtol=0, atol=1e-6)  # the mean is rounded to single precision
    np.testing.assert_allclose(traces["first/output"], cut(model, "first").predict(inputs, verbose=0), atol=1e-12)
    np.testing.assert_allclose(traces["second/output"], cut(model, "second").predict(inputs, verbose=0), atol=1e-12)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("form", FORMS)
def test_every_reader_computes_our_network_with_a_zero_reset(kind, form):
    layer, options = KINDS[kind]
    model = network(layer, draw_on_a_grid, reset="zero", **options)
    graph, inputs = to_nir(model, form=form), paths_on_a_grid() + np.float32(1 / 64)
    assert graph.metadata["unsaid"] == ""
    traces = nir_loop.run(graph, {"paths": inputs}, graph.metadata["dt"])
    for name in ("first", "second"):
        spikes = cut(model, name).predict(inputs, verbose=0)
        assert 0 < spikes.mean() < 1
        np.testing.assert_array_equal(traces[name if kind == "lif" else f"{name}/output"], spikes)


def test_a_membrane_on_its_threshold_fires_for_every_reader():
    """Decay 0, kernel 1, threshold 0.5: inputs of 0.5 lie on the threshold, and H(0) = 1; just below none fires."""
    model = keras.Sequential([keras.Input((None, 1)), LIF(1, return_sequences=True, reset="zero", name="lif")])
    for form, threshold in itertools.product(FORMS, (0.5, 0.3, 0.7)):
        threshold = np.float32(threshold)
        assign(
            model.get_layer("lif").cell, {"kernel": [[1.0]], "bias": [0.0], "decay": [0.0], "threshold": [threshold]}
        )
        inputs = np.array([threshold, np.nextafter(threshold, np.float32(0))], "float32").reshape(1, 2, 1)
        graph = to_nir(model, form=form)
        spikes = nir_loop.run(graph, {next(iter(graph.inputs)): inputs}, 1e-4, dtype=np.float32)["lif"]
        np.testing.assert_array_equal(spikes[0, :, 0], [1, 0], err_msg=f"{form} {threshold}")
        np.testing.assert_array_equal(model.predict(inputs, verbose=0)[0, :, 0], [1, 0])


def test_the_numbers_are_those_of_nir():
    """Decays 0.75, 0 and 1, thresholds 0.5, 0.25 and 2, steps of 2 ms: tau = dt / (1 - decay), r = tau / dt."""
    model = keras.Sequential([keras.Input((None, 2)), LIF(3, return_sequences=True, reset="zero", name="lif")])
    cell = model.get_layer("lif").cell
    kernel = np.array([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]], "float32")
    assign(cell, {"kernel": kernel, "bias": [7.0, 8, 9], "decay": [0.75, 0, 1], "threshold": [0.5, 0.25, 2]})
    below = np.nextafter(np.float32([0.5, 0.25, 2]), np.float32(0))  # H(0) = 1 where NIR has H(0) = 0

    trained = to_nir(model, dt=2e-3)
    assert trained.metadata["dt"] == 2e-3
    assert trained.edges == [(next(iter(trained.inputs)), "lif_input"), ("lif_input", "lif"), ("lif", "output")]
    lif, affine = trained.nodes["lif"], trained.nodes["lif_input"]
    np.testing.assert_allclose(lif.tau[:2], [8e-3, 2e-3], rtol=1e-15)
    np.testing.assert_allclose(lif.r[:2], [4, 1], rtol=1e-15)
    assert 1 - 2e-3 / lif.tau[2] == 1, "a decay of one is a time constant whose leak is lost in rounding"
    np.testing.assert_array_equal(2e-3 * lif.r / lif.tau, [1, 1, 1])
    np.testing.assert_array_equal(lif.v_threshold, below)
    np.testing.assert_array_equal([lif.v_leak, lif.v_reset], np.zeros((2, 3)))
    np.testing.assert_array_equal(affine.weight, kernel.T)
    np.testing.assert_array_equal(affine.bias, [7, 8, 9])
    assert affine.weight.dtype == np.float32

    unit = to_nir(model, dt=2e-3, form="unit_threshold")
    assert np.unique(unit.nodes["lif"].v_threshold) == [np.nextafter(np.float32(1), np.float32(0))]
    np.testing.assert_allclose(unit.nodes["lif_input"].weight, (kernel / [0.5, 0.25, 2]).T, rtol=1e-15)
    np.testing.assert_allclose(unit.nodes["lif_input"].bias, [14, 32, 4.5], rtol=1e-15)

    plain = to_nir(model, dt=2e-3, form="unit_resistance")
    np.testing.assert_array_equal(plain.nodes["lif"].r, [1, 1, 1])
    np.testing.assert_array_equal(plain.nodes["lif"].v_threshold, below)
    np.testing.assert_allclose(plain.nodes["lif_input"].weight[:2], (kernel * [4, 1, 1]).T[:2], rtol=1e-15)


def test_recurrences_are_subgraphs():
    """Input, neurons, and the matrix that feeds their spikes back: rows are targets, as in every NIR matrix."""
    for recurrence in ("dense", "one_to_one"):
        model = network(RLIF, recurrence=recurrence)
        graph = to_nir(model)
        loop = graph.nodes["first"]
        assert {name: type(node).__name__ for name, node in loop.nodes.items()} == {
            "input": "Input", "lif": "LIF", "output": "Output", "recurrent": "Linear"
        }  # fmt: skip
        assert set(loop.edges) == {("input", "lif"), ("lif", "recurrent"), ("recurrent", "lif"), ("lif", "output")}
        kernel = model.get_layer("first").cell.recurrent_kernel.numpy()
        np.testing.assert_array_equal(loop.nodes["recurrent"].weight, kernel.T if kernel.ndim == 2 else np.diag(kernel))


def test_the_exact_form_is_an_integrator_a_threshold_and_its_feedback():
    model = network(RLIF, output="membrane")
    loop = to_nir(model, form="exact").nodes["second"]
    assert {name: type(node).__name__ for name, node in loop.nodes.items()} == {
        "input": "Input", "membrane": "LI", "spikes": "Threshold", "recurrent": "Linear", "reset": "Linear",
        "output": "Output",
    }  # fmt: skip
    np.testing.assert_array_equal(
        loop.nodes["reset"].weight, -np.diag(model.get_layer("second").cell.threshold.numpy())
    )
    assert ("membrane", "output") in loop.edges


def every_node(graph):
    for node in graph.nodes.values():
        yield node
        if isinstance(node, nir.NIRGraph):
            yield from every_node(node)


@pytest.mark.parametrize("form", FORMS)
def test_every_node_has_its_shapes(tmp_path, form):
    write_nir(network(RLIF), tmp_path / "model.nir", form=form)
    graph = nir.read(tmp_path / "model.nir")  # with nir's own check of types
    assert graph.check_types()
    nodes = list(every_node(graph))
    assert len(nodes) > 14
    for node in nodes:
        for types in (node.input_type, node.output_type):
            assert types
            assert all(np.size(shape) == 1 and np.all(np.asarray(shape) > 0) for shape in types.values())
    assert graph.nodes["first"].input_type["input"] == [5]
    assert graph.nodes["mean"].output_type["output"] == (3,)
    assert float(graph.metadata["dt"]) == 1e-4


def test_the_metadata_say_in_words_what_the_nodes_do_not(tmp_path):
    write_nir(network(LIF, output="membrane"), tmp_path / "model.nir")
    assert nir.read(tmp_path / "model.nir").metadata["unsaid"] == (
        "first resets by subtracting its threshold one step later; "
        "second resets by subtracting its threshold one step later; "
        "second emits its membrane before the reset"
    )


def test_several_inputs_and_outputs_keep_their_order(tmp_path):
    """The names are not in the alphabetical order of HDF5; sums, joins, a layer called twice, a nested model."""
    strain, heat = keras.Input((None, 2), name="strain"), keras.Input((None, 3), name="heat")
    shared = LIF(4, return_sequences=True, name="shared", output="membrane")
    inner = keras.Sequential([keras.Input((None, 4)), LIF(4, return_sequences=True, name="shared")], name="inner")
    lifted = keras.layers.Dense(4, name="lifted")(heat)
    a, b = shared(keras.layers.Dense(4, name="widened")(strain)), shared(lifted)
    x = keras.layers.Add(name="sum")([a, b, a])
    x = keras.layers.Dropout(0.5)(inner(x))
    joined = keras.layers.Concatenate(name="joined")([heat, x, strain])
    z = RLIF(3, return_sequences=True, name="z")(joined)
    model = keras.Model([strain, heat], {"z": z, "joined": joined, "a": keras.layers.Add(name="ends")([a, lifted])})
    set_weights(model, seed=3)
    set_weights(inner, seed=9)
    inputs = {"strain": paths(1), "heat": paths(2, features=3)}
    back = through_a_file(model, tmp_path)
    expected, received = model.predict(inputs, verbose=0), back.predict(list(inputs.values()), verbose=0)
    assert [tensor.shape[-1] for tensor in back.inputs] == [2, 3]
    expected = keras.tree.flatten(expected)
    assert [one.shape[-1] for one in expected] == [4, 9, 3]
    for one, other in zip(expected, received, strict=True):
        assert np.std(one) > 0
        np.testing.assert_array_equal(one, other)


def test_an_input_added_to_itself_and_a_model_without_layers(tmp_path):
    start = keras.Input((None, 2), name="paths")
    twice = keras.Model(start, keras.layers.Add()([start, start]))
    np.testing.assert_array_equal(through_a_file(twice, tmp_path).predict(paths(), verbose=0), 2 * paths())
    same = keras.Model(start, keras.layers.Dropout(0.5)(start))
    np.testing.assert_array_equal(through_a_file(same, tmp_path).predict(paths(), verbose=0), paths())


def test_the_last_step_alone_and_fixed_lengths(tmp_path):
    model = network(RLIF, return_sequences=False)
    assert model.output_shape == (None, 3)
    assert_alike(model, through_a_file(model, tmp_path), paths())
    fixed = keras.Sequential([keras.Input((13, 2)), LIF(5, return_sequences=True)])
    assert through_a_file(fixed, tmp_path).input_shape == (None, 13, 2)


@pytest.mark.parametrize("policy", ["float64", "mixed_float16", "mixed_bfloat16", "float16"])
def test_other_precisions(tmp_path, policy):
    """Weights in double precision come back as they are where nothing scales them; the file knows no half precision."""
    with double_precision():
        model = network(RLIF, dtype=policy, recurrent_initializer="random_uniform")
        back = through_a_file(model, tmp_path)
        assert [layer.dtype_policy for layer in back.layers] == [layer.dtype_policy for layer in model.layers]
        for ours, theirs in zip(model.get_weights(), back.get_weights(), strict=True):
            np.testing.assert_array_equal(ours, theirs)
        received, expected = (np.asarray(numpy_of(each(paths())), "float64") for each in (back, model))
    assert np.std(expected) > 0
    np.testing.assert_array_equal(received, expected)


@pytest.mark.parametrize("form", ["unit_threshold", "unit_resistance"])
def test_scaled_weights_in_double_precision_return_to_within_two_roundings(tmp_path, form):
    """W g / g in double precision is W up to two roundings."""
    with double_precision():
        model = network(RLIF, dtype="float64")
        back = through_a_file(model, tmp_path, form=form)
        for ours, theirs in zip(model.get_weights(), back.get_weights(), strict=True):
            np.testing.assert_allclose(theirs, ours, rtol=4 * np.finfo("float64").eps, atol=0)


def test_a_network_from_a_file_goes_on_training(tmp_path):
    model = network(LIF, surrogate="fast_sigmoid", surrogate_scale=3.0, dropout=0.25, learn_decay=False)
    back = through_a_file(model, tmp_path)
    back.compile("sgd", "mse")
    before = back.get_weights()
    back.fit(paths(), np.ones((4, 13, 3)), epochs=1, verbose=0)
    cell = back.get_layer("first").cell
    assert (cell.surrogate, cell.surrogate_scale, cell.dropout) == ("fast_sigmoid", 3.0, 0.25)
    changed = {
        weight.path: not np.array_equal(one, weight.numpy()) for one, weight in zip(before, back.weights, strict=True)
    }
    assert changed["first/cell/kernel"]
    assert not changed["first/cell/decay"]


def test_scalings_come_back_as_scalings(tmp_path):
    start = keras.Input((None, 2))
    options = {"mean": [0.1, 300.0], "deviation": [1e-3, np.float32(80.0)], "names": ["strain", "heat"]}
    x = Standardise(**options, lower=[0.0, 100.0], upper=[0.2, 500.0], name="standardise")(start)
    model = PhysicalModel(start, Standardise(**options, invert=True, name="restore")(x))
    back = through_a_file(model, tmp_path)
    inputs = np.array([[[0.05, 120.0], [0.15, 450.0]]], "float32")
    np.testing.assert_array_equal(back.predict(inputs, verbose=0), model.predict(inputs, verbose=0))
    with pytest.raises(kspike_reg.InputError, match=r"strain reaches 0\.3"):
        back.predict(inputs + np.float32([0.15, 0]), verbose=0, outside="raise")
    affine = to_nir(model).nodes["standardise"]
    np.testing.assert_allclose(affine.weight, [[1000, 0], [0, 1 / 80]], rtol=1e-15)
    np.testing.assert_allclose(affine.bias, [-100, -3.75], rtol=1e-15)
    np.testing.assert_array_equal(to_nir(model).nodes["restore"].weight, [[1e-3, 0], [0, 80]])


def test_numbers_that_another_tool_has_changed_count_more_than_our_metadata(tmp_path):
    graph = to_nir(network(RLIF, reset="zero", recurrence="one_to_one"), form="unit_threshold")
    neurons = graph.nodes["first"].nodes["lif"]
    neurons.tau = np.full(5, 4e-4)  # decay 0.75; r stays, so that the gain of the input is r dt / tau
    neurons.r = np.full(5, 8.0)
    graph.nodes["first"].nodes["recurrent"].weight = np.arange(25.0).reshape(5, 5)
    graph.nodes["mean"].weight = np.arange(18.0).reshape(3, 6)
    back = from_nir(graph)
    model = network(RLIF, reset="zero", recurrence="one_to_one")
    ours, theirs = model.get_layer("first").cell, back.get_layer("first").cell
    np.testing.assert_array_equal(theirs.decay.numpy(), np.full(5, 0.75, "float32"))
    np.testing.assert_allclose(theirs.kernel.numpy(), 2 * ours.kernel.numpy(), rtol=1e-6)
    assert theirs.recurrence == "dense"
    np.testing.assert_allclose(
        theirs.recurrent_kernel.numpy(), 2 * np.arange(25.0).reshape(5, 5).T * ours.threshold.numpy(), rtol=1e-6
    )
    np.testing.assert_array_equal(theirs.threshold.numpy(), ours.threshold.numpy())
    assert isinstance(back.get_layer("mean"), keras.layers.Dense)
    np.testing.assert_array_equal(back.get_layer("mean").kernel.numpy(), np.arange(18.0).reshape(3, 6).T)


def test_the_step_changes_the_decays():
    """tau stays: twice the step leaks twice as much."""
    graph = to_nir(network(LIF), dt=1e-3)
    layer = from_nir(graph, dt=2e-3 / 4).get_layer("first")
    expected = 1 - (1 - np.array([0, 1, 1e-20, 0.3, 0.875], "float32").astype("float64")) / 2
    np.testing.assert_allclose(layer.cell.decay.numpy(), expected, rtol=1e-6)


def test_leaky_integrators_and_population_means_alone(tmp_path):
    model = keras.Sequential([keras.Input((None, 2)), LeakyIntegrator(6, return_sequences=True), PopulationMean(2)])
    model.layers[0].cell.decay.assign([0.0, 1.0, 0.25, 0.5, 0.9, 1e-12])
    assert_alike(model, through_a_file(model, tmp_path), paths())
    graph = to_nir(model)
    np.testing.assert_allclose(graph.nodes[model.layers[1].name].weight, [[1 / 3] * 3 + [0] * 3, [0] * 3 + [1 / 3] * 3])
