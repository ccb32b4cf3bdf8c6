"""How busy the synapses of each layer are: what drives how many of them, and how often.

An activity is one number for each group of synapses, by one of two conventions (`ACTIVITIES`):

- events: the part of (sample, step, element) at which the element is not zero, so events per synapse and step. The
  spikes of this package, of height one, count once each; real values count at every step.
- hertz: the mean size of the element, taken for a rate in Hz, as KerasSpiking does, whose spikes have height 1 / dt.
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import keras
import numpy as np

from kspike_reg.energy.keras_spiking.layer_calls import LayerCall, Registry, cells_of, function_of, parts_of
from kspike_reg.energy.keras_spiking.layer_statistics import recurrent_connections, statistics_of
from kspike_reg.energy.keras_spiking.signals import Signal, SignalRecorder
from kspike_reg.errors import InputError
from kspike_reg.network.graph import Graph
from kspike_reg.neurons.cell import NeuronCell

__all__ = ["ACTIVITIES", "Projection", "layer_activities", "measure", "projections_of"]


class Projection(NamedTuple):
    """A group of synapses with one source.

    Attributes:
        connections: how many.
        signals: what drives them; nothing for a real-valued state, which drives them at every step.
        fed_back: whether the signal of one step drives them at the next one.
    """

    connections: int
    signals: tuple[Signal, ...]
    fed_back: bool = False


def projections_of(call: LayerCall, registry: Registry, per_projection: bool) -> list[Projection]:
    """The projections of one call of a layer.

    Args:
        call: in the graph of a model.
        registry: statistics functions, see `layer_calls.Registry`.
        per_projection: whether recurrent synapses go by their own source; otherwise by the layer's input, as all
            synapses do in KerasSpiking.

    Raises:
        InputError: a layer whose activity is not recorded.
    """
    split = next((split for kind, split in _PROJECTIONS.items() if isinstance(call.layer, kind)), None)
    if split is None or function_of(call.layer, registry) is not None:
        return [Projection(_connections(call, registry), call.values)]
    return split(call, registry, per_projection)


def layer_activities(
    graph: Graph, calls: Sequence[LayerCall], registry: Registry, example_data: Any, activity: str
) -> dict[keras.layers.Layer, float]:
    """The mean activity over the connections of each layer of a model.

    Args:
        graph: the model.
        calls: of its layers, as `calls_of` lists them.
        registry: as in `projections_of`.
        example_data, activity: as in `measure`.

    Returns:
        By layer of the model's outermost level. Layers without connections have the plain mean over their inputs.

    Raises:
        InputError: see `projections_of` and `measure`.
    """
    per_projection = activity == "events"
    projections = [(call.member, each) for call in calls for each in projections_of(call, registry, per_projection)]
    found = measure(graph, [projection for _, projection in projections], example_data, activity)
    means = {}
    for layer in graph.layers:
        own = [
            (projection.connections, part)
            for (member, projection), part in zip(projections, found, strict=True)
            if member is layer
        ]
        connections = sum(count for count, _ in own)
        weights = [count / connections if connections else 1 / len(own) for count, _ in own]
        means[layer] = float(sum(weight * part for weight, (_, part) in zip(weights, own, strict=True)))
    return means


def measure(graph: Graph, projections: Sequence[Projection], example_data: Any, activity: str) -> list[float]:
    """The activity of each projection on example data.

    Args:
        graph: the model.
        projections: of its calls.
        example_data: whatever `keras.Model.predict` takes.
        activity: a name in `ACTIVITIES`.

    Returns:
        Numbers in the order of the projections.

    Raises:
        InputError: data that the model does not take, numbers that are not finite, or neurons whose spikes cannot be
            recorded.
    """
    signals = list(dict.fromkeys(signal for projection in projections for signal in projection.signals))
    expected = ", ".join(f"{tensor.name} {tuple(tensor.shape)}" for tensor in graph.inputs)
    complaint = f"ModelEnergy: example_data does not fit the inputs of the model {graph.name!r}, expected {expected}"
    if not _fit(example_data, graph.inputs):
        received = [getattr(array, "shape", type(array).__name__) for array in keras.tree.flatten(example_data)]
        raise InputError(f"{complaint}, received {', '.join(map(str, received))}")
    try:
        arrays = keras.tree.flatten(SignalRecorder(graph, signals).predict(example_data, verbose=0))
    except InputError:
        raise
    except (TypeError, ValueError) as error:
        raise InputError(f"{complaint}; Keras says: {error}") from error
    found = dict(zip(signals, arrays, strict=True))
    for signal, array in found.items():
        if not np.all(np.isfinite(array)):
            raise InputError(
                f"ModelEnergy: expected finite numbers in example_data and in all values of the model {graph.name!r}, "
                f"received NaN or infinity in {_name(signal, graph)!r}; leave such samples out"
            )
    return [_activity(projection, found, ACTIVITIES[activity]) for projection in projections]


def _fit(example_data, inputs):
    """Whether arrays have the shapes of the inputs; not every backend checks. Other kinds of data are not checked."""
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


def _name(signal, graph):
    """The name of the node or of the input that a signal comes from."""
    if not isinstance(signal, int):
        return signal[0]
    node = graph.producer_of(signal)
    return graph.inputs[signal].name if node is None else node.name


def _activity(projection, found, read):
    if not projection.signals:
        return 1.0
    arrays = [found[signal] for signal in projection.signals]
    if not projection.fed_back:
        return read(arrays)
    (spikes,) = arrays
    # The first step receives the state at rest, and nothing receives the spikes of the last step.
    return np.count_nonzero(spikes[:, :-1]) / spikes.size


def _events(arrays):
    return sum(np.count_nonzero(array) for array in arrays) / sum(array.size for array in arrays)


def _hertz(arrays):
    # Each array's mean in its own precision, as KerasSpiking takes it.
    sizes = [array.size for array in arrays]
    return float(np.average([np.mean(np.abs(array)) for array in arrays], weights=sizes))


ACTIVITIES: dict[str, Callable[[Sequence[np.ndarray]], float]] = {"events": _events, "hertz": _hertz}


# ------------------------------------------------------------------------------------- what drives which connections


def _connections(call, registry):
    return statistics_of(call, registry).get("connections", 0)


def _distributed(call, registry, per_projection):
    wrapped = call.layer.layer
    if isinstance(wrapped, (keras.Model, keras.layers.RNN)):
        raise InputError(
            f"ModelEnergy: the activity inside {wrapped.name!r} in the TimeDistributed layer {call.layer.name!r} is "
            "not recorded; apply its layers to the whole sequence, or leave example_data out and ask for devices that "
            "are not spiking"
        )
    return [Projection(_connections(call, registry), call.values[:1])]


def _recurrent(call, registry, per_projection):
    """Two for each cell: from its input, and from its own last step."""
    totals = [_connections(part, registry) for part in parts_of(call, registry)]
    source = call.values[:1]
    if not per_projection:
        return [Projection(sum(totals), source)]
    projections = []
    for number, (cell, total) in enumerate(zip(cells_of(call.layer), totals, strict=True)):
        recurrent = min(recurrent_connections(cell), total)
        projections.append(Projection(total - recurrent, source))
        if recurrent and isinstance(cell, NeuronCell) and cell.feeds_back == "spikes":
            projections.append(Projection(recurrent, ((call.node.name, number, "spikes"),), fed_back=True))
        elif recurrent:
            projections.append(Projection(recurrent, ()))
        source = ((call.node.name, number, "output"),)
    return projections


_PROJECTIONS = {keras.layers.TimeDistributed: _distributed, keras.layers.RNN: _recurrent}
