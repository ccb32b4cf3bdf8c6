"""Experiments: one training from its configuration to its files, and the studies that are made of such runs."""

from kspike_reg.experiments.configuration import Configuration
from kspike_reg.experiments.recipes import RECIPES, recipe
from kspike_reg.experiments.reproduce import reproduce
from kspike_reg.experiments.run import is_complete, run
from kspike_reg.experiments.studies import STUDIES

__all__ = ["RECIPES", "STUDIES", "Configuration", "is_complete", "recipe", "reproduce", "run"]
