"""The plan of a network: what every call of a layer costs, and which parts of its inputs drive it."""

from dataclasses import dataclass
from typing import Any

import keras

# The masks that tensors carry have no public name.
from keras.src.backend.common.masking import get_keras_mask

from kspike_reg.energy.counts import Cost, cost_of
from kspike_reg.errors import InputError
from kspike_reg.network.graph import Graph, Node

__all__ = ["Call", "Part", "plan_of"]


@dataclass(frozen=True)
class Part:
    """Neighbouring neurons on the last axis of a tensor that come from one place.

    Attributes:
        source: the layer or input.
        width: number of neurons.
        spikes: whether they emit spikes.
    """

    source: str
    width: int
    spikes: bool


@dataclass(frozen=True, eq=False)
class Call:
    """What is counted in one node.

    Attributes:
        node: one call of one layer.
        cost: what it costs at every step; nothing for a node that makes a mask.
        parts: of its inputs, one tuple for each of them.
        twin: for an RNN of the user's own that fires and returns its last step alone, one around the same cell that
            returns all.
    """

    node: Node
    cost: Cost
    parts: tuple[tuple[Part, ...], ...]
    twin: keras.layers.Layer | None = None

    @property
    def name(self) -> str:
        """The layer's name after those of the models that contain it."""
        return self.node.layer_name

    @property
    def counted(self) -> list[Any]:
        """The names of its counts, each a column of the record: ("events", input, part) for spikes received."""
        received = [
            ("events", number, place)
            for number, parts in enumerate(self.parts)
            for place, part in enumerate(parts)
            if self.cost.inputs and part.spikes
        ]
        fed_back = self.cost.recurrence is not None and self.cost.recurrence.spikes
        if self.node.makes_mask:
            return []
        return ["steps", *received, *["spikes"] * (self.cost.spikes is not None), *["fed_back"] * fed_back]

    @property
    def last_step_alone(self) -> bool:
        """Whether the layer returns its last step alone."""
        return _returns_last_step(self.node.layer)

    @property
    def refuses_padding(self) -> bool:
        """Whether padding at the end of a path would change what the layer emits at the steps that count."""
        return self.cost.hands_on == "reshaped" or getattr(self.node.layer, "go_backwards", False)


def plan_of(graph: Graph) -> tuple[Call, ...]:
    """What is counted in every node of a network, in the order of the nodes.

    Args:
        graph: the network.

    Raises:
        InputError: a layer that nobody registered, or one that is used in a way that cannot be counted.
    """
    parts = {value: (Part(tensor.name, tensor.shape[-1], False),) for value, tensor in enumerate(graph.inputs)}
    return tuple(_call(node, parts) for node in graph.nodes)


def _call(node: Node, parts: dict[int, tuple[Part, ...]]) -> Call:
    """What is counted in one node; `parts` knows its inputs, and its outputs when done."""
    layer, name, shape = node.layer, node.layer_name, node.output_tensors[0].shape
    if node.makes_mask:
        inputs, cost = (), Cost()
    else:
        inputs, cost = node.inputs, cost_of(layer, shape)
        _check(layer, name, cost, node.input_tensors, node.output_tensors)
    sources = tuple(parts[value] for value in inputs)
    parts[node.outputs[0]] = _EMITTED[cost.hands_on](name, shape[-1] if shape else 1, sources)
    for value in node.outputs[1:]:
        parts[value] = ()
    fires_elsewhere = callable(cost.spikes) and _returns_last_step(layer)
    return Call(node, cost, sources, _twin(layer, node.input_tensors[0].shape) if fires_elsewhere else None)


def _returns_last_step(layer: Any) -> bool:
    return isinstance(layer, keras.layers.RNN) and not layer.return_sequences


def _one_part(spikes):
    return lambda name, width, inputs: (Part(name, width, spikes),)


def _reshaped(name, width, inputs):
    (parts,) = inputs
    return (Part("+".join(dict.fromkeys(part.source for part in parts)), width, all(part.spikes for part in parts)),)


# What a layer emits, by `Cost.hands_on`, from its name, the width of its output and the parts of its inputs.
_EMITTED = {
    "spikes": _one_part(True),
    "values": _one_part(False),
    "same": lambda name, width, inputs: inputs[0],
    "repeated": lambda name, width, inputs: inputs[0],
    "joined": lambda name, width, inputs: tuple(part for parts in inputs for part in parts),
    "reshaped": _reshaped,
}


def _check(layer, name, cost, tensors, outputs):
    """Refuse what would be counted wrongly."""
    who = f"profile: the layer {name!r}"
    if cost.hands_on not in _EMITTED:
        raise InputError(f"{who}: unknown hands_on={cost.hands_on!r}; choose one of {', '.join(_EMITTED)}")
    if not cost.several and len(tensors) != 1:
        raise InputError(
            f"{who} is called with {len(tensors)} tensors; expected one: initial states and masks as tensors are not "
            "supported, so let the states start at zero and hand the mask to profile"
        )
    counts = cost.inputs or cost.neurons
    ranks = {len(tensor.shape) for tensor in tensors}
    if counts and (len(ranks) > 1 or not ranks <= {2, 3}):
        raise InputError(
            f"{who} takes inputs of shapes {[tuple(tensor.shape) for tensor in tensors]}; expected (batch, time, "
            "features) or (batch, features) for all of them"
        )
    if getattr(layer, "stateful", False):
        raise InputError(f"{who} is stateful, so its counts depend on what ran before; set stateful=False")
    if getattr(layer, "return_state", False):
        raise InputError(f"{who} returns its state, which only counts as a result; set return_state=False")
    if cost.spikes is not None and not isinstance(layer, keras.layers.RNN) and len(outputs[0].shape) != 3:
        raise InputError(f"{who} fires but gives outputs of shape {outputs[0].shape}; expected (batch, time, neurons)")
    masked = get_keras_mask(tensors[0]) is not None
    if masked and (getattr(layer, "go_backwards", False) or cost.hands_on == "reshaped"):
        raise InputError(f"{who} runs backwards over masked steps or reshapes them; take the mask away before it")


def _twin(layer, shape):
    """A layer around the same cell that returns all steps."""
    twin = type(layer).from_config(layer.get_config() | {"return_sequences": True})
    twin.cell = layer.cell
    twin.build(shape)
    return twin
