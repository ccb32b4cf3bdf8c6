"""What each Keras layer becomes in a Nengo network: a registry from its class, or that of its cell, to a function."""

import keras
import numpy as np

from kspike_reg.errors import InputError
from kspike_reg.network.graph import IDLE
from kspike_reg.network.physical import Standardise
from kspike_reg.neurons import LeakyIntegratorCell, LIFCell, PopulationMean, RLIFCell, SLSTMCell

__all__ = ["CONVERSIONS", "SEVERAL", "array_of"]


def array_of(weight):
    """A Keras weight as a NumPy array."""
    return np.asarray(keras.ops.convert_to_numpy(weight))


def _bias(layer, width):
    return np.zeros(width, "float32") if layer.bias is None else array_of(layer.bias)


# ------------------------------------------------------------------------------------------------------------ neurons


def _firing(cell):
    """The options that all spiking neuron types share."""
    names = ("reset", "output", "detach_reset", "surrogate", "surrogate_scale")
    return {"threshold": array_of(cell.threshold)} | {name: getattr(cell, name) for name in names}


def _lif(builder, use, cell):
    neuron_type = builder.neurons.SubtractLIF(decay=array_of(cell.decay), **_firing(cell))
    return _driven(builder, use, cell, neuron_type)


def _rlif(builder, use, cell):
    neuron_type = builder.neurons.RecurrentSubtractLIF(
        decay=array_of(cell.decay), recurrent_kernel=array_of(cell.recurrent_kernel), **_firing(cell)
    )
    return _driven(builder, use, cell, neuron_type)


def _leaky(builder, use, cell):
    return _driven(builder, use, cell, builder.neurons.LeakyIntegrator(array_of(cell.decay)), fires=False)


def _driven(builder, use, cell, neuron_type, fires=True):
    ensemble = builder.ensemble(use, cell.units, neuron_type, _bias(cell, cell.units))
    builder.connect(use, ensemble.neurons, array_of(cell.kernel).T)
    return builder.neurons_of(use, ensemble, fires)


def _slstm(builder, use, cell):
    neuron_type = builder.neurons.SpikingLSTM(
        recurrent_kernel=array_of(cell.recurrent_kernel), gate_bias=_bias(cell, 4 * cell.units), **_firing(cell)
    )
    ensemble = builder.ensemble(use, cell.units, neuron_type, dimensions=4 * cell.units)
    builder.connect(use, ensemble, array_of(cell.kernel).T)
    return builder.neurons_of(use, ensemble)


# ----------------------------------------------------------------------------------------- layers without any memory


def _rates(builder, use, activation, width, transform=None, bias=None, factor=None):
    if activation not in builder.neurons.ACTIVATIONS:
        raise InputError(
            f"to_nengo: the layer {use.name!r} has the activation {activation!r}; expected one of "
            f"{', '.join(map(repr, builder.neurons.ACTIVATIONS))}"
        )
    ensemble = builder.ensemble(use, width, builder.neurons.Rate(activation, factor), bias)
    builder.connect(use, ensemble.neurons, transform)
    return ensemble.neurons


def _dense(builder, use, layer):
    activation = keras.activations.serialize(layer.activation)
    return _rates(builder, use, activation, layer.units, array_of(layer.kernel).T, _bias(layer, layer.units))


def _time_distributed(builder, use, layer):
    if type(layer.layer) is not keras.layers.Dense or len(use.given[0].shape) != 3:
        raise InputError(
            f"to_nengo: the layer {use.name!r} distributes {type(layer.layer).__name__} over time; expected Dense, on "
            "(batch, time, features)"
        )
    return _dense(builder, use, layer.layer)


def _activation(builder, use, layer):
    return _rates(builder, use, keras.activations.serialize(layer.activation), use.given[0].shape[-1])


def _standardise(builder, use, layer):
    """Rounded as by `model.predict`: (x - mean) * (1 / deviation), since TensorFlow makes a division by a constant a
    product with its reciprocal when it compiles; back, x * deviation + mean.
    """
    mean, deviation = np.array(layer.mean, "float32"), np.array(layer.deviation, "float32")
    if layer.invert:
        return _rates(builder, use, "linear", len(mean), deviation, mean)
    return _rates(builder, use, "linear", len(mean), bias=-mean, factor=1 / deviation)


def _population_mean(builder, use, layer):
    neurons = use.heard[0].shape[-1]
    node = builder.node(use, layer.outputs)
    builder.connect(
        use, node, np.kron(np.eye(layer.outputs), np.full(neurons // layer.outputs, layer.outputs / neurons))
    )
    return node


def _sum(*signs):
    """A node that adds up what it hears, the first with the first sign, all others with the last."""

    def build(builder, use, layer):
        width = use.given[0].shape[-1]
        if {tensor.shape[-1] for tensor in use.heard} != {width}:
            raise InputError(
                f"to_nengo: the layer {use.name!r} takes inputs of {[tensor.shape[-1] for tensor in use.heard]} "
                "features; expected the same number of all"
            )
        node = builder.node(use, width)
        factor = 1 / len(use.inputs) if type(layer) is keras.layers.Average else 1
        for number, slot in enumerate(use.inputs):
            sign = factor * signs[min(number, len(signs) - 1)]
            builder.connect(use, node, None if sign == 1 else sign, slot)
        return node

    return build


def _concatenate(builder, use, layer):
    rank = len(use.given[0].shape)
    if layer.axis not in (-1, rank - 1):
        raise InputError(
            f"to_nengo: the layer {use.name!r} joins its inputs along axis {layer.axis}; expected the last, -1, so "
            "that each value keeps its place in time"
        )
    node, start = builder.node(use, use.given[0].shape[-1]), 0
    for slot, tensor in zip(use.inputs, use.heard, strict=True):
        builder.connect(use, node[start : start + tensor.shape[-1]], slot=slot)
        start += tensor.shape[-1]
    return node


def _same(builder, use, layer):
    return builder.sources[use.inputs[0]]


def _masking(builder, use, layer):
    """Nothing where there is no padding; the probe lets `simulate` see to that."""
    source = builder.sources[use.inputs[0]]
    builder.masking[use.name] = builder.probe(source, use.name), float(layer.mask_value)
    return source


# How to build a layer, by its class or that of its cell. Subclasses are not covered, since they may compute something
# else. Each function takes the builder, the use and the layer or cell, and returns the Nengo object that hands the
# layer's output on.
CONVERSIONS = {
    LIFCell: _lif,
    RLIFCell: _rlif,
    SLSTMCell: _slstm,
    LeakyIntegratorCell: _leaky,
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
# Those that hear several inputs.
SEVERAL = (keras.layers.Add, keras.layers.Subtract, keras.layers.Average, keras.layers.Concatenate)
