"""What a network's way onto Loihi costs and takes: errors, spikes, synaptic events, cores, and what did not fit."""

from dataclasses import asdict, dataclass

import keras
import numpy as np

from kspike_reg import metrics
from kspike_reg.bridges.loihi_cores import CORES, LIMITS
from kspike_reg.bridges.loihi_layers import plan_of
from kspike_reg.bridges.loihi_quantise import quantise
from kspike_reg.bridges.loihi_run import checked_inputs, simulate_on_loihi
from kspike_reg.errors import InputError
from kspike_reg.scaling import Standardise

__all__ = ["LoihiLayer", "LoihiReport", "loihi_report"]

STAGES = {"float": "as trained", "quantised": "quantised, in Keras", "emulator": "on the emulator"}
METRICS = ("mean_relative_error", "mean_pointwise_relative_error", "root_mean_squared_error")


@dataclass(frozen=True)
class LoihiLayer:
    """One spiking layer on the chip, over all the data.

    Attributes:
        name, kind, neurons: of the layer.
        spikes: fired on the emulator.
        spikes_per_neuron_and_step: the same as a rate.
        spikes_as_in_keras: share of the neuron-steps in which the quantised network in Keras fires, or not, as the
            emulator does.
        events: synaptic events by the layer heard, counted in the emulator as it adds a weight to a compartment.
        weight_exponents: by the layer heard, of the eight-bit mantissas.
        decays, thresholds: different ones that the layer has on the chip.
        cores: that it takes.
        raised_thresholds: neurons whose threshold is below the chip's least and was raised to it.
        clipped: currents from the host that were beyond the bias register.
        saturated: membranes that stood at the lower end of their register.
    """

    name: str
    kind: str
    neurons: int
    spikes: int
    spikes_per_neuron_and_step: float
    spikes_as_in_keras: float
    events: dict
    weight_exponents: dict
    decays: int
    thresholds: int
    cores: int
    raised_thresholds: int
    clipped: int
    saturated: int


@dataclass(frozen=True)
class LoihiReport:
    """A network on Loihi's emulator, beside itself in Keras.

    Attributes:
        model: its name.
        paths, time: how many paths, and their steps.
        chip_steps: steps of the chip for each path: each layer after the first adds one.
        errors: by stage ("float", "quantised", "emulator"), space ("standardised", "physical" where the network
            carries its scaling, else "own units"), metric and steps ("all", "last"); None where one is undefined.
        layers: one `LoihiLayer` each.
        host: names of the layers that stay on the host.
        usage: for each core its layer and how much it uses of each of `loihi_cores.LIMITS`.
    """

    model: str
    paths: int
    time: int
    chip_steps: int
    errors: dict
    layers: tuple
    host: tuple
    usage: tuple

    @property
    def cores(self):
        return len(self.usage)

    @property
    def events(self):
        """Synaptic events of all layers."""
        return sum(sum(layer.events.values()) for layer in self.layers)

    def ratio(self, metric="mean_relative_error", steps="all"):
        """The error on the emulator by the error as trained, in the network's first space."""
        space = next(iter(self.errors["float"]))
        trained, chip = (self.errors[stage][space][metric][steps] for stage in ("float", "emulator"))
        return None if None in (trained, chip) or trained == 0 else chip / trained

    def to_dict(self):
        """A dictionary ready for JSON."""
        return asdict(self) | {
            "cores": self.cores,
            "limits": LIMITS | {"cores": CORES},
            "events": self.events,
            "ratio": {metric: {steps: self.ratio(metric, steps) for steps in ("all", "last")} for metric in METRICS},
        }

    def to_markdown(self):
        """Tables for people."""
        lines = [f"# {self.model} on Loihi's emulator", ""]
        lines += [
            f"{self.paths} paths of {self.time} steps, {self.chip_steps} steps of the chip each. On the host: "
            f"{', '.join(self.host)}.",
            "",
        ]
        lines += [
            f"| error | {' | '.join(STAGES.values())} | emulator / trained |",
            "|---|" + "---|" * (len(STAGES) + 1),
        ]
        for space, by_metric in self.errors["float"].items():
            for metric, by_steps in by_metric.items():
                for steps in by_steps:
                    values = [self.errors[stage][space][metric][steps] for stage in STAGES]
                    ratio = None if None in values or not values[0] else values[-1] / values[0]
                    cells = [*(_number(value, ".3e") for value in values), _number(ratio, ".2f")]
                    lines.append(f"| {metric.replace('_', ' ')}, {steps}, {space} | {' | '.join(cells)} |")
        lines += [
            "",
            "| layer | neurons | cores | spikes per neuron and step | as in Keras | synaptic events per path |",
        ]
        lines += ["|---|---|---|---|---|---|"]
        for layer in self.layers:
            events = sum(layer.events.values()) / self.paths
            lines.append(
                f"| {layer.name} | {layer.neurons} | {layer.cores} | {layer.spikes_per_neuron_and_step:.3f} | "
                f"{layer.spikes_as_in_keras:.4%} | {events:.0f} |"
            )
        lines += ["", "| of a core | most used | has |", "|---|---|---|"]
        lines += [
            f"| {what.replace('_', ' ')} | {max(core[what] for core in self.usage)} | {limit} |"
            for what, limit in LIMITS.items()
        ]
        lines += [f"| cores of the chip | {self.cores} | {CORES} |", ""]
        misfits = {
            "thresholds raised to the chip's least": "raised_thresholds",
            "currents beyond the bias register": "clipped",
            "membranes at the lower end of their register": "saturated",
        }
        found = [
            f"{what}: {', '.join(f'{count} in {name}' for name, count in counts.items() if count)}"
            for what, field in misfits.items()
            if any((counts := {layer.name: getattr(layer, field) for layer in self.layers}).values())
        ]
        lines.append(f"What did not fit: {'; '.join(found) or 'nothing'}.")
        return "\n".join(lines) + "\n"


def loihi_report(model, inputs, targets=None, *, progress=None):
    """Run a network as trained, quantised in Keras, and on the emulator, and compare.

    Args:
        model: see `simulate_on_loihi`; with one output.
        inputs: (paths, time, features), in the units that the model takes; or `datasets.Paths` of one length.
        targets: (paths, time, outputs), in the units that the model gives; None where the paths bring them.
        progress: called after each path on the emulator with the number of paths that are done.

    Returns:
        A `LoihiReport`.

    Raises:
        InputError: as `simulate_on_loihi`; paths of different lengths, no targets, or targets that do not fit.
    """
    if hasattr(inputs, "inputs") and hasattr(inputs, "mask"):  # datasets.Paths
        if not inputs.mask.all():
            raise InputError("loihi_report: the paths differ in length; report on those of one length at a time")
        targets, inputs = inputs.targets if targets is None else targets, inputs.inputs
    if targets is None:
        raise InputError("loihi_report: no targets to compare with; give targets=..., or name the output columns")
    trained = plan_of(model, "loihi_report")
    before = _in_keras(trained, inputs)
    shapes = [tuple(before[slot].shape) for slot in trained.graph.outputs]
    targets = np.asarray(targets, dtype=np.float64)
    if shapes != [targets.shape]:
        raise InputError(
            f"loihi_report: the model gives {' and '.join(map(str, shapes))}; expected targets of that shape, received "
            f"{targets.shape}" + "; it reports on one output" * (len(shapes) > 1)
        )
    quantised = quantise(model)
    plan = plan_of(quantised.model, "loihi_report")
    values = _in_keras(plan, inputs)
    run = simulate_on_loihi(model, inputs, progress=progress)
    predictions = {
        "float": _answer(trained, before),
        "quantised": _answer(plan, values),
        "emulator": run.outputs,
    }
    on_chip = {layer.use for layer in plan.layers}
    return LoihiReport(
        model=model.name,
        paths=run.outputs.shape[0],
        time=run.steps - max(layer.delay for layer in plan.layers),
        chip_steps=run.steps,
        errors={stage: _errors(plan, targets, prediction) for stage, prediction in predictions.items()},
        layers=tuple(_layer(layer, values, run, quantised) for layer in plan.layers),
        host=tuple(use.name for use in plan.graph.uses if use not in on_chip),
        usage=run.usage,
    )


def _in_keras(plan, inputs):
    """All values of a network, by slot."""
    arrays = checked_inputs(plan.graph, inputs, "loihi_report")
    values = {slot: keras.ops.convert_to_tensor(array) for slot, array in enumerate(arrays)}
    plan.sweep(values, chip_too=True)
    return values


def _answer(plan, values):
    return keras.ops.convert_to_numpy(values[plan.graph.outputs[0]])


def _errors(plan, targets, prediction):
    """Errors by space, metric and steps; the space of the network's own units where it carries no scaling."""
    restore = next(
        (use.layer for use in plan.graph.uses if isinstance(use.layer, Standardise) and use.layer.invert), None
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


def _layer(layer, values, run, quantised):
    record, integers = run.records[layer.name], quantised.layers[layer.name]
    outputs = keras.ops.convert_to_numpy(layer.cell.spikes_of(values[layer.use.outputs[0]]))
    on_chip = run.spikes[layer.name] if layer.use.layer.return_sequences else run.spikes[layer.name][:, -1]
    spikes = int(record.spikes.sum())
    return LoihiLayer(
        name=layer.name,
        kind=type(layer.use.layer).__name__,
        neurons=layer.cell.units,
        spikes=spikes,
        spikes_per_neuron_and_step=spikes / record.spikes.size,
        spikes_as_in_keras=float(np.mean(on_chip == outputs)),
        events=record.events,
        weight_exponents={source: exponent for source, (_, exponent) in integers.kernels.items()},
        decays=int(np.unique(integers.decay).size),
        thresholds=int(np.unique(integers.threshold).size),
        cores=sum(core["layer"] == layer.name for core in run.usage),
        raised_thresholds=integers.raised,
        clipped=record.clipped,
        saturated=record.saturated,
    )


def _number(value, form):
    return "undefined" if value is None else format(value, form)
