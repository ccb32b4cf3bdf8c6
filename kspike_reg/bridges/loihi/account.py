"""What running on Loihi costs a network: errors, spikes, synaptic events, cores, and what did not fit."""

from dataclasses import asdict, dataclass

import pandas as pd

from kspike_reg.bridges.loihi.cores import CORES, LIMITS
from kspike_reg.tables import markdown

__all__ = ["METRICS", "LoihiLayer", "LoihiReport"]

STAGES = {"float": "as trained", "quantised": "quantised, in Keras", "emulator": "on the emulator"}
MISFITS = {
    "thresholds raised to the chip's least": "raised_thresholds",
    "currents beyond the bias register": "clipped",
    "membranes at the lower end of their register": "saturated",
}
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
        events: synaptic events by the source layer, counted in the emulator as it adds a weight to a compartment.
        weight_exponents: by the source layer, of the eight-bit mantissas.
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
    """A network on Loihi's emulator, compared with itself in Keras.

    Attributes:
        model: its name.
        paths, time: how many paths, and their steps.
        chip_steps: steps of the chip for each path: each layer after the first adds one.
        errors: by stage ("float", "quantised", "emulator"), space ("standardised", "physical" where the network
            carries its scaling, else "own units"), metric and steps ("all", "last"); None where one is undefined.
        layers: one `LoihiLayer` each.
        host: names of the layers that stay on the host.
        usage: for each core its layer and how much it uses of each of `cores.LIMITS`.
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
        lines = [
            f"# {self.model} on Loihi's emulator",
            "",
            f"{self.paths} paths of {self.time} steps, {self.chip_steps} steps of the chip each. On the host: "
            f"{', '.join(self.host)}.",
            "",
            _table(("error", *STAGES.values(), "emulator / trained"), self._errors()),
            "",
            _table(
                ("layer", "neurons", "cores", "spikes per neuron and step", "as in Keras", "synaptic events per path"),
                self._activity(),
            ),
            "",
            _table(("of a core", "most used", "has"), self._cores()),
            "",
            f"What did not fit: {'; '.join(self._misfits()) or 'nothing'}.",
        ]
        return "\n".join(lines) + "\n"

    def _errors(self):
        for space, by_metric in self.errors["float"].items():
            for metric, by_steps in by_metric.items():
                for steps in by_steps:
                    values = [self.errors[stage][space][metric][steps] for stage in STAGES]
                    cells = ["undefined" if value is None else f"{value:.3e}" for value in values]
                    ratio = "undefined" if None in values or not values[0] else f"{values[-1] / values[0]:.2f}"
                    yield f"{metric.replace('_', ' ')}, {steps}, {space}", *cells, ratio

    def _activity(self):
        for layer in self.layers:
            rate, share = f"{layer.spikes_per_neuron_and_step:.3f}", f"{layer.spikes_as_in_keras:.4%}"
            events = f"{sum(layer.events.values()) / self.paths:.0f}"
            yield layer.name, layer.neurons, layer.cores, rate, share, events

    def _cores(self):
        for what, limit in LIMITS.items():
            yield what.replace("_", " "), max(core[what] for core in self.usage), limit
        yield "cores of the chip", self.cores, CORES

    def _misfits(self):
        for what, field in MISFITS.items():
            counts = [f"{count} in {layer.name}" for layer in self.layers if (count := getattr(layer, field))]
            if counts:
                yield f"{what}: {', '.join(counts)}"


def _table(head, rows):
    return markdown(pd.DataFrame(list(rows), columns=head, dtype=object))
