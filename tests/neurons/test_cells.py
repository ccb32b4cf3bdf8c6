"""Each cell in `keras.layers.RNN` compared with NumPy loops, and each layer with `keras.layers.RNN` of its cell."""

from typing import NamedTuple

import keras
import numpy as np
import pytest

from kspike_reg.errors import InputError
from kspike_reg.neurons import (
    LIF,
    RLIF,
    SLSTM,
    LeakyIntegrator,
    LeakyIntegratorCell,
    LIFCell,
    RLIFCell,
    SLSTMCell,
)
from kspike_reg.neurons.engines.cpu import KERNELS
from kspike_reg.neurons.observation import observe
from oracles import loops
from oracles.backend import numpy_of, torch_arrays
from oracles.weights import assign, draw

pytestmark = torch_arrays

# Rounding of float32 over some dozens of steps on membranes of order one.
ROUNDING = 1e-5


class Neuron(NamedTuple):
    cell: type
    layer: type
    options: dict
    loop: callable  # (inputs, weights) -> spikes, membranes, ... in NumPy


def neurons():
    for reset in ("subtract", "zero", "none"):
        yield f"lif-{reset}", Neuron(LIFCell, LIF, {"reset": reset}, lambda x, w, r=reset: loops.lif(x, w, r))
        for recurrence in ("dense", "one_to_one"):
            options = {"reset": reset, "recurrence": recurrence}
            yield (
                f"rlif-{recurrence}-{reset}",
                Neuron(RLIFCell, RLIF, options, lambda x, w, r=reset, v=recurrence: loops.lif(x, w, r, v)),
            )
        yield f"slstm-{reset}", Neuron(SLSTMCell, SLSTM, {"reset": reset}, lambda x, w, r=reset: loops.slstm(x, w, r))


NEURONS = dict(neurons())
SHAPES = {0: (3, 11, 2, 5), 1: (2, 6, 4, 3), 2: (1, 17, 1, 7)}  # seed: batch, time, features, units


def paths(seed, batch, time, features):
    return np.random.default_rng(seed).normal(0.3, 1.0, (batch, time, features)).astype("float32")


def with_weights(recurrent, features, seed):
    """Build an RNN or one of our layers and give its cell known weights."""
    recurrent.build((None, None, features))
    return recurrent, assign(recurrent.cell, draw(recurrent.cell, features, seed))


def assert_fires_now_and_then(spikes):
    assert set(np.unique(spikes)) == {0.0, 1.0}, "all spikes are equal, so the test is vacuous"


def assert_clear_of_the_threshold(membranes, threshold):
    """Rounding must not decide over a spike, because the test compares spikes exactly."""
    assert np.min(np.abs(membranes - threshold)) > ROUNDING


def every_neuron_once_and_the_papers_thrice():
    for name in NEURONS:
        for seed in SHAPES if name.endswith("subtract") else (0,):
            yield name, seed


@pytest.mark.parametrize(("name", "seed"), list(every_neuron_once_and_the_papers_thrice()))
def test_a_cell_in_keras_rnn_follows_the_numpy_loop(name, seed):
    """Identical spikes, membranes equal up to rounding; the loop runs in float64. One seed compares all membranes."""
    neuron = NEURONS[name]
    batch, time, features, units = SHAPES[seed]
    inputs = paths(seed, batch, time, features)
    cell = neuron.cell(units, **neuron.options)
    recurrent, weights = with_weights(keras.layers.RNN(cell, return_sequences=True, return_state=True), features, seed)
    found, *states = numpy_of(recurrent(inputs))
    doubles = {weight: values.astype("float64") for weight, values in weights.items()}
    traces = neuron.loop(inputs.astype("float64"), doubles)
    spikes, membranes = traces[:2]
    assert_fires_now_and_then(spikes)
    assert_clear_of_the_threshold(membranes, doubles["threshold"])
    np.testing.assert_array_equal(found, spikes)
    assert len(states) == len(traces)
    for state, trace in zip(states, traces, strict=True):
        np.testing.assert_allclose(state, trace[:, -1], atol=ROUNDING)
    if seed == 0:
        cell = neuron.cell(units, output="membrane", **neuron.options)
        recurrent, _ = with_weights(keras.layers.RNN(cell, return_sequences=True), features, seed)
        np.testing.assert_allclose(numpy_of(recurrent(inputs)), membranes, atol=ROUNDING)


@pytest.mark.parametrize("seed", SHAPES)
def test_a_leaky_integrator_in_keras_rnn_follows_the_numpy_loop(seed):
    batch, time, features, units = SHAPES[seed]
    inputs = paths(seed, batch, time, features)
    recurrent = keras.layers.RNN(LeakyIntegratorCell(units), return_sequences=True)
    recurrent, weights = with_weights(recurrent, features, seed)
    assert set(weights) == {"kernel", "bias", "decay"}
    expected = loops.leaky_integrator(inputs, weights)
    assert expected.std() > 0.1
    np.testing.assert_allclose(numpy_of(recurrent(inputs)), expected, atol=ROUNDING)


@pytest.mark.parametrize("name", ["lif-subtract", "rlif-dense-subtract", "slstm-subtract"])
def test_a_cell_returns_its_state_with_the_output_first(name):
    """[spikes, membrane, ...] or [membrane, spikes, ...]; the carry of an SLSTM is last."""
    neuron = NEURONS[name]
    inputs = paths(0, 3, 11, 2)
    for output in ("spikes", "membrane"):
        cell = neuron.cell(5, output=output, **neuron.options)
        recurrent, weights = with_weights(keras.layers.RNN(cell, return_state=True), 2, 0)
        last, *states = numpy_of(recurrent(inputs))
        expected = [trace[:, -1] for trace in neuron.loop(inputs, weights)]
        if output == "membrane":
            expected[:2] = expected[1::-1]
        assert len(states) == len(expected)
        assert not np.allclose(expected[0], expected[1])
        np.testing.assert_array_equal(last, states[0])
        for state, values in zip(states, expected, strict=True):
            np.testing.assert_allclose(state, values, atol=ROUNDING)


# A layer unrolls its loop up to 32 steps if there is no mask.
@pytest.mark.parametrize(
    ("time", "masked"),
    [(11, False), (32, False), (33, False), (11, True), (40, True)],
    ids=lambda value: {True: "masked", False: "whole"}.get(value, value) if isinstance(value, bool) else value,
)
@pytest.mark.parametrize("name", ["lif-subtract", "rlif-dense-subtract", "rlif-one_to_one-zero", "slstm-subtract"])
def test_a_layer_equals_keras_rnn_of_its_cell(name, time, masked):
    """Spikes are identical at every step, final states up to rounding; masks have a gap, a late start, an early end."""
    neuron = NEURONS[name]
    inputs = paths(time, 3, time, 2)
    mask = None
    if masked:
        mask = np.ones((3, time), bool)
        mask[1, :2] = mask[1, 5:7] = mask[2, 4] = mask[2, -3:] = False
    loop = {"return_sequences": True, "return_state": True}
    layer = neuron.layer(5, **loop, **neuron.options)
    reference = keras.layers.RNN(neuron.cell(5, **neuron.options), **loop)
    (spikes, *states), (expected, *expected_states) = (
        numpy_of(with_weights(recurrent, 2, seed=8)[0](inputs, mask=mask)) for recurrent in (layer, reference)
    )
    assert_fires_now_and_then(expected)
    np.testing.assert_array_equal(spikes, expected)
    assert len(states) == len(expected_states) >= 2
    for state, expected_state in zip(states, expected_states, strict=True):
        # One product over all steps and one for each step may sum in another order, which changes some last bits.
        np.testing.assert_allclose(state, expected_state, atol=ROUNDING)


@pytest.mark.parametrize("time", [11, 40])
def test_a_leaky_integrator_equals_keras_rnn_of_its_cell(time):
    inputs = paths(time, 3, time, 2)
    layer, reference = (
        numpy_of(with_weights(recurrent, 2, seed=8)[0](inputs))
        for recurrent in (
            LeakyIntegrator(5, return_sequences=True),
            keras.layers.RNN(LeakyIntegratorCell(5), return_sequences=True),
        )
    )
    assert reference.std() > 0.1
    np.testing.assert_allclose(layer, reference, atol=ROUNDING)


@pytest.mark.parametrize("unroll", [None, True, False])
@pytest.mark.parametrize("time", [7, 35])
def test_unrolling_is_optional(unroll, time):
    """Unrolling the loop changes no spike."""
    inputs = paths(time, 3, time, 2)
    layer, weights = with_weights(LIF(5, unroll=unroll, return_sequences=True), 2, seed=1)
    spikes, _ = loops.lif(inputs, weights)
    assert_fires_now_and_then(spikes)
    np.testing.assert_array_equal(numpy_of(layer(inputs)), spikes)


@pytest.mark.parametrize("layer", [LIF, RLIF, SLSTM, LeakyIntegrator])
def test_without_a_bias_the_currents_are_only_the_products(layer):
    """The layer without bias equals the layer with a bias of zero and has one weight less."""
    inputs = paths(3, 3, 6, 2)
    bare, weights = with_weights(layer(5, use_bias=False, return_sequences=True), 2, seed=3)
    assert "bias" not in weights
    full, _ = with_weights(layer(5, return_sequences=True), 2, seed=3)
    assert not np.allclose(numpy_of(bare(inputs)), numpy_of(full(inputs)))
    full.cell.bias.assign(np.zeros(full.cell.bias.shape))
    assert len(bare.weights) == len(full.weights) - 1
    np.testing.assert_array_equal(numpy_of(bare(inputs)), numpy_of(full(inputs)))


@pytest.mark.parametrize("layer", [LIF, RLIF, SLSTM, LeakyIntegrator])
@pytest.mark.parametrize("wrapped", [False, True])
def test_states_are_observed_at_every_step_for_any_output(layer, wrapped):
    """Compared with a loop over the cell; the layer returns only its last step, or runs as `keras.layers.RNN`."""
    inputs = paths(5, 3, 9, 2)
    options = {} if layer is LeakyIntegrator else {"output": "membrane"}
    neurons, _ = with_weights(layer(5, **options), 2, 5)
    cell = neurons.cell
    trace, states = [], cell.get_initial_state(batch_size=3)
    for step in range(9):
        _, states = cell(inputs[:, step], states)
        trace.append(cell.unpack([numpy_of(state) for state in states]))
    found = observe(keras.layers.RNN(cell) if wrapped else neurons, inputs, cell.state_names)
    assert list(found) == list(cell.state_names)
    for name in cell.state_names:
        expected = np.stack([getattr(state, name) for state in trace], axis=1)
        # Matrix products of one step and of all steps may sum in different orders: a few roundings of float32.
        np.testing.assert_allclose(numpy_of(found[name]), expected, rtol=0, atol=2e-6)
    if cell.fires:
        assert_fires_now_and_then(numpy_of(found["spikes"]))


def test_an_unknown_state_is_refused_with_the_valid_names():
    with pytest.raises(InputError, match=r"SLSTMCell: expected names among the states 'spikes', 'membrane', 'carry'"):
        observe(with_weights(SLSTM(4), 2, 5)[0], paths(5, 3, 9, 2), ("carries",))


@pytest.mark.parametrize(("cell", "states"), [(LIFCell, 2), (RLIFCell, 2), (SLSTMCell, 3), (LeakyIntegratorCell, 1)])
def test_a_cell_starts_from_zeros_in_its_precision(cell, states):
    initial = cell(5, dtype="mixed_float16").get_initial_state(batch_size=3)
    assert len(initial) == states
    for state in initial:
        assert keras.backend.standardize_dtype(state.dtype) == "float16"
        np.testing.assert_array_equal(numpy_of(state), np.zeros((3, 5)))


@pytest.mark.skipif(keras.backend.backend() == "torch", reason="on PyTorch every loop runs step by step")
@pytest.mark.parametrize(
    ("time", "options", "unrolled"),
    [(32, {}, True), (33, {}, False), (33, {"unroll": True}, True), (32, {"unroll": False}, False)],
)
def test_loops_of_up_to_32_steps_are_unrolled(monkeypatch, time, options, unrolled):
    """An unrolled loop traces the recurrence once for each step, a symbolic loop once for each graph.

    This holds for neurons without a kernel for the compiled engine.
    """
    traced = []
    monkeypatch.delitem(KERNELS, "lif")
    advance = LIFCell.advance
    monkeypatch.setattr(LIFCell, "advance", lambda *arguments: traced.append(1) or advance(*arguments))
    start = keras.Input((time, 2))
    model = keras.Model(start, LIF(3, **options)(start))
    model.predict(np.zeros((1, time, 2), "float32"), verbose=0)
    if unrolled:
        assert len(traced) >= time
    else:
        assert 1 <= len(traced) < time
