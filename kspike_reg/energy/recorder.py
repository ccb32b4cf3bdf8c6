"""Running a network while its spikes are counted, inside the compiled graph, path by path.

The recorder runs the layers of the network itself and returns integers alone, so that no spikes ever leave a batch.
"""

from collections.abc import Sequence
from typing import Any

import keras
from keras import ops

# The masks that tensors carry have no public name.
from keras.src.backend.common.masking import get_keras_mask

from kspike_reg.energy.plan import Call
from kspike_reg.network.execute import GraphModel, call_layer, execute
from kspike_reg.network.graph import Graph
from kspike_reg.network.probes import states_at
from kspike_reg.typing import Tensor

__all__ = ["Recorder"]


class Recorder(GraphModel):
    """Runs a network and counts.

    Args:
        graph: the network.
        calls: by node, what is counted in it, as `plan_of` returns it.

    Call arguments:
        data: a dictionary of "inputs", a list of tensors, and, where some steps are padding, "mask", booleans
            (batch, time).

    Returns:
        Integers, shape (batch, 1 + columns): whether the network's outputs are finite, and the counts of all calls in
        the order of `columns`.
    """

    def __init__(self, graph: Graph, calls: Sequence[Call]) -> None:
        super().__init__(graph, "recorder")
        self._plan = _Plan(calls)

    @property
    def columns(self) -> list[tuple[int, Any]]:
        """Pairs of a call's number and the name of a count."""
        return [(number, name) for number, call in enumerate(self._plan.calls) for name in call.counted]

    def call(self, data: Any) -> Tensor:
        batch = _Batch(data.get("mask"))
        values = dict(enumerate(data["inputs"]))
        valid = {number: batch.mask if len(tensor.shape) == 3 else None for number, tensor in values.items()}
        calls = dict(zip(self.graph.nodes, self._plan.calls, strict=True))
        columns = []

        def count(node, arguments, keywords):
            call = calls[node]
            tensors = [] if node.makes_mask else [values[number] for number in node.inputs]
            steps = batch.together(
                [valid[number] for number in node.inputs] + [get_keras_mask(each) for each in tensors]
            )
            if call.last_step_alone and batch.mask is not None and steps is not None:
                keywords = keywords | {"mask": steps}  # else its last step is one of padding
            outputs = call_layer(node, arguments, keywords)
            counts = _inputs_counted(call, batch, tensors, steps)
            if call.cost.spikes is not None:
                counts |= _spikes_counted(call, batch, steps, _spikes(call, outputs, arguments, keywords))
            columns.extend(counts[name] for name in call.counted)
            keeps_time = call.cost.hands_on not in ("reshaped", "repeated")
            for number, tensor in zip(node.outputs, keras.tree.flatten(outputs), strict=True):
                valid[number] = steps if keeps_time and len(tensor.shape) == 3 else None
            return outputs

        execute(self.graph, values, count)
        finite = [batch.finite(values[number], valid[number]) for number in self.graph.outputs]
        return ops.stack([ops.cast(ops.all(ops.stack(finite), axis=0), "int32"), *columns], axis=1)


class _Plan:
    """Holds the calls where Keras does not look for layers and variables."""

    def __init__(self, calls: Sequence[Call]) -> None:
        self.calls = calls


def _inputs_counted(call, batch, tensors, steps):
    """Steps that count, and the spikes that each part of the inputs carried."""
    counts = {"steps": batch.steps(tensors[0], steps)} if tensors else {}
    for number, (tensor, parts) in enumerate(zip(tensors, call.parts, strict=True)):
        start = 0
        for place, part in enumerate(parts):
            if ("events", number, place) in call.counted:
                counts["events", number, place] = batch.events(tensor, (start, start + part.width), steps)
            start += part.width
    return counts


def _spikes(call, outputs, arguments, keywords):
    """The spikes of a layer that fires, at every step: from its neurons' state, or as its registered cost says."""
    if isinstance(call.cost.spikes, str):
        return states_at(call.node, (call.cost.spikes,), outputs, arguments, keywords)[call.cost.spikes]
    return call.cost.spikes(outputs if call.twin is None else call.twin(*arguments, **keywords))


def _spikes_counted(call, batch, steps, spikes):
    """Spikes that a layer fired, and those that it fed back."""
    counts = {"spikes": batch.events(spikes, (0, spikes.shape[-1]), steps)}
    if "fed_back" in call.counted:
        counts["fed_back"] = counts["spikes"] - batch.last_events(spikes, steps)
    return counts


class _Batch:
    """Counting over the steps that count, of one batch; each sum is made once."""

    def __init__(self, mask):
        self.mask = None if mask is None else ops.cast(mask, "bool")
        self._known = {}

    def _once(self, key, tensors, make):
        """What `make` gives for these tensors, which are kept so that no other takes over their identity."""
        key = (key, *map(id, tensors))
        if key not in self._known:
            self._known[key] = (make(), tensors)
        return self._known[key][0]

    def together(self, masks):
        """The steps that are valid in all of the masks; None where all are."""
        masks = list({id(mask): mask for mask in masks if mask is not None}.values())
        if len(masks) < 2:
            return masks[0] if masks else None
        return self._once("together", masks, lambda: ops.all(ops.stack([ops.cast(m, "bool") for m in masks]), axis=0))

    def steps(self, tensor, valid):
        """Steps that count of each path, (batch,)."""
        if valid is not None:
            return self._once("steps", [valid], lambda: ops.sum(ops.cast(valid, "int32"), axis=1))
        steps = ops.shape(tensor)[1] if len(tensor.shape) == 3 else 1
        return ops.full((ops.shape(tensor)[0],), steps, dtype="int32")

    def _spikes(self, tensor, span, valid):
        """Spikes of the neurons in `span`, (batch, time); zero at steps that do not count.

        The sum over neurons is exact in single precision, which holds every integer up to 2^24.
        """

        def add():
            part = tensor if span == (0, tensor.shape[-1]) else tensor[..., span[0] : span[1]]
            spikes = ops.cast(ops.sum(ops.cast(part, "float32"), axis=-1), "int32")
            return spikes if valid is None else spikes * ops.cast(valid, "int32")

        return self._once(("spikes", span), [tensor, valid], add)

    def events(self, tensor, span, valid):
        """Spikes of the neurons in `span`, of each path, (batch,)."""
        spikes = self._spikes(tensor, span, valid)
        return spikes if len(tensor.shape) == 2 else ops.sum(spikes, axis=1)

    def last_events(self, tensor, valid):
        """Spikes at the last step that counts, (batch,)."""
        spikes = self._spikes(tensor, (0, tensor.shape[-1]), valid)
        return ops.squeeze(self._last(spikes, valid), axis=1)

    def last(self, tensor, valid):
        """The last step that counts of (batch, time, neurons)."""
        return ops.squeeze(self._last(tensor, valid), axis=1)

    def _last(self, tensor, valid):
        if valid is None:
            return tensor[:, -1:]
        step = ops.shape(valid)[1] - 1 - ops.argmax(ops.cast(ops.flip(valid, axis=1), "int32"), axis=1)
        step = ops.reshape(step, (-1, *[1] * (len(tensor.shape) - 1)))
        return ops.take_along_axis(tensor, step, axis=1)

    def finite(self, tensor, valid):
        """Whether all values are finite at the steps that count, (batch,)."""
        finite = ops.isfinite(ops.cast(tensor, "float32"))
        if valid is not None:
            finite = ops.logical_or(finite, ops.logical_not(ops.expand_dims(valid, -1)))
        return ops.all(ops.reshape(finite, (ops.shape(tensor)[0], -1)), axis=1)
