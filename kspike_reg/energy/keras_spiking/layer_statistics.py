"""What KerasSpiking wants to know of a layer, for the layers that are known here: per sample and time step

- connections: synapses, from each input element to each neuron (of a gated layer: to each gate of each neuron);
- neurons: neurons to update; none where a layer only sums;
- spiking: whether the layer could run on a spiking chip as it is, events in and events out.

Each function takes a `LayerCall`. A user's own reach `ModelEnergy.register_layer`.
"""

import math

import keras
from keras import layers

from kspike_reg.network.graph import IDLE
from kspike_reg.network.physical import Standardise
from kspike_reg.neurons import LeakyIntegratorCell, LIFCell, PopulationMean, RLIFCell, SLSTMCell

__all__ = ["STATISTICS", "recurrent_connections"]


def activation_statistics(call):
    """A neuron for each element, unless the activation is linear; a softmax and its like are counted alike."""
    return _activated(getattr(call.layer, "activation", None), call.output_size(), default=False)


def dense_statistics(call):
    """Each input element to each unit, at every position but those along time; a neuron for each unit."""
    size = call.output_size()
    features = call.inputs[0].shape[-1]
    return {"connections": features * size} | _activated(call.layer.activation, size)


def cell_statistics(call):
    """All elements of the kernel and of the recurrent kernel; one neuron for each unit, whatever it computes.

    LIF and RLIF are ready for a chip where they hand on spikes. SLSTM feeds its real-valued membrane back, and an
    integrator hands on one.
    """
    cell = call.layer
    return {
        "connections": math.prod(cell.kernel.shape) + recurrent_connections(cell),
        "neurons": cell.units,
        "spiking": isinstance(cell, LIFCell) and cell.output == "spikes",
    }


def no_statistics(call):
    """Layers without synapses and neurons: they move, scale, add or average what others computed."""
    return {"connections": 0, "neurons": 0, "spiking": True}


def recurrent_connections(cell):
    """Synapses from a cell's own last state or spikes; zero for a cell without recurrent weights."""
    kernel = getattr(cell, "recurrent_kernel", None)
    return 0 if kernel is None else math.prod(kernel.shape)


def _activated(activation, neurons, default=True):
    linear = activation is keras.activations.linear or (activation is None and default)
    return {"neurons": 0, "spiking": True} if linear else {"neurons": neurons, "spiking": False}


_ACTIVATIONS = (layers.Activation, layers.ELU, layers.LeakyReLU, layers.PReLU, layers.ReLU, layers.Softmax)
_CELLS = (
    *(LIFCell, RLIFCell, SLSTMCell, LeakyIntegratorCell),
    *(layers.SimpleRNNCell, layers.GRUCell, layers.LSTMCell),
)
_FREE = (
    *(PopulationMean, Standardise, layers.InputLayer, layers.Masking, *IDLE),
    *(layers.Flatten, layers.Reshape, layers.Permute, layers.RepeatVector, layers.Cropping1D, layers.ZeroPadding1D),
    *(layers.Concatenate, layers.Add, layers.Subtract, layers.Average, layers.Maximum, layers.Minimum),
    *(layers.GlobalAveragePooling1D, layers.GlobalMaxPooling1D, layers.Rescaling),
    *(layers.GlobalAveragePooling2D, layers.GlobalAveragePooling3D),
)

STATISTICS = {
    layers.Dense: dense_statistics,
    **dict.fromkeys(_ACTIVATIONS, activation_statistics),
    **dict.fromkeys(_CELLS, cell_statistics),
    **dict.fromkeys(_FREE, no_statistics),
}
