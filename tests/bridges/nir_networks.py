"""Networks for the tests of the NIR bridge."""

import keras
import numpy as np

from kspike_reg.neurons import LeakyIntegrator, PopulationMean
from oracles.weights import draw, draw_on_a_grid

FEATURES, UNITS, INTEGRATORS, OUTPUTS = 2, 5, 6, 3
# Decays at both ends, one too small for 1 - dt / tau in double precision, and two in between.
DECAYS = np.array([0.0, 1.0, 1e-20, 0.3, 0.875], "float32")


def network(layer, drawn=draw, seed=0, **options):
    """Two layers of the class, five neurons each, six leaky integrators, three outputs; the first emits spikes."""
    first = {name: value for name, value in options.items() if name not in ("output", "return_sequences")}
    inputs = x = keras.Input((None, FEATURES), name="paths")
    x = layer(UNITS, return_sequences=True, name="first", **first)(x)
    x = layer(UNITS, name="second", **{"return_sequences": True, **options})(x)
    if len(x.shape) == 3:
        x = LeakyIntegrator(INTEGRATORS, return_sequences=True, name="integrators")(x)
    else:
        x = keras.layers.Dense(INTEGRATORS, name="integrators")(x)
    model = keras.Model(inputs, PopulationMean(OUTPUTS, name="mean")(x), name="tested")
    set_weights(model, drawn, seed)
    return model


def set_weights(model, drawn=draw, seed=0):
    """Random weights for every cell; where they are not on the grid, decays over the whole range too."""
    for number, layer in enumerate(layer for layer in model.layers if hasattr(layer, "cell")):
        cell = layer.cell
        for name, values in drawn(cell, cell.kernel.shape[0], seed + number).items():
            weight = getattr(cell, name, None)
            if weight is not None:
                weight.assign(values)
        if drawn is draw and cell.units == UNITS:
            cell.decay.assign(np.roll(DECAYS, number))


def paths(seed=7, batch=4, time=13, features=FEATURES):
    return np.random.default_rng(seed).normal(0.3, 1.0, (batch, time, features)).astype("float32")


def paths_on_a_grid(seed=7, batch=4, time=6, features=FEATURES):
    """Multiples of 1/4, see `oracles.weights.draw_on_a_grid`: sums are exact and membranes meet their thresholds."""
    return (np.round(4 * paths(seed, batch, time, features)) / 4).astype("float32")


def cut(model, name):
    """The model up to the output of one of its layers."""
    return keras.Model(model.input, model.get_layer(name).output)


__all__ = ["cut", "draw", "draw_on_a_grid", "network", "paths", "paths_on_a_grid", "set_weights"]
