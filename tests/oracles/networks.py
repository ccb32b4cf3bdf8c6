"""Networks with known spikes: weights and inputs on the grid of `draw_on_a_grid`, and loops that run the networks."""

import numpy as np

from oracles import loops
from oracles.backend import numpy_of
from oracles.weights import assign, draw_on_a_grid


def grid(*shape, seed=4):
    """Inputs on the grid, most of them positive."""
    return np.random.default_rng(seed).integers(-3, 8, shape).astype("float32") / 4


def put_on_the_grid(model):
    """Assign weights to every neuron layer of a chain such that it fires now and then; returns the model."""
    for seed, layer in enumerate(layer for layer in model.layers if hasattr(layer, "cell")):
        assign(layer.cell, draw_on_a_grid(layer.cell, layer.cell.kernel.shape[0], seed))
    return model


def fire(cell, inputs):
    """Spikes and membranes of a cell, computed by the loops of the oracles in double precision."""
    names = ("kernel", "bias", "decay", "threshold", "recurrent_kernel")
    weights = {
        name: numpy_of(getattr(cell, name).value).astype("float64") for name in names if hasattr(cell, name)
    }  # fmt: skip
    if cell.projections == 4:
        spikes, membrane, _ = loops.slstm(inputs, weights, cell.reset)
        assert np.abs(membrane - weights["threshold"]).min() > 1e-5, "a membrane is too near to its threshold"
        return spikes, membrane
    return loops.lif(inputs, weights, cell.reset, getattr(cell, "recurrence", None))
