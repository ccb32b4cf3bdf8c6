"""What one call of a layer costs at every step, and what it emits: a registry from class to a function.

A cost follows from the layer's shapes; the profiler finds out how often its sources fire. The cost of our neurons
follows from the facts that their cells state. Conventions:

* A source that emits spikes drives its synapses by events: each spike costs one accumulate for every connection that
  leaves its neuron. A source that emits real values costs one multiply-accumulate for every connection at every step,
  whether or not a value happens to be zero.
* A product with the layer's own last values, which are zero at the first step, is carried out at every step. Spikes
  fed back are those of every step but the last; before the first step there are none.
* A dense product of m values costs m multiply-accumulates, a sum of m terms m additions, as hardware accumulates them.
* A neuron update is everything that happens inside a neuron in one step: leak, reset, comparison, gates, activation.
* Scaling to and from physical units is done by the host and not counted.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import keras

from kspike_reg.errors import InputError
from kspike_reg.network.graph import IDLE
from kspike_reg.network.physical import Standardise
from kspike_reg.neurons.cell import NeuronCell
from kspike_reg.neurons.population import PopulationMean

__all__ = ["Cost", "Recurrence", "Synapses", "cost_of", "register_layer"]


@dataclass(frozen=True)
class Synapses:
    """The connections through which a layer receives each of its inputs.

    Args:
        name: of the weight.
        fan_out: connections that leave each source neuron.
        weighted: whether a real value is multiplied by a weight, or added as it is.
    """

    name: str
    fan_out: int
    weighted: bool = True


@dataclass(frozen=True)
class Recurrence:
    """The connections through which a layer receives its own last step.

    Args:
        name: of the weight.
        fan_in: number of source neurons, the layer's own.
        fan_out: connections that leave each of them.
        spikes: whether they carry spikes, or real values.
    """

    name: str
    fan_in: int
    fan_out: int
    spikes: bool


@dataclass(frozen=True)
class Cost:
    """What one call of a layer costs at every step.

    Args:
        inputs: the synapses at its inputs, or None.
        recurrence: the synapses from its own last step, or None.
        biases: biases added.
        neurons: neurons that are updated.
        state: numbers kept from one step to the next.
        hands_on: what it emits, "spikes" or "values"; or its inputs, unchanged ("same"), next to one another
            ("joined"), in another shape ("reshaped") or at every step ("repeated").
        spikes: for a layer that fires, the name of the state that holds its spikes if it runs a cell of ours; else a
            function from its outputs to its spikes, shape (batch, time, neurons).
        several: whether it takes several inputs.
        note: what is not counted.
    """

    inputs: Synapses | None = None
    recurrence: Recurrence | None = None
    biases: int = 0
    neurons: int = 0
    state: int = 0
    hands_on: str = "values"
    spikes: str | Callable[[Any], Any] | None = None
    several: bool = False
    note: str = ""


_REGISTRY = {}


def register_layer(cls: type, function: Callable[[Any, Any], Cost] | None = None) -> Any:
    """Enter the cost of a layer or of an RNN cell; may be used as a decorator.

    Subclasses are not covered, since they may compute something else.

    Args:
        cls: the class of a layer, or of a cell inside `keras.layers.RNN`.
        function: from (layer, output shape) to its `Cost`; the shape begins with the batch.

    Returns:
        The function; or, without one, a decorator for it.

    Example:

    ```python
    @register_layer(MyDense)
    def my_dense(layer, shape):
        return Cost(inputs=Synapses("kernel", fan_out=layer.units), biases=layer.units)
    ```

    Raises:
        InputError: the class is registered already.
    """
    if function is None:
        return lambda function: register_layer(cls, function)
    if cls in _REGISTRY:
        raise InputError(f"register_layer: {cls.__name__} is registered already; register a subclass instead")
    _REGISTRY[cls] = function
    return function


def cost_of(layer: Any, shape: Any) -> Cost:
    """The `Cost` of a layer, or of a cell, with outputs of `shape`.

    Raises:
        InputError: nobody registered its class.
    """
    if type(layer) in _REGISTRY:
        return _REGISTRY[type(layer)](layer, shape)
    if isinstance(layer, keras.layers.RNN):
        return cost_of(layer.cell, shape)
    if isinstance(layer, NeuronCell):
        return _neurons(layer)
    kind = type(layer).__name__
    raise InputError(
        f"profile: the layer {layer.name!r} of class {kind} has no registered cost; register a function of (layer, "
        f"output shape) with kspike_reg.energy.register_layer({kind}, function), see kspike_reg.energy.Cost"
    )


# ------------------------------------------------------------------------------------------- neurons of this package


def _neurons(cell: NeuronCell) -> Cost:
    """By the facts of the cell; a subclass states its own."""
    recurrence = None
    if cell.feeds_back:
        spikes = cell.feeds_back == "spikes"
        recurrence = Recurrence("recurrent_kernel", cell.units, cell.recurrent_fan_out, spikes)
    return Cost(
        inputs=Synapses("kernel", cell.width),
        recurrence=recurrence,
        biases=cell.width if cell.use_bias else 0,
        neurons=cell.units,
        state=sum(cell.state_size),
        hands_on="spikes" if cell.emits == "binary" else "values",
        spikes="spikes" if cell.fires else None,
    )


@register_layer(PopulationMean)
def _population_mean(layer, shape):
    return Cost(inputs=Synapses("mean", 1, weighted=False), note="the division by the size of the group")


# ------------------------------------------------------------------------------------------------- layers of Keras


@register_layer(keras.layers.Dense)
def _dense(layer, shape):
    linear = layer.activation is keras.activations.linear
    return Cost(
        inputs=Synapses("kernel", layer.units),
        biases=layer.units if layer.use_bias else 0,
        neurons=0 if linear else layer.units,
    )


@register_layer(keras.layers.TimeDistributed)
def _time_distributed(layer, shape):
    return cost_of(layer.layer, shape)


def _gated(cell, gates, bias_sets=1):
    columns = gates * cell.units
    return Cost(
        inputs=Synapses("kernel", columns),
        recurrence=Recurrence("recurrent_kernel", cell.units, columns, spikes=False),
        biases=bias_sets * columns if cell.use_bias else 0,
        neurons=cell.units,
        state=sum(keras.tree.flatten(cell.state_size)),
    )


register_layer(keras.layers.SimpleRNNCell, lambda cell, shape: _gated(cell, 1))
# With reset_after, the recurrent product has a bias of its own.
register_layer(keras.layers.GRUCell, lambda cell, shape: _gated(cell, 3, bias_sets=2 if cell.reset_after else 1))
register_layer(keras.layers.LSTMCell, lambda cell, shape: _gated(cell, 4))


def _activation(layer, shape):
    return Cost(neurons=shape[-1])


@register_layer(keras.layers.Activation)
def _named_activation(layer, shape):
    return Cost(hands_on="same") if layer.activation is keras.activations.linear else _activation(layer, shape)


@register_layer(keras.layers.Concatenate)
def _concatenate(layer, shape):
    if layer.axis not in (-1, len(shape) - 1):
        raise InputError(
            f"profile: the layer {layer.name!r} joins its inputs along axis {layer.axis}; expected the last, -1, so "
            "that each neuron keeps its place in time"
        )
    return Cost(hands_on="joined", several=True)


def _sum(layer, shape):
    return Cost(inputs=Synapses("sum", 1, weighted=False), several=True)


@register_layer(keras.layers.Average)
def _average(layer, shape):
    return replace(_sum(layer, shape), note="the division by the number of inputs")


for _layer in (keras.layers.ReLU, keras.layers.LeakyReLU, keras.layers.ELU, keras.layers.Softmax):
    register_layer(_layer, _activation)
for _layer in (keras.layers.Add, keras.layers.Subtract):
    register_layer(_layer, _sum)
for _layer in (Standardise, keras.layers.Normalization, keras.layers.Rescaling):
    register_layer(_layer, lambda layer, shape: Cost(note="scaling, which the host does"))
for _layer in (keras.layers.InputLayer, keras.layers.Masking, *IDLE):
    register_layer(_layer, lambda layer, shape: Cost(hands_on="same"))
for _layer in (keras.layers.Flatten, keras.layers.Reshape):
    register_layer(_layer, lambda layer, shape: Cost(hands_on="reshaped"))
register_layer(keras.layers.RepeatVector, lambda layer, shape: Cost(hands_on="repeated"))
