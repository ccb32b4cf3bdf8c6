"""Probes and their users on models of every structure: evaluate, records and profile find the same spikes."""

import keras
import numpy as np
import pytest

import kspike_reg
from kspike_reg import InputError, datasets, energy, evaluation, plotting
from kspike_reg.network import in_physical_units, spiking_layers
from kspike_reg.network.graph import graph_of
from kspike_reg.network.probes import Recording
from kspike_reg.neurons import LIF, RLIF, SLSTM, LeakyIntegrator, LIFCell, PopulationMean, SLSTMCell
from oracles.backend import numpy_of, torch_arrays
from oracles.bridged import draw, records as by_hand

pytestmark = torch_arrays

PATHS, STEPS = 5, 8
INPUTS = np.random.default_rng(0).normal(0.3, 1.0, (PATHS, STEPS, 2)).astype("float32")
SIDES = (
    datasets.Standardiser((0.2, -1.0), (1.5, 0.5), ("strain", "temperature")),
    datasets.Standardiser((3.0,), (2.0,), ("stress",)),
)


def readout(x):
    return PopulationMean(1, name="mean")(LeakyIntegrator(4, return_sequences=True, name="leaky")(x))


def nested():
    """A model in a model in a model, which is called twice."""
    inner = keras.Sequential(
        [keras.Input((None, 3)), RLIF(3, return_sequences=True, output="membrane", name="rlif")], name="inner"
    )
    block_input = keras.Input((None, 3))
    block = keras.Model(block_input, inner(LIF(3, return_sequences=True, name="lif")(block_input)), name="block")
    inputs = keras.Input((None, 2), name="inputs")
    x = keras.layers.Dense(3, name="dense")(inputs)
    return keras.Model(inputs, readout(block(block(x))), name="nested")


def wrapped():
    """Our cells in `keras.layers.RNN`; one of them emits its membrane."""
    inputs = keras.Input((None, 2), name="inputs")
    x = keras.layers.RNN(LIFCell(5), return_sequences=True, name="cell")(inputs)
    x = keras.layers.RNN(SLSTMCell(3, output="membrane"), return_sequences=True, name="gated")(x)
    return keras.Model(inputs, readout(x), name="wrapped")


def shared():
    """A layer that is called twice, with another layer between, and a skip connection around both."""
    inputs = keras.Input((None, 2), name="inputs")
    first = keras.layers.Dense(4, name="first")(inputs)
    lif = LIF(4, return_sequences=True, name="lif")
    second = lif(keras.layers.Dense(4, name="second")(lif(first)))
    return keras.Model(inputs, readout(keras.layers.Add(name="skip")([first, second])), name="shared")


def sequential():
    layers = [
        keras.Input((None, 2), name="inputs"),
        LIF(4, return_sequences=True, name="lif"),
        LeakyIntegrator(4, return_sequences=True, name="leaky"),
        PopulationMean(1, name="mean"),
    ]
    return keras.Sequential(layers, name="sequential")


MODELS = {make.__name__: make for make in (nested, wrapped, shared, sequential)}
SPIKING = {
    "nested": ["block/lif", "block/inner/rlif", "block/lif@2", "block/inner/rlif@2"],
    "wrapped": ["cell", "gated"],
    "shared": ["lif", "lif@2"],
    "sequential": ["lif"],
}


@pytest.fixture(scope="module", params=MODELS)
def model(request):
    keras.utils.set_random_seed(5)  # of the Dense layers; `draw` sets the cells
    return draw(MODELS[request.param](), seed=3)


def test_records_are_those_of_a_loop_over_the_cells(model):
    """Every state of every node, also of leaky integrators, in batches of two paths."""
    outputs, spikes, membranes = by_hand(model, INPUTS)
    found = evaluation.records(model, INPUTS, batch_size=2)
    assert isinstance(found, Recording)
    assert list(found) == list(spikes) == SPIKING[model.name]
    assert set(found.membranes) == set(membranes) == set(found.states) > set(found)
    # Matrix products of one step and of all steps may sum in different orders: a few roundings of float32.
    np.testing.assert_allclose(found.outputs, outputs[0], rtol=0, atol=1e-5)
    for name, expected in spikes.items():
        np.testing.assert_array_equal(found[name].spikes, expected)
        assert 0 < expected.mean() < 1
        assert set(found[name].states) == set(found.states[name]) >= {"spikes", "membrane"}
    for name, expected in membranes.items():
        np.testing.assert_allclose(found.membranes[name], expected, rtol=0, atol=1e-5)
    assert "gated" not in found or found["gated"].states["carry"].shape == (PATHS, STEPS, 3)


def test_evaluate_records_and_profile_count_the_same_spikes(model):
    """Over the valid steps of paths of different lengths, in physical units."""
    physical = in_physical_units(model, *SIDES)
    lengths = np.array([8, 3, 6, 8, 5])
    paths = datasets.Paths(3 * INPUTS, np.ones((PATHS, STEPS, 1)), SIDES[0].names, ("stress",), lengths=lengths)
    rates = evaluation.evaluate(physical, paths, batch_size=2)["spike_rates"]
    recorded = evaluation.records(physical, paths)
    counted = energy.profile(physical, paths)
    assert list(rates) == list(recorded) == SPIKING[model.name]
    for name, rate in rates.items():
        # Means of zeros and ones in double precision.
        assert rate == pytest.approx(recorded[name].spikes[paths.mask].mean(dtype="float64"), rel=1e-12)
        assert 0 < rate < 1
    for name in {name.partition("@")[0] for name in rates}:
        each = [rates[node] for node in rates if node.partition("@")[0] == name]
        # A layer called twice counts as one layer.
        assert float(counted[name].spikes_per_neuron_and_step) == pytest.approx(np.mean(each), rel=1e-12)


def test_a_model_in_physical_units_is_the_same_network(model):
    """Outputs are equal, layers that are called twice stay shared, and the weights are copies."""
    physical = in_physical_units(model, *SIDES)
    expected = SIDES[1].restore(numpy_of(model(SIDES[0].standardise(INPUTS).astype("float32"))))
    # Scaling rounds in float32, and TensorFlow compiles `predict`.
    np.testing.assert_allclose(physical.predict(INPUTS, verbose=0), expected, rtol=0, atol=2e-5)
    assert [node.name for node in graph_of(physical, "test").spiking_nodes] == SPIKING[model.name]
    assert physical.count_params() == model.count_params()
    theirs = {id(weight) for weight in model.weights}
    assert theirs.isdisjoint(id(weight) for weight in physical.weights)


def test_a_model_in_physical_units_survives_its_file(model, tmp_path):
    physical = in_physical_units(model, *SIDES)
    kspike_reg.save(physical, tmp_path / "model.keras")
    again = kspike_reg.load(tmp_path / "model.keras")
    np.testing.assert_array_equal(again.predict(INPUTS, verbose=0), physical.predict(INPUTS, verbose=0))


def test_masked_steps_stay_masked_in_physical_units():
    inputs = keras.Input((None, 2))
    masked = keras.layers.Masking(-2.0)(inputs)
    model = draw(keras.Model(inputs, readout(LIF(3, return_sequences=True)(masked)), name="masked"), seed=2)
    values = INPUTS.copy()
    values[1, 5:] = -2.0
    one = datasets.Standardiser((0.0, 0.0), (1.0, 1.0), ("a", "b")), datasets.Standardiser((0.0,), (1.0,), ("c",))
    found = in_physical_units(model, *one).predict(values, verbose=0)
    np.testing.assert_allclose(found, model.predict(values, verbose=0), rtol=0, atol=1e-6)
    unmasked = numpy_of(model(values[:, :5]))
    np.testing.assert_allclose(found[1, 5:], np.repeat(unmasked[1:2, 4], 3, axis=0), rtol=0, atol=1e-5)


def test_several_inputs_or_outputs_are_refused_in_physical_units():
    first, second = keras.Input((None, 2), name="a"), keras.Input((None, 2), name="b")
    model = keras.Model([first, second], [first, second], name="two")
    with pytest.raises(InputError, match="one input and one output, received 'two' with 2 inputs and 2 outputs"):
        in_physical_units(model, *SIDES)


def test_several_inputs_and_outputs_are_recorded_by_name():
    strain, temperature = keras.Input((None, 2), name="strain"), keras.Input((None, 1), name="temperature")
    x = LIF(3, return_sequences=True, name="lif")(keras.layers.Concatenate()([strain, temperature]))
    model = draw(keras.Model([strain, temperature], [x, LIF(2, name="last")(x)]), seed=4)
    data = {"temperature": INPUTS[..., :1], "strain": INPUTS}
    found = evaluation.records(model, data)
    expected = model.predict([INPUTS, INPUTS[..., :1]], verbose=0)
    for one, other in zip(found.outputs, expected, strict=True):
        np.testing.assert_array_equal(one, other)
    np.testing.assert_array_equal(found["last"].spikes[:, -1], expected[1])
    assert found["last"].spikes.shape == (PATHS, STEPS, 2)


def test_probes_do_not_change_a_model(model):
    calls = {layer.name: len(layer._inbound_nodes) for layer in model.layers}
    evaluation.records(model, INPUTS)
    energy.profile(model, INPUTS)
    assert {layer.name: len(layer._inbound_nodes) for layer in model.layers} == calls


def test_a_record_draws(model):
    """Rasters and membranes are drawn from the same class of object for all producers."""
    found = evaluation.records(model, INPUTS)
    paths = datasets.Paths(INPUTS, np.ones((PATHS, STEPS, 1)), ("strain", "temperature"), ("stress",))
    assert len(plotting.spike_raster(found, paths)) == len(found) + 2
    for record in found.values():
        plotting.membrane_traces(record)


def test_spiking_layers_are_listed_once_in_order(model):
    expected = {"nested": ["lif", "rlif"], "wrapped": ["cell", "gated"]}.get(model.name, ["lif"])
    assert [layer.name for layer in spiking_layers(model)] == expected


def hidden():
    inputs = keras.Input((None, 2))
    x = keras.layers.Bidirectional(LIF(3, return_sequences=True), name="both")(inputs)
    return keras.Model(inputs, readout(LIF(2, return_sequences=True, name="lif")(x)), name="hidden")


def test_hidden_neurons_are_refused_by_records_and_named_by_evaluate():
    model = hidden()
    with pytest.raises(InputError, match="records: the layer 'both' of class Bidirectional contains LIFCell"):
        evaluation.records(model, INPUTS)
    paths = datasets.Paths(INPUTS, np.ones((PATHS, STEPS, 1)), SIDES[0].names, ("stress",))
    rates = evaluation.evaluate(in_physical_units(model, *SIDES), paths)["spike_rates"]
    assert rates["both"] is None
    assert 0 <= rates["lif"] <= 1


def test_states_of_a_stateful_layer_are_refused():
    inputs = keras.Input(batch_shape=(PATHS, None, 2))
    model = keras.Model(inputs, SLSTM(3, return_sequences=True, stateful=True, name="memory")(inputs))
    with pytest.raises(InputError, match="'memory' is stateful, so its states depend on earlier calls"):
        evaluation.records(model, INPUTS)


def test_a_recording_is_a_mapping_of_its_spiking_nodes():
    found = evaluation.records(draw(sequential(), seed=3), INPUTS)
    assert dict(found).keys() == found.spikes.keys() == {"lif"}
    assert "leaky" not in found
    assert "leaky" in found.membranes
    with pytest.raises(KeyError):
        found["leaky"]
