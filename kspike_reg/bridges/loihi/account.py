"""The costs of a network on Loihi: errors, spikes, synaptic events, cores, and numbers outside the chip's range."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import pandas as pd

from kspike_reg.bridges.loihi.cores import CORES, LIMITS
from kspike_reg.escape import markdown_text
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
        spikes: number of spikes on the emulator.
        spikes_per_neuron_and_step: the same as a rate.
        spikes_as_in_keras: share of the neuron-steps in which the quantised network in Keras and the emulator agree on
            whether the neuron fires.
        events: synaptic events by the source layer; one event adds one weight to a compartment of the emulator.
        weight_exponents: by the source layer, of the eight-bit mantissas.
        decays, thresholds: number of different ones that the layer has on the chip.
        cores: number of cores that it takes.
        raised_thresholds: neurons whose threshold was raised to the chip's smallest.
        clipped: currents from the host beyond the range of the bias register.
        saturated: membranes at the lower end of their register.
    """

    name: str
    kind: str
    neurons: int
    spikes: int
    spikes_per_neuron_and_step: float
    spikes_as_in_keras: float
    events: dict[str, int]
    weight_exponents: dict[str, int]
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
        paths, time: number of paths, and of their steps.
        chip_steps: steps of the chip for each path: each layer after the first adds one.
        errors: by stage ("float", "quantised", "emulator"), space ("standardised" and "physical" if the network
            contains its scaling, otherwise "own units"), metric and steps ("all", "last"); None where undefined.
        layers: a `LoihiLayer` for each spiking layer.
        host: names of the nodes that run on the host.
        usage: for each core its layer and how much it uses of each of `cores.LIMITS`.
    """

    model: str
    paths: int
    time: int
    chip_steps: int
    errors: dict[str, dict[str, dict[str, dict[str, float | None]]]]
    layers: tuple[LoihiLayer, ...]
    host: tuple[str, ...]
    usage: tuple[dict[str, Any], ...]

    @property
    def cores(self) -> int:
        """Number of cores that the network takes."""
        return len(self.usage)

    @property
    def events(self) -> int:
        """Synaptic events of all layers."""
        return sum(sum(layer.events.values()) for layer in self.layers)

    def ratio(self, metric: str = "mean_relative_error", steps: str = "all") -> float | None:
        """The error on the emulator divided by the error as trained, in the first space; None where undefined.

        Args:
            metric: a name in `METRICS`.
            steps: "all" or "last".
        """
        space = next(iter(self.errors["float"]))
        trained, chip = (self.errors[stage][space][metric][steps] for stage in ("float", "emulator"))
        return None if None in (trained, chip) or trained == 0 else chip / trained

    def to_dict(self) -> dict[str, Any]:
        """A dictionary ready for JSON."""
        return asdict(self) | {
            "cores": self.cores,
            "limits": LIMITS | {"cores": CORES},
            "events": self.events,
            "ratio": {metric: {steps: self.ratio(metric, steps) for steps in ("all", "last")} for metric in METRICS},
        }

    def to_markdown(self) -> str:
        """The report as tables in Markdown."""
        lines = [
            f"# {markdown_text(self.model)} on Loihi's emulator",
            "",
            f"{self.paths} paths of {self.time} steps, {self.chip_steps} steps of the chip each. On the host: "
            f"{', '.join(map(markdown_text, self.host))}.",
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

    def _errors(self) -> Iterator[tuple]:
        for space, by_metric in self.errors["float"].items():
            for metric, by_steps in by_metric.items():
                for steps in by_steps:
                    values = [self.errors[stage][space][metric][steps] for stage in STAGES]
                    cells = ["undefined" if value is None else f"{value:.3e}" for value in values]
                    ratio = "undefined" if None in values or not values[0] else f"{values[-1] / values[0]:.2f}"
                    yield f"{metric.replace('_', ' ')}, {steps}, {space}", *cells, ratio

    def _activity(self) -> Iterator[tuple]:
        for layer in self.layers:
            rate, share = f"{layer.spikes_per_neuron_and_step:.3f}", f"{layer.spikes_as_in_keras:.4%}"
            events = f"{sum(layer.events.values()) / self.paths:.0f}"
            yield layer.name, layer.neurons, layer.cores, rate, share, events

    def _cores(self) -> Iterator[tuple]:
        for what, limit in LIMITS.items():
            yield what.replace("_", " "), max(core[what] for core in self.usage), limit
        yield "cores of the chip", self.cores, CORES

    def _misfits(self) -> Iterator[str]:
        for what, field in MISFITS.items():
            counts = [
                f"{count} in {markdown_text(layer.name)}" for layer in self.layers if (count := getattr(layer, field))
            ]
            if counts:
                yield f"{what}: {', '.join(counts)}"


def _table(head: Sequence[str], rows: Iterable[tuple]) -> str:
    return markdown(pd.DataFrame(list(rows), columns=head, dtype=object))
