"""Reading and writing whole models, and the trained networks that come with the package."""

import json
import os
import zipfile
from importlib import resources
from pathlib import Path
from typing import Any

import keras

from kspike_reg import keras_metrics  # noqa: F401 - it registers metrics that a saved model may hold
from kspike_reg.errors import InputError
from kspike_reg.files import replacing
from kspike_reg.network import physical, regression  # noqa: F401 - they register layers that a saved model holds
from kspike_reg.network.archive import check_archive
from kspike_reg.neurons.registry import INTEGRATORS, SPIKING

__all__ = ["file_of", "load", "record_of", "save", "trained_networks"]

# Keras knows the neurons of a saved model once their modules are imported.
for _registry in (SPIKING, INTEGRATORS):
    tuple(_registry.values())


def load(file: str | os.PathLike) -> keras.Model:
    """Load a trained network, for instance the model.keras of a run; it maps physical units to physical
    units.

    Args:
        file: a `.keras` file, or a name among `trained_networks()`.

    Returns:
        A `PhysicalModel` from (batch, time, features) to (batch, time, outputs), or any other saved model.

    Raises:
        InputError: there is no such file or name, it is no Keras model, it is cut short, or it asks for far more memory
            than a model of its size needs.
    """
    file = file_of(file)
    if not os.path.isfile(file):  # Path.is_file raises where the name is too long
        raise InputError(f"{file}: there is no such file; expected a model saved as .keras")
    try:
        whole = zipfile.is_zipfile(file)
    except OSError as error:
        raise InputError(f"{file}: cannot be read: {error.strerror or error}") from error
    if file.suffix != ".keras" or not whole:
        raise InputError(f"{file}: not a Keras model, or one cut short; expected a .keras file as kspike-reg writes it")
    try:
        check_archive(file)
        return keras.models.load_model(file)
    except InputError:
        raise
    except Exception as error:  # Keras raises whatever it stumbles over in a damaged or foreign file.
        reason = str(error).strip().split("\n")[0]
        raise InputError(f"{file}: cannot be loaded as a Keras model: {type(error).__name__}: {reason}") from error


def file_of(model: str | os.PathLike) -> Path:
    """The file that `load` reads.

    Args:
        model: a file, which need not exist, or a name among `trained_networks()`.

    Returns:
        The file.

    Raises:
        InputError: there is no trained network of that name.
    """
    return _by_name(model) if _is_name(model) else Path(model)


def trained_networks() -> tuple[str, ...]:
    """Names of the trained networks that come with the package."""
    return tuple(sorted(place.name for place in _shelf().iterdir() if (place / "model.keras").is_file()))


def record_of(name: str) -> dict[str, Any]:
    """The record of the run that made a trained network, the content of its metrics.json: configuration, errors.

    Raises:
        InputError: there is no trained network of that name.
    """
    return json.loads(_by_name(name).with_name("metrics.json").read_text(encoding="utf-8"))


def _shelf():
    """The folder models/ of the repository, or its copy in an installed package."""
    return resources.files("kspike_reg.models")


def _is_name(file):
    """Whether it has neither folder nor suffix, and is no file either."""
    return os.path.basename(file) == str(file) and not Path(file).suffix and not os.path.isfile(file)


def _by_name(name):
    names = trained_networks()
    if str(name) not in names:
        raise InputError(
            f"there is no trained network {str(name)!r}; choose one of {', '.join(names) or '(none came along)'}, "
            "or give a .keras file"
        )
    return Path(str(_shelf() / name / "model.keras"))


def save(model: keras.Model, file: str | os.PathLike) -> None:
    """Save a model as a `.keras` file, whole or not at all.

    Args:
        model: a `keras.Model`.
        file: the name of the file, which ends in .keras.

    Raises:
        InputError: the file cannot be written.
    """
    with replacing(file) as partial:
        model.save(partial)
