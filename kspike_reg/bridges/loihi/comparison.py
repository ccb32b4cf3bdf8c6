"""The errors of a network as trained, quantised and on Loihi's emulator: `loihi_report`."""

from typing import Any

import keras
import numpy as np

from kspike_reg import metrics
from kspike_reg.bridges.loihi.account import METRICS, LoihiLayer, LoihiReport
from kspike_reg.bridges.loihi.layers import plan_of
from kspike_reg.bridges.loihi.quantise import quantise
from kspike_reg.bridges.loihi.run import simulate_on_loihi
from kspike_reg.errors import InputError
from kspike_reg.network.execute import call_layer, execute
from kspike_reg.network.inputs import checked_inputs, is_paths
from kspike_reg.network.physical import Standardise
from kspike_reg.network.probes import states_at

__all__ = ["loihi_report"]


def loihi_report(model: keras.Model, inputs: Any, targets: Any = None, progress: bool | None = None) -> LoihiReport:
    """Run a network as trained, quantised in Keras, and on the emulator, and compare.

    Args:
        model: see `simulate_on_loihi`; with one output.
        inputs: (paths, time, features), in the units that the model takes; or `datasets.Paths` of one length.
        targets: (paths, time, outputs), in the units of the model's output; None takes those of the paths.
        progress: whether to show a progress bar, see `simulate_on_loihi`.

    Returns:
        A `LoihiReport`.

    Raises:
        InputError: as `simulate_on_loihi`; paths of different lengths, no targets, or targets that do not fit.
    """
    if is_paths(inputs):
        if not inputs.mask.all():
            raise InputError("loihi_report: the paths differ in length; report on those of one length at a time")
        targets, inputs = inputs.targets if targets is None else targets, inputs.inputs
    if targets is None:
        raise InputError("loihi_report: no targets to compare with; give targets=..., or name the output columns")
    trained = plan_of(model, "loihi_report")
    values_as_trained, _ = _in_keras(trained, inputs)
    shapes = [tuple(values_as_trained[value].shape) for value in trained.graph.outputs]
    targets = np.asarray(targets, dtype=np.float64)
    if shapes != [targets.shape]:
        raise InputError(
            f"loihi_report: the model gives {' and '.join(map(str, shapes))}; expected targets of that shape, received "
            f"{targets.shape}" + "; it reports on one output" * (len(shapes) > 1)
        )
    quantised = quantise(model)
    plan = plan_of(quantised.model, "loihi_report")
    values, spikes = _in_keras(plan, inputs)
    run = simulate_on_loihi(model, inputs, progress=progress)
    predictions = {
        "float": _output(trained, values_as_trained),
        "quantised": _output(plan, values),
        "emulator": run.outputs,
    }
    on_chip = {layer.node for layer in plan.layers}
    return LoihiReport(
        model=model.name,
        paths=run.outputs.shape[0],
        time=run.steps - max(layer.delay for layer in plan.layers),
        chip_steps=run.steps,
        errors={stage: _errors(plan, targets, prediction) for stage, prediction in predictions.items()},
        layers=tuple(_layer(layer, spikes[layer.name], run, quantised) for layer in plan.layers),
        host=tuple(node.name for node in plan.graph.nodes if node not in on_chip),
        usage=run.usage,
    )


def _in_keras(plan, inputs):
    """All values of a network by their numbers, and the spikes of the chip's layers by their names."""
    arrays = checked_inputs(plan.graph.inputs, inputs, "loihi_report")
    on_chip = {layer.node for layer in plan.layers}
    spikes = {}

    def call(node, arguments, keywords):
        outputs = call_layer(node, arguments, keywords)
        if node in on_chip:
            states = states_at(node, ("spikes",), outputs, arguments, keywords)
            spikes[node.name] = keras.ops.convert_to_numpy(states["spikes"])
        return outputs

    values = {value: keras.ops.convert_to_tensor(array) for value, array in enumerate(arrays)}
    return execute(plan.graph, values, call), spikes


def _output(plan, values):
    return keras.ops.convert_to_numpy(values[plan.graph.outputs[0]])


def _errors(plan, targets, prediction):
    """Errors by space, metric and steps; in the network's own units if it contains no scaling."""
    restore = next(
        (node.layer for node in plan.graph.nodes if isinstance(node.layer, Standardise) and node.layer.invert), None
    )
    if restore is None:
        return {"own units": _by_metric(METRICS, targets, prediction)}
    standardised = [restore.standardise(values) for values in (targets, prediction)]
    return {
        "standardised": _by_metric(METRICS, *standardised),
        "physical": _by_metric(METRICS[-1:], targets, prediction),
    }


def _by_metric(names, targets, prediction):
    return {name: {steps: _error(name, targets, prediction, steps) for steps in ("all", "last")} for name in names}


def _error(name, targets, prediction, steps):
    try:
        return getattr(metrics, name)(targets, prediction, steps)
    except InputError:  # a denominator of zero: the number does not exist
        return None


def _layer(layer, spikes_in_keras, run, quantised):
    record, integers = run.records[layer.name], quantised.layers[layer.name]
    spikes = int(record.spikes.sum())
    return LoihiLayer(
        name=layer.name,
        kind=type(layer.node.layer).__name__,
        neurons=layer.cell.units,
        spikes=spikes,
        spikes_per_neuron_and_step=spikes / record.spikes.size,
        spikes_as_in_keras=float(np.mean(run.spikes[layer.name] == spikes_in_keras)),
        events=record.events,
        weight_exponents={source: exponent for source, (_, exponent) in integers.kernels.items()},
        decays=int(np.unique(integers.decay).size),
        thresholds=int(np.unique(integers.threshold).size),
        cores=sum(core["layer"] == layer.name for core in run.usage),
        raised_thresholds=integers.raised,
        clipped=record.clipped,
        saturated=record.saturated,
    )
