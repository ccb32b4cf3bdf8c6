"""The user's files: paths, read as a model needs them, and outputs that must not be inputs."""

import argparse
import os
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from kspike_reg.cli.options import order_of
from kspike_reg.errors import InputError
from kspike_reg.files import is_stream

if TYPE_CHECKING:
    import keras

    from kspike_reg.datasets import Paths

__all__ = ["read_inputs", "read_inputs_and_outputs", "refuse_existing", "refuse_inputs"]


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


def refuse_existing(file: str | Path) -> None:
    """Refuse an output that exists, unless the user allows that; a device or a named pipe always exists."""
    if os.path.exists(file) and not is_stream(file):
        raise InputError(f"{file}: exists already; choose another name, or give --overwrite")


def refuse_inputs(outputs: Iterable[str | Path], inputs: Iterable[str | Path | None]) -> None:
    """Refuse outputs that would replace a file that the command reads, by whatever name or link."""
    inputs = [file for file in inputs if file is not None]
    for output in outputs:
        for file in inputs:
            if _is_same(output, file) and not is_stream(output):
                raise InputError(f"{output}: the command reads this file, as {file}; choose another output")


def _is_same(one: str | Path, other: str | Path) -> bool:
    try:
        return os.path.samefile(one, other)
    except (OSError, ValueError):  # one of them does not exist
        return False
