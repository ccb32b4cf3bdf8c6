"""Calls of layers in the form that statistics functions read.

KerasSpiking passes a node of Keras 2 to the function that counts a layer. `LayerCall` has the same attributes. It shows
a node of the graph, or what is inside a layer and has no node: the cell of an RNN, the layer of a TimeDistributed.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

import keras

from kspike_reg.errors import InputError
from kspike_reg.network.graph import Graph, Node, graph_of

__all__ = [
    "CONVOLUTIONS", "LayerCall", "Registry", "call_of", "calls_of", "cells_of", "function_of", "parts_of", "width_of"
]  # fmt: skip


# Layers that take axis 1 as a place.
CONVOLUTIONS = (keras.layers.Conv1D, keras.layers.Conv2D, keras.layers.Conv3D)


@dataclass(frozen=True, eq=False)
class LayerCall:
    """One call of one layer, with the attributes of a Keras 2 node that statistics functions read.

    Attributes:
        layer: the layer, or the cell of an RNN.
        inputs, outputs: symbolic tensors, the batch first, without masks. Those of a layer inside another one carry
            shapes alone and belong to no graph.
        has_time: whether axis 1 of tensors of three axes and more is time; False inside TimeDistributed, None where it
            is time only if its length is open, see `calls_of`.
        values: in the graph of a model, the numbers of the inputs' values.
        node: in the graph of a model, its node; None for an input of the model and for a nested model that is counted
            as a whole.
        member: the layer of the model's outermost level that the call is part of; the layer itself unless it is
            nested.
    """

    layer: keras.layers.Layer
    inputs: Sequence[keras.KerasTensor]
    outputs: Sequence[keras.KerasTensor]
    has_time: bool | None = True
    values: tuple[int, ...] = ()
    node: Node | None = None
    member: keras.layers.Layer | None = None

    @property
    def input_tensors(self) -> Any:
        """The input, or a list where there are several."""
        return _alone(list(self.inputs))

    @property
    def output_tensors(self) -> Any:
        """The output, or a list where there are several."""
        return _alone(list(self.outputs))

    @property
    def input_shapes(self) -> Any:
        """The shape of the input, or a list where there are several."""
        return _alone([tuple(tensor.shape) for tensor in self.inputs])

    @property
    def output_shapes(self) -> Any:
        """The shape of the output, or a list where there are several."""
        return _alone([tuple(tensor.shape) for tensor in self.outputs])

    def output_size(self) -> int:
        """Elements of the first output per sample and time step.

        Raises:
            InputError: an axis other than batch and time has no known length.
        """
        shape = tuple(self.outputs[0].shape)
        has_time = shape[1] is None if self.has_time is None and len(shape) > 2 else self.has_time
        counted = shape[2:] if has_time and len(shape) > 2 else shape[1:]
        if None in counted:
            raise InputError(
                f"ModelEnergy: the output of the layer {self.layer.name!r}, of shape {shape}, has an axis of unknown "
                "length that is neither batch nor time (axis 1); expected a known length, so pass it to keras.Input"
            )
        return math.prod(counted)


# Functions of a `LayerCall` by the class of its layer, which return statistics by their names.
Registry: TypeAlias = Mapping[type, Callable[[LayerCall], dict[str, Any]]]


def function_of(layer: Any, registry: Registry) -> Callable[[LayerCall], dict[str, Any]] | None:
    """The function that is registered for the layer's class, or for the nearest parent of it; None without one."""
    return next((registry[kind] for kind in type(layer).__mro__ if kind in registry), None)


def call_of(node: Any) -> LayerCall:
    """A node of a graph or of Keras as a `LayerCall`, which is returned as it is.

    An InputLayer, which has no inputs, takes its output as its input.
    """
    if isinstance(node, LayerCall):
        return node
    if isinstance(node, Node):
        member = node.owners[0] if node.owners else node.layer
        return LayerCall(node.layer, node.input_tensors, node.output_tensors, True, node.inputs, node, member)
    inputs = [tensor for tensor in node.input_tensors if tensor.dtype != "bool"]
    has_time = None if isinstance(node.operation, CONVOLUTIONS) else True
    return LayerCall(node.operation, inputs or list(node.outputs), list(node.outputs), has_time)


def calls_of(graph: Graph, registry: Registry) -> list[LayerCall]:
    """What is counted in a model: its inputs, then its nodes in their order.

    Axis 1 is time, unless layers convolve over it. Tensors of as many axes as those have it as a place, and as time
    only where its length is open, as in KerasSpiking; so an image has no time, and nor has what is made of it.

    Args:
        graph: of the model.
        registry: statistics functions. A nested model with a function of its own counts as a whole, others by their
            layers.

    Raises:
        InputError: an operation that is not a layer.
    """
    calls = [
        LayerCall(layer, [layer.output], [layer.output], True, (_number_of(layer.output, graph),), member=layer)
        for layer in graph.layers
        if isinstance(layer, keras.layers.InputLayer)
    ]
    nodes, spatial = list(graph.nodes), _spatial_ranks(graph)
    while nodes:
        node = nodes[0]
        whole = next((owner for owner in node.owners if function_of(owner, registry)), None)
        if whole is not None:
            inner = graph_of(whole, "ModelEnergy")
            count = len(inner.nodes)
            calls.append(_as_a_whole(whole, inner, nodes[:count]))
            del nodes[:count]
            continue
        if isinstance(node.layer, keras.layers.Layer):
            has_time = None if len(node.output_tensors[0].shape) in spatial else True
            calls.append(replace(call_of(node), has_time=has_time))
        elif not node.makes_mask:
            raise InputError(
                f"ModelEnergy: the operation {node.name!r} of class {type(node.layer).__name__} in the model "
                f"{graph.name!r} is not a layer, so its cost is unknown; put it into the call of a keras.layers.Layer "
                "and register that with ModelEnergy.register_layer"
            )
        del nodes[0]
    return calls


def _spatial_ranks(graph: Graph) -> set[int]:
    """Numbers of axes of tensors that layers convolve over, and that no layer takes as a sequence."""

    def ranks(kinds):
        return {len(node.input_tensors[0].shape) for node in graph.nodes if isinstance(node.layer, kinds)}

    return ranks(CONVOLUTIONS) - ranks((keras.layers.RNN, keras.layers.TimeDistributed))


def _number_of(tensor: keras.KerasTensor, graph: Graph) -> int:
    """The number of an input's value."""
    return next(number for number, known in enumerate(graph.inputs) if known is tensor)


def _as_a_whole(model: keras.Model, inner: Graph, nodes: Sequence[Node]) -> LayerCall:
    """One call of a nested model.

    Args:
        model: the nested model.
        inner: its graph.
        nodes: those of the same layers in the graph of the model around it, which know the values of this call.
    """
    values = {}
    for inside, outside in zip(inner.nodes, nodes, strict=True):
        values.update(zip(inside.inputs, outside.inputs, strict=True))
    received = tuple(values[number] for number in range(len(inner.inputs)) if number in values)
    return LayerCall(model, inner.inputs, model.outputs, True, received, member=nodes[0].owners[0])


def parts_of(call: LayerCall, registry: Registry) -> list[LayerCall] | None:
    """The calls inside a nested model, a TimeDistributed or an RNN; None for any other layer.

    Args:
        call: of the layer.
        registry: as in `calls_of`.

    Raises:
        InputError: a nested model that cannot be looked into, see `network.graph.functional_of`.
    """
    parts = next((parts for kind, parts in _PARTS.items() if isinstance(call.layer, kind)), None)
    return None if parts is None else parts(call, registry)


def cells_of(layer: keras.layers.RNN) -> list[Any]:
    """The cells of an RNN, in their order."""
    return list(layer.cell.cells) if isinstance(layer.cell, keras.layers.StackedRNNCells) else [layer.cell]


def width_of(cell: Any) -> int:
    """Elements of a cell's output."""
    return keras.tree.flatten(getattr(cell, "output_size", cell.state_size))[0]


def _members(call, registry):
    """The calls in a nested model."""
    parts = calls_of(graph_of(call.layer, "ModelEnergy"), registry)
    return [replace(part, has_time=False) for part in parts] if call.has_time is False else parts


def _wrapped(call, registry):
    """The layer of a TimeDistributed, at one step."""
    inputs, outputs = ([_shaped((x.shape[0], *x.shape[2:])) for x in side] for side in (call.inputs, call.outputs))
    return [LayerCall(call.layer.layer, inputs, outputs, has_time=False)]


def _cells(call, registry):
    """The cells of an RNN, at one step."""
    batch, *_, features = call.inputs[0].shape
    parts = []
    for cell in cells_of(call.layer):
        width = width_of(cell)
        parts.append(LayerCall(cell, [_shaped((batch, features))], [_shaped((batch, width))], has_time=False))
        features = width
    return parts


_PARTS = {keras.Model: _members, keras.layers.TimeDistributed: _wrapped, keras.layers.RNN: _cells}


def _shaped(shape):
    return keras.KerasTensor(shape)


def _alone(items):
    return items[0] if len(items) == 1 else items
