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
from kspike_reg.typing import Tensor

if TYPE_CHECKING:
    from kspike_reg.datasets import Paths

__all__ = ["Record", "Recording", "error_text", "evaluate", "predict", "records"]


def predict(
    model: keras.Model, paths: "Paths", batch_size: int = 256, *, outside: str = "warn", return_spread: bool = False
) -> Any:
    """Predict the targets of `paths`.

    Args:
        model: a network in physical units.
        paths: `datasets.Paths` with as many input quantities as the model takes.
        batch_size: paths at a time.
        outside: reaction to inputs outside the range that the model was trained on: "warn", "raise" or "ignore".
        return_spread: whether to return the spread of the population, see `network.physical.spread_at`, next to the
            prediction, from the same pass.

    Returns:
        Shape (n, T, outputs), in physical units; values beyond a path's length have no meaning. With
        `return_spread` a pair of such arrays.

    Raises:
        InputError: shapes that do not fit the model, inputs outside its range with `outside="raise"`, or a spread of a
            model without a `PopulationMean`.
    """
    prediction, spread, _ = _run(model, paths, batch_size, outside, return_spread)
    return (prediction, spread) if return_spread else prediction


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
    if paths.targets is None:
        raise InputError("evaluate: the paths have no targets to compare with; name the output columns")
    _, scaling = scaling_of(model)
    if len(scaling.names) != paths.targets.shape[2]:
        raise InputError(
            f"evaluate: the model gives {len(scaling.names)} outputs ({', '.join(scaling.names)}), "
            f"the paths have {paths.targets.shape[2]} targets ({', '.join(paths.target_names)})"
        )
    if simulate is None:
        prediction, _, rates = _run(model, paths, batch_size, outside)
    else:
        check_paths(model, paths, outside)
        found = simulate(model, paths)
        prediction = found.outputs
        rates = {name: float(spikes[paths.mask].mean()) for name, spikes in found.spikes.items()}
    pair = paths.targets, prediction
    several = len(scaling.names) > 1
    return {
        "errors": _by_space(scaling, *pair, paths.lengths),
        **({"errors_by_output": _by_output(scaling, *pair, paths.lengths)} if several else {}),
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


def _by_space(scaling, reference, prediction, lengths, output=slice(None)):
    """Errors of all outputs, or of some."""
    standardised = [scaling.standardise(values)[..., output] for values in (reference, prediction)]
    relative = (metrics.mean_relative_error, metrics.mean_pointwise_relative_error)
    squared = metrics.root_mean_squared_error
    return {
        "standardised": _errors((*relative, squared), *standardised, lengths),
        "physical": _errors((squared,), reference[..., output], prediction[..., output], lengths),
    }


def _by_output(scaling, reference, prediction, lengths):
    return {
        name: _by_space(scaling, reference, prediction, lengths, slice(number, number + 1))
        for number, name in enumerate(scaling.names)
    }


def _errors(measures, reference, prediction, lengths):
    return {
        metric.__name__: {steps: _error(metric, reference, prediction, steps, lengths) for steps in ("all", "last")}
        for metric in measures
    }


def check_paths(model: keras.Model, paths: "Paths", outside: str, stacklevel: int = 4) -> None:
    """`network.physical.check_range` for paths of different lengths."""
    # Each path's own first step replaces its padding.
    own = np.where(paths.mask[..., None], paths.inputs, paths.inputs[:, :1])
    check_range(model, own, outside, paths.labels, stacklevel=stacklevel)


def _error(metric, reference, prediction, steps, lengths):
    try:
        return metric(reference, prediction, steps, lengths=lengths)
    except InputError:  # a denominator of zero: the number does not exist
        return None


def _run(model, paths, batch_size, outside, with_spread=False):
    """Predictions (n, T, outputs), their spread or None, and the spike rates of each spiking node, batch by batch."""
    inputs = _checked(model, paths, outside)
    probed = _probed(model, with_spread)
    parts, counts = [], dict.fromkeys(probed.wanted, 0.0)
    batches = probed.in_batches([inputs], batch_size)
    for start, found in zip(range(0, len(paths), batch_size), batches, strict=True):
        parts.append([found["outputs"][0], *found.get("spread", ())])
        for name, states in found["states"].items():
            spikes = keras.ops.convert_to_numpy(states["spikes"])
            counts[name] += np.sum(spikes[paths.mask[start : start + batch_size]], dtype=np.float64)
    prediction, *spread = (np.concatenate(part) for part in zip(*parts, strict=True))
    wrong = ~np.isfinite(prediction) & paths.mask[..., None]
    if wrong.any():
        path = np.argwhere(wrong)[0][0]
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
    """The inputs of a model in physical units, zero in the padding, in the precision of Keras."""
    features = model.input_shape[-1]
    if paths.inputs.shape[2] != features:
        raise InputError(
            f"the model takes {features} input{'s' * (features != 1)}, the paths have {paths.inputs.shape[2]} "
            f"({', '.join(paths.input_names)})"
        )
    steps = model.input_shape[1]
    if steps is not None and paths.inputs.shape[1] != steps:
        raise InputError(f"the model takes paths of {steps} steps, the paths have {paths.inputs.shape[1]}")
    with np.errstate(over="ignore"):
        inputs = np.where(paths.mask[..., None], paths.inputs, 0).astype(keras.config.floatx())
    if not np.all(np.isfinite(inputs)):
        # The output of a spiking network may be finite even if an input is infinite.
        path, _, column = np.argwhere(~np.isfinite(inputs))[0]
        raise InputError(
            f"path {paths.labels[path]!r}: {paths.input_names[column]} is too large for {inputs.dtype}; "
            "check that it is in the unit that the model was trained in"
        )
    check_paths(model, paths, outside, stacklevel=6)
    return inputs
