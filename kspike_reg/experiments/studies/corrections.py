"""From the counting of the paper's Table I to that of the physics, one correction after the other."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from kspike_reg.energy.comparison import dense_energy, spiking_energy
from kspike_reg.energy.devices import DEVICES
from kspike_reg.energy.operations import LayerCounts, Projection
from kspike_reg.energy.report import EnergyReport
from kspike_reg.errors import InputError

__all__ = ["Correction", "corrections"]

# The paper's convention: joules for a synaptic event on Loihi and for a connection on the V100, seconds for a step.
EVENT = DEVICES["loihi"].prices["accumulate"]
CONNECTION = DEVICES["v100_paper"].prices["multiply_accumulate"]
STEP = 1e-3

# The last corrections: what each one changes, the device of the spiking network, and the host.
BY_DEVICE = (
    ("a multiply-accumulate is two operations", "loihi", "v100_fp16"),
    ("instead: Loihi by its published parts", "loihi_davies2018", "v100_fp16"),
    ("instead: the GPU in single precision", "loihi", "v100_fp32"),
    ("instead: both in 45 nm CMOS, single precision", "cmos45_fp32", "cmos45_fp32"),
)


@dataclass(frozen=True)
class Correction:
    """A way of counting, with all corrections so far.

    Attributes:
        what: the correction that was added last.
        spiking: joules for one path on Loihi, with the operations of the host.
        dense: joules for one path on the V100.
    """

    what: str
    spiking: float
    dense: float

    @property
    def factor(self) -> float:
        """How many times less the spiking network costs."""
        return self.dense / self.spiking


def corrections(report: EnergyReport, activities: Mapping[str, float]) -> list[Correction]:
    """Correct the paper's way of counting step by step until it is that of the physics.

    The fourth from the end is the energy of the report on "loihi" and "v100_fp16". The last three, whose names begin
    with "instead", each replace its prices by other published figures.

    Args:
        report: an `EnergyReport` of a spiking network.
        activities: by the name of each layer with synapses, see `table_one.activities_of`.

    Returns:
        A list of `Correction`.

    Raises:
        InputError: an activity is missing.
    """
    rows = [*_by_counting(report, activities)]
    for what, device, host in BY_DEVICE:
        rows.append(Correction(what, spiking_energy(report, device, host), dense_energy(report, host)))
    return rows


def _by_counting(report: EnergyReport, activities: Mapping[str, float]) -> Iterator[Correction]:
    """The corrections that change what is counted, at the paper's prices."""
    steps = report.steps / report.samples
    synapses = [
        (layer, projection, _connections(report, projection))
        for layer in report.layers
        for projection in layer.projections
        if projection.weighted
    ]
    missing = [layer.name for layer, *_ in synapses if layer.name not in activities]
    if missing:
        raise InputError(
            f"corrections: expected an activity for every layer with synapses; {missing[0]!r} has none; pass the "
            "result of table_one.activities_of"
        )
    as_counted = _papers_connections(report)
    # The activity of a layer's inputs, which the paper takes for that of its recurrence too.
    inputs = {layer.name: _activity(_of_inputs(layer)) for layer, *_ in synapses}
    by_input = sum(number * inputs[layer.name] for layer, _, number in synapses)
    by_source = sum(number * _activity([projection]) for _, projection, number in synapses)
    as_rates = sum(number * activities[name] * STEP for name, number in as_counted.items())
    as_events = sum(number * inputs[name] for name, number in as_counted.items())
    events = report.accumulates / report.samples * EVENT
    by_host = report.multiply_accumulates / report.samples * CONNECTION
    updates = report.neuron_updates / report.samples * DEVICES["loihi"].prices["active_update"]
    published, papers = EVENT * steps, sum(as_counted.values()) * CONNECTION
    once = sum(number for *_, number in synapses) * CONNECTION
    yield Correction("as the paper counts", as_rates * published, papers)
    yield Correction("a spike is one event, not 1/1000, and so is a real value", as_events * published, papers)
    yield Correction("every synapse once: recurrent ones too, gates but theirs", by_input * published, once)
    yield Correction("recurrent synapses go by their own source", by_source * published, once)
    yield Correction("the GPU, too, takes every step", by_source * published, once * steps)
    yield Correction("real values are multiply-accumulates, left to the GPU", events + by_host, once * steps)
    yield Correction("neurons are updated", events + by_host + updates, once * steps)


def _papers_connections(report: EnergyReport) -> dict[str, float]:
    """Connections by layer as the paper counts them: gated layers are dense ones, four gates wide on both sides."""
    gates = {layer.name: _gates(layer) for layer in report.layers}
    return {
        layer.name: sum(_connections(report, each) * gates.get(each.source, 1) for each in _of_inputs(layer))
        for layer in report.layers
        if any(projection.weighted for projection in layer.projections)
    }


def _gates(layer: LayerCounts) -> int:
    """Weights from a source to each neuron of the layer: one for each gate."""
    fan_outs = [projection.fan_out for projection in _of_inputs(layer)]
    return fan_outs[0] // layer.neurons if fan_outs and layer.neurons else 1


def _of_inputs(layer: LayerCounts) -> list[Projection]:
    """The synapses of the layer's inputs, without those of its recurrence."""
    return [projection for projection in layer.projections if projection.weighted and not projection.recurrent]


def _connections(report: EnergyReport, projection: Projection) -> float:
    """Connections of a projection, counted as often as the network uses them in a step."""
    return projection.connections * projection.steps / report.steps


def _activity(projections: Iterable[Projection]) -> float:
    """The share of source neurons that drive their synapses in a step: spikes if they fire, real values always."""
    projections = list(projections)
    sources = sum(projection.fan_in * projection.steps for projection in projections)
    return sum(each.events if each.event_driven else each.fan_in * each.steps for each in projections) / sources
