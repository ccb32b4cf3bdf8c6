"""The neurons by the names that `kspike_reg.build`, files and the command line know them by.

A new neuron is one file with its step, its cell and its layer, and one line here.
"""

from functools import cache

from kspike_reg.registry import Registry

__all__ = ["INTEGRATORS", "OUTPUTS", "RESETS", "SPIKING", "kind_of"]

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
    for registry in (SPIKING, INTEGRATORS):
        for name in registry:
            if registry[name].cell_class is cell_class:
                return name
    return None
