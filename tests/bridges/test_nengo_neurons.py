"""The Nengo neuron types step by step, against traces by hand and plain loops."""

import keras
import numpy as np
import pytest

from kspike_reg import InputError
from kspike_reg.neurons import RLIF, SLSTM
from oracles import loops, weights

pytest.importorskip("nengo", reason="needs pip install 'kspike_reg[nengo]'")
import nengo

from kspike_reg.bridges.nengo import neurons as nengo_neurons

# Rounding of float32 in a handful of operations on numbers of order one.
ROUNDING = 1e-6


def trace(neurons, currents, units, carry=False):
    """(outputs, fired, voltage) of every step, from rest; currents (steps, ...)."""
    state = {name: np.zeros(units, "float32") for name in neurons.state}
    found = []
    for current in np.asarray(currents, "float32"):
        output = np.full(units, np.nan, "float32")
        neurons.step(0.123, current, output, **state)
        found.append([output, *(state[name].copy() for name in ("fired", "voltage") if name in state)])
    return [np.array(values) for values in zip(*found, strict=True)]


@pytest.mark.parametrize(
    ("reset", "expected"),
    [
        ("subtract", [(0.6, 0), (0.9, 0), (1.05, 1), (0.125, 0), (0.6625, 0)]),
        ("zero", [(0.6, 0), (0.9, 0), (1.05, 1), (0.6, 0), (0.9, 0)]),
        ("none", [(0.6, 0), (0.9, 0), (1.05, 1), (1.125, 1), (1.1625, 1)]),
    ],
)
def test_a_lif_trace_worked_by_hand(reset, expected):
    """Decay 0.5, threshold 1, current 0.6, as in the tests of the step: the reset lands one step later."""
    for emitted, place in (("spikes", 1), ("membrane", 0)):
        neurons = nengo_neurons.SubtractLIF(np.array([0.5]), np.array([1.0]), reset=reset, output=emitted)
        output, fired, voltage = trace(neurons, [[0.6]] * 5, 1)
        assert fired[:, 0].tolist() == [spike for _, spike in expected]
        np.testing.assert_allclose(voltage[:, 0], [membrane for membrane, _ in expected], rtol=ROUNDING)
        np.testing.assert_allclose(output[:, 0], [pair[place] for pair in expected], rtol=ROUNDING)


def test_neurons_fire_exactly_at_the_threshold():
    """H(0) = 1, in both precisions that Nengo may compute in."""
    neurons = nengo_neurons.SubtractLIF(np.array([0.5, 0.5]), np.array([1.0, 1.0], "float32"))
    below = np.nextafter(np.float32(1.0), np.float32(0.0))
    _, fired, _ = trace(neurons, [[1.0, below]], 2)
    assert fired.tolist() == [[1.0, 0.0]]


def test_leaky_integrators_and_rates():
    output, voltage = trace(nengo_neurons.LeakyIntegrator(np.array([0.5, 0.25])), [[2.0, 4.0], [1.0, 0.0]], 2)
    assert output.tolist() == voltage.tolist() == [[2.0, 4.0], [2.0, 1.0]]
    (output,) = trace(nengo_neurons.Rate("relu"), [[-3.0, 2.0]], 2)
    assert output.tolist() == [[0.0, 2.0]]
    (output,) = trace(nengo_neurons.Rate("sigmoid"), [[0.0, np.log(3.0), -1000.0]], 3)
    np.testing.assert_allclose(output[0], [0.5, 0.75, 0.0], rtol=ROUNDING)
    (output,) = trace(nengo_neurons.Rate("relu", factor=np.array([3.0, -0.5])), [[1.5, 7.0]], 2)
    assert output.tolist() == [[4.5, 0.0]]


@pytest.mark.parametrize("recurrence", ["dense", "one_to_one"])
@pytest.mark.parametrize("reset", ["subtract", "zero", "none"])
def test_recurrent_neurons_follow_the_loop(recurrence, reset):
    """Exactly, since all numbers lie on a grid on which float32 does not round."""
    layer = RLIF(4, recurrence=recurrence)
    layer.build((None, None, 3))
    drawn = weights.draw_on_a_grid(layer.cell, 3, 1)
    inputs = np.round(8 * np.random.default_rng(2).normal(0.3, 0.8, (1, 6, 3)).astype("float32")) / 8
    spikes, membranes = loops.lif(inputs, drawn, reset, recurrence)
    neurons = nengo_neurons.RecurrentSubtractLIF(
        drawn["decay"], drawn["threshold"], drawn["recurrent_kernel"], reset=reset
    )
    _, fired, voltage = trace(neurons, inputs[0] @ drawn["kernel"] + drawn["bias"], 4)
    np.testing.assert_array_equal(fired, spikes[0])
    np.testing.assert_array_equal(voltage, membranes[0])
    assert 0 < fired.mean() < 1


@pytest.mark.parametrize("reset", ["subtract", "zero"])
def test_spiking_lstm_follows_the_loop(reset):
    layer = SLSTM(4)
    layer.build((None, None, 3))
    drawn = weights.draw(layer.cell, 3, 4)
    inputs = np.random.default_rng(5).normal(size=(1, 12, 3)).astype("float32")
    spikes, membranes, _ = loops.slstm(inputs, drawn, reset)
    neurons = nengo_neurons.SpikingLSTM(drawn["threshold"], drawn["recurrent_kernel"], drawn["bias"], reset=reset)
    _, fired, voltage = trace(neurons, inputs[0] @ drawn["kernel"], 4)
    np.testing.assert_array_equal(fired, spikes[0])
    # Twelve steps of rounding in gates and sums.
    np.testing.assert_allclose(voltage, membranes[0], atol=1e-5)
    assert 0 < fired.mean() < 1


def test_a_closed_gate_is_zero_without_a_warning():
    neurons = nengo_neurons.SpikingLSTM(np.ones(1), np.zeros((1, 4)), np.array([-1e4, 0.0, 1.0, 0.0]))
    output, _, _ = trace(neurons, np.zeros((1, 4)), 1)
    assert output.tolist() == [[0.0]]


def test_options_are_named_as_in_keras():
    """The neuron types take the options of the Keras cells under the same names."""
    lif = keras.saving.serialize_keras_object(RLIF(2).cell)["config"]
    for name in ("reset", "output", "detach_reset", "surrogate", "surrogate_scale"):
        assert name in lif
        assert hasattr(nengo_neurons.SubtractLIF, name)


UNITS = 3
HALVES, ONES = np.full(UNITS, 0.5), np.ones(UNITS)
TYPES = {
    "SubtractLIF": lambda: nengo_neurons.SubtractLIF(HALVES, ONES),
    "RecurrentSubtractLIF": lambda: nengo_neurons.RecurrentSubtractLIF(HALVES, ONES, 0.25 * np.eye(UNITS)),
    "SpikingLSTM": lambda: nengo_neurons.SpikingLSTM(ONES, np.zeros((UNITS, 4 * UNITS)), np.zeros(4 * UNITS)),
    "LeakyIntegrator": lambda: nengo_neurons.LeakyIntegrator(HALVES),
    "Rate": lambda: nengo_neurons.Rate("relu", factor=np.array([1.0, 2.0, 3.0])),
}


def test_every_neuron_type_has_a_row():
    types = {kind.__name__ for kind in vars(nengo_neurons).values() if isinstance(kind, type) and hasattr(kind, "step")}
    assert {name for name in types if name in nengo_neurons.__all__} == {*TYPES}


def ensemble(kind, units=UNITS, given=True, **options):
    dimensions = 4 * UNITS if kind == "SpikingLSTM" else 1
    found = {"gain": np.ones(units), "bias": np.zeros(units)} if given else {}
    neurons = TYPES[kind]()
    return nengo.Ensemble(
        units, dimensions, neuron_type=neurons, encoders=np.ones((units, dimensions)), **found | options
    )


def built(network):
    nengo.Simulator(network, progress_bar=False).close()


@pytest.mark.attack("Peers' suites", "neuron types in an ensemble without gain and bias")
@pytest.mark.parametrize("kind", TYPES)
def test_an_ensemble_gives_its_gain_and_bias(kind):
    with nengo.Network() as network:
        ensemble(kind, given=False)
    with pytest.raises(InputError, match=rf"{kind}: .*run a trained network.*give the ensemble gain=np.ones"):
        built(network)


@pytest.mark.attack("Peers' suites", "decoded connections, probes and tuning curves of neuron types")
@pytest.mark.parametrize("use", ["connection", "function", "probe", "rates"])
@pytest.mark.parametrize("kind", TYPES)
def test_nothing_is_decoded_from_neurons_with_a_memory(kind, use):
    """Units without memory have a tuning curve, so Nengo can decode from them."""
    with nengo.Network(seed=1) as network:
        neurons = ensemble(kind)
        if use == "probe":
            nengo.Probe(neurons)
        elif use != "rates":
            function = (lambda x: x[0] ** 2) if use == "function" else None
            target = nengo.Node(size_in=1 if function else neurons.dimensions)
            nengo.Connection(neurons, target, function=function)

    def run():
        if use == "rates":
            return neurons.neuron_type.rates([[1.0], [-1.0]] * np.ones(UNITS), ONES, 0 * ONES)
        built(network)

    if kind == "Rate":
        rates = run()
        assert use != "rates" or rates.tolist() == [[1.0, 2.0, 3.0], [0.0, 0.0, 0.0]]
        return
    with pytest.raises(InputError, match=rf"{kind}: .*no tuning curve.*connect and probe ensemble.neurons"):
        run()


@pytest.mark.attack("Peers' suites", "neuron types in an ensemble of another size")
@pytest.mark.parametrize("kind", TYPES)
def test_weights_of_another_number_of_neurons_are_refused(kind):
    with nengo.Network() as network:
        ensemble(kind, units=UNITS + 2)
    with pytest.raises(InputError, match=rf"{kind}: .* has 5 neurons .* the type has .*\(3,"):
        built(network)


@pytest.mark.attack("Peers' suites", "currents that would not arrive at the gates of spiking LSTM")
@pytest.mark.parametrize("what", ["a bias", "noise", "a connection"])
def test_spiking_lstm_is_driven_at_its_ensemble(what):
    options = {"a bias": {"bias": ONES}, "noise": {"noise": nengo.processes.WhiteNoise()}}
    with nengo.Network() as network:
        neurons = ensemble("SpikingLSTM", **options.get(what, {}))
        if what == "a connection":
            nengo.Connection(nengo.Node(ONES), neurons.neurons, synapse=None)
    with pytest.raises(InputError, match=f"SpikingLSTM: .* has {what} at its neurons.*gate_bias"):
        built(network)


@pytest.mark.parametrize("kind", ["SubtractLIF", "LeakyIntegrator", "Rate"])
def test_neuron_types_work_in_an_ensemble_of_yours(kind):
    """One current of 0.75 by the encoders, one of 0.5 to the neurons: 1.25 in the first step, into rest."""
    with nengo.Network() as network:
        neurons = ensemble(kind)
        nengo.Connection(nengo.Node([0.75]), neurons, synapse=None)
        nengo.Connection(nengo.Node(0.5 * ONES), neurons.neurons, synapse=None)
        probe = nengo.Probe(neurons.neurons)
    with nengo.Simulator(network, progress_bar=False) as simulator:
        simulator.run_steps(1, progress_bar=False)
    expected = {"SubtractLIF": [1, 1, 1], "LeakyIntegrator": [1.25] * 3, "Rate": [1.25, 2.5, 3.75]}[kind]
    np.testing.assert_allclose(simulator.data[probe][0], expected, rtol=ROUNDING)
