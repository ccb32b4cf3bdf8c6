"""Predictions and errors of trained networks on data sets, and records of their neurons."""

import weakref
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import keras
import numpy as np

from kspike_reg import metrics
from kspike_reg.errors import InputError
from kspike_reg.network.graph import Graph, functional_of, graph_of
from kspike_reg.network.physical import averaging_node, check_range, scaling_of, spread_at
from kspike_reg.network.probes import ProbedModel, Record, Recording, record
from kspike_reg.ragged import Ragged, buckets, mask_of
from kspike_reg.typing import Tensor

if TYPE_CHECKING:
    from kspike_reg.datasets import Paths

__all__ = ["Record", "Recording", "error_text", "evaluate", "predict", "records"]


def predict(
    model: keras.Model,
    paths: "Paths",
    batch_size: int = 256,
    *,
    outside: str = "warn",
    return_spread: bool = False,
    padded: bool = True,
) -> Any:
    """Predict the targets of `paths`.

    Args:
        model: a network in physical units.
        paths: `datasets.Paths` with as many input quantities as the model takes.
        batch_size: paths at a time.
        outside: reaction to inputs outside the range that the model was trained on: "warn", "raise" or "ignore".
        return_spread: whether to return the spread of the population, see `network.physical.spread_at`, next to the
            prediction, from the same pass.
        padded: whether to return one array; False returns a list with an array for each path, which needs less memory
            where one path is much longer than the others.

    Returns:
        Shape (n, T, outputs), in physical units; values beyond a path's length have no meaning. Without `padded` a list
        of arrays (steps of the path, outputs). With `return_spread` a pair of such arrays or lists.

    Raises:
        InputError: shapes that do not fit the model, inputs outside its range with `outside="raise"`, or a spread of a
            model without a `PopulationMean`.
    """
    prediction, spread, _ = _run(model, paths, batch_size, outside, return_spread)
    shown = [values.padded() if padded else values.each() for values in (prediction, spread) if values is not None]
    return tuple(shown) if return_spread else shown[0]


def evaluate(
    model: keras.Model,
    paths: "Paths",
    batch_size: int = 256,
    *,
    outside: str = "warn",
    simulate: Callable[[keras.Model, "Paths"], Recording] | None = None,
) -> dict[str, Any]:
    """Errors and spike rates of `model` on `paths`, over the steps that belong to a path.

    Args:
        model: a network in physical units, as `kspike_reg.load` returns it.
        paths: `datasets.Paths` with targets.
        batch_size: paths at a time.
        outside: reaction to inputs outside the range that the model was trained on: "warn", "raise" or "ignore".
        simulate: a function (model, paths) that runs the model on a simulator, such as `bridges.simulate`; None runs it
            in Keras.

    Returns:
        A dictionary ready for JSON: `errors`, by space ("standardised", "physical"), metric and steps ("all",
        "last"), with None where a metric is undefined; where the model has several outputs, whose units may differ,
        `errors_by_output`, the same for each output alone by its name; `spike_rates`, the mean spikes per neuron and
        step of each spiking node, nested models included, and None for a layer that hides its neurons
        (`Bidirectional`, `TimeDistributed`, stacked cells); `parameters`, the number of trained weights.

    Raises:
        InputError: a model without scaling, paths without targets, shapes that do not fit the model, or inputs
            outside its range with `outside="raise"`.
    """
    if paths.ragged("targets") is None:
        raise InputError("evaluate: the paths have no targets to compare with; name the output columns")
    _, scaling = scaling_of(model)
    targets = paths.ragged("targets")
    if len(scaling.names) != len(paths.target_names):
        raise InputError(
            f"evaluate: the model gives {len(scaling.names)} outputs ({', '.join(scaling.names)}), "
            f"the paths have {len(paths.target_names)} targets ({', '.join(paths.target_names)})"
        )
    if simulate is None:
        prediction, _, rates = _run(model, paths, batch_size, outside)
    else:
        check_paths(model, paths, outside)
        found = simulate(model, paths)
        prediction = Ragged.of(found.outputs, paths.lengths)
        rates = {name: float(spikes[paths.mask].mean()) for name, spikes in found.spikes.items()}
    pair = targets, prediction
    several = len(scaling.names) > 1
    return {
        "errors": _by_space(scaling, *pair),
        **({"errors_by_output": _by_output(scaling, *pair)} if several else {}),
        "spike_rates": rates,
        "parameters": sum(int(np.prod(weight.shape)) for weight in model.trainable_weights),
    }


def records(model: keras.Model, inputs: Any, batch_size: int = 256) -> Recording:
    """Spikes, membranes and further states of every neuron while a model runs.

    Args:
        model: a functional or sequential `keras.Model` with spiking neurons, nested to any depth.
        inputs: shape (n, T, features), in the units that the model takes, finite; or `datasets.Paths`; for several
            inputs a list of arrays, or a dictionary by their names. Records of padded steps have no meaning.
        batch_size: paths at a time.

    Returns:
        A `network.probes.Recording`: a `Record` for each spiking node by its name, in their order; a layer that is
        called twice has two nodes, "lif" and "lif@2".

    Raises:
        InputError: no layer fires, the inputs do not fit the model, or neurons cannot be probed.
    """
    if not graph_of(model, "records").spiking_nodes:
        raise InputError(f"records: the model {model.name!r} has no spiking layers, so there is nothing to record")
    return record(model, inputs, batch_size, caller="records")


def error_text(error: float | None) -> str:
    """An error of an evaluation as text.

    Args:
        error: a number, or None where the error is undefined.

    Returns:
        Four digits, for example 2.351e-02, or "undefined".
    """
    return "undefined" if error is None else f"{error:.3e}"


def _by_space(scaling, reference, prediction, output=slice(None)):
    """Errors of all outputs, or of some, from the steps of all paths."""
    physical = [values.with_rows(values.rows[:, output]) for values in (reference, prediction)]
    standardised = [values.with_rows(scaling.standardise(values.rows)[:, output]) for values in (reference, prediction)]
    relative = (metrics.mean_relative_error, metrics.mean_pointwise_relative_error)
    squared = metrics.root_mean_squared_error
    return {
        "standardised": _errors((*relative, squared), *standardised),
        "physical": _errors((squared,), *physical),
    }


def _by_output(scaling, reference, prediction):
    return {
        name: _by_space(scaling, reference, prediction, slice(number, number + 1))
        for number, name in enumerate(scaling.names)
    }


def _errors(measures, reference, prediction):
    return {
        metric.__name__: {steps: _error(metric, reference, prediction, steps) for steps in ("all", "last")}
        for metric in measures
    }


def check_paths(model: keras.Model, paths: "Paths", outside: str, stacklevel: int = 4) -> None:
    """`network.physical.check_range` for paths of different lengths."""
    inputs = paths.ragged("inputs").rows
    check_range(model, inputs, outside, paths.labels, stacklevel=stacklevel, lengths=paths.lengths)


def _error(metric, reference, prediction, steps):
    try:
        return metric(reference, prediction, steps)
    except InputError:  # a denominator of zero: the number does not exist
        return None


def _run(model, paths, batch_size, outside, with_spread=False):
    """Predictions and their spread or None, as `Ragged`, and the spike rates of each spiking node, batch by batch."""
    inputs = _checked(model, paths, outside)
    probed = _probed(model, with_spread)
    rows, order, counts = [], [], dict.fromkeys(probed.wanted, 0.0)
    # A model of paths of one length takes no others.
    groups = buckets(paths.lengths, paths.width) if model.input_shape[1] is None else None
    for members, width in groups or [(np.arange(len(paths)), paths.width)]:
        batches = probed.in_batches([inputs.batch(members, width)], batch_size)
        for start, found in zip(range(0, len(members), batch_size), batches, strict=True):
            mask = mask_of(paths.lengths[members[start : start + batch_size]], width)
            rows.append([values[mask] for values in (found["outputs"][0], *found.get("spread", ()))])
            for name, states in found["states"].items():
                counts[name] += np.sum(keras.ops.convert_to_numpy(states["spikes"])[mask], dtype=np.float64)
        order.append(members)
    order = np.concatenate(order)
    prediction, *spread = (
        Ragged(np.concatenate(part), paths.lengths[order], paths.width).take(np.argsort(order))
        for part in zip(*rows, strict=True)
    )
    wrong = ~np.isfinite(prediction.rows)
    if wrong.any():
        path = np.searchsorted(prediction.ends, np.argwhere(wrong)[0][0], side="right")
        raise InputError(
            f"path {paths.labels[path]!r}: the prediction is not finite; check that its inputs are in the units that "
            "the model was trained in"
        )
    steps = int(paths.lengths.sum())
    rates = {}
    for node in probed.graph.nodes:
        if node.name in counts:
            rates[node.name] = float(counts[node.name] / (steps * node.cell.units))
        elif any(cell.fires for cell in node.hidden_cells):
            rates[node.name] = None
    return prediction, spread[0] if spread else None, rates


# A probed model for each evaluated model, with and without its spread, since compiling takes seconds.
_PROBED = weakref.WeakKeyDictionary()


def _probed(model, with_spread):
    functional = functional_of(model, "evaluate")
    probed = _PROBED.setdefault(functional, {})
    if with_spread not in probed:
        probed[with_spread] = _Probed(graph_of(model, "evaluate"), with_spread, model)
    return probed[with_spread]


class _Probed(ProbedModel):
    """Returns the spikes of a network, and on request its spread, next to its outputs."""

    def __init__(self, graph: Graph, with_spread: bool, model: keras.Model) -> None:
        super().__init__(graph, {node.name: ("spikes",) for node in graph.spiking_nodes})
        self.averaging = averaging_node(graph) if with_spread else None
        self.restore = scaling_of(model)[1] if with_spread else None

    def read(self, values: dict[int, Tensor], states: dict[str, dict[str, Tensor]]) -> dict[str, Any]:
        found = super().read(values, states)
        if self.averaging is not None:
            found["spread"] = [spread_at(self.averaging, values, self.restore)]
        return found


def _checked(model, paths, outside):
    """The inputs of a model in physical units, in its precision, as `Ragged`."""
    features, rows = model.input_shape[-1], paths.ragged("inputs").rows
    if rows.shape[1] != features:
        raise InputError(
            f"the model takes {features} input{'s' * (features != 1)}, the paths have {rows.shape[1]} "
            f"({', '.join(paths.input_names)})"
        )
    steps = model.input_shape[1]
    if steps is not None and paths.width != steps:
        raise InputError(f"the model takes paths of {steps} steps, the paths have {paths.width}")
    double = keras.backend.standardize_dtype(model.inputs[0].dtype) == "float64"
    with np.errstate(over="ignore"):
        inputs = paths.ragged("inputs").with_rows(rows.astype("float64" if double else keras.config.floatx()))
    if not np.all(np.isfinite(inputs.rows)):
        # The output of a spiking network may be finite even if an input is infinite.
        step, column = np.argwhere(~np.isfinite(inputs.rows))[0]
        path = np.searchsorted(inputs.ends, step, side="right")
        raise InputError(
            f"path {paths.labels[path]!r}: {paths.input_names[column]} is too large for {inputs.rows.dtype}; "
            "check that it is in the unit that the model was trained in"
        )
    check_paths(model, paths, outside, stacklevel=6)
    return inputs
