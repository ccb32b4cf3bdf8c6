"""Experiments: one training from its configuration to its files."""

from kspike_reg.experiments.run import Configuration, run

__all__ = ["Configuration", "run"]
