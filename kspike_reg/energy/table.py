"""The energy of counted operations on a device, in joules, and the operations that the device does not price."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from kspike_reg.energy.device import Device
from kspike_reg.errors import InputError

__all__ = ["EnergyTable", "LayerEnergy", "layer_named"]


@dataclass(frozen=True)
class LayerEnergy:
    """The energy of one layer over all the data.

    Attributes:
        name: of the layer.
        joules: energy by term, of the terms that the device prices.
        unpriced: counts by term, of operations that took place and that the device does not price.
    """

    name: str
    joules: Mapping[str, float]
    unpriced: Mapping[str, int]

    @property
    def total(self) -> float:
        """Joules over all the data."""
        return math.fsum(self.joules.values())


@dataclass(frozen=True)
class EnergyTable:
    """Energies of a network on one device, in joules over all the data.

    Attributes:
        device: the `Device`.
        samples: number of paths.
        layers: one `LayerEnergy` each.
        uncounted: terms that the device prices and the profiler does not count, such as hops, which depend on the
            placement of the neurons.
    """

    device: Device
    samples: int
    layers: tuple[LayerEnergy, ...]
    uncounted: tuple[str, ...] = ()

    def __getitem__(self, name: str) -> LayerEnergy:
        """The `LayerEnergy` of a layer by its name."""
        return layer_named(self.layers, name)

    @property
    def total(self) -> float:
        """Joules over all the data."""
        return math.fsum(layer.total for layer in self.layers)

    @property
    def per_inference(self) -> float:
        """Joules for one path, on average."""
        return self.total / self.samples

    @property
    def joules(self) -> dict[str, float]:
        """Joules by term, over all layers and data."""
        terms = dict.fromkeys(term for layer in self.layers for term in layer.joules)
        return {term: math.fsum(layer.joules.get(term, 0.0) for layer in self.layers) for term in terms}

    @property
    def unpriced(self) -> dict[str, int]:
        """Counts by term, over all layers and data, of operations that the total leaves out."""
        terms = dict.fromkeys(term for layer in self.layers for term in layer.unpriced)
        return {term: sum(layer.unpriced.get(term, 0) for layer in self.layers) for term in terms}

    def to_dict(self) -> dict[str, Any]:
        """A dictionary ready for JSON; energies in joules."""
        return {
            "device": self.device.to_dict(),
            "samples": self.samples,
            "total": self.total,
            "per_inference": self.per_inference,
            "joules": self.joules,
            "unpriced": self.unpriced,
            "uncounted": list(self.uncounted),
            "layers": [
                {
                    "name": layer.name,
                    "total": layer.total,
                    "per_inference": layer.total / self.samples,
                    "joules": layer.joules,
                    "unpriced": layer.unpriced,
                }
                for layer in self.layers
            ],
        }


def layer_named(layers: Sequence[Any], name: str) -> Any:
    """The entry of a report or of a table for one layer.

    Args:
        layers: `LayerCounts` or `LayerEnergy`.
        name: of the layer.

    Returns:
        The entry.

    Raises:
        InputError: no layer has this name.
    """
    for layer in layers:
        if layer.name == name:
            return layer
    raise InputError(f"energy: there is no layer {name!r}; choose one of {', '.join(layer.name for layer in layers)}")
