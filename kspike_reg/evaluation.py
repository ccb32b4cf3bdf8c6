"""What a trained network is worth: its errors on a data set, and what its neurons do."""

from typing import NamedTuple

import keras
import numpy as np

from kspike_reg import metrics
from kspike_reg.errors import InputError
from kspike_reg.network import spiking_layers
from kspike_reg.network.physical import check_range, scaling_of, spread_of

__all__ = ["Record", "error_text", "evaluate", "predict", "records"]


def predict(model, paths, batch_size=256, *, outside="warn", return_spread=False):
    """Targets of `paths` as the model sees them.

    Args:
        model: a network in physical units.
        paths: `datasets.Paths`, of as many quantities as the model takes.
        batch_size: paths at a time.
        outside: what to do where inputs leave the range that the model was trained on: "warn", "raise" or "ignore".
        return_spread: whether to return how far the voters of the population stand apart, see `scaling.spread_of`,
            beside the prediction, from the same pass.

    Returns:
        Shape (n, T, outputs), in physical units; what lies beyond a path's length has no meaning. With
        `return_spread` a pair of such arrays.

    Raises:
        InputError: shapes that do not fit the model, inputs outside its range where they are to raise, or a spread
            asked of a model in which no population votes.
    """
    prediction, spread, _ = _run(model, paths, batch_size, outside, return_spread)
    return (prediction, spread) if return_spread else prediction


def evaluate(model, paths, batch_size=256, *, outside="warn", simulate=None):
    """Errors and spike rates of `model` on `paths`, over the steps that belong to a path.

    Args:
        model: a network in physical units, as `kspike_reg.load` gives it.
        paths: `datasets.Paths` with targets.
        batch_size: paths at a time.
        outside: what to do where inputs leave the range that the model was trained on: "warn", "raise" or "ignore".
        simulate: a function (model, paths) that runs the model elsewhere, as `bridges.simulate` does; None runs it in
            Keras.

    Returns:
        A dictionary ready for JSON: `errors`, by space ("standardised", "physical"), metric and steps ("all",
        "last"), with None where a metric is undefined; `spike_rates`, the mean spikes per neuron and step of each
        spiking layer; `parameters`, the number of trained weights.

    Raises:
        InputError: a model without scaling, paths without targets, shapes that do not fit the model, or inputs
            outside its range where they are to raise.
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
    standardised = [scaling.standardise(values) for values in (paths.targets, prediction)]
    relative = (metrics.mean_relative_error, metrics.mean_pointwise_relative_error)
    return {
        "errors": {
            "standardised": _errors((*relative, metrics.root_mean_squared_error), *standardised, paths.lengths),
            "physical": _errors((metrics.root_mean_squared_error,), paths.targets, prediction, paths.lengths),
        },
        "spike_rates": rates,
        "parameters": sum(int(np.prod(weight.shape)) for weight in model.trainable_weights),
    }


class Record(NamedTuple):
    """What the neurons of one spiking layer did, step by step.

    Attributes:
        spikes: S[t], 0.0 or 1.0, shape (n, T, units).
        membranes: U[t], same shape, in the units of the thresholds.
        thresholds: shape (units,).
    """

    spikes: np.ndarray
    membranes: np.ndarray
    thresholds: np.ndarray


def records(model, inputs, batch_size=256):
    """Spikes and membranes of every spiking layer while `model` runs.

    Args:
        model: a functional `keras.Model`, whose spiking layers each hear one sequence; of a layer that is used twice,
            the first use counts.
        inputs: shape (n, T, features), in the units that the model takes, finite; with padding, what stands there in
            the result has no meaning.
        batch_size: paths at a time.

    Returns:
        A `Record` for each layer by its name, in their order.

    Raises:
        InputError: no layer fires, or the inputs do not fit the model.
    """
    layers = spiking_layers(model)
    if not layers:
        raise InputError(f"records: the model {model.name!r} has no spiking layers, so there is nothing to record")
    inputs = np.asarray(inputs)
    wanted = model.input_shape
    if inputs.ndim != 3 or inputs.shape[2] != wanted[2] or wanted[1] not in (None, inputs.shape[1]):
        shape = f"(paths, {wanted[1] or 'steps'}, {wanted[2]})"
        raise InputError(f"records: expected inputs of shape {shape}, received {inputs.shape}")
    recorder = keras.Model(model.input, {layer.name: _membranes(layer) for layer in layers})
    parts = [recorder.predict_on_batch(inputs[at : at + batch_size]) for at in range(0, len(inputs), batch_size)]
    found = {}
    for layer in layers:
        membranes = np.concatenate([part[layer.name] for part in parts])
        thresholds = keras.ops.convert_to_numpy(layer.cell.threshold)
        found[layer.name] = Record((membranes >= thresholds).astype(membranes.dtype), membranes, thresholds)
    return found


def _membranes(layer):
    """The membranes of a spiking layer at every step, symbolic, whatever the layer itself hands on."""
    config = layer.get_config() | {
        "name": f"{layer.name}_membranes",
        "output": "membrane",
        "return_sequences": True,
        "return_state": False,
        "stateful": False,
    }
    copy = type(layer).from_config(config)
    membranes = copy(layer.input)
    copy.set_weights(layer.get_weights())
    return membranes


def error_text(error):
    """An error of an evaluation for people.

    Args:
        error: a number, or None where the error is undefined.

    Returns:
        Four digits, 2.351e-02 say, or "undefined".
    """
    return "undefined" if error is None else f"{error:.3e}"


def _errors(measures, reference, prediction, lengths):
    return {
        metric.__name__: {steps: _error(metric, reference, prediction, steps, lengths) for steps in ("all", "last")}
        for metric in measures
    }


def check_paths(model, paths, outside, stacklevel=4):
    """`scaling.check_range` for paths of different lengths."""
    # In place of the padding stands each path's first step, which is its own.
    own = np.where(paths.mask[..., None], paths.inputs, paths.inputs[:, :1])
    check_range(model, own, outside, paths.labels, stacklevel=stacklevel)


def _error(metric, reference, prediction, steps, lengths):
    try:
        return metric(reference, prediction, steps, lengths=lengths)
    except InputError:  # a denominator of zero: the number does not exist
        return None


def _run(model, paths, batch_size, outside, with_spread=False):
    """Predictions (n, T, outputs), their spread or None, and the spike rates of each spiking layer, batch by batch."""
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
        # A spiking network hides an infinite input behind zeros and ones.
        path, _, column = np.argwhere(~np.isfinite(inputs))[0]
        raise InputError(
            f"path {paths.labels[path]!r}: {paths.input_names[column]} is too large for {inputs.dtype}; "
            "is it in the unit that the model was trained in?"
        )
    check_paths(model, paths, outside, stacklevel=5)
    layers = spiking_layers(model)
    answers = [model.outputs[0], *([spread_of(model)] if with_spread else [])]
    recorder = keras.Model(model.input, [answers, [layer.output for layer in layers]])
    parts, counts = [], dict.fromkeys((layer.name for layer in layers), 0.0)
    for start in range(0, len(paths), batch_size):
        part = slice(start, start + batch_size)
        answer, records = recorder.predict_on_batch(inputs[part])
        parts.append(answer)
        for layer, record in zip(layers, records, strict=True):
            spikes = keras.ops.convert_to_numpy(layer.cell.spikes_of(record))
            counts[layer.name] += np.sum(spikes[paths.mask[part]], dtype=np.float64)
    prediction, *spread = (np.concatenate(part) for part in zip(*parts, strict=True))
    wrong = ~np.isfinite(prediction) & paths.mask[..., None]
    if wrong.any():
        path = np.argwhere(wrong)[0][0]
        raise InputError(
            f"path {paths.labels[path]!r}: the answer is not finite; are its inputs in the units that the model was "
            "trained in?"
        )
    steps_taken = int(paths.lengths.sum())
    rates = {layer.name: float(counts[layer.name] / (steps_taken * layer.units)) for layer in layers}
    return prediction, spread[0] if spread else None, rates
