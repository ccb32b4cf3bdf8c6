"""What a trained network is worth: its errors on a data set, and how often its neurons fire."""

import keras
import numpy as np

from kspike_reg import metrics
from kspike_reg.errors import InputError
from kspike_reg.network import spiking_layers
from kspike_reg.scaling import scaling_of

__all__ = ["evaluate", "predict"]


def predict(model, paths, batch_size=256):
    """Targets of `paths` as the model sees them.

    Args:
        model: a network in physical units.
        paths: `datasets.Paths`, of as many quantities as the model takes.
        batch_size: paths at a time.

    Returns:
        Shape (n, T, outputs), in physical units; what lies beyond a path's length has no meaning.

    Raises:
        InputError: shapes that do not fit the model.
    """
    return _run(model, paths, batch_size)[0]


def evaluate(model, paths, batch_size=256):
    """Errors and spike rates of `model` on `paths`, over the steps that belong to a path.

    Args:
        model: a network in physical units, as `kspike_reg.load` gives it.
        paths: `datasets.Paths` with targets.
        batch_size: paths at a time.

    Returns:
        A dictionary ready for JSON: `errors`, by space ("standardised", "physical"), metric and steps ("all",
        "last"), with None where a metric is undefined; `spike_rates`, the mean spikes per neuron and step of each
        spiking layer; `parameters`, the number of trained weights.

    Raises:
        InputError: a model without scaling, paths without targets, or shapes that do not fit the model.
    """
    if paths.targets is None:
        raise InputError("evaluate: the paths have no targets to compare with; name the output columns")
    _, scaling = scaling_of(model)
    if len(scaling.names) != paths.targets.shape[2]:
        raise InputError(
            f"evaluate: the model gives {len(scaling.names)} outputs ({', '.join(scaling.names)}), "
            f"the paths have {paths.targets.shape[2]} targets ({', '.join(paths.target_names)})"
        )
    prediction, rates = _run(model, paths, batch_size)
    standardised = [(values - scaling.mean) / scaling.deviation for values in (paths.targets, prediction)]
    relative = (metrics.mean_relative_error, metrics.mean_pointwise_relative_error)
    return {
        "errors": {
            "standardised": _errors((*relative, metrics.root_mean_squared_error), *standardised, paths.lengths),
            "physical": _errors((metrics.root_mean_squared_error,), paths.targets, prediction, paths.lengths),
        },
        "spike_rates": rates,
        "parameters": sum(int(np.prod(weight.shape)) for weight in model.trainable_weights),
    }


def _errors(measures, reference, prediction, lengths):
    return {
        metric.__name__: {steps: _error(metric, reference, prediction, steps, lengths) for steps in ("all", "last")}
        for metric in measures
    }


def _error(metric, reference, prediction, steps, lengths):
    try:
        return metric(reference, prediction, steps, lengths=lengths)
    except InputError:  # a denominator of zero: the number does not exist
        return None


def _run(model, paths, batch_size):
    """Predictions (n, T, outputs) and the mean spikes per neuron and step of each spiking layer, batch by batch."""
    features = model.input_shape[-1]
    if paths.inputs.shape[2] != features:
        raise InputError(
            f"the model takes {features} input{'s' * (features != 1)}, the paths have {paths.inputs.shape[2]} "
            f"({', '.join(paths.input_names)})"
        )
    steps = model.input_shape[1]
    if steps is not None and paths.inputs.shape[1] != steps:
        raise InputError(f"the model takes paths of {steps} steps, the paths have {paths.inputs.shape[1]}")
    layers = spiking_layers(model)
    recorder = keras.Model(model.inputs, [model.outputs[0], *(layer.output for layer in layers)])
    predictions, counts = [], np.zeros(len(layers))
    for start in range(0, len(paths), batch_size):
        part = slice(start, start + batch_size)
        prediction, *outputs = recorder.predict_on_batch(paths.inputs[part].astype(keras.config.floatx()))
        predictions.append(prediction)
        mask = paths.mask[part]
        for index, (layer, output) in enumerate(zip(layers, outputs, strict=True)):
            counts[index] += np.sum(keras.ops.convert_to_numpy(layer.cell.spikes_of(output))[mask], dtype=np.float64)
    chances = int(paths.lengths.sum())
    rates = {layer.name: float(count / chances / layer.units) for layer, count in zip(layers, counts, strict=True)}
    return np.concatenate(predictions), rates
