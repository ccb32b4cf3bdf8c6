"""Alias of `kspike_reg.bridges.nengo.neurons`, which scripts of earlier exports import under this name."""

from kspike_reg.bridges.nengo.neurons import *  # noqa: F403
from kspike_reg.bridges.nengo.neurons import __all__  # noqa: F401
