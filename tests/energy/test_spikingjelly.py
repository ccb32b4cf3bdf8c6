"""A second opinion on synaptic events: SpikingJelly's counter, where it is installed (extra bench)."""

import keras
import numpy as np
import pytest

from kspike_reg.energy import profile
from kspike_reg.neurons import LIF
from oracles.backend import numpy_of, torch_arrays
from oracles.weights import assign, draw_on_a_grid

pytestmark = torch_arrays

FEATURES, UNITS, HEARERS, DECAY, THRESHOLD = 3, 11, 4, 0.5, 0.75


# SpikingJelly 2.0 itself sets off deprecation warnings of PyTorch when it is imported.
@pytest.mark.filterwarnings("ignore")
def test_a_feed_forward_layer_has_as_many_events_as_spikingjelly_counts():
    """A hard reset is where the two neurons agree: SpikingJelly subtracts before the leak, we after it.

    Weights and inputs lie on a binary grid, so that both see the same spikes whatever the order of summing.
    """
    pytest.importorskip("spikingjelly.activation_based.op_counter", exc_type=ImportError)
    import torch
    from spikingjelly.activation_based import neuron, op_counter

    inputs = keras.Input((None, FEATURES))
    layer = LIF(UNITS, return_sequences=True, reset="zero", name="lif")
    model = keras.Model(inputs, keras.layers.Dense(HEARERS, name="hears")(layer(inputs)))
    weights = draw_on_a_grid(layer.cell, FEATURES, seed=2)
    weights |= {"decay": np.full(UNITS, DECAY, "float32"), "threshold": np.full(UNITS, THRESHOLD, "float32")}
    assign(layer.cell, weights)
    data = np.random.default_rng(4).integers(-3, 8, (6, 9, FEATURES)).astype("float32") / 4

    first, second = torch.nn.Linear(FEATURES, UNITS), torch.nn.Linear(UNITS, HEARERS)
    with torch.no_grad():
        for linear, source in ((first, layer.cell), (second, model.get_layer("hears"))):
            linear.weight.copy_(torch.tensor(numpy_of(source.kernel.value).T.copy()))
            linear.bias.copy_(torch.tensor(numpy_of(source.bias.value).copy()))
    lif = neuron.LIFNode(tau=1 / (1 - DECAY), decay_input=False, v_threshold=THRESHOLD, v_reset=0.0, step_mode="m")
    counter = op_counter.SynOpCounter()
    with torch.no_grad(), op_counter.DispatchCounterMode([counter]):
        second(lif(first(torch.tensor(data.swapaxes(0, 1).copy()))))

    report = profile(model, data)
    assert report["hears"].accumulates == counter.get_total() > 0
    assert 0 < report["lif"].spikes < data.shape[0] * data.shape[1] * UNITS
