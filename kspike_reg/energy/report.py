"""What the profiler counted: exact integers, by layer and by source."""

from dataclasses import asdict, dataclass
from fractions import Fraction

from kspike_reg.energy.devices import device_named
from kspike_reg.energy.table import EnergyTable, LayerEnergy

__all__ = ["EnergyReport", "LayerCounts", "Projection"]


@dataclass(frozen=True)
class Projection:
    """The synapses from one source into a layer, and the operations they carried out over all the data.

    Attributes:
        name: of the weight: "kernel", "recurrent_kernel", "mean", "sum".
        source: the layer or input that they hear; for a recurrence the layer itself.
        event_driven: whether the source hands on spikes.
        weighted: whether a real value is multiplied by a weight, or added as it is.
        fan_in, fan_out: source neurons, and connections that leave each of them.
        steps: how often they were used, over all paths and steps that count.
        events: spikes that they carried, one for each source neuron that fired; 0 for real values.
        recurrent: whether the layer hears its own last step.
    """

    name: str
    source: str
    event_driven: bool
    weighted: bool
    fan_in: int
    fan_out: int
    steps: int
    events: int
    recurrent: bool = False

    @property
    def connections(self):
        return self.fan_in * self.fan_out

    @property
    def dense_operations(self):
        """What a machine does that computes every connection at every step, spike or no spike."""
        return self.steps * self.connections

    @property
    def accumulates(self):
        """Synaptic events: each spike once for every connection that leaves its neuron."""
        return self.events * self.fan_out

    @property
    def multiply_accumulates(self):
        return self.dense_operations if self.weighted and not self.event_driven else 0

    @property
    def additions(self):
        return 0 if self.weighted or self.event_driven else self.dense_operations

    def to_dict(self):
        counts = ("connections", "dense_operations", "accumulates", "multiply_accumulates", "additions")
        return asdict(self) | {name: getattr(self, name) for name in counts}


@dataclass(frozen=True)
class LayerCounts:
    """The operations of one layer over all the data; a layer that is used twice counts twice.

    Attributes:
        name: of the layer, after the names of the models that it lies in.
        kind: its class.
        calls: how often the network uses it.
        steps: over all calls, paths and steps that count.
        projections: its synapses by source, one `Projection` each.
        connections: synapses that the layer has, once however often it is used.
        neurons: neurons that are updated at each step.
        bias_additions: biases added.
        spikes: spikes fired, or None where the layer cannot fire.
        active_updates: updates of neurons that fire at that step, or that hand on a real value at every step.
        idle_updates: updates of spiking neurons that stay silent at that step.
        parameters: numbers that the layer learns or keeps, once however often it is used.
        state: numbers kept from one step to the next, for each use.
        bits: width of each of these numbers.
        note: what is not counted.
    """

    name: str
    kind: str
    calls: int
    steps: int
    projections: tuple
    connections: int
    neurons: int
    bias_additions: int
    spikes: int | None
    active_updates: int
    idle_updates: int
    parameters: int
    state: int
    bits: int
    note: str = ""

    @property
    def accumulates(self):
        return sum(projection.accumulates for projection in self.projections)

    @property
    def multiply_accumulates(self):
        return sum(projection.multiply_accumulates for projection in self.projections)

    @property
    def additions(self):
        """Real values added as they are: biases and the terms of sums and means."""
        return self.bias_additions + sum(projection.additions for projection in self.projections)

    @property
    def dense_operations(self):
        return sum(projection.dense_operations for projection in self.projections)

    @property
    def neuron_updates(self):
        return self.active_updates + self.idle_updates

    @property
    def spikes_per_neuron_and_step(self):
        """A `fractions.Fraction`, exact, or None where the layer cannot fire."""
        return None if self.spikes is None else Fraction(self.spikes, self.neuron_updates)

    @property
    def parameter_bytes(self):
        return _bytes(self.parameters, self.bits)

    @property
    def state_bytes(self):
        return _bytes(self.state, self.bits)

    @property
    def memory_bytes(self):
        return self.parameter_bytes + self.state_bytes

    def operations(self, event_driven):
        """How often each term of a device occurs.

        Args:
            event_driven: whether silent synapses cost nothing; else every weight is used at every step.

        Returns:
            A dictionary from term, see `devices.TERMS`, to count.
        """
        updates = {"active_update": self.active_updates, "idle_update": self.idle_updates}
        if not event_driven:
            weighted, plain = (
                sum(each.dense_operations for each in self.projections if each.weighted is kind)
                for kind in (True, False)
            )
            return {"multiply_accumulate": weighted, "addition": self.bias_additions + plain, **updates}
        return {
            "accumulate": self.accumulates,
            "multiply_accumulate": self.multiply_accumulates,
            "addition": self.additions,
            **updates,
            "spike": self.spikes or 0,
        }

    def to_dict(self):
        rate = self.spikes_per_neuron_and_step
        fields = {field: getattr(self, field) for field in self.__dataclass_fields__}
        sums = ("accumulates", "multiply_accumulates", "additions", "dense_operations", "neuron_updates")
        sizes = ("parameter_bytes", "state_bytes", "memory_bytes")
        return (
            fields
            | {name: getattr(self, name) for name in (*sums, *sizes)}
            | {"projections": [projection.to_dict() for projection in self.projections]}
            | {"spikes_per_neuron_and_step": None if rate is None else float(rate)}
        )


@dataclass(frozen=True)
class EnergyReport:
    """Operations of a network over a set of paths, layer by layer.

    Attributes:
        model: the network's name.
        samples: paths that it ran through.
        steps: their steps, padding left out.
        bits: width of a number in memory.
        layers: one `LayerCounts` for each layer, in the order in which they run.
    """

    model: str
    samples: int
    steps: int
    bits: int
    layers: tuple

    def __getitem__(self, name):
        """The `LayerCounts` of a layer by its name."""
        return next(layer for layer in self.layers if layer.name == name)

    def energy(self, device):
        """What the operations cost.

        Args:
            device: a name in `DEVICES`, or a `Device`.

        Returns:
            An `EnergyTable`, in joules over all the data.

        Raises:
            InputError: there is no such device.
        """
        device = device_named(device)
        rows = []
        for layer in self.layers:
            counts = layer.operations(device.event_driven)
            joules = {term: count * device.prices[term] for term, count in counts.items() if term in device.prices}
            unpriced = {term: count for term, count in counts.items() if count and term not in device.prices}
            rows.append(LayerEnergy(layer.name, joules, unpriced))
        counted = {term for layer in self.layers for term in layer.operations(device.event_driven)}
        uncounted = tuple(term for term in device.prices if term not in counted)
        return EnergyTable(device, self.samples, tuple(rows), uncounted)

    def to_dict(self):
        """A dictionary ready for JSON."""
        return {
            "model": self.model,
            "samples": self.samples,
            "steps": self.steps,
            "bits": self.bits,
            "totals": {name: getattr(self, name) for name in _TOTALS},
            "layers": [layer.to_dict() for layer in self.layers],
        }


_TOTALS = (
    "accumulates",
    "multiply_accumulates",
    "additions",
    "bias_additions",
    "dense_operations",
    "active_updates",
    "idle_updates",
    "neuron_updates",
    "spikes",
    "connections",
    "parameters",
    "state",
    "parameter_bytes",
    "state_bytes",
    "memory_bytes",
)


def _total(name):
    return property(
        lambda report: sum(getattr(layer, name) or 0 for layer in report.layers), doc=f"{name} of all layers."
    )


for _name in _TOTALS:
    setattr(EnergyReport, _name, _total(_name))


def _bytes(numbers, bits):
    return -(-numbers * bits // 8)
