"""Experiments: one run from its configuration to its files, and the studies, which consist of many runs.

Each name is imported when it is first used, so the names of the studies and recipes are there without Keras.
"""

import sys
from types import ModuleType
from typing import TYPE_CHECKING, Any

from kspike_reg.lazy import lazy

if TYPE_CHECKING:
    from kspike_reg.experiments.configuration import Configuration as Configuration
    from kspike_reg.experiments.recipes import RECIPES as RECIPES, recipe as recipe
    from kspike_reg.experiments.reproduce import reproduce as reproduce
    from kspike_reg.experiments.run import is_complete as is_complete, run as run
    from kspike_reg.experiments.studies import STUDIES as STUDIES

# Public names by the module that holds them.
_HOMES = {
    "RECIPES": "kspike_reg.experiments.recipes",
    "STUDIES": "kspike_reg.experiments.studies",
    "Configuration": "kspike_reg.experiments.configuration",
    "is_complete": "kspike_reg.experiments.run",
    "recipe": "kspike_reg.experiments.recipes",
    "reproduce": "kspike_reg.experiments.reproduce",
    "run": "kspike_reg.experiments.run",
}

__all__ = ["RECIPES", "STUDIES", "Configuration", "is_complete", "recipe", "reproduce", "run"]

__getattr__, __dir__ = lazy(__name__, _HOMES)


class _Experiments(ModuleType):
    """The package, in which `run` and `reproduce` are the functions, not the modules of the same names.

    Python binds a submodule to its package when it is imported, in whichever order that happens.
    """

    def __setattr__(self, name: str, value: Any) -> None:
        if not (name in _HOMES and isinstance(value, ModuleType)):
            super().__setattr__(name, value)


sys.modules[__name__].__class__ = _Experiments
