"""Running a network while its spikes are counted, inside the compiled graph, path by path.

The recorder carries a plan out with the very layers of the network and hands out integers alone, so that no spike
record ever leaves a batch.
"""

import keras
from keras import ops

# The masks that tensors carry have no public name.
from keras.src.backend.common.masking import get_keras_mask

__all__ = ["Recorder"]


class Recorder(keras.Model):
    """Carries out a plan and counts.

    Args:
        calls, outputs: a plan as `plan_of` gives it.

    Call arguments:
        data: a dictionary of "inputs", a list of tensors, and, where some steps are padding, "mask", booleans
            (batch, time).

    Returns:
        Integers, shape (batch, 1 + columns): whether the network's answer is finite, and the counts of all calls in
        the order of `columns`.
    """

    def __init__(self, calls, outputs):
        super().__init__(name="recorder", dtype="float32", autocast=False)
        self.members = list({id(layer): layer for call in calls for layer in (call.layer, call.twin) if layer}.values())
        self._plan = _Plan(calls, outputs)
        self.built = True

    @property
    def columns(self):
        """Pairs of a call's number and the name of a count."""
        return [(number, name) for number, call in enumerate(self._plan.calls) for name in call.counted]

    def call(self, data):
        batch = _Batch(data.get("mask"))
        values = dict(enumerate(data["inputs"]))
        valid = {slot: batch.mask if len(value.shape) == 3 else None for slot, value in values.items()}
        columns = []
        for call in self._plan.calls:
            tensors = [values[slot] for slot in call.inputs]
            steps = batch.together([valid[slot] for slot in call.inputs] + [get_keras_mask(each) for each in tensors])
            args, kwargs = call.arguments.fill_in({symbol: values[slot] for symbol, slot in call.slots})
            handed_on, outputs = _run(call, batch, steps, args, kwargs)
            counts = {"steps": batch.steps(tensors[0], steps)} if tensors else {}
            for number, (tensor, parts) in enumerate(zip(tensors, call.parts, strict=True)):
                start = 0
                for place, part in enumerate(parts):
                    if ("events", number, place) in call.counted:
                        span = (start, start + part.width)
                        counts["events", number, place] = batch.events(tensor, span, steps)
                    start += part.width
            if call.cost.spikes is not None:
                spikes = call.cost.spikes(outputs)
                counts["spikes"] = batch.events(spikes, (0, spikes.shape[-1]), steps)
                if "fed_back" in call.counted:
                    counts["fed_back"] = counts["spikes"] - batch.last_events(spikes, steps)
            columns += [counts[name] for name in call.counted]
            keeps_time = call.cost.hands_on not in ("reshaped", "repeated")
            for slot, value in zip(call.outputs, keras.tree.flatten(handed_on), strict=True):
                values[slot] = value
                valid[slot] = steps if keeps_time and len(value.shape) == 3 else None
        finite = [batch.finite(values[slot], valid[slot]) for slot in self._plan.outputs]
        return ops.stack([ops.cast(ops.all(ops.stack(finite), axis=0), "int32"), *columns], axis=1)


class _Plan:
    """Holds the calls where Keras does not look for layers and variables."""

    def __init__(self, calls, outputs):
        self.calls, self.outputs = calls, outputs


def _run(call, batch, steps, args, kwargs):
    """What the call hands on, and its outputs at all steps."""
    if call.twin is not None:
        outputs = call.twin(*args, **kwargs)
        return batch.last(outputs, steps), outputs
    if call.last_step_alone and batch.mask is not None and steps is not None:
        kwargs = kwargs | {"mask": steps}  # else its last step is one of padding
    outputs = call.layer(*args, **kwargs)
    return outputs, outputs


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
