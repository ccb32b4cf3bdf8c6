"""Reading a Keras model: every use of a layer in the order of running, nested models unfolded, and who hears whom.

What costs, exports or converts a network reads it here. Values travel from use to use in numbered slots; a layer that
is used twice has two uses, a nested model has those of its layers.
"""

from dataclasses import dataclass

import keras

# What a functional model is made of has no public name.
from keras.src.models.functional import Functional

from kspike_reg.errors import InputError

__all__ = ["IDLE", "Graph", "Use", "functional_of", "graph_of"]

# Layers of Keras that act in training alone: in prediction they hand on what they hear.
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
class Use:
    """One use of one layer.

    Attributes:
        layer: the layer, or another operation of Keras, the same object for all of its uses.
        layer_name: its name after those of the models that it lies in, "encoder/lif_1".
        name: the same for its first use, then "encoder/lif_1@2", "encoder/lif_1@3".
        arguments: how Keras recorded the call; `arguments.fill_in` puts values in place of symbolic tensors.
        slots: pairs of the identity of a symbolic tensor among the arguments and the slot that holds its value.
        heard, given: symbolic tensors, with shape, dtype and mask: what it hears, masks left out, and what it gives.
        inputs, outputs: their slots.
    """

    layer: keras.Operation
    layer_name: str
    name: str
    arguments: object
    slots: tuple
    heard: tuple
    given: tuple
    inputs: tuple
    outputs: tuple

    @property
    def makes_mask(self):
        """Whether it gives no numbers: Keras records the operations that make masks like any other."""
        return not _numbers(self.given)


@dataclass(frozen=True, eq=False)
class Graph:
    """A model as a sequence of uses.

    Attributes:
        name: of the model.
        inputs: its inputs as symbolic tensors, whose values lie in slots 0, 1, ...
        uses: in an order in which each hears only what has been filled before.
        outputs: the slots of the model's outputs, one of which may be listed twice.
        output_names: names of the outputs as Keras has them, unique.
    """

    name: str
    inputs: tuple
    uses: tuple
    outputs: tuple
    output_names: tuple

    def filler_of(self, slot):
        """The use that fills a slot; None for the slot of an input."""
        return next((use for use in self.uses if slot in use.outputs), None)

    def hearers_of(self, slot):
        """The uses that hear a slot, in their order."""
        return tuple(use for use in self.uses if slot in use.inputs)


def functional_of(model, who):
    """The functional model behind a functional or a sequential one.

    Args:
        model: a `keras.Model`.
        who: who asks, for the message.

    Raises:
        InputError: anything else, an unbuilt model, or one with a call of its own.
    """
    functional = _unfoldable(model)
    if functional is None:
        raise InputError(
            f"{who}: cannot look into {type(model).__name__} {getattr(model, 'name', model)!r}; expected a built "
            "functional or sequential keras.Model without a call of its own"
        )
    return functional


def graph_of(model, who):
    """Read a model.

    Args:
        model: a functional or sequential `keras.Model`, nested as deeply as you like.
        who: who asks, for the message.

    Raises:
        InputError: another kind of model, see `functional_of`.
    """
    functional = functional_of(model, who)
    reader = _Reader()
    slots = {id(tensor): reader.new_slot() for tensor in functional.inputs}
    reader.unfold(functional, slots, "")
    return Graph(
        name=model.name,
        inputs=tuple(functional.inputs),
        uses=tuple(reader.uses),
        outputs=tuple(slots[id(tensor)] for tensor in functional.outputs),
        output_names=tuple(functional.output_names),
    )


def _unfoldable(model):
    if type(model) is keras.Sequential:
        model = model._functional
    return model if isinstance(model, Functional) and type(model).call is Functional.call else None


def _numbers(tensors):
    return tuple(tensor for tensor in tensors if tensor.dtype != "bool")


class _Reader:
    """Collects the uses, and names that nothing else has."""

    def __init__(self):
        self.uses, self._slots, self._layer_names, self._names = [], 0, {}, set()

    def new_slot(self):
        self._slots += 1
        return self._slots - 1

    def unfold(self, model, slots, place):
        """Append the uses of one level; `slots` knows its inputs by their identity, and its outputs when done."""
        for depth in sorted(model._nodes_by_depth, reverse=True):
            for node in model._nodes_by_depth[depth]:
                if node.is_input or any(id(tensor) not in slots for tensor in node.input_tensors):
                    continue
                inner = _unfoldable(node.operation)
                if inner is None:
                    self._append(node, slots, place)
                    continue
                pairs = zip(inner.inputs, _numbers(node.input_tensors), strict=True)
                inside = {id(symbol): slots[id(tensor)] for symbol, tensor in pairs}
                self.unfold(inner, inside, f"{place}{node.operation.name}/")
                for symbol, tensor in zip(inner.outputs, node.outputs, strict=True):
                    slots[id(tensor)] = inside[id(symbol)]

    def _append(self, node, slots, place):
        layer, heard = node.operation, _numbers(node.input_tensors)
        layer_name = self._layer_names.setdefault(id(layer), f"{place}{layer.name}")
        slots.update({id(tensor): self.new_slot() for tensor in node.outputs})
        self.uses.append(
            Use(
                layer=layer,
                layer_name=layer_name,
                name=self._unique(layer_name),
                arguments=node.arguments,
                slots=tuple((id(tensor), slots[id(tensor)]) for tensor in node.input_tensors),
                heard=heard,
                given=tuple(node.outputs),
                inputs=tuple(slots[id(tensor)] for tensor in heard),
                outputs=tuple(slots[id(tensor)] for tensor in node.outputs),
            )
        )

    def _unique(self, name):
        count, unique = 1, name
        while unique in self._names:
            count += 1
            unique = f"{name}@{count}"
        self._names.add(unique)
        return unique
