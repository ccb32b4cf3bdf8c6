"""ModelEnergy: counts and joules worked by hand, the numbers of KerasSpiking, the paper's Table I."""

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

import keras
import keras_spiking
import numpy as np
import pytest
from keras import layers
from write_golden import DT, STEPS, measure

import kspike_reg
from kspike_reg.energy.keras_spiking import ModelEnergy
from kspike_reg.errors import InputError
from kspike_reg.experiments.studies import table_one
from kspike_reg.network.physical import Standardise
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
from kspike_reg.neurons.cell import NeuronCell
from oracles.backend import torch_arrays

pytestmark = torch_arrays

HERE = Path(__file__).parent
GOLDEN = json.loads((HERE / "golden_dense.json").read_text())
PJ = 1e-12


@pytest.fixture(autouse=True)
def registries(monkeypatch):
    """Restore the registries after each test."""
    monkeypatch.setattr(ModelEnergy, "devices", {name: dict(c) for name, c in ModelEnergy.devices.items()})
    monkeypatch.setattr(ModelEnergy, "layer_stats_computers", dict(ModelEnergy.layer_stats_computers))


def wrap(layer, shape=(None, 3)):
    """A model of this layer alone."""
    inputs = keras.Input(shape)
    return keras.Model(inputs, layer(inputs))


def stats(layer, shape=(None, 3)):
    """(connections, neurons, spiking) of a layer."""
    model = wrap(layer, shape)
    found = ModelEnergy(model).layer_stats[model.layers[-1]]
    return found["connections"], found["neurons"], found["spiking"]


# Three features, five units; (connections, neurons, spiking) by hand.
COUNTS = {
    "LIF": (lambda: LIF(5), 3 * 5, 5, True),
    "LIF, membrane": (lambda: LIF(5, output="membrane", return_sequences=True), 3 * 5, 5, False),
    "RLIF": (lambda: RLIF(5), 3 * 5 + 5 * 5, 5, True),
    "RLIF, one to one": (lambda: RLIF(5, recurrence="one_to_one"), 3 * 5 + 5, 5, True),
    "SLSTM": (lambda: SLSTM(5, use_bias=False), 4 * 5 * (3 + 5), 5, False),
    "LeakyIntegrator": (lambda: LeakyIntegrator(5), 3 * 5, 5, False),
    "PopulationMean": (lambda: PopulationMean(3), 0, 0, True),
    "Standardise": (lambda: Standardise([0.0] * 3, [1.0] * 3, ["a", "b", "c"]), 0, 0, True),
    "Dense": (lambda: layers.Dense(5), 3 * 5, 0, True),
    "Dense, relu": (lambda: layers.Dense(5, "relu"), 3 * 5, 5, False),
    "TimeDistributed": (lambda: layers.TimeDistributed(layers.Dense(5, "tanh")), 3 * 5, 5, False),
    "SimpleRNN": (lambda: layers.SimpleRNN(5), 3 * 5 + 5 * 5, 5, False),
    "GRU": (lambda: layers.GRU(5), 3 * 5 * (3 + 5), 5, False),
    "LSTM": (lambda: layers.LSTM(5), 4 * 5 * (3 + 5), 5, False),
    "RNN(LIFCell)": (lambda: layers.RNN(LIFCell(5)), 3 * 5, 5, True),
    "RNN(RLIFCell)": (lambda: layers.RNN(RLIFCell(5)), 3 * 5 + 5 * 5, 5, True),
    "RNN(SLSTMCell)": (lambda: layers.RNN(SLSTMCell(5)), 4 * 5 * (3 + 5), 5, False),
    "RNN(LeakyIntegratorCell)": (lambda: layers.RNN(LeakyIntegratorCell(5)), 3 * 5, 5, False),
    "RNN(SimpleRNNCell)": (lambda: layers.RNN(layers.SimpleRNNCell(5)), 3 * 5 + 5 * 5, 5, False),
    "RNN(GRUCell)": (lambda: layers.RNN(layers.GRUCell(5)), 3 * 5 * (3 + 5), 5, False),
    "RNN(LSTMCell)": (lambda: layers.RNN(layers.LSTMCell(5)), 4 * 5 * (3 + 5), 5, False),
    "RNN of two": (lambda: layers.RNN([LIFCell(7), RLIFCell(5)]), 3 * 7 + 7 * 5 + 5 * 5, 7 + 5, True),
    "ReLU": (lambda: layers.ReLU(), 0, 3, False),
    "LeakyReLU": (lambda: layers.LeakyReLU(), 0, 3, False),
    "Activation": (lambda: layers.Activation("tanh"), 0, 3, False),
    "Activation, linear": (lambda: layers.Activation("linear"), 0, 0, True),
    "Dropout": (lambda: layers.Dropout(0.5), 0, 0, True),
    "Masking": (lambda: layers.Masking(), 0, 0, True),
}


@pytest.mark.parametrize("name", COUNTS)
@pytest.mark.parametrize("time", [None, 11])
def test_counts_by_hand_whether_the_time_is_open_or_fixed(name, time):
    make, *expected = COUNTS[name]
    assert stats(make(), (time, 3)) == tuple(expected)


class Unlisted(NeuronCell):
    """A neuron that is in no list: it has two currents and spikes if their product is positive."""

    state_names = ("spikes", "membrane")
    projections = 2

    def advance(self, currents, states, training=False):
        one, two = keras.ops.split(currents, 2, axis=-1)
        spikes = keras.ops.cast(one * two > 0, currents.dtype)
        return spikes, self.pack((spikes, one * two))


@pytest.mark.parametrize(("feeds_back", "spiking"), [(None, True), ("spikes", True), ("membrane", False)])
def test_a_new_neuron_counts_by_the_facts_of_its_cell(feeds_back, spiking):
    """Spikes that are fed back drive their connections by events; a membrane does so at every step."""
    cell_class = type("Own", (Unlisted,), {"feeds_back": feeds_back})
    layer = layers.RNN(cell_class(5))
    recurrent = 2 * 5 * 5 if feeds_back else 0
    assert stats(layer) == (2 * 3 * 5 + recurrent, 5, spiking)
    data = np.random.default_rng(10).normal(size=(2, 4, 3)).astype("float32")
    spikes = keras.ops.convert_to_numpy(layers.RNN(layer.cell, return_sequences=True)(data))
    fed_back = {"spikes": int(spikes[:, :-1].sum()) / spikes.size}.get(feeds_back, 1.0)
    assert 0 < spikes.mean() < 1
    found = ModelEnergy(wrap(layer), data).layer_rates[layer]
    assert found == pytest.approx(1000 * (30 + recurrent * fed_back) / (30 + recurrent), rel=1e-9)


def test_all_neurons_of_the_package_have_a_row():
    for name in kspike_reg.neurons.__all__:
        if isinstance(getattr(kspike_reg.neurons, name), type):
            assert name in COUNTS or f"RNN({name})" in COUNTS


def test_axes_that_are_neither_batch_nor_time_count():
    assert stats(layers.Dense(5, "relu"), (3,)) == (15, 5, False)
    assert stats(layers.Dense(5, "relu"), (None, 4, 3)) == (4 * 15, 4 * 5, False)
    assert stats(layers.TimeDistributed(layers.Dense(5)), (11, 4, 3)) == (4 * 15, 0, True)
    with pytest.raises(InputError, match="axis of unknown length"):
        stats(layers.Dense(5), (None, None, 3))


def test_layers_that_join_or_reshape_have_no_operations():
    inputs = keras.Input((6,))
    x = layers.Concatenate()([layers.Flatten()(layers.Reshape((2, 3))(inputs)), inputs])
    model = keras.Model(inputs, layers.Add()([x, x]))
    energy = ModelEnergy(model, np.ones((2, 6)))
    assert energy.total_energy("cpu") == energy.total_energy("loihi") == 0


@pytest.mark.parametrize("kind", kspike_reg.network.KINDS)
def test_every_kind_of_network_is_counted(kind):
    model = kspike_reg.build(kind, features=2, units=5, population=6, outputs=2, depth=2)
    first, second = {
        "lif": (10, 25),
        "rlif": (35, 50),
        "slstm": (140, 200),
        "dense": (10, 25),
        "rnn": (35, 50),
        "gru": (105, 150),
        "lstm": (140, 200),
    }[kind]
    found = [each["connections"] for each in ModelEnergy(model).layer_stats.values()]
    assert found == [0, first, second, 5 * 5, 5 * 6, 0]


def test_joules_by_hand():
    """15 connections and 5 neurons: each counts once on a device that is not spiking, on Loihi by events and steps."""
    model = wrap(layers.Dense(5, "relu"))
    data = np.zeros((2, 4, 3), "float32")
    data[0, 0] = (2.0, -4.0, 0.0)
    cpu, loihi = 8.6e-9, (27.1 * PJ, 81 * PJ)
    layer = model.layers[-1]
    assert ModelEnergy(model).layer_energy(layer, "cpu") == pytest.approx((15 * cpu, 5 * cpu), rel=1e-12)
    assert ModelEnergy(model).total_energy("cpu", timesteps_per_inference=4) == pytest.approx(20 * cpu, rel=1e-12)
    # The convention of KerasSpiking, the default without spiking neurons: mean |x| = 6 / 24 Hz, 4 steps of 1 or 2 ms.
    for dt in (0.001, 0.002):
        expected = (loihi[0] * 15 * 0.25 * dt * 4, loihi[1] * 5 * 4)
        assert ModelEnergy(model, data).layer_energy(layer, "loihi", 4, dt) == pytest.approx(expected, rel=1e-12)
    # Two of 24 elements are events for any length of a step.
    for dt in (None, 0.002):
        expected = (loihi[0] * 15 * (2 / 24) * 4, loihi[1] * 5 * 4)
        found = ModelEnergy(model, data, activity="events").layer_energy(layer, "Loihi", 4, dt)
        assert found == pytest.approx(expected, rel=1e-12)


def test_spikes_of_height_one_are_a_thousand_times_a_rate_at_one_millisecond():
    """The mistake in the Loihi columns of the paper (dt = 1 ms), reproduced with the name of the other convention."""
    inputs = keras.Input((None, 3))
    model = keras.Model(inputs, LIF(4)(inputs))
    data = (np.random.default_rng(0).random((5, 6, 3)) < 0.3).astype("float32")
    synaptic = {
        activity: ModelEnergy(model, data, activity).layer_energy(model.layers[-1], "loihi", 6)[0]
        for activity in (None, "events", "hertz")
    }
    assert synaptic[None] == synaptic["events"] == pytest.approx(27.1 * PJ * 12 * data.sum() / 15, rel=1e-6)
    assert synaptic["events"] == pytest.approx(1000 * synaptic["hertz"], rel=1e-6)


def firing(cell, **options):
    """Options under which a neuron fires often on the data of `busy`."""
    return cell(4, threshold_initializer=0.3, kernel_initializer=keras.initializers.RandomNormal(seed=1), **options)


@pytest.mark.parametrize("output", ["spikes", "membrane"])
@pytest.mark.parametrize("go_backwards", [False, True])
@pytest.mark.parametrize("return_sequences", [False, True])
def test_recurrent_spikes_drive_recurrent_connections(output, go_backwards, return_sequences):
    """RLIF: 8 input connections with a real input at every step, 16 recurrent ones driven by the layer's spikes."""
    data = np.random.default_rng(3).normal(20, 20, (3, 7, 2)).astype("float32")
    layer = firing(RLIF, output=output, go_backwards=go_backwards, return_sequences=return_sequences)
    model = wrap(layer, (7, 2))
    loop = layers.RNN(layer.cell, return_sequences=True, go_backwards=go_backwards)
    emitted = keras.ops.convert_to_numpy(loop(data))
    spikes = emitted if output == "spikes" else emitted >= np.float32(0.3)
    received = int(spikes[:, :-1].sum()) / (3 * 7 * 4)
    assert 0.05 < received < 0.95
    assert ModelEnergy(model, data).layer_rates[layer] == pytest.approx(1000 * (8 + 16 * received) / 24, rel=1e-9)


@pytest.mark.parametrize("make", [SLSTM, layers.SimpleRNN, layers.GRU, layers.LSTM])
def test_recurrent_values_drive_recurrent_connections_at_every_step(make):
    """Input spikes at a quarter of the elements; the state that is fed back is real."""
    data = np.zeros((2, 4, 2), "float32")
    data[:, 1] = 1
    model = wrap(make(5), (None, 2))
    gates = {SLSTM: 4, layers.SimpleRNN: 1, layers.GRU: 3, layers.LSTM: 4}[make]
    expected = 27.1 * PJ * gates * 5 * (2 * 0.25 + 5) * 4
    found = ModelEnergy(model, data, activity="events").layer_energy(model.layers[-1], "loihi", 4)[0]
    assert found == pytest.approx(expected, rel=1e-9)


def test_each_stacked_cell_is_driven_by_the_previous_one():
    data = np.random.default_rng(4).normal(20, 20, (3, 6, 2)).astype("float32")
    first, second = firing(LIFCell), RLIFCell(5, threshold_initializer=0.2)
    model = wrap(layers.RNN([first, second]), (6, 2))
    between = keras.ops.convert_to_numpy(layers.RNN(first, return_sequences=True)(data))
    both = layers.RNN(layers.StackedRNNCells([first, second]), return_sequences=True)
    own = keras.ops.convert_to_numpy(both(data))
    assert 0 < between.mean() < 1
    assert own[:, :-1].sum() > 0
    events = 2 * 4 + 4 * 5 * between.mean() + 25 * own[:, :-1].sum() / own.size
    found = ModelEnergy(model, data).layer_rates[model.layers[-1]] * (8 + 20 + 25) / 1000
    assert found == pytest.approx(events, rel=1e-6)


@pytest.mark.parametrize("go_backwards", [False, True])
def test_each_of_stacked_cells_is_driven_by_its_own_spikes(go_backwards):
    """Two RLIF cells; the first one emits membranes to the second and feeds its spikes back to itself."""
    data = np.random.default_rng(8).normal(20, 20, (3, 6, 2)).astype("float32")
    first = firing(RLIFCell, output="membrane")
    second = RLIFCell(5, threshold_initializer=0.2, recurrence="one_to_one")
    model = wrap(layers.RNN([first, second], go_backwards=go_backwards), (6, 2))
    order = {"return_sequences": True, "go_backwards": go_backwards}
    membranes = keras.ops.convert_to_numpy(layers.RNN(first, **order)(data))
    last = keras.ops.convert_to_numpy(layers.RNN(layers.StackedRNNCells([first, second]), **order)(data))
    own = [(membranes >= np.float32(0.3))[:, :-1].sum() / membranes.size, int(last[:, :-1].sum()) / last.size]
    assert all(0 < events < 1 for events in own)
    assert np.all(membranes != 0)
    events = 2 * 4 + 16 * own[0] + 4 * 5 + 5 * own[1]
    found = ModelEnergy(model, data).layer_rates[model.layers[-1]] * (8 + 16 + 20 + 5) / 1000
    assert found == pytest.approx(events, rel=1e-9)


def test_spikes_that_depend_on_earlier_calls_are_refused():
    inputs = keras.Input(batch_shape=(2, 4, 3))
    model = keras.Model(inputs, RLIF(5, stateful=True, name="remembers")(inputs))
    assert ModelEnergy(model).total_energy("cpu") > 0
    with pytest.raises(InputError, match=r"'remembers' is stateful.*set stateful=False"):
        ModelEnergy(model, np.ones((2, 4, 3), "float32"))


def test_masks_have_no_cost():
    """Keras records the operations that compute the mask; padding counts as steps."""
    inputs = keras.Input((None, 3))
    model = keras.Model(inputs, LIF(5)(layers.Masking()(inputs)))
    data = np.array([[[1, 2, 3], [1, 0, 4], [0, 0, 0]]], "float32")
    energy = ModelEnergy(model, data)
    assert [each["connections"] for each in energy.layer_stats.values()] == [0, 0, 15]
    assert energy.layer_rates[model.layers[-1]] == pytest.approx(1000 * 5 / 9, rel=1e-9)


def test_a_layer_called_twice_counts_twice_each_call_with_its_own_input():
    """KerasSpiking multiplies the sum of connections by the sum of rates, twice too much on spiking devices."""
    inputs = keras.Input((None, 3))
    shared = layers.Dense(3, "relu", kernel_initializer="ones", bias_initializer=keras.initializers.Constant(-2))
    model = keras.Model(inputs, shared(shared(inputs)))
    data = np.array([[[1, 1, 1], [1, 0, 0]]], "float32")  # then (1, 1, 1) and (0, 0, 0)
    energy = ModelEnergy(model, data, activity="events")
    assert energy.layer_stats[shared]["connections"] == 18
    assert energy.layer_stats[shared]["neurons"] == 6
    expected = 27.1 * PJ * (9 * 4 / 6 + 9 * 3 / 6)
    assert energy.layer_energy(shared, "loihi")[0] == pytest.approx(expected, rel=1e-9)


def test_a_nested_model_is_the_sum_of_its_layers():
    """Functional and Sequential models, applied twice, compared with the same layers in a flat model."""
    data = np.random.default_rng(5).normal(20, 20, (3, 6, 4)).astype("float32")
    inner = keras.Input((None, 4))
    spiking = [firing(RLIF, return_sequences=True), layers.Dense(4, "relu")]
    functional = keras.Model(inner, spiking[1](spiking[0](inner)))
    sequential = keras.Sequential([keras.Input((None, 4)), layers.Dense(5, "relu"), LeakyIntegrator(2)])
    inputs = keras.Input((None, 4))
    nested = keras.Model(inputs, sequential(functional(functional(inputs))))
    flat = keras.Input((None, 4))
    x = spiking[1](spiking[0](spiking[1](spiking[0](flat))))
    for layer in sequential.layers:
        x = layer(x)
    nested, flat = ModelEnergy(nested, data), ModelEnergy(keras.Model(flat, x), data)
    assert nested.activity == "events"
    assert nested.layer_stats[functional]["connections"] == 2 * (16 + 16 + 16)
    assert nested.layer_stats[functional]["neurons"] == 2 * (4 + 4)
    assert nested.layer_stats[sequential] == {"connections": 20 + 10, "neurons": 5 + 2, "spiking": False}
    for device in ("gpu", "loihi"):
        found = nested.total_energy(device, timesteps_per_inference=6)
        assert found == pytest.approx(flat.total_energy(device, timesteps_per_inference=6), rel=1e-9)
    assert nested.layer_energy(functional, "loihi")[0] > 0


class Block(keras.Model):
    """A functional model of a class of its own."""

    def __init__(self, **options):
        inputs = keras.Input((None, 3))
        super().__init__(inputs, layers.Dense(3, "relu")(layers.Dense(4, "relu")(inputs)), **options)


@pytest.mark.parametrize("depth", [0, 1])
def test_a_registered_nested_model_counts_as_a_whole(depth):
    """It is called twice; the rate of each call is that of its own input. At depth 1 it is inside another model."""
    ModelEnergy.register_layer(Block)(lambda call: {"connections": 7, "neurons": call.input_shapes[-1]})
    block = Block(name="block")
    inputs = keras.Input((None, 3))
    twice = block(block(inputs))
    layer = block
    if depth:
        layer = keras.Model(inputs, twice, name="around")
        inputs = keras.Input((None, 3))
        twice = layer(inputs)
    model = keras.Model(inputs, layers.Dense(2)(twice))
    data = np.random.default_rng(9).normal(size=(3, 4, 3)).astype("float32")
    once = np.asarray(block.predict(data, verbose=0))
    energy = ModelEnergy(model, data)
    assert energy.layer_stats[layer] == {"connections": 14, "neurons": 6, "spiking": True}
    assert energy.layer_stats[model.layers[-1]]["connections"] == 3 * 2
    assert once.mean() > 0
    # Means in single precision over batches of a different shape.
    assert energy.layer_rates[layer] == pytest.approx((np.abs(data).mean() + once.mean()) / 2, rel=1e-6)
    assert energy.summary_string(("output_shape",), print_warnings=False).splitlines()[-2].strip() == "(None, None, 3)"


def nodes_of(layer):
    """The number of calls that Keras recorded of a layer and of the layers in it."""
    return {part.name: len(part._inbound_nodes) for part in layer._flatten_layers()}


def test_counting_adds_no_calls_to_the_layers():
    """Nested models, stacked cells, and neurons that emit something else than their spikes."""
    inner = keras.Input((None, 4))
    nested = keras.Model(inner, firing(RLIF, output="membrane", return_sequences=True)(inner))
    inputs = keras.Input((None, 4))
    stack = layers.RNN([firing(RLIFCell, name="first"), LIFCell(5, name="second")], return_sequences=True)
    wrapped = layers.TimeDistributed(layers.Dense(2))
    model = keras.Model(inputs, wrapped(stack(layers.Dense(2, "relu")(nested(nested(inputs))))))
    before = nodes_of(model)
    for activity in ("events", "hertz"):
        ModelEnergy(model, np.ones((2, 3, 4), "float32"), activity)
    assert nodes_of(model) == before
    assert sum(before.values()) >= 6


def test_counting_does_not_change_the_model():
    model = wrap(firing(RLIF))
    data = np.ones((2, 4, 3), "float32")
    before = model.predict(data, verbose=0), model.to_json()
    ModelEnergy(model, data)
    assert model.to_json() == before[1]
    np.testing.assert_array_equal(model.predict(data, verbose=0), before[0])
    assert len(model.layers[-1]._inbound_nodes) == 1


def test_physical_models_are_counted():
    network = kspike_reg.build("lif", units=5, population=3, depth=1)
    scaling = (
        kspike_reg.datasets.Standardiser([0.5], [2.0], ["strain"]),
        kspike_reg.datasets.Standardiser([1.0], [3.0], ["stress"]),
    )
    model = kspike_reg.network.physical.in_physical_units(network, *scaling)
    data = np.random.default_rng(6).normal(size=(3, 4, 1)).astype("float32")
    scaled = (data - 0.5) / 2
    found, expected = ModelEnergy(model, data), ModelEnergy(network, scaled)
    assert found.total_energy("loihi", 4) == pytest.approx(expected.total_energy("loihi", 4), rel=1e-9)


def test_data_have_the_same_forms_as_for_predict():
    """One array, a single feature without its axis, a list and a dictionary."""
    data = np.random.default_rng(7).normal(size=(4, 5)).astype("float32")
    model = wrap(LIF(5), (None, 1))
    assert ModelEnergy(model, data).layer_rates == ModelEnergy(model, data[..., None]).layer_rates
    one, two = keras.Input((2,), name="one"), keras.Input((3,), name="two")
    joined = layers.Dense(4)(layers.Concatenate()([one, two]))
    arrays = {"one": data[:, :2], "two": data[:, 2:]}
    for inputs, given in (([one, two], list(arrays.values())), ({"one": one, "two": two}, arrays)):
        model = keras.Model(inputs, joined)
        rate = ModelEnergy(model, given).layer_rates[model.layers[-1]]
        assert rate == pytest.approx(np.abs(data).mean(), rel=1e-6)


class Squash(layers.Layer):
    """A layer that is not registered."""

    def call(self, inputs):
        return keras.ops.tanh(inputs)

    def compute_output_shape(self, input_shape):
        return input_shape


class OwnCell(layers.Layer):
    """A cell that is not registered."""

    state_size = 2

    def call(self, inputs, states):
        return states[0], states


@pytest.mark.parametrize(
    ("make", "name", "kind"),
    [
        (lambda: Squash(name="squash"), "squash", "Squash"),
        (lambda: layers.BatchNormalization(name="norm"), "norm", "BatchNormalization"),
        (lambda: layers.Multiply(name="product"), "product", "Multiply"),
        (lambda: layers.RNN(OwnCell(name="own")), "own", "OwnCell"),
        (lambda: layers.TimeDistributed(Squash(name="squash")), "squash", "Squash"),
        (lambda: keras.Sequential([keras.Input((None, 3)), Squash(name="squash")]), "squash", "Squash"),
    ],
)
def test_a_layer_that_is_not_registered_raises(make, name, kind):
    layer = make()
    inputs = keras.Input((None, 3))
    outputs = layer([inputs, inputs]) if kind == "Multiply" else layer(inputs)
    with pytest.raises(InputError, match=f"'{name}' of class {kind}.*@ModelEnergy.register_layer\\({kind}\\)"):
        ModelEnergy(keras.Model(inputs, outputs))


def test_models_without_countable_layers_raise():
    inputs = keras.Input((None, 3))
    with pytest.raises(InputError, match=r"operation .* is not a layer"):
        ModelEnergy(keras.Model(inputs, keras.ops.tanh(inputs)))
    with pytest.raises(InputError, match=r"cannot look into Sequential .* expected a built functional or sequential"):
        ModelEnergy(keras.Sequential([layers.Dense(3)]))
    with pytest.raises(InputError, match=r"cannot look into Dense .* expected a built functional"):
        ModelEnergy(layers.Dense(3))
    with pytest.raises(InputError, match="has not been called"):
        ModelEnergy.compute_layer_stats(layers.Dense(3))


def test_registering_a_layer_as_with_keras_spiking():
    """The function receives what a node of Keras 2 would provide; subclasses of a registered class count too."""
    parent = dict(keras_spiking.ModelEnergy.layer_stats_computers)

    @ModelEnergy.register_layer(Squash)
    def squash(node):
        assert isinstance(node.layer, Squash)
        assert node.input_shapes == node.output_shapes == (None, None, 3)
        assert tuple(node.input_tensors.shape) == tuple(node.output_tensors.shape) == (None, None, 3)
        return {"connections": 7, "neurons": node.output_shapes[-1]}

    class Narrow(Squash):
        pass

    assert stats(Squash()) == stats(Narrow()) == (7, 3, True)
    assert ModelEnergy.compute_layer_stats(wrap(Squash()).layers[-1]) == {"connections": 7, "neurons": 3}
    with pytest.warns(UserWarning, match="already registered"):
        ModelEnergy.register_layer(Squash)(lambda node: {"synapses": 3})
    with pytest.raises(InputError, match="unknown statistic 'synapses'"):
        stats(Squash())
    assert keras_spiking.ModelEnergy.layer_stats_computers == parent


def test_a_registered_cell_or_layer_takes_precedence_over_its_contents():
    ModelEnergy.register_layer(OwnCell)(lambda node: {"connections": node.input_shapes[-1]})
    assert stats(layers.RNN(OwnCell())) == (3, 0, True)
    ModelEnergy.register_layer(LIF)(lambda node: {"connections": 1})
    assert stats(LIF(5)) == (1, 0, True)


def test_registering_a_device_as_with_keras_spiking():
    parent = {name: dict(constants) for name, constants in keras_spiking.ModelEnergy.devices.items()}
    model = wrap(layers.Dense(5, "relu"))
    ModelEnergy.register_device("My-Chip", energy_per_synop=2e-9, energy_per_neuron=3e-9, spiking=False)
    assert ModelEnergy(model).total_energy("my-chip") == pytest.approx(15 * 2e-9 + 5 * 3e-9, rel=1e-12)
    assert "(my-chip)" in ModelEnergy(model).summary_string(("name", "energy My-Chip"))
    with pytest.warns(UserWarning, match="already registered"):
        ModelEnergy.register_device("my-chip", 1.0, 1.0, True)
    for constants in ((-1, 0), (0, float("nan")), (float("inf"), 0)):
        with pytest.raises(InputError, match="in joules, 0 or more"):
            ModelEnergy.register_device("bad", *constants, spiking=True)
    assert keras_spiking.ModelEnergy.devices == parent


def test_the_devices_of_keras_spiking_exist():
    assert {name: ModelEnergy.devices[name] for name in keras_spiking.ModelEnergy.devices} == (
        keras_spiking.ModelEnergy.devices
    )
    assert ModelEnergy.devices["loihi"]["energy_per_synop"] == pytest.approx(27.1 * PJ, rel=1e-12)
    assert ModelEnergy.devices["loihi"]["energy_per_neuron"] == pytest.approx(81 * PJ, rel=1e-12)


def test_invalid_input_raises():
    model = wrap(layers.Dense(5, "relu"))
    data = np.ones((2, 4, 3), "float32")
    layer = model.layers[-1]
    with pytest.raises(InputError, match="give example_data"):
        ModelEnergy(model).total_energy("loihi")
    with pytest.raises(InputError, match=r"unknown device 'tpu'; choose one of .*loihi"):
        ModelEnergy(model).total_energy("tpu")
    with pytest.raises(InputError, match="unknown activity 'spikes'"):
        ModelEnergy(model, data, activity="spikes")
    for wrong in (data[..., :2], data[0], [data, data], "data"):
        with pytest.raises(InputError, match=r"does not fit the inputs of the model .*None, None, 3"):
            ModelEnergy(model, wrong)
    for activity in ("events", "hertz"):
        with pytest.raises(InputError, match="NaN or infinity"):
            ModelEnergy(model, np.where(data == 1, np.nan, data), activity=activity)
    with pytest.raises(InputError, match="dt in seconds"):
        ModelEnergy(model, data).layer_energy(layer, "loihi", dt=0)
    with pytest.raises(InputError, match="expected a layer of the model"):
        ModelEnergy(model).layer_energy(layers.Dense(5), "cpu")
    with pytest.raises(InputError, match="unknown column 'energies'"):
        ModelEnergy(model).summary_string(("name", "energies cpu"))
    with pytest.raises(InputError, match="unknown device 'tpu'"):
        ModelEnergy(model).summary_string(("name", "energy tpu"))


def test_the_activity_inside_a_distributed_recurrent_layer_is_refused():
    model = wrap(layers.TimeDistributed(LIF(5)), (4, 6, 3))
    assert ModelEnergy(model).layer_stats[model.layers[-1]]["connections"] == 15
    with pytest.raises(InputError, match="is not recorded"):
        ModelEnergy(model, np.ones((2, 4, 6, 3), "float32"))


def test_summary(capsys):
    inputs = keras.Input((None, 3), name="paths")
    model = keras.Model(inputs, layers.Dense(2, name="out")(LIF(5, name="hidden", return_sequences=True)(inputs)))
    columns = ("name", "output_shape", "params", "connections", "neurons", "rate", "energy cpu", "synop_energy loihi")
    energy = ModelEnergy(model, np.ones((2, 4, 3), "float32"))
    energy.summary(columns=(*columns, "neuron_energy loihi"), timesteps_per_inference=8, line_length=140)
    head, rule, *rows, line, total, note = capsys.readouterr().out.splitlines()
    assert [text.strip() for text in head.split("|")] == [
        "Layer (type)", "Output shape", "Param #", "Conn #", "Neuron #", "Rate [Hz]", "J/inf (cpu)",
        "Synop J/inf (loihi)", "Neuron J/inf (loihi)",
    ]  # fmt: skip
    cells = [[text.strip() for text in row.split("|")] for row in rows]
    assert cells[0][:6] == ["paths (InputLayer)", "(None, None, 3)", "0", "0", "0", "1e+03"]
    assert cells[1] == [
        "hidden (LIF)", "(None, None, 5)", "30", "15", "5", "1e+03", "1.7e-07", "3.3e-09", "3.2e-09"
    ]  # fmt: skip
    assert set(rule) == {"-", "|"}
    assert set(line) == {"="}
    assert total == f"Total energy per inference [Joules/inf] (cpu): {30 * 8.6e-9:.2e}"
    assert note.startswith("* estimates")
    for text in (energy.summary_string(line_length=40), energy.summary_string(("name", "energy loihi"))):
        assert all(len(line) <= 98 for line in text.splitlines())
    assert energy.summary_string(print_warnings=False).splitlines()[-1] == total
    assert "nan" in ModelEnergy(model).summary_string(("rate",))


def test_the_notes_state_if_values_have_the_price_of_spikes():
    data = np.ones((2, 4, 3), "float32")
    columns = ("name", "energy loihi")
    membrane, spikes = wrap(LIF(5, output="membrane")), wrap(LIF(5))
    assert "at every step" in ModelEnergy(membrane, data).summary_string(columns)
    assert "Hz" in ModelEnergy(membrane, data, "hertz").summary_string(columns)
    assert "not spiking" not in ModelEnergy(spikes, data).summary_string(columns)
    assert "not spiking" not in ModelEnergy(membrane, data).summary_string(columns, print_warnings=False)


# Layers of the golden networks that convolve.
CONVOLUTIONS = ("first", "second", "frames", "causal", "signal", "volume")


def assert_agree(ours, theirs):
    """Equal to 1e-9, except that KerasSpiking doubles the synaptic energy of a layer that is used twice."""
    compared = 0
    for network, found in ours.items():
        assert found.keys() == theirs[network].keys()
        for name, expected in theirs[network].items():
            layer = found[name]
            for statistic in ("connections", "neurons", "spiking"):
                assert layer[statistic] == expected[statistic], (network, name)
            assert layer["joules"].keys() == expected["joules"].keys()
            for device, joules in expected["joules"].items():
                spiking = ModelEnergy.devices[device.split()[0]]["spiking"]
                doubled = network == "reused" and spiking
                expected_joules = (joules[0] / 2, joules[1]) if doubled else joules
                # Used twice: the sum of two single-precision means, in single precision. Convolutions: KerasSpiking
                # multiplies Python numbers by a single-precision rate, four roundings in single precision.
                tolerance = 1e-7 if doubled else 3e-7 if spiking and name in CONVOLUTIONS else 1e-9
                assert layer["joules"][device] == pytest.approx(expected_joules, rel=tolerance, abs=0), (network, name)
                compared += joules[0] > 0
            if expected["connections"] and network != "reused":
                assert layer["rate"] == pytest.approx(expected["rate"], rel=1e-9)
    assert compared >= 10 * 6 * len(DT)


@pytest.fixture(scope="module")
def ours():
    return measure(ModelEnergy, keras)


def test_dense_networks_agree_with_keras_spiking_on_keras_2(ours):
    theirs = {name: found for name, found in GOLDEN.items() if name != "versions"}
    assert ours.keys() == theirs.keys()
    assert STEPS > 1
    assert_agree(ours, theirs)


@pytest.mark.skipif(importlib.util.find_spec("tf_keras") is None, reason="tf-keras is not installed")
def test_the_golden_file_holds_the_numbers_of_the_installed_keras_spiking(ours, tmp_path):
    file = tmp_path / "golden.json"
    environment = os.environ | {"TF_USE_LEGACY_KERAS": "1", "TF_CPP_MIN_LOG_LEVEL": "3"}
    command = [sys.executable, str(HERE / "write_golden.py"), str(file)]
    process = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert process.returncode == 0, process.stderr[-5000:]
    theirs = json.loads(file.read_text())
    assert theirs.pop("versions")["tf_keras"].startswith("2.")
    assert_agree(ours, theirs)


# As printed, in nJ: the layers with the digits of the text, and the total.
TABLE_ONE = {
    "dense": (table_one.DENSE, ["0.6144", "157.29", "157.29", "157.29", "39.32"], "511.80", "0.857"),
    "lstm": (table_one.LSTM, ["2.458", "2516.6", "2516.6", "629.15", "39.32"], "5704.09", "9.520"),
}


@pytest.mark.parametrize("name", TABLE_ONE)
def test_table_one(name):
    widths, joules, total, megabytes = TABLE_ONE[name]
    model = table_one.network(widths)
    energies = table_one.energies(model)
    assert list(energies) == list(widths)
    for found, printed in zip([*energies.values(), sum(energies.values())], [*joules, total], strict=True):
        assert f"{found * 1e9:.{len(printed.partition('.')[2])}f}" == printed
    assert sum(energies.values()) == pytest.approx(ModelEnergy(model).total_energy("v100_paper", 10), rel=1e-12)
    assert f"{table_one.memory(model) / 1e6:.3f}" == megabytes


def test_table_one_counts_gates_that_an_lstm_does_not_have():
    model = keras.Sequential([keras.Input((None, 1))])
    for _ in range(3):
        model.add(layers.LSTM(256, return_sequences=True))
    assert [each["connections"] for each in ModelEnergy(model).layer_stats.values()] == [263_168, 524_288, 524_288]


# With our convention and invented activities; the columns are those of the table.
ACTIVITIES = {"dense": [0.75, 0.5, 0.25, 0.125, 1.5], "lstm": [0.75, 0.5, 0.25, 0.125, 1.5]}
CONNECTIONS = {"dense": [256, 65_536, 65_536, 65_536, 16_384], "lstm": [1024, 1_048_576, 1_048_576, 262_144, 16_384]}
# As printed in the paper: the Loihi column in nJ, both totals, the reduction, the memory in MB.
PRINTED = {
    "dense": ([0.61, 160, 160, 160, 39], [6.9e-2, 1.3, 1.3, 1.2, 0.3], (512, 4.25), 120, 0.86),
    "lstm": ([2.5, 2.5e3, 2.5e3, 630, 39], [0.28, 11, 10, 2.6, 0.21], (5.7e3, 24), 238, 9.5),
}


@pytest.mark.parametrize("name", TABLE_ONE)
def test_table_one_next_to_ours(name):
    """Every column by hand. Loihi: 27.1 pJ for each connection and activity, 1 ms for each of 7 steps."""
    half = {"dense": "dense", "lstm": "LSTM"}[name]
    widths, _, total, megabytes = TABLE_ONE[name]
    gpu, loihi, totals, factor, memory = PRINTED[name]
    *rows, in_all, reduction, bytes_ = table_one.table(half, ACTIVITIES[name], 7).to_dict("records")
    assert [row["layer"] for row in rows] == list(widths)
    assert [row["connections"] for row in rows] == CONNECTIONS[name]
    assert [row["V100, printed"] for row in rows] == gpu
    assert [row["Loihi, printed"] for row in rows] == loihi
    for row, connections, activity in zip(rows, CONNECTIONS[name], ACTIVITIES[name], strict=True):
        assert row["V100"] == pytest.approx(connections * 2.4e-3, rel=1e-12)
        assert row["our activity"] == activity
        assert row["our activity x steps"] == 7 * activity
        assert row["Loihi, our activity"] == pytest.approx(connections * 27.1e-3 * activity * 7e-3, rel=1e-12)
        # The activity that belongs to a printed figure gives that figure.
        behind = row["activity x steps behind it"]
        assert connections * 27.1e-3 * behind * 1e-3 == pytest.approx(row["Loihi, printed"], rel=1e-12)
        # The printed V100 figures are ours, rounded to two digits.
        assert row["V100"] == pytest.approx(row["V100, printed"], rel=0.025)
    assert (in_all["V100, printed"], in_all["Loihi, printed"]) == totals
    assert f"{in_all['V100']:.2f}" == total
    ours = sum(row["Loihi, our activity"] for row in rows)
    assert in_all["Loihi, our activity"] == pytest.approx(ours, rel=1e-12)
    assert reduction["Loihi, printed"] == factor
    assert reduction["Loihi, our activity"] == pytest.approx(in_all["V100"] / ours, rel=1e-12)
    assert bytes_["V100, printed"] == memory
    assert f"{bytes_['V100']:.3f}" == megabytes
    # Empty cells are empty, not "nan".
    assert in_all["connections"] is reduction["V100"] is bytes_["Loihi, printed"] is None


def test_table_one_needs_an_activity_for_every_layer():
    with pytest.raises(InputError, match="expected 5 activities, received 4"):
        table_one.table("dense", [0.5] * 4, 7)
