"""A NIR file checked before its numbers are read.

HDF5 can do more than NIR needs. A group can link to itself, an array can lie in another file, and a few bytes can claim
any size. A file from elsewhere is refused if it uses any of this.
"""

import os
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from kspike_reg.archives import readable, require_memory
from kspike_reg.errors import InputError

if TYPE_CHECKING:
    import h5py

__all__ = ["require_plain"]

# The file holds /node/nodes/NAME for each node, and two groups more for each subgraph around it.
DEEPEST = 64

# Deflate, HDF5's usual compression, packs at most 1032 bytes into one.
COMPRESSION = 1032


def require_plain(file: str | os.PathLike) -> None:
    """Raise InputError unless a file is a tree of groups and of arrays that it holds itself.

    Args:
        file: the name of an HDF5 file.

    Raises:
        InputError: links, arrays in other files, groups too deep, arrays of anything but numbers and text, or arrays
            that claim more than the file can hold or than fits into memory.
        OSError: not an HDF5 file.
    """
    import h5py  # a dependency of nir

    with h5py.File(file, "r") as opened:
        size = 0
        for name, found in _members(h5py, opened, file):
            if isinstance(found, h5py.Dataset):
                size += _size(h5py, found, f"{file}: the array {name!r}")
            elif not isinstance(found, h5py.Group):
                raise InputError(f"{file}: {name!r} is neither a group nor an array; expected a NIR file")
    require_memory(size, f"{file}: the network")


def _members(h5py: Any, opened: "h5py.File", file: str | os.PathLike) -> Iterator[tuple[str, Any]]:
    """Names and objects of a file, each once; a second way to an object is refused, so the walk ends."""
    seen, waiting = {_address(h5py, opened)}, [opened]
    while waiting:
        group = waiting.pop()
        if group.name.count("/") > DEEPEST:
            raise InputError(f"{file}: its groups are nested more than {DEEPEST} deep; expected a NIR file")
        for key in group:
            name = f"{group.name.rstrip('/')}/{key}"
            if not isinstance(group.get(key, getlink=True), h5py.HardLink):
                raise InputError(
                    f"{file}: {name!r} is a link to another place or file; expected a NIR file, which holds what it "
                    "names"
                )
            found = group[key]
            if (address := _address(h5py, found)) in seen:
                raise InputError(
                    f"{file}: {name!r} is a second name of another object in the file, maybe of a group around it; "
                    "expected a NIR file, in which each has one place"
                )
            seen.add(address)
            yield name, found
            if isinstance(found, h5py.Group):
                waiting.append(found)


def _address(h5py, found):
    return h5py.h5o.get_info(found.id).addr


def _size(h5py: Any, array: "h5py.Dataset", place: str) -> int:
    """Bytes of an array in memory."""
    if array.external or array.is_virtual:
        raise InputError(f"{place} lies in another file; expected a NIR file, which holds its own numbers")
    if array.dtype.kind not in "fiub" and h5py.check_string_dtype(array.dtype) is None:
        raise InputError(f"{place} holds {array.dtype}; expected numbers or text")
    if array.shape is None:
        return 0
    held = array.id.get_storage_size()
    if array.nbytes > COMPRESSION * held:
        raise InputError(
            f"{place} claims the shape {array.shape}, {readable(array.nbytes)}, and holds {readable(held)}; the file "
            "is damaged or made to exhaust memory"
        )
    return array.nbytes
