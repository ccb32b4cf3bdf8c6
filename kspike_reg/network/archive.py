"""A look at a .keras archive before Keras reads it: how much it claims to hold, and how much its model can hold.

Keras asks for the memory of whatever an archive claims. A few kilobytes can claim gigabytes: zeros compress a
thousandfold, and a configuration can name layers of any width.
"""

import io
import json
import math
import random
import re
import zipfile
from os import PathLike
from typing import Any

import keras

# Variables that a stateless scope leaves without values have no public list.
from keras.src.backend.common import global_state

from kspike_reg.archives import array_headers, readable, require_memory
from kspike_reg.errors import InputError

__all__ = ["check_archive"]

CONFIGURATION, WEIGHTS = "config.json", ("model.weights.h5", "model.weights.npz")
LONGEST = 32_000_000  # bytes of a configuration; one with ten thousand layers has a third of it
SMALL = 64_000_000  # bytes that any archive may claim
# Keras stores up to six numbers for a weight: itself, three of its optimizer, an average, a sum of gradients. The other
# way round, a weight that is stored in eight bits is read into 32.
COPIES = 8
# Keras compresses nothing. Trained weights of another tool's archive shrink by a few per cent, not tenfold.
SHRINKAGE = 10


def check_archive(file: str | PathLike) -> None:
    """Refuse an archive that would ask for far more memory than its model needs.

    The model is laid out from its configuration without memory for its weights. The archive may claim what such a
    model can hold, however well it compresses, and the model may ask for what the archive holds.

    Args:
        file: a .keras file, a zip archive.

    Raises:
        InputError: the archive claims much more than its model can hold and than it takes on disk, or the model has
            many more weights than the archive.
        Exception: whatever zipfile, json and Keras raise for damaged content.
    """
    with zipfile.ZipFile(file) as archive:
        members = archive.infolist()
        if CONFIGURATION not in archive.namelist():
            return  # Keras says so
        long = [member for member in members if member.filename.endswith(".json") and member.file_size > LONGEST]
        if long:
            raise InputError(
                f"{file}: {long[0].filename} claims {readable(long[0].file_size)}; expected at most "
                f"{readable(LONGEST)}, since a configuration holds no weights; the file is damaged or hostile"
            )
        weights = bytes_of_weights(json.loads(archive.read(CONFIGURATION)))
        on_disk, claimed = (sum(getattr(member, of) for member in members) for of in ("compress_size", "file_size"))
        _refuse_bomb(file, claimed, on_disk, weights)
        require_memory(claimed + (weights or 0), f"{file}: the model")
        content = sum(_content(archive, name) for name in WEIGHTS if name in archive.namelist())
    _refuse_bomb(file, content, on_disk, weights)
    if weights is not None and weights > SMALL + COPIES * content:
        raise InputError(
            f"{file}: its model asks for {readable(weights)} of weights, and the file holds {readable(content)}; "
            "the file is damaged or hostile"
        )


def _refuse_bomb(file: str | PathLike, claimed: int, on_disk: int, weights: int | None) -> None:
    if claimed > SMALL + COPIES * (weights or 0) and claimed > SHRINKAGE * on_disk:
        of_model = "unknown" if weights is None else readable(weights)
        raise InputError(
            f"{file}: takes {readable(on_disk)} and claims to hold {readable(claimed)}, where the weights of its model "
            f"take {of_model}; the file is damaged or hostile; if you trust it, unzip it and zip it again without "
            "compression (zip -0)"
        )


def bytes_of_weights(configuration: dict[str, Any]) -> int | None:
    """Bytes of the variables of a model, from its configuration, without memory for them.

    Args:
        configuration: the content of config.json.

    Returns:
        A number of bytes; None where the model cannot be laid out without its weights.
    """
    configuration = configuration | {"compile_config": None}  # an optimizer needs weights
    generator = random.getstate()  # layers draw their seeds from it
    try:
        with keras.StatelessScope(initialize_variables=False):
            model = keras.saving.deserialize_keras_object(configuration, safe_mode=True)
        return sum(math.prod(variable.shape) * _bytes_of(variable.dtype) for variable in model.variables)
    except Exception:  # a layer that computes with its weights as it is made, or content that Keras will refuse
        return None
    finally:
        random.setstate(generator)
        global_state.set_global_attribute("uninitialized_variables", [])


def _bytes_of(dtype: str) -> int:
    """Bytes of one number, "float32" for instance; one for booleans."""
    return max(1, int("".join(re.findall(r"\d+", dtype)[:1]) or 8) // 8)


def _content(archive: zipfile.ZipFile, name: str) -> int:
    """Bytes of the arrays in a file of weights, by their headers."""
    stream = io.BytesIO(archive.read(name))
    if name.endswith(".npz"):
        return sum(math.prod(shape) * dtype.itemsize for shape, dtype in array_headers(stream).values())
    import h5py

    sizes = []

    def add(_: str, entry: Any) -> None:
        if isinstance(entry, h5py.Dataset):
            sizes.append(math.prod(entry.shape or ()) * entry.dtype.itemsize)

    with h5py.File(stream, "r") as weights:
        weights.visititems(add)  # follows no links
    return sum(sizes)
