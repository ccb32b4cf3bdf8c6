"""Data sets: the tasks of the paper, files of the user, and the standardiser of both."""

from kspike_reg.datasets.families import FAMILIES, strain_paths
from kspike_reg.datasets.paths import Paths
from kspike_reg.datasets.readers import read, write_csv
from kspike_reg.datasets.standardiser import Standardiser
from kspike_reg.datasets.tasks import TASKS, Task, elasticity, generate, hardening, ramberg_osgood

__all__ = [
    "FAMILIES",
    "TASKS",
    "Paths",
    "Standardiser",
    "Task",
    "elasticity",
    "generate",
    "hardening",
    "ramberg_osgood",
    "read",
    "strain_paths",
    "write_csv",
]
