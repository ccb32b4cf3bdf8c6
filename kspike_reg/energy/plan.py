"""The plan of a network: what every use of a layer costs, and by which parts of its inputs it is driven."""

from dataclasses import dataclass

import keras

# The masks that tensors carry have no public name.
from keras.src.backend.common.masking import get_keras_mask

from kspike_reg.energy.counts import Cost, cost_of
from kspike_reg.errors import InputError
from kspike_reg.network.graph import graph_of

__all__ = ["Call", "Part", "plan_of"]


@dataclass(frozen=True)
class Part:
    """Neighbouring neurons on the last axis of a tensor that come from one place.

    Attributes:
        source: the layer or input.
        width: number of neurons.
        spikes: whether they hand on spikes.
    """

    source: str
    width: int
    spikes: bool


@dataclass(frozen=True, eq=False)
class Call:
    """One use of one layer.

    Attributes:
        layer, name: the layer, and its name after those of the models that it lies in.
        cost: what it costs at every step.
        arguments: how Keras recorded the call.
        slots: pairs of the identity of a symbolic tensor among the arguments and the slot that holds its value.
        inputs, outputs: the slots that it hears, masks left out, and those that it fills.
        parts: of what it hears, one tuple for each slot.
        twin: for a spiking layer that hands on its last step alone, a layer around the same cell that gives all.
    """

    layer: keras.Operation
    name: str
    cost: Cost
    arguments: object
    slots: tuple
    inputs: tuple
    outputs: tuple
    parts: tuple
    twin: keras.layers.Layer | None = None

    @property
    def counted(self):
        """The names of its counts, each a column of the record: ("events", input, part) for spikes heard."""
        heard = [
            ("events", number, place)
            for number, parts in enumerate(self.parts)
            for place, part in enumerate(parts)
            if self.cost.inputs and part.spikes
        ]
        fed_back = self.cost.recurrence is not None and self.cost.recurrence.spikes
        if not self.inputs:  # it makes a mask
            return []
        return ["steps", *heard, *["spikes"] * (self.cost.spikes is not None), *["fed_back"] * fed_back]

    @property
    def last_step_alone(self):
        return isinstance(self.layer, keras.layers.RNN) and not self.layer.return_sequences

    @property
    def refuses_padding(self):
        """Whether padding at the end of a path would change what the layer hands on for the steps that count."""
        return self.cost.hands_on == "reshaped" or getattr(self.layer, "go_backwards", False)


def plan_of(model):
    """Every call of a layer in the order of running.

    Args:
        model: a model as `kspike_reg.network.graph.graph_of` reads it.

    Returns:
        (calls, slots of the model's outputs); the model's inputs lie in slots 0, 1, ...

    Raises:
        InputError: a model that cannot be looked into, a layer that nobody registered, or one that is used in a way
            that cannot be counted.
    """
    graph = graph_of(model, "profile")
    parts = {slot: (Part(tensor.name, tensor.shape[-1], False),) for slot, tensor in enumerate(graph.inputs)}
    calls = tuple(_call(use, parts) for use in graph.uses)
    return calls, graph.outputs


def _call(use, parts):
    """The call behind one use; `parts` knows what it hears, and what it hands on when done."""
    layer, name, shape = use.layer, use.layer_name, use.given[0].shape
    heard, inputs = use.heard, use.inputs
    if use.makes_mask:
        heard, inputs, cost = (), (), Cost()
    else:
        cost = cost_of(layer, shape)
        _check(layer, name, cost, heard, use.given)
    sources = tuple(parts[slot] for slot in inputs)
    parts[use.outputs[0]] = _HANDED_ON[cost.hands_on](name, shape[-1] if shape else 1, sources)
    for slot in use.outputs[1:]:
        parts[slot] = ()
    call = Call(
        layer=layer,
        name=name,
        cost=cost,
        arguments=use.arguments,
        slots=use.slots,
        inputs=inputs,
        outputs=use.outputs,
        parts=sources,
    )
    if cost.spikes is None or not call.last_step_alone:
        return call
    return Call(**vars(call) | {"twin": _twin(layer, heard[0].shape)})


def _one_part(spikes):
    return lambda name, width, heard: (Part(name, width, spikes),)


def _reshaped(name, width, heard):
    (parts,) = heard
    return (Part("+".join(dict.fromkeys(part.source for part in parts)), width, all(part.spikes for part in parts)),)


# What a layer hands on, by `Cost.hands_on`, from its name, the width of its output and the parts of its inputs.
_HANDED_ON = {
    "spikes": _one_part(True),
    "values": _one_part(False),
    "same": lambda name, width, heard: heard[0],
    "repeated": lambda name, width, heard: heard[0],
    "joined": lambda name, width, heard: tuple(part for parts in heard for part in parts),
    "reshaped": _reshaped,
}


def _check(layer, name, cost, tensors, outputs):
    """Refuse what would be counted wrongly."""
    who = f"profile: the layer {name!r}"
    if cost.hands_on not in _HANDED_ON:
        raise InputError(f"{who}: unknown hands_on={cost.hands_on!r}; choose one of {', '.join(_HANDED_ON)}")
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
    """A layer around the same cell that hands on all steps."""
    twin = type(layer).from_config(layer.get_config() | {"return_sequences": True})
    twin.cell = layer.cell
    twin.build(shape)
    return twin
