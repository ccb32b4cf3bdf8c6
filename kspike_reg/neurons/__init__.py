"""Neurons: what one of them does in one step, and the Keras cells and layers made of them."""

from typing import TYPE_CHECKING

from kspike_reg.lazy import lazy
from kspike_reg.neurons.registry import INTEGRATORS, SPIKING

if TYPE_CHECKING:
    from kspike_reg.neurons.engines import (
        engine as engine,
        road as road,
        set_engine as set_engine,
        set_road as set_road,
    )
    from kspike_reg.neurons.leaky import LeakyIntegrator as LeakyIntegrator, LeakyIntegratorCell as LeakyIntegratorCell
    from kspike_reg.neurons.lif import LIF as LIF, LIFCell as LIFCell
    from kspike_reg.neurons.population import PopulationMean as PopulationMean
    from kspike_reg.neurons.rlif import RLIF as RLIF, RLIFCell as RLIFCell
    from kspike_reg.neurons.slstm import SLSTM as SLSTM, SLSTMCell as SLSTMCell


def _homes() -> dict[str, str]:
    """The module of each layer and cell in the registry."""
    places = [registry.place_of(name) for registry in (SPIKING, INTEGRATORS) for name in registry]
    pairs = [place.split(":") for place in places if place]
    return {name: module for module, layer in pairs for name in (layer, f"{layer}Cell")}


# Public names by the module that holds them.
_HOMES = _homes() | {
    "PopulationMean": "kspike_reg.neurons.population",
    "engine": "kspike_reg.neurons.engines",
    "road": "kspike_reg.neurons.engines",
    "set_engine": "kspike_reg.neurons.engines",
    "set_road": "kspike_reg.neurons.engines",
}

__all__ = [*_HOMES]

__getattr__, __dir__ = lazy(__name__, _HOMES, ("surrogates",))
