"""Reading a Keras model: its nodes in the order of running, nested models unfolded, connected by numbered values.

This is the only place that looks into models. What counts, converts, runs or draws a network asks here. A layer that
is called twice has two nodes; a nested model has those of its layers.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import keras

# What a functional model is made of has no public name.
from keras.src.models.functional import Functional

from kspike_reg.errors import InputError
from kspike_reg.neurons.cell import NeuronCell

__all__ = ["IDLE", "Graph", "Node", "first_call", "functional_of", "graph_of"]

# Layers of Keras that act in training alone: in prediction they pass on their input.
IDLE = (
    keras.layers.Identity,
    keras.layers.ActivityRegularization,
    keras.layers.Dropout,
    keras.layers.SpatialDropout1D,
    keras.layers.AlphaDropout,
    keras.layers.GaussianDropout,
    keras.layers.GaussianNoise,
)


@dataclass(frozen=True, eq=False)
class Node:
    """One call of one layer.

    Attributes:
        layer: the layer, or another operation of Keras; the same object for all of its calls.
        layer_name: its name after those of the models that contain it, "encoder/lif_1".
        name: the same for its first call, then "encoder/lif_1@2", "encoder/lif_1@3".
        owners: the nested models that contain it, from the outermost one.
        arguments: the call as Keras recorded it; `arguments.fill_in` puts values in place of symbolic tensors.
        values: pairs of the identity of a symbolic tensor among the arguments and the number of its value.
        input_tensors, output_tensors: symbolic tensors, with shape, dtype and mask; inputs without masks.
        inputs, outputs: the numbers of their values.
    """

    layer: keras.Operation
    layer_name: str
    name: str
    owners: tuple[keras.Model, ...]
    arguments: Any
    values: tuple[tuple[int, int], ...]
    input_tensors: tuple[keras.KerasTensor, ...]
    output_tensors: tuple[keras.KerasTensor, ...]
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]

    @property
    def makes_mask(self) -> bool:
        """Whether it outputs no numbers: Keras records the operations that make masks like any other."""
        return not _numbers(self.output_tensors)

    @property
    def cell(self) -> NeuronCell | None:
        """The cell of our neurons that the layer runs, in a layer of ours or in `keras.layers.RNN`; None otherwise."""
        cell = self.layer.cell if isinstance(self.layer, keras.layers.RNN) else None
        return cell if isinstance(cell, NeuronCell) else None

    @property
    def hidden_cells(self) -> tuple[NeuronCell, ...]:
        """Cells of our neurons whose states the graph cannot show: in Bidirectional, TimeDistributed, stacked cells."""
        parts = self.layer._flatten_layers() if isinstance(self.layer, keras.layers.Layer) else ()
        return tuple(part for part in parts if isinstance(part, NeuronCell) and part is not self.cell)


@dataclass(frozen=True, eq=False)
class Graph:
    """A model as a sequence of nodes.

    Attributes:
        name: of the model.
        inputs: its inputs as symbolic tensors, with the values 0, 1, ...
        nodes: in an order in which each node's inputs come before it.
        outputs: the values of the model's outputs, one of which may be listed twice.
        output_names: names of the outputs as Keras has them, unique.
        layers: the layers of the model's outermost level in Keras's order, inputs and nested models included.
        input_structure, output_structure: its symbolic inputs and outputs nested as the model takes and returns them.
    """

    name: str
    inputs: tuple[keras.KerasTensor, ...]
    nodes: tuple[Node, ...]
    outputs: tuple[int, ...]
    output_names: tuple[str, ...]
    layers: tuple[keras.Operation, ...]
    input_structure: Any = field(repr=False)
    output_structure: Any = field(repr=False)

    @cached_property
    def neuron_nodes(self) -> tuple[Node, ...]:
        """The nodes whose layers are neurons of ours, in their order."""
        return tuple(node for node in self.nodes if node.cell is not None)

    @cached_property
    def spiking_nodes(self) -> tuple[Node, ...]:
        """The nodes whose neurons fire, in their order."""
        return tuple(node for node in self.neuron_nodes if node.cell.fires)

    def producer_of(self, value: int) -> Node | None:
        """The node that outputs a value; None for an input of the model."""
        return next((node for node in self.nodes if value in node.outputs), None)

    def consumers_of(self, value: int) -> tuple[Node, ...]:
        """The nodes that take a value as an input, in their order."""
        return tuple(node for node in self.nodes if value in node.inputs)


def functional_of(model: keras.Model, caller: str) -> keras.Model:
    """The functional model behind a functional or a sequential one.

    Args:
        model: a `keras.Model`.
        caller: named in the message.

    Raises:
        InputError: anything else, an unbuilt model, or one with a call of its own.
    """
    functional = _unfoldable(model)
    if functional is None:
        raise InputError(
            f"{caller}: cannot look into {type(model).__name__} {getattr(model, 'name', model)!r}; expected a built "
            "functional or sequential keras.Model without a call of its own"
        )
    return functional


def graph_of(model: keras.Model, caller: str) -> Graph:
    """Read a model.

    Args:
        model: a functional or sequential `keras.Model`, nested to any depth.
        caller: named in the message.

    Raises:
        InputError: another kind of model, see `functional_of`.
    """
    functional = functional_of(model, caller)
    reader = _Reader()
    values = {id(tensor): reader.new_value() for tensor in functional.inputs}
    reader.unfold(functional, values, ())
    return Graph(
        name=model.name,
        inputs=tuple(functional.inputs),
        nodes=tuple(reader.nodes),
        outputs=tuple(values[id(tensor)] for tensor in functional.outputs),
        output_names=tuple(functional.output_names),
        layers=tuple(model.layers),
        input_structure=functional.input,
        output_structure=functional.output,
    )


def first_call(layer: keras.layers.Layer) -> Any:
    """How Keras recorded the first call of a layer on symbolic tensors; None where it was never called."""
    return layer._inbound_nodes[0] if layer._inbound_nodes else None


def _unfoldable(model: Any) -> Functional | None:
    if type(model) is keras.Sequential:
        model = model._functional
    return model if isinstance(model, Functional) and type(model).call is Functional.call else None


def _numbers(tensors: Iterable[keras.KerasTensor]) -> tuple[keras.KerasTensor, ...]:
    return tuple(tensor for tensor in tensors if tensor.dtype != "bool")


class _Reader:
    """Collects the nodes, and names that nothing else has."""

    def __init__(self) -> None:
        self.nodes: list[Node] = []
        self._values, self._layer_names, self._names = 0, {}, set()

    def new_value(self) -> int:
        self._values += 1
        return self._values - 1

    def unfold(self, model: Functional, values: dict[int, int], owners: tuple[keras.Model, ...]) -> None:
        """Append the nodes of one level; `values` knows its inputs by their identity, and its outputs when done."""
        for depth in sorted(model._nodes_by_depth, reverse=True):
            for node in model._nodes_by_depth[depth]:
                if node.is_input or any(id(tensor) not in values for tensor in node.input_tensors):
                    continue
                inner = _unfoldable(node.operation)
                if inner is None:
                    self._append(node, values, owners)
                    continue
                pairs = zip(inner.inputs, _numbers(node.input_tensors), strict=True)
                inside = {id(symbol): values[id(tensor)] for symbol, tensor in pairs}
                self.unfold(inner, inside, (*owners, node.operation))
                for symbol, tensor in zip(inner.outputs, node.outputs, strict=True):
                    values[id(tensor)] = inside[id(symbol)]

    def _append(self, node: Any, values: dict[int, int], owners: tuple[keras.Model, ...]) -> None:
        layer, inputs = node.operation, _numbers(node.input_tensors)
        place = "".join(f"{owner.name}/" for owner in owners)
        layer_name = self._layer_names.setdefault(id(layer), f"{place}{layer.name}")
        values.update({id(tensor): self.new_value() for tensor in node.outputs})
        self.nodes.append(
            Node(
                layer=layer,
                layer_name=layer_name,
                name=self._unique(layer_name),
                owners=owners,
                arguments=node.arguments,
                values=tuple((id(tensor), values[id(tensor)]) for tensor in node.input_tensors),
                input_tensors=inputs,
                output_tensors=tuple(node.outputs),
                inputs=tuple(values[id(tensor)] for tensor in inputs),
                outputs=tuple(values[id(tensor)] for tensor in node.outputs),
            )
        )

    def _unique(self, name: str) -> str:
        count, unique = 1, name
        while unique in self._names:
            count += 1
            unique = f"{name}@{count}"
        self._names.add(unique)
        return unique
