"""Data: the paper's tasks, a user's own files, and the standardising of both."""

from kspike_reg.datasets.paths import Paths
from kspike_reg.datasets.readers import read, write_csv
from kspike_reg.datasets.standardiser import Standardiser
from kspike_reg.datasets.tasks import TASKS, elasticity, generate

__all__ = ["TASKS", "Paths", "Standardiser", "elasticity", "generate", "read", "write_csv"]
