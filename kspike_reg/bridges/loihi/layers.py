"""The layers of a network that run on the chip, and their inputs: real values from the host, or spikes.

    real values - host - bias currents - LIF, RLIF on the chip - spikes, membranes - host - outputs

Every other layer runs on the host, before the chip and after it.
"""

from dataclasses import dataclass

import keras
import numpy as np

from kspike_reg.errors import InputError
from kspike_reg.network.execute import call_layer, execute
from kspike_reg.network.graph import IDLE, Graph, Node, graph_of
from kspike_reg.neurons.cell import NeuronCell
from kspike_reg.typing import Tensor

__all__ = ["NEURONS", "ChipLayer", "Plan", "Source", "plan_of"]

# The kinds of neurons that the chip runs.
NEURONS = ("lif", "rlif")


@dataclass(frozen=True)
class Source:
    """Neighbouring numbers on the last axis of a layer's input, all from one place.

    Attributes:
        width: how many.
        value: the number of the graph's value that holds them.
        layer: name of the layer on the chip whose spikes they are; None for real values from the host.
    """

    width: int
    value: int
    layer: str | None = None


@dataclass(frozen=True, eq=False)
class ChipLayer:
    """One spiking layer that runs on the chip.

    Attributes:
        node: its call in the model.
        sources: of its inputs, in the order of the kernel's rows.
        delay: how many of the chip's steps it is behind the first layer: spikes arrive one step after they are sent.
    """

    node: Node
    sources: tuple[Source, ...]
    delay: int

    @property
    def name(self) -> str:
        return self.node.name

    @property
    def cell(self) -> NeuronCell:
        return self.node.cell

    @property
    def recurrent(self) -> bool:
        return self.cell.feeds_back is not None

    def rows(self) -> list[tuple[Source, slice]]:
        """Pairs of a source and the slice of the kernel's rows that belongs to it."""
        ends = np.cumsum([source.width for source in self.sources]).tolist()
        return [(source, slice(end - source.width, end)) for source, end in zip(self.sources, ends, strict=True)]

    def weight(self, name: str) -> np.ndarray | None:
        """A weight by its name in the cell, as a NumPy array in double precision; None where there is none."""
        value = getattr(self.cell, name, None)
        return None if value is None else np.asarray(keras.ops.convert_to_numpy(value), dtype=np.float64)


@dataclass(frozen=True, eq=False)
class Plan:
    """A network split between host and chip.

    Attributes:
        graph: the whole network, as `kspike_reg.network.graph` reads it.
        layers: those on the chip, in the order of running.
    """

    graph: Graph
    layers: tuple[ChipLayer, ...]

    def run_host(self, values: dict[int, Tensor]) -> None:
        """Compute in Keras everything that the host can compute from the values that are known, in place."""
        on_chip = {layer.node for layer in self.layers}
        execute(self.graph, values, lambda node, *call: None if node in on_chip else call_layer(node, *call))


def plan_of(model: keras.Model, caller: str) -> Plan:
    """Split a network between host and chip.

    Args:
        model: a functional or sequential `keras.Model`, built.
        caller: named in the message.

    Raises:
        InputError: a model that cannot be looked into, without a spiking layer, or with one that the chip cannot run.
    """
    graph = graph_of(model, caller)
    # By value, where its numbers come from; None for what the host knows only after the chip has run.
    sources = {value: (Source(tensor.shape[-1], value),) for value, tensor in enumerate(graph.inputs)}
    layers = {}
    for node in graph.nodes:
        if node.makes_mask or isinstance(node.layer, keras.layers.Masking):
            raise InputError(
                f"{caller}: the layer {node.name!r} makes a mask, which no chip has; give paths of one length"
            )
        inputs = [sources[value] for value in node.inputs]
        if node.cell is not None and node.cell.fires:
            layers[node.name] = _chip_layer(node, inputs, layers, caller)
            output = _spikes_of(node)
        elif None in inputs:
            output = None
        elif isinstance(node.layer, IDLE) or _joins_neurons(node):
            output = sum(inputs, ())
        elif any(source.layer for parts in inputs for source in parts):
            output = None
        else:
            output = (Source(node.output_tensors[0].shape[-1], node.outputs[0]),)
        sources |= dict.fromkeys(node.outputs, output)
    if not layers:
        raise InputError(
            f"{caller}: the model {model.name!r} has no spiking layer to run on the chip; "
            "train one with kspike-reg train --kind lif --reset zero"
        )
    return Plan(graph, tuple(layers.values()))


def _spikes_of(node: Node) -> tuple[Source, ...] | None:
    """The spikes of a layer on the chip as a source; None for its membranes or last step, which the host handles."""
    if node.cell.emits == "binary" and node.layer.return_sequences:
        return (Source(node.cell.units, node.outputs[0], node.name),)
    return None


def _joins_neurons(node: Node) -> bool:
    rank = len(node.output_tensors[0].shape)
    return isinstance(node.layer, keras.layers.Concatenate) and node.layer.axis in (-1, rank - 1)


def _chip_layer(node: Node, inputs: list, layers: dict[str, ChipLayer], caller: str) -> ChipLayer:
    layer, cell = node.layer, node.cell
    place = f"{caller}: the layer {node.name!r}"
    if cell.kind not in NEURONS:
        why = "; its gates multiply" if cell.projections > 1 else ""
        raise InputError(
            f"{place} of class {type(cell).__name__} cannot run on the chip{why}; train a network of "
            f"{' or '.join(kind.upper() for kind in NEURONS)}"
        )
    if cell.reset != "zero":
        raise InputError(
            f"{place} has reset={cell.reset!r}; the chip clears the membrane after a spike, so train the network with "
            "kspike-reg train --reset zero, or kspike_reg.build(..., reset='zero')"
        )
    for option in ("go_backwards", "stateful", "return_state"):
        if getattr(layer, option):
            raise InputError(f"{place} has {option}=True; the chip runs forwards from rest and returns spikes alone")
    if any(other.node.layer is layer for other in layers.values()):
        raise InputError(f"{place} is called twice; give each call a layer of its own")
    if len(inputs) > 1:
        raise InputError(f"{place} takes an initial state; the chip starts from rest")
    if any(len(tensor.shape) != 3 for tensor in node.input_tensors):
        raise InputError(f"{place} receives no paths of shape (batch, time, features)")
    if inputs[0] is None:
        raise InputError(
            f"{place} receives real values that depend on other spiking layers; on the chip a layer receives spikes "
            "(output='spikes', return_sequences=True), and the host computes before the chip runs and after it, once"
        )
    return ChipLayer(node, inputs[0], _delay(place, inputs[0], layers))


def _delay(place: str, inputs: tuple[Source, ...], layers: dict[str, ChipLayer]) -> int:
    """How many of the chip's steps a layer is behind the first one."""
    names = [source.layer for source in inputs if source.layer]
    if len(set(names)) < len(names):
        raise InputError(f"{place} receives the same spikes twice ({', '.join(names)}); join each layer's once")
    delays = {name: layers[name].delay for name in names}
    if len(set(delays.values())) > 1:
        raise InputError(
            f"{place} receives spikes of layers that are not equally far from the input ({', '.join(sorted(delays))}); "
            "each layer costs one step of the chip, so their spikes would arrive at different times"
        )
    return max(delays.values(), default=-1) + 1
