"""Paths from NPZ archives: sizes are checked before arrays are read, and arrays that nobody named are not read."""

import zipfile
import zlib
from typing import Any, BinaryIO

import numpy as np

from kspike_reg.archives import array_headers, require_memory
from kspike_reg.datasets.names import require_names
from kspike_reg.errors import InputError

__all__ = ["fields_of_npz"]

# What NumPy and zipfile raise for a damaged archive: a wrong size, checksum, method, version, flag, header.
_DAMAGE = (ValueError, zipfile.BadZipFile, EOFError, zlib.error, NotImplementedError, RuntimeError)
# While they are read, an array is there as it was stored, as float64, and joined with the others.
COPIES = 3
MOST = 10_000  # quantities in one array


def fields_of_npz(
    stream: BinaryIO, file: str, inputs: tuple[str, ...], targets: tuple[str, ...], _path: str, _step: str
) -> dict[str, Any]:
    """The arguments of `Paths` that an archive gives.

    Args:
        stream: the open archive.
        file: its name, for messages.
        inputs, targets: names of quantities, as for `read`.

    Raises:
        InputError: see `read`.
    """
    try:
        return _fields(stream, file, inputs, targets)
    except InputError:
        raise
    except _DAMAGE as error:
        raise InputError(f"{file}: not an NPZ archive of plain number arrays: {error}") from error


def _fields(stream, file, inputs, targets):
    if stream.read(len(np.lib.format.MAGIC_PREFIX)) == np.lib.format.MAGIC_PREFIX:
        raise InputError(f"{file}: holds a single array; expected an archive made by numpy.savez")
    stream.seek(0)
    headers = array_headers(stream)
    homes = _quantities(file, headers)
    require_names(file, "array", (*inputs, *targets), tuple(homes))
    first = headers[homes[inputs[0]][0]][0][:2]
    for name in (*inputs, *targets):
        shape, dtype = headers[homes[name][0]]
        if dtype.kind not in "fiu":
            raise InputError(f"{file}: the array {name!r} holds {dtype}, expected real numbers")
        if len(shape) not in (2, 3) or shape[:2] != first or 0 in shape:
            raise InputError(
                f"{file}: the array {name!r} has shape {shape}; expected (paths, steps), the same for all, "
                f"and {inputs[0]!r} has {first}"
            )
    read = {homes[name][0] for name in (*inputs, *targets)} | headers.keys() & {"lengths"}
    numbers = sum(int(np.prod(headers[name][0])) for name in read)
    require_memory(COPIES * 8 * numbers, f"{file}: the data")
    stream.seek(0)
    with np.load(stream, allow_pickle=False) as archive:
        arrays = {name: archive[name] for name in read}

    def stacked(names):
        quantities = [
            arrays[array] if index is None else arrays[array][..., index] for array, index in map(homes.get, names)
        ]
        return np.stack(quantities, axis=-1)

    return {
        "inputs": stacked(inputs),
        "targets": stacked(targets) if targets else None,
        "lengths": arrays.get("lengths"),
    }


def _quantities(file, headers):
    """By the name of each quantity the array that holds it, and its place on the last axis; None for a whole array."""
    homes = {}
    for name, (shape, _) in headers.items():
        if len(shape) == 3:
            if shape[2] > MOST:
                raise InputError(f"{file}: the array {name!r} has shape {shape}; expected at most {MOST} quantities")
            homes |= {f"{name}_{index + 1}": (name, index) for index in range(shape[2])}
        if len(shape) != 3 or shape[2] == 1:
            homes[name] = (name, 0) if len(shape) == 3 else (name, None)
    return homes
