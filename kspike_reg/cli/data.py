"""The user's paths, read as a model needs them."""

import argparse
from typing import TYPE_CHECKING

from kspike_reg.cli.options import order_of

if TYPE_CHECKING:
    import keras

    from kspike_reg.datasets import Paths

__all__ = ["read_inputs", "read_inputs_and_outputs"]


def read_inputs(model: "keras.Model", file: str, options: argparse.Namespace) -> "Paths":
    """The inputs that the options name, by default those that the model was trained on."""
    from kspike_reg import datasets
    from kspike_reg.network.physical import scaling_of

    inputs, _ = scaling_of(model)
    return datasets.read(file, getattr(options, "inputs", inputs.names), **order_of(options))


def read_inputs_and_outputs(model: "keras.Model", file: str, options: argparse.Namespace) -> "Paths":
    """The inputs and outputs that the options name, by default those that the model was trained on."""
    from kspike_reg import datasets
    from kspike_reg.network.physical import scaling_of

    inputs, outputs = (layer.names for layer in scaling_of(model))
    names = getattr(options, "inputs", inputs), getattr(options, "outputs", outputs)
    return datasets.read(file, *names, **order_of(options))
