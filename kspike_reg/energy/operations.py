"""The operations of one layer over all the data: exact integers, in total and by source."""

from dataclasses import asdict, dataclass
from fractions import Fraction
from typing import Any

__all__ = ["LayerCounts", "Projection"]


@dataclass(frozen=True)
class Projection:
    """The synapses from one source into a layer, and the operations that they carried out over all the data.

    Attributes:
        name: of the weight: "kernel", "recurrent_kernel", "mean", "sum".
        source: the layer or input that the synapses come from; for a recurrence the layer itself.
        event_driven: whether the source emits spikes.
        weighted: whether a real value is multiplied by a weight; if not, it is only added.
        fan_in, fan_out: source neurons, and connections that leave each of them.
        steps: how often the synapses were used, over all paths and all steps without padding.
        events: spikes that they carried, one for each source neuron that fired; 0 for real values.
        recurrent: whether the layer receives its own last step.
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
    def connections(self) -> int:
        """Synapses of the projection."""
        return self.fan_in * self.fan_out

    @property
    def dense_operations(self) -> int:
        """Operations of a machine that computes every connection at every step, whether or not its source fires."""
        return self.steps * self.connections

    @property
    def accumulates(self) -> int:
        """Synaptic events: each spike counts once for every connection that leaves its neuron."""
        return self.events * self.fan_out

    @property
    def multiply_accumulates(self) -> int:
        """Real values multiplied by weights."""
        return self.dense_operations if self.weighted and not self.event_driven else 0

    @property
    def additions(self) -> int:
        """Real values added without a weight."""
        return 0 if self.weighted or self.event_driven else self.dense_operations

    def to_dict(self) -> dict[str, Any]:
        """A dictionary ready for JSON."""
        counts = ("connections", "dense_operations", "accumulates", "multiply_accumulates", "additions")
        return asdict(self) | {name: getattr(self, name) for name in counts}


@dataclass(frozen=True)
class LayerCounts:
    """The operations of one layer over all the data; a layer that is used twice counts twice.

    Attributes:
        name: of the layer, after the names of the models that contain it.
        kind: its class.
        calls: how often the network uses it.
        steps: over all calls and paths, without padding.
        projections: its synapses by source, one `Projection` each.
        connections: synapses that the layer has, counted once however often it is used.
        neurons: neurons that are updated at each step.
        bias_additions: biases added.
        spikes: spikes fired, or None where the layer cannot fire.
        active_updates: updates of neurons that fire at that step, or that emit a real value at every step.
        idle_updates: updates of spiking neurons that stay silent at that step.
        parameters: numbers that the layer learns or stores, counted once however often it is used.
        state: numbers stored from one step to the next, for each use.
        bits: width of each of these numbers.
        note: what is not counted.
    """

    name: str
    kind: str
    calls: int
    steps: int
    projections: tuple[Projection, ...]
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
    def accumulates(self) -> int:
        """Synaptic events of all projections."""
        return sum(projection.accumulates for projection in self.projections)

    @property
    def multiply_accumulates(self) -> int:
        """Real values multiplied by weights, over all projections."""
        return sum(projection.multiply_accumulates for projection in self.projections)

    @property
    def additions(self) -> int:
        """Real values added without a weight: biases and the terms of sums and means."""
        return self.bias_additions + sum(projection.additions for projection in self.projections)

    @property
    def dense_operations(self) -> int:
        """Operations of a machine that computes every connection at every step."""
        return sum(projection.dense_operations for projection in self.projections)

    @property
    def neuron_updates(self) -> int:
        """Updates of all neurons, active and idle."""
        return self.active_updates + self.idle_updates

    @property
    def spikes_per_neuron_and_step(self) -> Fraction | None:
        """The spike rate, exact; None where the layer cannot fire."""
        return None if self.spikes is None else Fraction(self.spikes, self.neuron_updates)

    @property
    def parameter_bytes(self) -> int:
        """Memory of the parameters."""
        return _bytes(self.parameters, self.bits)

    @property
    def state_bytes(self) -> int:
        """Memory of the state."""
        return _bytes(self.state, self.bits)

    @property
    def memory_bytes(self) -> int:
        """Memory of parameters and state."""
        return self.parameter_bytes + self.state_bytes

    def operations(self, event_driven: bool) -> dict[str, int]:
        """How often each term of a device occurs.

        Args:
            event_driven: whether silent synapses cost nothing; if not, every weight is used at every step.

        Returns:
            A dictionary from term, see `device.TERMS`, to count.
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

    def to_dict(self) -> dict[str, Any]:
        """A dictionary ready for JSON."""
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


def _bytes(numbers: int, bits: int) -> int:
    return -(-numbers * bits // 8)
