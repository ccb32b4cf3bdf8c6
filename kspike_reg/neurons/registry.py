"""The neurons by the names that `kspike_reg.build`, files and the command line know them by.

A new neuron is one file with its step, its cell and its layer, and one line here.
"""

from collections.abc import Iterator
from functools import cache

from kspike_reg.registry import Registry

__all__ = ["INTEGRATORS", "OUTPUTS", "RESETS", "SPIKING", "kind_of", "kind_of_layer"]

# Layers that fire, and layers that only integrate; the cell of a layer X is called XCell.
SPIKING = Registry(
    {
        "lif": "kspike_reg.neurons.lif:LIF",
        "rlif": "kspike_reg.neurons.rlif:RLIF",
        "slstm": "kspike_reg.neurons.slstm:SLSTM",
    }
)
INTEGRATORS = Registry({"leaky_integrator": "kspike_reg.neurons.leaky:LeakyIntegrator"})

# What a spiking layer emits, and what a spike does to the membrane.
OUTPUTS = ("spikes", "membrane")
RESETS = ("subtract", "zero", "none")


@cache
def kind_of(cell_class: type) -> str | None:
    """The registered name of a cell class; None for any other class, a subclass of a registered one too.

    A subclass may compute something else, so what is written for a neuron by its name must not serve it.
    """
    return next((name for name, layer in _layers() if layer.cell_class is cell_class), None)


@cache
def kind_of_layer(layer_class: type) -> str | None:
    """The registered name of a layer class, likewise."""
    return next((name for name, layer in _layers() if layer is layer_class), None)


def _layers() -> Iterator[tuple[str, type]]:
    for registry in (SPIKING, INTEGRATORS):
        yield from registry.items()
