"""A Keras model: building one, its physical units, its files, and reading, running and probing it."""

from kspike_reg.network.regression import BASELINES, KINDS, SPIKING, build, compile_for_regression, spiking_layers

__all__ = ["BASELINES", "KINDS", "SPIKING", "build", "compile_for_regression", "spiking_layers"]
