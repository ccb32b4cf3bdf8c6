"""What counted operations cost on a device, in joules, and what of them has no price."""

import math
from dataclasses import dataclass

from kspike_reg.energy.devices import Device

__all__ = ["EnergyTable", "LayerEnergy"]


@dataclass(frozen=True)
class LayerEnergy:
    """The energy of one layer over all the data.

    Attributes:
        name: of the layer.
        joules: by term, those that the device prices.
        unpriced: counts by term, of operations that took place and that the device does not price.
    """

    name: str
    joules: dict
    unpriced: dict

    @property
    def total(self):
        return math.fsum(self.joules.values())


@dataclass(frozen=True)
class EnergyTable:
    """Energies of a network on one device, in joules over all the data.

    Attributes:
        device: the `Device`.
        samples: paths that the network ran through.
        layers: one `LayerEnergy` each.
        uncounted: terms that the device prices and no count knows, such as hops, which depend on the placement.
    """

    device: Device
    samples: int
    layers: tuple
    uncounted: tuple = ()

    def __getitem__(self, name):
        """The `LayerEnergy` of a layer by its name."""
        return next(layer for layer in self.layers if layer.name == name)

    @property
    def total(self):
        """Joules over all the data."""
        return math.fsum(layer.total for layer in self.layers)

    @property
    def per_inference(self):
        """Joules for one path, on average."""
        return self.total / self.samples

    @property
    def joules(self):
        """Joules by term, over all layers and data."""
        terms = dict.fromkeys(term for layer in self.layers for term in layer.joules)
        return {term: math.fsum(layer.joules.get(term, 0.0) for layer in self.layers) for term in terms}

    @property
    def unpriced(self):
        """Counts by term, over all layers and data, of operations that the total leaves out."""
        terms = dict.fromkeys(term for layer in self.layers for term in layer.unpriced)
        return {term: sum(layer.unpriced.get(term, 0) for layer in self.layers) for term in terms}

    def to_dict(self):
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
