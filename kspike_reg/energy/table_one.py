"""The two networks behind the paper's Table I, as the paper counts them, and its V100 and memory columns.

The table's GPU figures are 2.4 pJ for each connection, one time step, nothing for neurons (the device `v100_paper`).
Its LSTM is counted as dense layers that are four gates wide on both sides, which no LSTM has: real ones of 256 units
have 263168, 524288 and 524288 synapses.
"""

import keras

from kspike_reg.energy.model_energy import ModelEnergy

__all__ = ["DENSE", "LSTM", "energies", "memory", "network"]

# Width of each layer by the table's name for it; one input feature.
DENSE = {"FC1": 256, "FC2": 256, "FC3": 256, "FC4": 256, "FC5": 64}
LSTM = {"LSTM1": 4 * 256, "LSTM2": 4 * 256, "LSTM3": 4 * 256, "FC1": 256, "FC2": 64}


def network(widths, features=1):
    """A Keras model of linear dense layers.

    Args:
        widths: width of each layer by its name, `DENSE` or `LSTM` for the paper's.
        features: inputs of the first layer.
    """
    x = inputs = keras.Input((features,), name="inputs")
    for name, width in widths.items():
        x = keras.layers.Dense(width, name=name)(x)
    return keras.Model(inputs, x)


def energies(model, device="v100_paper"):
    """Energy of each layer by its name, in joules for one forward pass of one time step, by `ModelEnergy`.

    Args:
        model: a Keras model that `ModelEnergy` takes.
        device: the name of a device that is not spiking; the table's by default.
    """
    energy = ModelEnergy(model)
    found = {layer.name: sum(energy.layer_energy(layer, device)) for layer in model.layers}
    return {name: joules for name, joules in found.items() if joules > 0}


def memory(model, bytes_per_parameter=4):
    """The table's synaptic memory in bytes: all parameters, biases too, in single precision."""
    return bytes_per_parameter * model.count_params()
