"""How busy the synapses of each layer are: which tensor drives how many of them, and how often.

An activity is one number for each group of synapses, by one of two conventions (`ACTIVITIES`):

- events: the part of (sample, step, element) at which the element is not zero, so events per synapse and step. The
  spikes of this package, of height one, count once each; real values count at every step.
- hertz: the mean size of the element, taken for a rate in Hz, as KerasSpiking does, whose spikes have height 1 / dt.
"""

from typing import NamedTuple

import keras
import numpy as np

from kspike_reg.energy.keras_spiking.layer_calls import calls_of, cells_of, functional, parts_of
from kspike_reg.energy.keras_spiking.layer_statistics import recurrent_connections
from kspike_reg.errors import InputError
from kspike_reg.neurons import RLIFCell

__all__ = ["ACTIVITIES", "Projection", "measure", "projections_of"]


class Projection(NamedTuple):
    """A group of synapses with one source.

    Attributes:
        connections: how many.
        tensors: the symbolic tensors that drive them; none for a real-valued state, which drives them at every step.
        spiking_cell: the cell whose last step's spikes drive them, of which the tensor is the output; None for
            synapses from a layer's input.
    """

    connections: int
    tensors: list
    spiking_cell: keras.layers.Layer | None = None


def projections_of(call, energy, per_projection):
    """The projections of one application of a layer.

    Args:
        call: a `LayerCall` in the graph of a model.
        energy: the class that knows the layers, `ModelEnergy`.
        per_projection: whether recurrent synapses go by their own source; otherwise by the layer's input, as all
            synapses do for KerasSpiking.
    """
    kind = next((kind for kind in _SOURCES if isinstance(call.layer, kind)), None)
    if kind is None or energy.is_registered(call.layer):
        return [Projection(_connections(call, energy), [tensor for tensor in call.inputs if tensor.dtype != "bool"])]
    return _SOURCES[kind](call, energy, per_projection)


def measure(model, projections, example_data, activity):
    """The activity of each projection on example data.

    Args:
        model: the model in whose graph the tensors lie.
        projections: a list of `Projection`.
        example_data: whatever `keras.Model.predict` takes.
        activity: a name in `ACTIVITIES`.

    Returns:
        A list of numbers, in the order of the projections.

    Raises:
        InputError: data that the model does not take, or numbers that are not finite.
    """
    tensors = {id(tensor): tensor for projection in projections for tensor in projection.tensors}
    graph = functional(model)
    recorder = keras.Model(graph.input, list(tensors.values()))
    expected = ", ".join(f"{tensor.name} {tuple(tensor.shape)}" for tensor in graph.inputs)
    complaint = f"ModelEnergy: example_data does not fit the inputs of the model {model.name!r}, expected {expected}"
    if not _fit(example_data, graph.inputs):
        received = [getattr(array, "shape", type(array).__name__) for array in keras.tree.flatten(example_data)]
        raise InputError(f"{complaint}, received {', '.join(map(str, received))}")
    try:
        arrays = keras.tree.flatten(recorder.predict(example_data, verbose=0))
    except (TypeError, ValueError) as error:
        raise InputError(f"{complaint}; Keras says: {error}") from error
    arrays = dict(zip(tensors, arrays, strict=True))
    for key, array in arrays.items():
        if not np.all(np.isfinite(array)):
            raise InputError(
                f"ModelEnergy: expected finite numbers in example_data and in what the model {model.name!r} makes of "
                f"them, received NaN or infinity in {tensors[key].name!r}; leave such samples out"
            )
    return [_activity(projection, arrays, ACTIVITIES[activity]) for projection in projections]


def _connections(call, energy):
    return energy.compute_layer_stats(call.layer, call).get("connections", 0)


def _fit(example_data, inputs):
    """Whether arrays have the shapes of the inputs; not every backend looks. Other kinds of data pass unseen."""
    arrays = keras.tree.flatten(example_data)
    if isinstance(example_data, dict) or not all(hasattr(array, "shape") for array in arrays):
        return True
    # Keras takes a single feature without its axis.
    shapes = [
        (*array.shape, 1) if len(array.shape) == len(tensor.shape) - 1 and tensor.shape[-1] == 1 else array.shape
        for array, tensor in zip(arrays, inputs, strict=False)
    ]
    return len(arrays) == len(inputs) and all(
        len(shape) == len(tensor.shape)
        and all(length in (None, found) for length, found in zip(tensor.shape, shape, strict=True))
        for shape, tensor in zip(shapes, inputs, strict=True)
    )


def _activity(projection, arrays, read):
    if not projection.tensors:
        return 1.0
    values = [arrays[id(tensor)] for tensor in projection.tensors]
    if projection.spiking_cell is None:
        return read(values)
    spikes = keras.ops.convert_to_numpy(projection.spiking_cell.spikes_of(values[0]))
    # The first step hears the state at rest, and nobody hears the last step's spikes.
    return np.count_nonzero(spikes[:, :-1]) / spikes.size


def _events(values):
    return sum(np.count_nonzero(array) for array in values) / sum(array.size for array in values)


def _hertz(values):
    # Each array's mean in its own precision, as KerasSpiking takes it.
    sizes = [array.size for array in values]
    return float(np.average([np.mean(np.abs(array)) for array in values], weights=sizes))


ACTIVITIES = {"events": _events, "hertz": _hertz}


def _nested(call, energy, per_projection):
    """Those inside a nested model, their tensors computed from this application's inputs."""
    inner = [
        projection
        for part in calls_of(call.layer)
        for projection in projections_of(part, energy, per_projection)
    ]  # fmt: skip
    tensors = {id(tensor): tensor for projection in inner for tensor in projection.tensors}
    graph = functional(call.layer)
    probe = keras.Model(graph.inputs, list(tensors.values()))
    outer = keras.tree.flatten(probe(call.inputs[: len(graph.inputs)]))
    outer = dict(zip(tensors, outer, strict=True))
    return [projection._replace(tensors=[outer[id(tensor)] for tensor in projection.tensors]) for projection in inner]


def _distributed(call, energy, per_projection):
    wrapped = call.layer.layer
    if isinstance(wrapped, (keras.Model, keras.layers.RNN)):
        raise InputError(
            f"ModelEnergy: the activity inside {wrapped.name!r} in the TimeDistributed layer {call.layer.name!r} is "
            "not recorded; apply its layers to the whole sequence, or ask for devices that are not spiking"
        )
    return [Projection(_connections(call, energy), call.inputs[:1])]


def _recurrent(call, energy, per_projection):
    """Two for each cell: from its input, and from its own last step."""
    sequences, cells = call.inputs[0], cells_of(call.layer)
    totals = [_connections(part, energy) for part in parts_of(call)]
    if not per_projection:
        return [Projection(sum(totals), [sequences])]
    projections, source = [], sequences
    for number, (cell, total) in enumerate(zip(cells, totals, strict=True), start=1):
        recurrent = min(recurrent_connections(cell), total)
        projections.append(Projection(total - recurrent, [source]))
        is_last = number == len(cells)
        if not is_last or isinstance(cell, RLIFCell):
            source = _outputs_at_every_step(call.layer, cells[:number], sequences)
        if recurrent:
            driven = {"tensors": [source], "spiking_cell": cell} if isinstance(cell, RLIFCell) else {"tensors": []}
            projections.append(Projection(recurrent, **driven))
    return projections


def _outputs_at_every_step(layer, cells, sequences):
    """What the last of the first few cells of an RNN hands on, whatever the RNN itself returns."""
    cell = cells[0] if len(cells) == 1 else keras.layers.StackedRNNCells(cells)
    return keras.layers.RNN(cell, return_sequences=True, go_backwards=layer.go_backwards)(sequences)


_SOURCES = {keras.Model: _nested, keras.layers.TimeDistributed: _distributed, keras.layers.RNN: _recurrent}
