"""The statistics of KerasSpiking for the layers that are known here, per sample and time step:

- connections: synapses, from each input element to each neuron (of a gated layer: to each gate of each neuron);
- neurons: neurons to update; none where a layer only sums;
- spiking: whether the layer could run on a spiking chip as it is, with events as its inputs and outputs.

Each function takes a `LayerCall`. Users add theirs by `ModelEnergy.register_layer`.
"""

import math
from collections.abc import Iterable
from typing import Any, TypeAlias

import keras
import keras_spiking
from keras import layers

from kspike_reg.energy.keras_spiking.layer_calls import CONVOLUTIONS, LayerCall, Registry, function_of, parts_of
from kspike_reg.errors import InputError
from kspike_reg.network.graph import IDLE
from kspike_reg.network.physical import Standardise
from kspike_reg.neurons.cell import NeuronCell
from kspike_reg.neurons.population import PopulationMean

__all__ = ["STATISTICS", "added", "recurrent_connections", "statistics_of"]

NAMES = ("connections", "neurons", "spiking")

Statistics: TypeAlias = dict[str, Any]


def statistics_of(call: LayerCall, registry: Registry) -> Statistics:
    """The statistics of one call of a layer; of a layer that contains others, the sum of theirs.

    Args:
        call: of the layer.
        registry: statistics functions, see `layer_calls.Registry`.

    Raises:
        InputError: nobody registered the layer's class, or its function returns a statistic of another name.
    """
    kind = type(call.layer).__name__
    function = function_of(call.layer, registry)
    if function is not None:
        statistics = function(call)
        unknown = [name for name in statistics if name not in NAMES]
        if unknown:
            raise InputError(
                f"ModelEnergy: the function registered for {kind} returned the unknown statistic {unknown[0]!r}; "
                f"return some of {', '.join(map(repr, NAMES))}"
            )
        return statistics
    parts = parts_of(call, registry)
    if parts is None:
        raise InputError(
            f"ModelEnergy: the layer {call.layer.name!r} of class {kind} has no registered statistics, so its cost is "
            f"unknown; decorate a function with @ModelEnergy.register_layer({kind}) that takes one call of the layer "
            "and returns {'connections': ..., 'neurons': ..., 'spiking': ...} per time step"
        )
    return added(statistics_of(part, registry) for part in parts)


def added(statistics: Iterable[Statistics]) -> Statistics:
    """The sum of statistics, with defaults for what they leave out."""
    statistics = list(statistics)
    return {
        "connections": sum(each.get("connections", 0) for each in statistics),
        "neurons": sum(each.get("neurons", 0) for each in statistics),
        "spiking": all(each.get("spiking", True) for each in statistics),
    }


def recurrent_connections(cell: Any) -> int:
    """Synapses from a cell's own last state or spikes; zero for a cell without recurrent weights."""
    if isinstance(cell, NeuronCell):
        return cell.units * cell.recurrent_fan_out
    kernel = getattr(cell, "recurrent_kernel", None)
    return 0 if kernel is None else math.prod(kernel.shape)


def activation_statistics(call: LayerCall) -> Statistics:
    """A neuron for each element, unless the activation is linear; a softmax and similar functions count alike."""
    return _activated(getattr(call.layer, "activation", None), call.output_size(), default=False)


def dense_statistics(call: LayerCall) -> Statistics:
    """Each input element to each unit, at every position but those along time; a neuron for each unit."""
    size = call.output_size()
    features = call.inputs[0].shape[-1]
    return {"connections": features * size} | _activated(call.layer.activation, size)


def convolution_statistics(call: LayerCall) -> Statistics:
    """Each element under the kernel, of one group, to each output element, as if nothing were padded."""
    size = call.output_size()
    return {"connections": math.prod(call.layer.kernel.shape[:-1]) * size} | _activated(call.layer.activation, size)


def spiking_activation_statistics(call: LayerCall) -> Statistics:
    """A neuron for each element of the input, whose axis 1 is time."""
    return {"neurons": math.prod(call.inputs[0].shape[2:]), "spiking": True}


def cell_statistics(call: LayerCall) -> Statistics:
    """Neurons of this package, by the facts of their cell; one neuron for each unit, whatever it computes.

    A chip can run neurons as they are if they emit spikes and feed back spikes or nothing.
    """
    cell = call.layer
    return {
        "connections": call.inputs[0].shape[-1] * cell.width + recurrent_connections(cell),
        "neurons": cell.units,
        "spiking": cell.emits == "binary" and cell.feeds_back in (None, "spikes"),
    }


def keras_cell_statistics(call: LayerCall) -> Statistics:
    """All elements of the kernel and of the recurrent kernel; one neuron for each unit."""
    cell = call.layer
    return {
        "connections": math.prod(cell.kernel.shape) + recurrent_connections(cell),
        "neurons": cell.units,
        "spiking": False,
    }


def no_statistics(call: LayerCall) -> Statistics:
    """Layers without synapses and neurons: they move, scale, add or average what others computed."""
    return {"connections": 0, "neurons": 0, "spiking": True}


def _activated(activation, neurons, default=True):
    linear = activation is keras.activations.linear or (activation is None and default)
    return {"neurons": 0, "spiking": True} if linear else {"neurons": neurons, "spiking": False}


_ACTIVATIONS = (layers.Activation, layers.ELU, layers.LeakyReLU, layers.PReLU, layers.ReLU, layers.Softmax)
_KERAS_CELLS = (layers.SimpleRNNCell, layers.GRUCell, layers.LSTMCell)
_FREE = (
    *(PopulationMean, Standardise, layers.InputLayer, layers.Masking, *IDLE),
    *(layers.Flatten, layers.Reshape, layers.Permute, layers.RepeatVector, layers.Cropping1D, layers.ZeroPadding1D),
    *(layers.Concatenate, layers.Add, layers.Subtract, layers.Average, layers.Maximum, layers.Minimum),
    *(layers.GlobalAveragePooling1D, layers.GlobalMaxPooling1D, layers.Rescaling),
    *(layers.GlobalAveragePooling2D, layers.GlobalAveragePooling3D),
)

STATISTICS = {
    layers.Dense: dense_statistics,
    keras_spiking.SpikingActivation: spiking_activation_statistics,
    **dict.fromkeys(CONVOLUTIONS, convolution_statistics),
    NeuronCell: cell_statistics,
    **dict.fromkeys(_ACTIVATIONS, activation_statistics),
    **dict.fromkeys(_KERAS_CELLS, keras_cell_statistics),
    **dict.fromkeys(_FREE, no_statistics),
}
