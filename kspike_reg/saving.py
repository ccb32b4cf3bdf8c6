"""Reading and writing whole models."""

import os
import zipfile
from pathlib import Path

import keras

from kspike_reg import network, scaling  # noqa: F401  (registers every layer that a saved model may hold)
from kspike_reg.errors import InputError
from kspike_reg.files import replacing

__all__ = ["load", "save"]


def load(file):
    """Load a trained network, for instance the model.keras of a run; it maps physical units to physical units.

    Args:
        file: a `.keras` file.

    Returns:
        A `keras.Model` from (batch, time, features) to (batch, time, outputs).

    Raises:
        InputError: there is no such file, it is no Keras model, or it is cut short.
    """
    file = Path(file)
    if not os.path.isfile(file):  # Path.is_file raises where the name is too long
        raise InputError(f"{file}: there is no such file; expected a model saved as .keras")
    try:
        whole = zipfile.is_zipfile(file)
    except OSError as error:
        raise InputError(f"{file}: cannot be read: {error.strerror or error}") from error
    if file.suffix != ".keras" or not whole:
        raise InputError(f"{file}: not a Keras model, or one cut short; expected a .keras file as kspike-reg writes it")
    try:
        return keras.models.load_model(file)
    except Exception as error:  # Keras raises whatever it stumbles over in a damaged or foreign file.
        reason = str(error).strip().split("\n")[0]
        raise InputError(f"{file}: cannot be loaded as a Keras model: {type(error).__name__}: {reason}") from error


def save(model, file):
    """Save `model` as a `.keras` file, whole or not at all.

    Raises:
        InputError: the place cannot be written to.
    """
    with replacing(file) as partial:
        model.save(partial)
