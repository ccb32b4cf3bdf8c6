"""The applications of layers that a functional model is made of, in the form that statistics functions read.

KerasSpiking hands a node of Keras 2 to the function that counts a layer. Keras 3 has other nodes, and none at all for
what is inside a wrapper: the cell of an RNN, the layer of a TimeDistributed. `LayerCall` stands for all of them.
"""

import math
from dataclasses import dataclass

import keras

from kspike_reg.errors import InputError

__all__ = ["LayerCall", "calls_of", "cells_of", "functional", "parts_of"]


@dataclass(frozen=True, eq=False)
class LayerCall:
    """One application of a layer, with the attributes of a Keras 2 node that statistics functions use.

    Args:
        layer: the layer, or the cell of an RNN.
        inputs, outputs: lists of symbolic tensors, the batch first. Those of a layer inside a wrapper carry shapes
            alone and belong to no graph.
        has_time: whether axis 1 of tensors of three axes and more is time; false inside TimeDistributed.
    """

    layer: keras.layers.Layer
    inputs: list
    outputs: list
    has_time: bool = True

    @property
    def input_tensors(self):
        """The input, or a list where there are several."""
        return _alone(self.inputs)

    @property
    def output_tensors(self):
        """The output, or a list where there are several."""
        return _alone(self.outputs)

    @property
    def input_shapes(self):
        """The shape of the input, or a list where there are several."""
        return _alone([tuple(tensor.shape) for tensor in self.inputs])

    @property
    def output_shapes(self):
        """The shape of the output, or a list where there are several."""
        return _alone([tuple(tensor.shape) for tensor in self.outputs])

    def output_size(self):
        """Elements of the first output per sample and time step.

        Raises:
            InputError: an axis other than batch and time has no known length.
        """
        shape = tuple(self.outputs[0].shape)
        counted = shape[2:] if self.has_time and len(shape) > 2 else shape[1:]
        if None in counted:
            raise InputError(
                f"ModelEnergy: the output of the layer {self.layer.name!r}, of shape {shape}, has an axis of unknown "
                "length that is neither batch nor time (axis 1); give keras.Input its length"
            )
        return math.prod(counted)


def functional(model):
    """The model as a graph of layer applications: itself, or for a Sequential one a functional view of it.

    Raises:
        InputError: the model has no such graph.
    """
    if isinstance(model, keras.Sequential) and model.built:
        return keras.Model(model.inputs, model.outputs)
    if not hasattr(model, "_nodes_by_depth"):
        kind = (
            "a Sequential model without known inputs" if isinstance(model, keras.Sequential) else type(model).__name__
        )
        raise InputError(
            f"ModelEnergy: expected a functional or built Sequential keras.Model, whose layers can be counted, "
            f"received {getattr(model, 'name', model)!r}, {kind}; build it from a keras.Input"
        )
    return model


def calls_of(model, has_time=True):
    """Every application of a layer in a model, those in nested models not taken apart.

    Args:
        model: a functional or built Sequential model.
        has_time: as in `LayerCall`.

    Raises:
        InputError: no such model, or an operation in it that is no layer.
    """
    calls = []
    for nodes in functional(model)._nodes_by_depth.values():
        for node in nodes:
            if not isinstance(node.operation, keras.layers.Layer):
                raise InputError(
                    f"ModelEnergy: the operation {node.operation.name!r} ({type(node.operation).__name__}) in the "
                    f"model {model.name!r} is no layer, so that nobody can say what it costs; put it into the call of "
                    "a keras.layers.Layer and register that"
                )
            calls.append(call_of(node, has_time))
    return calls


def call_of(node, has_time=True):
    """A node of Keras 3 as a `LayerCall`; an InputLayer, which has no inputs there, takes its output for one."""
    return LayerCall(node.operation, list(node.input_tensors or node.outputs), list(node.outputs), has_time)


def parts_of(call):
    """The applications inside a nested model, a TimeDistributed or an RNN; None for any other layer."""
    for kind, parts in _CONTAINERS.items():
        if isinstance(call.layer, kind):
            return parts(call)
    return None


def cells_of(layer):
    """The cells of an RNN, in their order."""
    return list(layer.cell.cells) if isinstance(layer.cell, keras.layers.StackedRNNCells) else [layer.cell]


def _wrapped(call):
    inputs, outputs = ([_shaped((x.shape[0], *x.shape[2:])) for x in side] for side in (call.inputs, call.outputs))
    return [LayerCall(call.layer.layer, inputs, outputs, has_time=False)]


def _cells(call):
    batch, *_, features = call.inputs[0].shape
    parts = []
    for cell in cells_of(call.layer):
        sizes = keras.tree.flatten(getattr(cell, "output_size", cell.state_size))
        parts.append(LayerCall(cell, [_shaped((batch, features))], [_shaped((batch, sizes[0]))], has_time=False))
        features = sizes[0]
    return parts


_CONTAINERS = {
    keras.Model: lambda call: calls_of(call.layer, call.has_time),
    keras.layers.TimeDistributed: _wrapped,
    keras.layers.RNN: _cells,
}


def _shaped(shape):
    return keras.KerasTensor(shape)


def _alone(items):
    return items[0] if len(items) == 1 else items
