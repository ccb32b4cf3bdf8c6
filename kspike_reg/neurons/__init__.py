"""Neurons: what one of them does in one step, and the Keras cells and layers made of them."""

from kspike_reg.neurons.leaky import LeakyIntegrator, LeakyIntegratorCell
from kspike_reg.neurons.lif import LIF, LIFCell
from kspike_reg.neurons.population import PopulationMean
from kspike_reg.neurons.rlif import RLIF, RLIFCell
from kspike_reg.neurons.roads import road, set_road
from kspike_reg.neurons.slstm import SLSTM, SLSTMCell

__all__ = [
    "LIF",
    "RLIF",
    "SLSTM",
    "LIFCell",
    "LeakyIntegrator",
    "LeakyIntegratorCell",
    "PopulationMean",
    "RLIFCell",
    "SLSTMCell",
    "road",
    "set_road",
]
