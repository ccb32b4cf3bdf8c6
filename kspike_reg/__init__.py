"""Regression with spiking neural networks on history-dependent problems, in Keras."""

import importlib
import sys
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

from kspike_reg.lazy import lazy

if TYPE_CHECKING:
    from kspike_reg import (
        bridges as bridges,
        datasets as datasets,
        energy as energy,
        evaluation as evaluation,
        experiments as experiments,
        mechanics as mechanics,
        metrics as metrics,
        network as network,
        neurons as neurons,
        plotting as plotting,
        training as training,
    )
    from kspike_reg.errors import InputError as InputError, OutOfRangeWarning as OutOfRangeWarning
    from kspike_reg.network.physical import in_physical_units as in_physical_units
    from kspike_reg.network.regression import build as build
    from kspike_reg.network.saving import load as load, save as save, trained_networks as trained_networks

__version__ = version("kspike_reg")

# Public names by the module that holds them; each is imported when it is first asked for.
_HOMES = {
    "build": "kspike_reg.network.regression",
    "load": "kspike_reg.network.saving",
    "save": "kspike_reg.network.saving",
    "trained_networks": "kspike_reg.network.saving",
    "in_physical_units": "kspike_reg.network.physical",
    "InputError": "kspike_reg.errors",
    "OutOfRangeWarning": "kspike_reg.errors",
}
_MODULES = (
    "bridges",
    "datasets",
    "energy",
    "evaluation",
    "experiments",
    "mechanics",
    "metrics",
    "network",
    "neurons",
    "plotting",
    "training",
)

__all__ = [*_HOMES, *_MODULES]

__getattr__, __dir__ = lazy(__name__, _HOMES, _MODULES)

# `import kspike_reg` must be enough for keras.models.load_model to know our layers. The command line alone goes
# without: it answers --help and bad arguments before Keras is there, and keeps TensorFlow's start-up lines to itself.
if Path(sys.argv[0]).stem != "kspike-reg" and sys.orig_argv[1:3] != ["-m", "kspike_reg"]:
    importlib.import_module("kspike_reg.network.saving")
