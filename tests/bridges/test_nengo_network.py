"""`to_nengo`: the content of the network, and that it computes the same as Keras, step by step."""

import keras
import numpy as np
import pytest

import kspike_reg
from kspike_reg import InputError
from kspike_reg.bridges import simulate, to_nengo
from kspike_reg.network.physical import Standardise
from kspike_reg.neurons import LIF, RLIF, SLSTM, LeakyIntegrator
from oracles import loops, weights
from oracles.backend import torch_arrays
from oracles.bridged import chain, draw, every_option, everything, records

nengo = pytest.importorskip("nengo", reason="needs pip install 'kspike_reg[nengo]'")
pytestmark = torch_arrays

# Float32 rounds sums of a few dozen numbers of order one, over some ten steps, in other orders than Keras.
ROUNDING = {"rtol": 1e-5, "atol": 1e-5}


def paths(shape, seed=0, on_a_grid=False):
    values = np.random.default_rng(seed).normal(0.3, 1.0, shape).astype("float32")
    return np.round(8 * values) / 8 if on_a_grid else values


def assert_same(simulation, expected):
    outputs, spikes, membranes = expected
    found = simulation.outputs if isinstance(simulation.outputs, list) else [simulation.outputs]
    assert [output.shape for output in found] == [output.shape for output in outputs]
    assert list(simulation.spikes) == list(spikes)
    assert list(simulation.membranes) == list(membranes)
    for name, record in spikes.items():
        np.testing.assert_array_equal(simulation.spikes[name], record, err_msg=name)
        assert record.any(), f"{name} never fires"
        assert not record.all(), f"{name} always fires"
    for name, record in membranes.items():
        np.testing.assert_allclose(simulation.membranes[name], record, err_msg=name, **ROUNDING)
    for output, reference in zip(found, outputs, strict=True):
        np.testing.assert_allclose(output, reference, **ROUNDING)


# ------------------------------------------------------------------------------------------------------------ results


def test_every_neuron_reset_output_and_recurrence():
    model = every_option()
    inputs = paths((4, 11, 3))
    assert_same(simulate(model, inputs), records(model, inputs))


def test_on_a_grid_membranes_are_equal_bit_by_bit():
    model = draw(chain(LIF(5, return_sequences=True), RLIF(4, return_sequences=True)), 3, on_a_grid=True)
    inputs = paths((5, 7, 3), on_a_grid=True)
    _, spikes, membranes = records(model, inputs)
    found = simulate(model, inputs)
    for name in spikes:
        np.testing.assert_array_equal(found.spikes[name], spikes[name])
        np.testing.assert_array_equal(found.membranes[name], membranes[name])


def test_several_inputs_and_outputs_nested_models_and_layers_called_twice():
    model = everything()
    inputs = [paths((3, 9, 2), 1), paths((3, 9, 1), 2)]
    expected = records(model, *inputs)
    assert_same(simulate(model, inputs), expected)
    named = dict(zip(("strain", "temperature"), inputs, strict=True))
    assert_same(simulate(to_nengo(model), named), expected)
    for prediction, output in zip(model.predict(inputs, verbose=0), expected[0], strict=True):
        np.testing.assert_allclose(prediction, output, **ROUNDING)


def test_scaling_is_rounded_as_keras_predicts():
    """Bit by bit, in both directions; scaling before subtracting the mean would differ in about every second number."""
    scaling = {"mean": [0.37, -2.1], "deviation": [0.0037, 71.3], "names": ["a", "b"]}
    for invert in (False, True):
        model = chain(Standardise(**scaling, invert=invert), features=2)
        inputs = paths((2, 40, 2), 8)
        np.testing.assert_array_equal(simulate(model, inputs).outputs, model.predict(inputs, verbose=0))


def test_a_plain_loop_gives_the_same():
    layer = LIF(4, return_sequences=True, reset="zero", name="lif")
    model = chain(layer)
    drawn = weights.draw(layer.cell, 3, 8)
    weights.assign(layer.cell, drawn)
    inputs = paths((2, 9, 3), 4)
    spikes, membranes = loops.lif(inputs, drawn, "zero")
    found = simulate(model, inputs)
    np.testing.assert_array_equal(found.outputs, spikes)
    np.testing.assert_allclose(found.membranes["lif"], membranes, **ROUNDING)


def test_a_spike_passes_through_all_layers_in_its_own_step():
    """Weights of 1, thresholds of 0.5: three layers of one neuron pass an input spike on in the same step."""
    model = chain(*(LIF(1, return_sequences=True) for _ in range(3)), features=1)
    for layer in model.layers[1:]:
        values = {"kernel": [[1.0]], "bias": [0.0], "decay": [0.0], "threshold": [0.5]}
        weights.assign(layer.cell, {name: np.array(value, "float32") for name, value in values.items()})
    found = simulate(model, np.array([[0.0, 1.0, 0.0, 0.0, 1.0]])[..., None])
    assert found.outputs[0, :, 0].tolist() == [0.0, 1.0, 0.0, 0.0, 1.0]


@pytest.mark.parametrize("kind", ["lif", "rlif", "slstm"])
def test_random_networks_of_the_paper(kind):
    """At least 99.99 % of all spikes are equal, and all of them on paths without a membrane near its threshold."""
    model = kspike_reg.build(kind, features=2, outputs=3, units=16, population=12, decay=None, seed=3)
    inputs = paths((12, 20, 2), 6)
    outputs, spikes, membranes = records(model, inputs)
    found = simulate(model, inputs)
    assert np.mean([found.spikes[name] == spikes[name] for name in spikes]) >= 0.9999
    thresholds = {layer.name: np.asarray(layer.cell.threshold) for layer in model.layers if layer.name in spikes}
    near = np.any([np.abs(membranes[name] - thresholds[name]).min((1, 2)) < 1e-4 for name in spikes], axis=0)
    for name in spikes:
        np.testing.assert_array_equal(found.spikes[name][~near], spikes[name][~near])
    np.testing.assert_allclose(found.outputs[~near], outputs[0][~near], **ROUNDING)
    assert not near.all()


@pytest.mark.parametrize("name", ["lif-elasticity", "rlif-ramberg-osgood", "slstm-hardening"])
def test_trained_networks(name):
    model = kspike_reg.load(name)
    task = {"lif": "elasticity", "rlif": "ramberg_osgood", "slstm": "hardening"}[name.partition("-")[0]]
    inputs = getattr(kspike_reg.datasets, task)(4, seed=21).inputs
    outputs, spikes, _ = records(model, inputs.astype("float32"))
    found = simulate(model, inputs)
    # profiling/bridges_table.py measures whole test sets; on these four paths all spikes are equal.
    for layer, record in spikes.items():
        np.testing.assert_array_equal(found.spikes[layer], record)
    assert np.abs(found.outputs - outputs[0]).max() < 1e-4 * model.layers[-1].deviation[0]


def test_paths_that_are_padded():
    model = kspike_reg.build("lif", units=8, population=4)
    generated = kspike_reg.datasets.elasticity(3, timesteps=6, seed=1)
    inputs = generated.inputs.copy()
    inputs[1, 4:] = np.nan
    padded = kspike_reg.datasets.Paths(inputs, None, generated.input_names, lengths=np.array([6, 4, 6]))
    whole, cut = simulate(model, generated.inputs), simulate(model, padded)
    np.testing.assert_array_equal(cut.outputs[1, :4], whole.outputs[1, :4])
    assert np.isfinite(cut.outputs).all()


def test_a_model_without_time():
    inputs = keras.Input((3,))
    model = keras.Model(inputs, keras.layers.Dense(2, "relu")(inputs))
    data = paths((5, 3))
    np.testing.assert_allclose(simulate(model, data).outputs, model.predict(data, verbose=0), **ROUNDING)


# --------------------------------------------------------------------------------------------------------- the network


def test_the_network_has_one_object_per_layer_with_its_name():
    network = to_nengo(kspike_reg.build("rlif", units=5, population=4, features=2))
    assert isinstance(network, nengo.Network)
    assert network.label == "rlif"
    assert [node.label for node in network.all_nodes] == ["inputs", "mean"]
    ensembles = ["rlif_1", "rlif_2", "rlif_3", "decoding", "population"]
    assert [ensemble.label for ensemble in network.all_ensembles] == ensembles
    assert [link.label for link in network.all_connections] == [f"{name}.kernel" for name in (*ensembles, "mean")]
    assert {link.synapse for link in network.all_connections} == {None}
    assert [probe.label for probe in network.all_probes] == [
        "inputs",
        *(f"rlif_{n}.{what}" for n in (1, 2, 3) for what in ("spikes", "membrane")),
        "decoding.membrane",
        "population.membrane",
        "mean",
    ]
    assert [port.name for port in network.layout.inputs] == ["inputs"]
    assert network.layout.spikes["rlif_2"].label == "rlif_2.spikes"
    assert "RecurrentSubtractLIF(decay=" in repr(network.all_ensembles[0].neuron_type)


@pytest.mark.parametrize("dt", [0.001, 0.02])
@pytest.mark.parametrize("optimize", [True, False])
def test_nengo_runs_it_by_itself_whatever_the_time_step(dt, optimize):
    """As a user of Nengo would: a process on the input node, probes read by hand, double precision."""
    model = draw(chain(LIF(4, return_sequences=True, name="one"), SLSTM(3, return_sequences=True, name="two")), 9)
    inputs = paths((1, 8, 3), 3)
    outputs, spikes, _ = records(model, inputs)
    network = to_nengo(model)
    network.layout.inputs[0].end.output = nengo.processes.PresentInput(inputs[0], presentation_time=dt)
    with nengo.Simulator(network, dt=dt, progress_bar=False, optimize=optimize) as simulator:
        simulator.run_steps(8, progress_bar=False)
    (port,) = network.layout.outputs
    np.testing.assert_allclose(simulator.data[port.end], outputs[0][0], **ROUNDING)
    for name, record in spikes.items():
        np.testing.assert_array_equal(simulator.data[network.layout.spikes[name]], record[0])


def test_simulating_leaves_the_network_as_it_was():
    network = to_nengo(draw(chain(LIF(4, return_sequences=True)), 1))
    (port,) = network.layout.inputs
    before, probes = port.end.output, list(network.probes)
    precision = nengo.rc["precision"]["bits"]
    first, again = (simulate(network, paths((2, 5, 3))) for _ in range(2))
    np.testing.assert_array_equal(first.outputs, again.outputs)
    assert port.end.output is before or (port.end.output.dtype == before.dtype and not port.end.output.any())
    assert network.probes == probes
    assert nengo.rc["precision"]["bits"] == precision


def test_paths_do_not_hear_of_one_another():
    model = draw(chain(RLIF(4, return_sequences=True)), 2)
    inputs = paths((3, 6, 3))
    together = simulate(model, inputs).outputs
    for number in range(3):
        np.testing.assert_array_equal(simulate(model, inputs[number : number + 1]).outputs[0], together[number])


# ------------------------------------------------------------------------------------------------------------ refusals


class Odd(keras.layers.Dense):
    """A subclass may compute something else than its parent."""


def cut_off():
    x = inputs = keras.Input((None, 3))
    layer = RLIF(2, name="given")
    state = keras.layers.Dense(2)(keras.layers.Dense(2)(LIF(2)(x)))
    return keras.Model(inputs, layer(x, initial_state=[state, state]))


def broken():
    model = chain(LIF(2, return_sequences=True, name="lif"))
    model.get_layer("lif").cell.bias.assign([np.nan, 0.0])
    return model


REFUSED = {
    "unbuilt": (lambda: keras.Sequential([LIF(2)]), "cannot look into Sequential"),
    "unknown": (
        lambda: chain(Odd(2, name="odd")),
        "cannot convert the layer 'odd' of class Odd; expected one of Activation",
    ),
    "lstm": (lambda: chain(keras.layers.LSTM(2, return_sequences=True, name="l")), "the layer 'l' of class LSTMCell"),
    "backwards": (lambda: chain(LIF(2, go_backwards=True, return_sequences=True)), "go_backwards=True"),
    "state": (lambda: chain(LIF(2, return_state=True)), "return_state=True"),
    "initial state": (cut_off, "'given' is called with 3 tensors; expected one"),
    "half precision": (
        lambda: chain(LeakyIntegrator(2, dtype="mixed_float16")),
        "computes in float16; expected float32",
    ),
    "nan": (broken, "its weight 'bias' is not finite"),
    "activation": (lambda: chain(keras.layers.Dense(2, "softmax", name="d")), "'d' has the activation 'softmax'"),
    "distributed": (lambda: chain(keras.layers.TimeDistributed(keras.layers.Dropout(0.1))), "distributes Dropout"),
    "in time": (
        lambda: (lambda x: keras.Model(x, keras.layers.Concatenate(axis=1)([x, x])))(keras.Input((None, 2))),
        "along axis 1",
    ),
    "image": (lambda: (lambda x: keras.Model(x, keras.layers.Dense(2)(x)))(keras.Input((4, 4, 3))), "the shape"),
    "widths": (
        lambda: (lambda x: keras.Model(x, keras.layers.Add()([x, keras.layers.Dense(1)(x)])))(keras.Input((None, 3))),
        r"inputs of \[3, 1\] features",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_converted_is_refused(case):
    make, complaint = REFUSED[case]
    with pytest.raises(InputError, match=f"^to_nengo: .*{complaint}"):
        to_nengo(make())
