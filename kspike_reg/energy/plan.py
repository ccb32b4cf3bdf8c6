"""The plan of a network: every call of a layer in the order of running, nested models unfolded, and who hears whom."""

from dataclasses import dataclass

import keras

# What a functional model is made of has no public name: the class, its graph, and the masks that tensors carry.
from keras.src.backend.common.masking import get_keras_mask
from keras.src.models.functional import Functional

from kspike_reg.energy.counts import Cost, cost_of
from kspike_reg.errors import InputError

__all__ = ["Call", "Part", "graph_of", "plan_of"]


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


def graph_of(model):
    """The graph of a functional or sequential model, or None for anything else."""
    if type(model) is keras.Sequential:
        model = model._functional
    return model if isinstance(model, Functional) and type(model).call is Functional.call else None


def plan_of(model):
    """Every call of a layer in the order of running.

    Args:
        model: a graph as `graph_of` gives it.

    Returns:
        (calls, slots of the model's outputs); the model's inputs lie in slots 0, 1, ...

    Raises:
        InputError: a layer that nobody registered, or that is used in a way that cannot be counted.
    """
    slots = {id(tensor): slot for slot, tensor in enumerate(model.inputs)}
    parts = {slot: (Part(tensor.name, tensor.shape[-1], False),) for slot, tensor in enumerate(model.inputs)}
    calls = []
    _unfold(model, slots, parts, {}, "", calls)
    return tuple(calls), tuple(slots[id(tensor)] for tensor in model.outputs)


def _unfold(model, slots, parts, names, place, calls):
    """Append the calls of one level; `slots` and `parts` know its inputs, and its outputs when done."""
    for depth in sorted(model._nodes_by_depth, reverse=True):
        for node in model._nodes_by_depth[depth]:
            if node.is_input or any(id(tensor) not in slots for tensor in node.input_tensors):
                continue
            inner = graph_of(node.operation)
            if inner is None:
                calls.append(_call(node, slots, parts, names, place))
                continue
            name = f"{place}{node.operation.name}"
            pairs = zip(inner.inputs, _heard(node.input_tensors), strict=True)
            inside = {id(symbol): slots[id(tensor)] for symbol, tensor in pairs}
            _unfold(inner, inside, parts, names, f"{name}/", calls)
            for symbol, tensor in zip(inner.outputs, node.outputs, strict=True):
                slots[id(tensor)] = inside[id(symbol)]


def _heard(tensors):
    """The tensors that carry numbers. Keras records masks, and the operations that make them, like any other."""
    return [tensor for tensor in tensors if tensor.dtype != "bool"]


def _call(node, slots, parts, names, place):
    layer, tensors = node.operation, _heard(node.input_tensors)
    name = names.setdefault(id(layer), f"{place}{layer.name}")
    shape = node.outputs[0].shape
    if not _heard(node.outputs):
        tensors, cost = [], Cost()
    else:
        cost = cost_of(layer, shape)
        _check(layer, name, cost, tensors, node.outputs)
    heard = tuple(parts[slots[id(tensor)]] for tensor in tensors)
    outputs = tuple(range(first := len(parts), first + len(node.outputs)))
    parts[outputs[0]] = _HANDED_ON[cost.hands_on](name, shape[-1] if shape else 1, heard)
    for slot in outputs[1:]:
        parts[slot] = ()
    slots.update({id(tensor): slot for tensor, slot in zip(node.outputs, outputs, strict=True)})
    call = Call(
        layer=layer,
        name=name,
        cost=cost,
        arguments=node.arguments,
        slots=tuple((id(tensor), slots[id(tensor)]) for tensor in node.input_tensors),
        inputs=tuple(slots[id(tensor)] for tensor in tensors),
        outputs=outputs,
        parts=heard,
    )
    if cost.spikes is None or not call.last_step_alone:
        return call
    return Call(**vars(call) | {"twin": _twin(layer, tensors[0].shape)})


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
