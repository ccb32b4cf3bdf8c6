"""The counts of the profiler for a whole network, and their energy on a device."""

from dataclasses import dataclass
from typing import Any

from kspike_reg.energy.device import Device
from kspike_reg.energy.devices import device_named
from kspike_reg.energy.operations import LayerCounts, Projection
from kspike_reg.energy.table import EnergyTable, LayerEnergy, layer_named

__all__ = ["EnergyReport", "LayerCounts", "Projection"]


def _total(name: str) -> property:
    def total(report: "EnergyReport") -> int:
        return sum(getattr(layer, name) or 0 for layer in report.layers)  # None: the layer cannot fire

    return property(total, doc=f"{name} of all layers, see `LayerCounts`.")


@dataclass(frozen=True)
class EnergyReport:
    """Operations of a network over a set of paths, layer by layer.

    Attributes:
        model: the name of the network.
        samples: number of paths.
        steps: steps of all paths, without padding.
        bits: width of a number in memory.
        layers: one `LayerCounts` for each layer, in the order in which they run.
    """

    model: str
    samples: int
    steps: int
    bits: int
    layers: tuple[LayerCounts, ...]

    accumulates = _total("accumulates")
    multiply_accumulates = _total("multiply_accumulates")
    additions = _total("additions")
    bias_additions = _total("bias_additions")
    dense_operations = _total("dense_operations")
    active_updates = _total("active_updates")
    idle_updates = _total("idle_updates")
    neuron_updates = _total("neuron_updates")
    spikes = _total("spikes")
    connections = _total("connections")
    parameters = _total("parameters")
    state = _total("state")
    parameter_bytes = _total("parameter_bytes")
    state_bytes = _total("state_bytes")
    memory_bytes = _total("memory_bytes")

    def __getitem__(self, name: str) -> LayerCounts:
        """The `LayerCounts` of a layer by its name."""
        return layer_named(self.layers, name)

    def energy(self, device: str | Device) -> EnergyTable:
        """The energy of the operations on a device.

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

    def to_dict(self) -> dict[str, Any]:
        """A dictionary ready for JSON."""
        return {
            "model": self.model,
            "samples": self.samples,
            "steps": self.steps,
            "bits": self.bits,
            "totals": {name: getattr(self, name) for name in TOTALS},
            "layers": [layer.to_dict() for layer in self.layers],
        }


TOTALS = tuple(name for name, attribute in vars(EnergyReport).items() if isinstance(attribute, property))
