"""Experiments: one training from its configuration to its files."""

from kspike_reg.experiments.run import Configuration, is_complete, run

__all__ = ["Configuration", "is_complete", "run"]
