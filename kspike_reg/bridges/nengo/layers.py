"""What each Keras layer becomes in a Nengo network: registries from the kind of a neuron or the class of a layer."""

from collections.abc import Callable
from typing import Any

import keras
import numpy as np

from kspike_reg.errors import InputError
from kspike_reg.network.graph import IDLE
from kspike_reg.network.physical import Standardise
from kspike_reg.neurons.population import PopulationMean

__all__ = ["CONVERSIONS", "NEURONS", "SEVERAL", "array_of"]


def array_of(weight: Any) -> np.ndarray:
    """A Keras weight as a NumPy array."""
    return np.asarray(keras.ops.convert_to_numpy(weight))


def _bias(layer, width):
    return np.zeros(width, "float32") if layer.bias is None else array_of(layer.bias)


# ------------------------------------------------------------------------------------------------------------ neurons


def _firing(cell):
    """The options that all spiking neuron types share."""
    names = ("reset", "output", "detach_reset", "surrogate", "surrogate_scale")
    return {"threshold": array_of(cell.threshold)} | {name: getattr(cell, name) for name in names}


def _lif(builder, node, cell):
    neuron_type = builder.neurons.SubtractLIF(decay=array_of(cell.decay), **_firing(cell))
    return _driven(builder, node, cell, neuron_type)


def _rlif(builder, node, cell):
    neuron_type = builder.neurons.RecurrentSubtractLIF(
        decay=array_of(cell.decay), recurrent_kernel=array_of(cell.recurrent_kernel), **_firing(cell)
    )
    return _driven(builder, node, cell, neuron_type)


def _leaky(builder, node, cell):
    return _driven(builder, node, cell, builder.neurons.LeakyIntegrator(array_of(cell.decay)))


def _driven(builder, node, cell, neuron_type):
    ensemble = builder.ensemble(node, cell.units, neuron_type, _bias(cell, cell.units))
    builder.connect(node, ensemble.neurons, array_of(cell.kernel).T)
    return builder.neurons_of(node, ensemble)


def _slstm(builder, node, cell):
    neuron_type = builder.neurons.SpikingLSTM(
        recurrent_kernel=array_of(cell.recurrent_kernel), gate_bias=_bias(cell, 4 * cell.units), **_firing(cell)
    )
    ensemble = builder.ensemble(node, cell.units, neuron_type, dimensions=4 * cell.units)
    builder.connect(node, ensemble, array_of(cell.kernel).T)
    return builder.neurons_of(node, ensemble)


# ----------------------------------------------------------------------------------------- layers without any memory


def _rates(builder, node, activation, width, transform=None, bias=None, factor=None):
    if activation not in builder.neurons.ACTIVATIONS:
        raise InputError(
            f"to_nengo: the layer {node.name!r} has the activation {activation!r}; expected one of "
            f"{', '.join(map(repr, builder.neurons.ACTIVATIONS))}"
        )
    ensemble = builder.ensemble(node, width, builder.neurons.Rate(activation, factor), bias)
    builder.connect(node, ensemble.neurons, transform)
    return ensemble.neurons


def _dense(builder, node, layer):
    activation = keras.activations.serialize(layer.activation)
    return _rates(builder, node, activation, layer.units, array_of(layer.kernel).T, _bias(layer, layer.units))


def _time_distributed(builder, node, layer):
    if type(layer.layer) is not keras.layers.Dense or len(node.output_tensors[0].shape) != 3:
        raise InputError(
            f"to_nengo: the layer {node.name!r} distributes {type(layer.layer).__name__} over time; expected Dense, on "
            "(batch, time, features)"
        )
    return _dense(builder, node, layer.layer)


def _activation(builder, node, layer):
    return _rates(builder, node, keras.activations.serialize(layer.activation), node.output_tensors[0].shape[-1])


def _standardise(builder, node, layer):
    """Rounded as in `model.predict`, where TensorFlow compiles a division by a constant to a product.

    That is (x - mean) * (1 / deviation), and x * deviation + mean for the inverse.
    """
    mean, deviation = np.array(layer.mean, "float32"), np.array(layer.deviation, "float32")
    if layer.invert:
        return _rates(builder, node, "linear", len(mean), deviation, mean)
    return _rates(builder, node, "linear", len(mean), bias=-mean, factor=1 / deviation)


def _population_mean(builder, node, layer):
    neurons = node.input_tensors[0].shape[-1]
    relay = builder.relay(node, layer.outputs)
    builder.connect(
        node, relay, np.kron(np.eye(layer.outputs), np.full(neurons // layer.outputs, layer.outputs / neurons))
    )
    return relay


def _sum(*signs):
    """A function that builds a node that sums its inputs, the first with the first sign, all others with the last."""

    def build(builder, node, layer):
        width = node.output_tensors[0].shape[-1]
        widths = [tensor.shape[-1] for tensor in node.input_tensors]
        if set(widths) != {width}:
            raise InputError(
                f"to_nengo: the layer {node.name!r} takes inputs of {widths} features; expected the same number of all"
            )
        relay = builder.relay(node, width)
        factor = 1 / len(node.inputs) if type(layer) is keras.layers.Average else 1
        for number, value in enumerate(node.inputs):
            sign = factor * signs[min(number, len(signs) - 1)]
            builder.connect(node, relay, None if sign == 1 else sign, value)
        return relay

    return build


def _concatenate(builder, node, layer):
    rank = len(node.output_tensors[0].shape)
    if layer.axis not in (-1, rank - 1):
        raise InputError(
            f"to_nengo: the layer {node.name!r} joins its inputs along axis {layer.axis}; expected the last, -1, so "
            "that each value keeps its place in time"
        )
    relay, start = builder.relay(node, node.output_tensors[0].shape[-1]), 0
    for value, tensor in zip(node.inputs, node.input_tensors, strict=True):
        builder.connect(node, relay[start : start + tensor.shape[-1]], value=value)
        start += tensor.shape[-1]
    return relay


def _same(builder, node, layer):
    return builder.sources[node.inputs[0]]


def _masking(builder, node, layer):
    """A Masking layer does nothing without padding, which `simulate` checks on the probe."""
    source = builder.sources[node.inputs[0]]
    builder.masking[node.name] = builder.probe(source, node.name), float(layer.mask_value)
    return source


# How to build a layer, by the kind of its neurons, or by its class. Subclasses are not included, since they may compute
# something else. Each function takes the builder, the node and the cell or layer, and returns the Nengo object that
# emits the layer's output.
NEURONS: dict[str, Callable[..., Any]] = {"lif": _lif, "rlif": _rlif, "slstm": _slstm, "leaky_integrator": _leaky}
CONVERSIONS: dict[type, Callable[..., Any]] = {
    PopulationMean: _population_mean,
    Standardise: _standardise,
    keras.layers.Dense: _dense,
    keras.layers.TimeDistributed: _time_distributed,
    keras.layers.Activation: _activation,
    keras.layers.Add: _sum(1),
    keras.layers.Subtract: _sum(1, -1),
    keras.layers.Average: _sum(1),
    keras.layers.Concatenate: _concatenate,
    keras.layers.Masking: _masking,
    **dict.fromkeys((keras.layers.InputLayer, *IDLE), _same),
}
# Those that take several inputs.
SEVERAL = (keras.layers.Add, keras.layers.Subtract, keras.layers.Average, keras.layers.Concatenate)
