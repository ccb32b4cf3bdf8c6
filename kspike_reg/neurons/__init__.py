"""Neurons: what one of them does in one step, and the Keras cells and layers made of them."""

from typing import TYPE_CHECKING

from kspike_reg.lazy import lazy
from kspike_reg.neurons.registry import INTEGRATORS, SPIKING

if TYPE_CHECKING:
    from kspike_reg.neurons.engines import engine, road, set_engine, set_road
    from kspike_reg.neurons.leaky import LeakyIntegrator, LeakyIntegratorCell
    from kspike_reg.neurons.lif import LIF, LIFCell
    from kspike_reg.neurons.population import PopulationMean
    from kspike_reg.neurons.rlif import RLIF, RLIFCell
    from kspike_reg.neurons.slstm import SLSTM, SLSTMCell


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
