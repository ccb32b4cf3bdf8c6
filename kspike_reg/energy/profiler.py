"""Counting the operations of a network on given data: `profile`."""

import weakref
from typing import Any

import keras
import numpy as np

from kspike_reg.energy.plan import plan_of
from kspike_reg.energy.recorder import Recorder
from kspike_reg.energy.report import EnergyReport, LayerCounts, Projection
from kspike_reg.errors import InputError, require_whole
from kspike_reg.network.graph import functional_of, graph_of
from kspike_reg.network.inputs import arrays_for, fitting, is_paths

__all__ = ["profile"]

# In place of the number of an input and the place of a part in it.
RECURRENT = ("recurrent", None)

# Recorders by the model that they run: compiling takes seconds. They hold its layers, not the model.
_RECORDERS = weakref.WeakKeyDictionary()


def profile(model: keras.Model, inputs: Any, mask: Any = None, batch_size: int = 256, bits: int = 32) -> EnergyReport:
    """Run a network and count its operations, exactly, by layer and by source.

    Spiking layers of this package emit spikes where `output="spikes"`, so the layers after them are driven by events;
    everything else emits real values. See `kspike_reg.energy.counts` for what an operation is. Dropout and
    other layers that act in training alone cost nothing. The layers run as in `model.predict`, batch by batch, and
    the spikes are counted on the way, so memory does not grow with the data.

    Args:
        model: a functional or sequential `keras.Model` of known layers, nested as deeply as you like; physical or
            standardised, trained or not.
        inputs: shape (n, T, features), in the units that the model takes; or `datasets.Paths`; for a model with
            several inputs a list of arrays, or a dictionary by the names of the inputs. An input without a time axis,
            (n, features), counts as one step.
        mask: booleans (n, T), True for the steps of a path, which come first, False for the padding after them,
            which is neither looked at nor counted; None where there is no padding, or the paths know it.
        batch_size: paths at a time.
        bits: width of a number in memory, for the footprints in bytes.

    Returns:
        An `EnergyReport` with the counts over all the data.

    Raises:
        InputError: no data, shapes that do not fit the model, numbers that are not finite, a layer that nobody
            registered or that is used in a way that cannot be counted, or an answer that is not finite.
    """
    functional = functional_of(model, "profile")
    require_whole("profile", batch_size=batch_size, bits=bits)
    if functional not in _RECORDERS:
        graph = graph_of(functional, "profile")
        calls = plan_of(graph)
        _RECORDERS[functional] = calls, Recorder(graph, calls)
    calls, recorder = _RECORDERS[functional]
    inputs, mask = _checked(recorder.graph, inputs, mask)
    if mask is not None:
        refusing = [call.name for call in calls if call.refuses_padding]
        if refusing:
            raise InputError(
                f"profile: the layer {refusing[0]!r} runs backwards or reshapes time, which padding would change; "
                "profile paths of one length at a time, without a mask"
            )
    counts = _stream(recorder, inputs, mask, batch_size)
    by_call = [{} for _ in calls]
    for (number, name), count in zip(recorder.columns, counts, strict=True):
        by_call[number][name] = count
    samples = len(inputs[0])
    timed = next((array.shape[1] for array in inputs if array.ndim == 3), 1)
    return EnergyReport(
        model=model.name,
        samples=samples,
        steps=samples * timed if mask is None else int(mask.sum()),
        bits=int(bits),
        layers=_layers(calls, by_call, int(bits)),
    )


def _stream(recorder, inputs, mask, batch_size):
    """The sums of all columns over all paths, as Python integers."""
    samples = len(inputs[0])
    batches = -(-samples // batch_size)
    size = -(-samples // batches)  # batches of one size, so that one graph serves all
    totals = 0
    for start in range(0, samples, size):
        # The last batch is filled up with paths that were counted before.
        rows = np.arange(start, start + size) % samples
        data = {"inputs": [array[rows] for array in inputs]} | ({} if mask is None else {"mask": mask[rows]})
        record = recorder.predict_on_batch(data)[: samples - start]
        if not record[:, 0].all():
            raise InputError(
                f"profile: the prediction for path {start + int(np.argmin(record[:, 0]))} is not finite; check that "
                "its inputs are in the units that the model was trained in"
            )
        totals = totals + record[:, 1:].sum(axis=0, dtype=np.int64)
    return [int(total) for total in totals]


# ------------------------------------------------------------------------------------------------------ what comes in


def _checked(graph, inputs, mask):
    """The inputs as a list of arrays in the model's order and precision, zeros in the padding, and the mask or None."""
    if is_paths(inputs):
        if mask is not None:
            raise InputError("profile: the paths bring a mask of their own; leave out mask=...")
        inputs, mask = inputs.inputs, inputs.mask
    arrays = arrays_for(graph.inputs, inputs, "profile")
    mask = _mask(mask, arrays, [tensor.name for tensor in graph.inputs])
    for position, (tensor, array) in enumerate(zip(graph.inputs, arrays, strict=True)):
        if mask is not None and array.ndim == 3:
            array = np.where(mask[..., None], array, 0)
        arrays[position] = fitting(tensor, array, "profile")
    return arrays, mask


def _mask(mask, arrays, names):
    """The mask as booleans, or None where no step is padding."""
    if mask is None:
        return None
    mask = np.asarray(mask)
    shapes = {array.shape[:2] for array in arrays if array.ndim == 3}
    if shapes != {mask.shape}:
        wanted = " and ".join(map(str, sorted(shapes))) or "none, since no input has a time axis"
        raise InputError(
            f"profile: the mask is of shape {mask.shape}; expected that of the steps of {names!r}: {wanted}"
        )
    if not np.isin(mask, (0, 1)).all():
        raise InputError("profile: expected a mask of booleans, or of zeros and ones")
    mask = mask.astype(bool)
    gaps = mask[:, 1:] & ~mask[:, :-1]
    if gaps.any() or not mask[:, 0].all():
        path = int(np.argmax(gaps.any(axis=1) | ~mask[:, 0]))
        raise InputError(
            f"profile: the mask of path {path} is not True up to the path's length and False after it; expected at "
            "least one step, and padding at the end alone"
        )
    return None if mask.all() else mask


# ----------------------------------------------------------------------------------------------------- what comes out


def _layers(calls, counts, bits):
    """One `LayerCounts` for each layer, over all of its calls."""
    by_layer = {}
    for call, counted in zip(calls, counts, strict=True):
        if counted:
            by_layer.setdefault(id(call.node.layer), []).append((call, counted))
    return tuple(_layer(each, bits) for each in by_layer.values())


def _layer(calls, bits):
    first, _ = calls[0]
    layer, cost = first.node.layer, first.cost
    steps = sum(counted["steps"] for _, counted in calls)
    fires = cost.spikes is not None
    spikes = sum(counted["spikes"] for _, counted in calls) if fires else None
    updates = steps * cost.neurons
    active = spikes if fires else updates
    return LayerCounts(
        name=first.name,
        kind=type(layer).__name__,
        calls=len(calls),
        steps=steps,
        projections=_projections(calls),
        connections=sum(projection.connections for projection in _projections(calls[:1])),
        neurons=cost.neurons,
        bias_additions=steps * cost.biases,
        spikes=spikes,
        active_updates=active,
        idle_updates=updates - active,
        parameters=sum(int(np.prod(weight.shape)) for weight in getattr(layer, "weights", ())),
        state=len(calls) * cost.state,
        bits=bits,
        note=cost.note,
    )


def _projections(calls):
    """The synapses of a layer by source; those that several calls share add up."""
    found = {}
    for call, counted in calls:
        cost, steps = call.cost, counted["steps"]
        if cost.inputs is not None:
            for number, parts in enumerate(call.parts):
                for place, part in enumerate(parts):
                    events = counted.get(("events", number, place), 0)
                    shape = (part.width, cost.inputs.fan_out)
                    key = (cost.inputs.name, part.source, part.spikes, cost.inputs.weighted, *shape, number, place)
                    _add(found, key, steps, events)
        if cost.recurrence is not None:
            own = cost.recurrence
            key = (own.name, call.name, own.spikes, True, own.fan_in, own.fan_out, *RECURRENT)
            _add(found, key, steps, counted.get("fed_back", 0))
    return tuple(
        Projection(*key[:6], steps=steps, events=events, recurrent=key[6:] == RECURRENT)
        for key, (steps, events) in found.items()
    )


def _add(found, key, steps, events):
    before = found.get(key, (0, 0))
    found[key] = before[0] + steps, before[1] + events
