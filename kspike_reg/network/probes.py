"""Probes: what the neurons of a model do, step by step, in every node of its graph.

Spikes, membranes and further states come from the neurons' own state, whatever the layers emit. Whoever runs a model,
Keras here or a simulator in `kspike_reg.bridges`, returns a `Recording`.
"""

import inspect
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, NamedTuple

import keras
import numpy as np

# The masks that tensors carry have no public name.
from keras.src.backend.common.masking import get_keras_mask

from kspike_reg.errors import InputError
from kspike_reg.network.execute import GraphModel, call_layer, execute
from kspike_reg.network.graph import Graph, Node, graph_of
from kspike_reg.network.inputs import checked_inputs
from kspike_reg.neurons.observation import observe
from kspike_reg.typing import Tensor

__all__ = ["ProbedModel", "Record", "Recording", "firing_levels", "record", "spiking_layers", "states_at"]


class Record(NamedTuple):
    """What the neurons of one spiking node did.

    Attributes:
        spikes: S[t], 0.0 or 1.0, shape (n, T, units).
        membranes: U[t], same shape, in the units of the thresholds.
        thresholds: shape (units,); (n, T, units) for neurons whose thresholds move.
        states: all states by name, those two among them, each (n, T, units).
    """

    spikes: np.ndarray
    membranes: np.ndarray
    thresholds: np.ndarray
    states: Mapping[str, np.ndarray] = MappingProxyType({})


@dataclass(frozen=True, eq=False)
class Recording(Mapping[str, Record]):
    """A run of a model, in Keras or elsewhere: its outputs, and what its neurons did.

    As a mapping it gives the `Record` of each spiking node by its name, in their order.

    Attributes:
        outputs: as `model.predict` gives them: an array (n, T, features), or a list where the model has several.
        states: by the name of a node and by that of a state, arrays (n, T, units), of all neurons that were probed.
        thresholds: by the name of a spiking node, see `Record`.
    """

    outputs: Any
    states: dict[str, dict[str, np.ndarray]]
    thresholds: dict[str, np.ndarray]

    @property
    def spikes(self) -> dict[str, np.ndarray]:
        """S[t] by the name of each spiking node, 0.0 or 1.0, shape (n, T, units)."""
        return {name: states["spikes"] for name, states in self.states.items() if "spikes" in states}

    @property
    def membranes(self) -> dict[str, np.ndarray]:
        """U[t] by the name of each node of neurons, leaky integrators included, of the same shape."""
        return {name: states["membrane"] for name, states in self.states.items() if "membrane" in states}

    def __getitem__(self, name: str) -> Record:
        states = self.states[name]
        if "spikes" not in states:
            raise KeyError(name)
        return Record(states["spikes"], states["membrane"], self.thresholds[name], states)

    def __iter__(self) -> Iterator[str]:
        return iter(self.spikes)

    def __len__(self) -> int:
        return len(self.spikes)


def record(model: keras.Model, inputs: Any, batch_size: int = 256, caller: str = "record") -> Recording:
    """Run a model in Keras and record all states of all its neurons.

    Args:
        model: a functional or sequential `keras.Model`, nested to any depth; neurons in layers of ours or in
            `keras.layers.RNN`.
        inputs: shape (n, T, features), in the units that the model takes, finite; or `datasets.Paths`; for several
            inputs a list of arrays, or a dictionary by their names. With padding, what is recorded there has no
            meaning.
        batch_size: paths at a time.
        caller: named in messages.

    Returns:
        A `Recording`.

    Raises:
        InputError: a model that cannot be looked into, inputs that do not fit it, or neurons that cannot be probed.
    """
    graph = graph_of(model, caller)
    for node in graph.nodes:
        if node.hidden_cells:
            raise InputError(
                f"{caller}: the layer {node.name!r} of class {type(node.layer).__name__} contains "
                f"{type(node.hidden_cells[0]).__name__}, whose states cannot be recorded there; use the neuron's own "
                "layer, or keras.layers.RNN around one cell"
            )
    arrays = checked_inputs(graph.inputs, inputs, caller)
    names = {node.name: node.cell.state_names for node in graph.neuron_nodes}
    batches = ProbedModel(graph, names).in_batches(arrays, batch_size)
    joined = keras.tree.map_structure(lambda *parts: np.concatenate(parts), *batches)
    outputs, states = joined["outputs"], joined["states"]
    return Recording(
        outputs=outputs[0] if len(outputs) == 1 else outputs,
        states={node.name: {name: states[node.name][name] for name in names[node.name]} for node in graph.neuron_nodes},
        thresholds={node.name: firing_levels(node.cell, states[node.name]) for node in graph.spiking_nodes},
    )


def firing_levels(cell: Any, states: Mapping[str, np.ndarray]) -> np.ndarray:
    """The thresholds of a spiking cell as an array, see `Record`, from its states by name."""
    return keras.ops.convert_to_numpy(cell.firing_levels(cell.State(**states)))


def spiking_layers(model: keras.Model) -> list[keras.layers.Layer]:
    """The layers of a model that fire, each once, in the order of running, those of nested models included.

    Args:
        model: a functional or sequential `keras.Model`.

    Returns:
        The layers, neuron layers or `keras.layers.RNN` around a cell.

    Raises:
        InputError: a model that cannot be looked into.
    """
    nodes = graph_of(model, "spiking_layers").spiking_nodes
    return list({id(node.layer): node.layer for node in nodes}.values())


class ProbedModel(GraphModel):
    """Runs a graph and returns its outputs, and the states of its neurons that are asked for.

    It returns a dictionary: "outputs", a list, and "states", by the name of a node and of a state (batch, time, units).

    Args:
        graph: the model.
        states: names of states by the name of a node.
    """

    def __init__(self, graph: Graph, states: Mapping[str, Sequence[str]]) -> None:
        super().__init__(graph, "probed")
        self.wanted = dict(states)

    def run(self, values: dict[int, Tensor]) -> Any:
        states = {}

        def call(node, arguments, keywords):
            outputs = call_layer(node, arguments, keywords)
            if self.wanted.get(node.name):
                states[node.name] = states_at(node, self.wanted[node.name], outputs, arguments, keywords)
            return outputs

        return self.read(execute(self.graph, values, call), states)

    def read(self, values: dict[int, Tensor], states: dict[str, dict[str, Tensor]]) -> dict[str, Any]:
        """What the model returns, from all values of the run and the states that were asked for."""
        return {"outputs": [values[number] for number in self.graph.outputs], "states": states}


def states_at(
    node: Node, names: Sequence[str], outputs: Any, arguments: Sequence[Any], keywords: Mapping[str, Any]
) -> dict[str, Tensor]:
    """States of the neurons of a node at every step.

    Args:
        node: a node of neurons.
        names: of the states.
        outputs: what its layer returned in this call.
        arguments, keywords: of the call.

    Returns:
        By name, (batch, time, units), in the order in which the layer runs the steps.

    Raises:
        InputError: a stateful layer, whose states depend on earlier calls.
    """
    layer, cell = node.layer, node.cell
    if layer.return_sequences and list(names) == [cell.output_state]:
        return {cell.output_state: keras.tree.flatten(outputs)[0]}
    if layer.stateful:
        raise InputError(
            f"the layer {node.name!r} is stateful, so its states depend on earlier calls; set stateful=False to "
            "record them"
        )
    bound = inspect.signature(layer.call).bind(*arguments, **keywords).arguments
    sequences = bound["sequences"]
    mask = bound.get("mask")
    mask = get_keras_mask(sequences) if mask is None else mask
    return observe(layer, sequences, names, bound.get("initial_state"), mask)
