"""LIF and RLIF compared with the neurons of snnTorch, another library with the same equations.

snnTorch fires strictly above the threshold, our neurons also at the threshold; with these data no membrane comes near
it. Its zero reset clears the membrane like ours, so all three resets are comparable.
"""

import keras
import numpy as np
import pytest

from kspike_reg.neurons import LIFCell, RLIFCell
from oracles.backend import numpy_of, torch_arrays
from oracles.weights import assign, draw

torch = pytest.importorskip("torch")
snntorch = pytest.importorskip("snntorch")

pytestmark = torch_arrays

BATCH, TIME, FEATURES, UNITS = 3, 13, 2, 5
ROUNDING = 1e-5  # float32 over a dozen steps on membranes of order one


def ours(cell, seed, **options):
    """Spikes and membranes of our cell in keras.layers.RNN, its weights, and the inputs."""
    inputs = np.random.default_rng(seed).normal(0.3, 1.0, (BATCH, TIME, FEATURES)).astype("float32")
    outputs = []
    for output in ("spikes", "membrane"):
        recurrent = keras.layers.RNN(cell(UNITS, output=output, **options), return_sequences=True)
        recurrent.build(inputs.shape)
        weights = assign(recurrent.cell, draw(recurrent.cell, FEATURES, seed))
        outputs.append(numpy_of(recurrent(inputs)))
    return *outputs, weights, inputs


def theirs(neuron, weights, inputs):
    """Spikes and membranes of a snnTorch neuron that receives the currents W h + b step by step."""
    currents = torch.from_numpy(inputs @ weights["kernel"] + weights["bias"])
    state = [torch.zeros(BATCH, UNITS)] * (2 if isinstance(neuron, snntorch.RLeaky) else 1)
    trace = []
    with torch.no_grad():
        for step in range(TIME):
            spikes, membrane = neuron(currents[:, step], *state)
            state = [spikes, membrane][-len(state) :]
            trace.append((spikes.numpy(), membrane.numpy()))
    return [np.stack(values, axis=1) for values in zip(*trace, strict=True)]


def assert_equal(ours, theirs, threshold):
    spikes, membranes = theirs
    assert set(np.unique(spikes)) == {0.0, 1.0}, "all spikes are equal, so the test is vacuous"
    assert np.min(np.abs(membranes - threshold)) > ROUNDING
    np.testing.assert_array_equal(ours[0], spikes)
    np.testing.assert_allclose(ours[1], membranes, atol=ROUNDING)


@pytest.mark.parametrize("seed", [0, 1, 2])
@pytest.mark.parametrize("reset", ["subtract", "zero", "none"])
def test_lif_equals_leaky(reset, seed):
    *outputs, weights, inputs = ours(LIFCell, seed, reset=reset)
    neuron = snntorch.Leaky(
        beta=torch.from_numpy(weights["decay"]),
        threshold=torch.from_numpy(weights["threshold"]),
        reset_mechanism=reset,
    )
    assert_equal(outputs, theirs(neuron, weights, inputs), weights["threshold"])


@pytest.mark.parametrize("seed", [0, 1, 2])
@pytest.mark.parametrize("recurrence", ["dense", "one_to_one"])
def test_rlif_equals_rleaky(recurrence, seed):
    """The dense V is the linear layer of snnTorch (transposed, without bias), the one-to-one V its parameter V."""
    *outputs, weights, inputs = ours(RLIFCell, seed, recurrence=recurrence)
    options = {
        "beta": torch.from_numpy(weights["decay"]),
        "threshold": torch.from_numpy(weights["threshold"]),
        "reset_mechanism": "subtract",
    }
    feedback = torch.from_numpy(weights["recurrent_kernel"])
    if recurrence == "dense":
        neuron = snntorch.RLeaky(**options, all_to_all=True, linear_features=UNITS)
        with torch.no_grad():
            neuron.recurrent.weight.copy_(feedback.T)
            neuron.recurrent.bias.zero_()
    else:
        neuron = snntorch.RLeaky(**options, all_to_all=False, V=feedback)
    assert_equal(outputs, theirs(neuron, weights, inputs), weights["threshold"])
    alone = snntorch.Leaky(**options)
    assert not np.array_equal(theirs(alone, weights, inputs)[0], outputs[0]), (
        "the recurrence changes no spike, so the test is vacuous"
    )
