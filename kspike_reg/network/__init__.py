"""A Keras model: building one, its physical units, its files, and reading, running and probing it."""

from typing import TYPE_CHECKING

from kspike_reg.lazy import lazy

if TYPE_CHECKING:
    from kspike_reg.network.kinds import BASELINES as BASELINES, KINDS as KINDS, SPIKING as SPIKING
    from kspike_reg.network.physical import (
        PhysicalModel as PhysicalModel,
        Standardise as Standardise,
        in_physical_units as in_physical_units,
    )
    from kspike_reg.network.probes import (
        Record as Record,
        Recording as Recording,
        record as record,
        spiking_layers as spiking_layers,
    )
    from kspike_reg.network.regression import build as build, compile_for_regression as compile_for_regression

# Public names by the module that holds them.
_HOMES = {
    "BASELINES": "kspike_reg.network.kinds",
    "KINDS": "kspike_reg.network.kinds",
    "SPIKING": "kspike_reg.network.kinds",
    "PhysicalModel": "kspike_reg.network.physical",
    "Standardise": "kspike_reg.network.physical",
    "in_physical_units": "kspike_reg.network.physical",
    "Record": "kspike_reg.network.probes",
    "Recording": "kspike_reg.network.probes",
    "record": "kspike_reg.network.probes",
    "spiking_layers": "kspike_reg.network.probes",
    "build": "kspike_reg.network.regression",
    "compile_for_regression": "kspike_reg.network.regression",
}

__all__ = [*_HOMES]

__getattr__, __dir__ = lazy(__name__, _HOMES)
