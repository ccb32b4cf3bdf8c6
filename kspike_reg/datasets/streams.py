"""Data that can be read once: named pipes, standard input and the pipes of a shell, next to files."""

import hashlib
import io
import os
import stat
from os import PathLike
from pathlib import Path
from typing import BinaryIO

from kspike_reg.errors import InputError
from kspike_reg.files import is_stream

__all__ = ["opened", "sha256_of"]

CHUNK = 2**20  # bytes

# SHA-256 of the data that were last read from a stream, by its device and inode.
_READ: dict[tuple[int, int], str] = {}


def opened(file: Path) -> BinaryIO:
    """Open a file for reading, or read a stream to its end, so that its data can be gone through more than once.

    Raises:
        InputError: it is empty, or a device without an end.
        OSError: it cannot be read.
    """
    if not is_stream(file):
        if file.stat().st_size == 0:
            raise InputError(f"{file}: the file is empty")
        return open(file, "rb")
    with open(file, "rb", buffering=0) as stream:
        found = os.fstat(stream.fileno())
        content = stream.read(CHUNK) or b""
        if content and stat.S_ISCHR(found.st_mode) and not stream.isatty():
            raise InputError(f"{file}: a device without an end; expected a file or a pipe")
        parts = [content]
        while part := stream.read(CHUNK):
            parts.append(part)
    content = b"".join(parts)
    if not content:
        raise InputError(f"{file}: the file is empty")
    _READ[found.st_dev, found.st_ino] = hashlib.sha256(content).hexdigest()
    return io.BytesIO(content)


def sha256_of(file: str | PathLike) -> str:
    """SHA-256 of a file, or of the data that `read` last took from a stream, as hexadecimal digits.

    Raises:
        InputError: nothing was read from the stream.
        OSError: the file cannot be read.
    """
    if not is_stream(file):
        with open(file, "rb") as content:
            return hashlib.file_digest(content, "sha256").hexdigest()
    found = os.stat(file)
    if (found.st_dev, found.st_ino) not in _READ:
        raise InputError(f"{file}: expected a pipe that was read, received one that was not; read it first")
    return _READ[found.st_dev, found.st_ino]
