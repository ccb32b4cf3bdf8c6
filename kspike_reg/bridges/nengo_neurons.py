"""The neuron types of `kspike_reg.bridges.nengo.neurons` under their first name, which exported scripts import."""

from kspike_reg.bridges.nengo.neurons import *  # noqa: F403
from kspike_reg.bridges.nengo.neurons import __all__  # noqa: F401
