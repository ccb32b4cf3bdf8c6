"""Sizes in archives, checked before memory is asked for: an archive can claim more than it holds."""

import math
import os
import zipfile
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.lib import format as npy

from kspike_reg.errors import InputError

__all__ = ["array_headers", "memory", "readable", "require_memory"]

# Limits of a container, under control groups of version 2 and 1; absent elsewhere.
LIMITS = ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes")


def array_headers(stream: BinaryIO) -> dict[str, tuple[tuple[int, ...], np.dtype]]:
    """Shape and dtype of every array of an NPZ archive, without reading the numbers.

    Args:
        stream: an open archive, as numpy.savez writes it.

    Returns:
        (shape, dtype) by the name of the array.

    Raises:
        ValueError: a member is not an array, holds Python objects, or claims more numbers than it holds.
        zipfile.BadZipFile: not an archive.
    """
    headers = {}
    with zipfile.ZipFile(stream) as archive:
        for member in archive.infolist():
            name = member.filename.removesuffix(".npy")
            with archive.open(member) as content:
                if content.read(len(npy.MAGIC_PREFIX)) != npy.MAGIC_PREFIX:
                    raise ValueError(f"{name!r} is not an array")
                major, _ = content.read(2)
                # Versions 2 and 3 differ only in how names of fields are encoded.
                read = npy.read_array_header_1_0 if major == 1 else npy.read_array_header_2_0
                shape, _, dtype = read(content)
                claimed, held = math.prod(shape) * dtype.itemsize, member.file_size - content.tell()
            if dtype.hasobject:
                raise ValueError(f"the array {name!r} holds Python objects")
            if min(shape, default=0) < 0 or claimed > held:
                raise ValueError(
                    f"the array {name!r} claims the shape {shape} of {dtype}, {readable(claimed)}, and holds "
                    f"{readable(held)}"
                )
            headers[name] = shape, dtype
    return headers


def require_memory(size: int, what: str) -> None:
    """Refuse data that need more memory than there is.

    Args:
        size: bytes that they need.
        what: named in the message.

    Raises:
        InputError: they need more than the machine has, or than its container may use.
    """
    if size > (there_is := memory()):
        raise InputError(
            f"{what} needs {readable(size)} of memory, and there are {readable(there_is)}; give it in parts, or use a "
            "machine with more"
        )


def memory() -> float:
    """Bytes of memory of the machine or of its container; infinity where the system does not say."""
    found = [math.inf]
    with suppress(AttributeError, ValueError, OSError):  # not on Windows
        found.append(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"))
    for file in LIMITS:
        with suppress(OSError, ValueError):  # absent, or "max"
            found.append(int(Path(file).read_text(encoding="ascii")))
    return min(found)


def readable(size: float) -> str:
    """A number of bytes as text, "3.2 GB" for instance."""
    for unit in ("bytes", "kB", "MB", "GB"):
        if abs(size) < 1000:
            return f"{size:.3g} {unit}"
        size /= 1000
    return f"{size:.3g} TB"
