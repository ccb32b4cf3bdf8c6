"""Files that are written as a whole: after a kill or a power cut there is the old file or the new one, never half."""

import errno
import json
import os
import re
import shutil
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from kspike_reg.errors import InputError

__all__ = ["is_standard_output", "is_stream", "prepare_folder", "replacing", "sync", "write_json"]

# Names of files that this process has open, /dev/fd/3 for instance; /dev/stdout is a link to one of them.
OPEN_FILE = re.compile(r"/(?:dev|proc/self)/fd/(\d+)")
MOST_LINKS = 40  # as the kernel follows, about


@contextmanager
def replacing(file: str | os.PathLike) -> Iterator[Path]:
    """Replace a file when the block ends without an exception, and see it on the disk.

    The block writes to a temporary file in the same folder. The temporary name keeps the suffix, since some writers
    choose their format by it. It is always the same, so the next attempt overwrites what a kill left behind.

    A symbolic link stays, and the file that it points to is replaced. The new file has the mode of the old one, and its
    owner where the system allows that. A device, a named pipe and /dev/stdout are not replaced: the content is written
    to them at the end of the block.

    Args:
        file: its name; the file need not exist, its folder must.

    Yields:
        The temporary file to write to.

    Raises:
        InputError: the file cannot be written.
        BrokenPipeError: it is a pipe, and its reader has ended.
    """
    file = Path(file)
    if not file.name:
        raise InputError(f"{str(file)!r}: cannot be written: expected the name of a file")
    try:
        with (_written_through if is_stream(file) else _replaced)(file) as partial:
            yield partial
    except BrokenPipeError:
        raise
    except OSError as error:
        raise InputError(f"{file}: cannot be written: {error.strerror or error}") from error


@contextmanager
def _replaced(file: Path) -> Iterator[Path]:
    target = Path(os.path.realpath(file))
    partial = target.with_name(f".partial-{target.stem}{file.suffix}")
    old = os.stat(target) if os.path.isfile(target) else None
    if old and not os.access(target, os.W_OK):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
    try:
        partial.unlink(missing_ok=True)  # it could be a link to another file
        yield partial
        if old:
            _set_owner_and_mode(partial, old)
        sync(partial)  # else the new name could be on the disk before the content
        os.replace(partial, target)
        _sync_folder(target.parent)
    finally:
        with suppress(OSError):  # an error that matters is already on its way to the caller
            partial.unlink(missing_ok=True)


@contextmanager
def _written_through(file: Path) -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as folder:
        partial = Path(folder) / file.name
        yield partial
        number = _descriptor(file)
        with open(partial, "rb") as content, open(file if number is None else os.dup(number), "wb") as stream:
            shutil.copyfileobj(content, stream)


def is_stream(file: str | os.PathLike) -> bool:
    """Whether a name leads to something that cannot be replaced by a file: a device, a pipe, an open file."""
    try:
        mode = os.stat(file).st_mode
    except (OSError, ValueError):
        return False
    return not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)) or _descriptor(file) is not None


def is_standard_output(file: str | os.PathLike) -> bool:
    """Whether a name leads to the standard output of this process, as /dev/stdout does."""
    return _descriptor(file) == 1


def _descriptor(file: str | os.PathLike) -> int | None:
    """The number of the open file that a name such as /dev/stdout stands for; None for any other file."""
    name = os.path.abspath(file)
    for _ in range(MOST_LINKS):
        if found := OPEN_FILE.fullmatch(name):
            return int(found[1])
        if not os.path.islink(name):
            break
        name = os.path.normpath(os.path.join(os.path.dirname(name), os.readlink(name)))
    return None


def _set_owner_and_mode(file: Path, old: os.stat_result) -> None:
    if hasattr(os, "chown"):  # not on Windows
        for owner in (old.st_uid, -1):  # only root gives files away, but many may change the group
            with suppress(OSError):
                os.chown(file, owner, old.st_gid)
                break
    os.chmod(file, stat.S_IMODE(old.st_mode))  # last, since a change of owner resets some bits


def sync(file: str | os.PathLike) -> None:
    """Return when the content of a file is on the disk.

    Raises:
        OSError: the disk is full or damaged.
    """
    with open(file, "rb+") as stream:
        os.fsync(stream.fileno())


def _sync_folder(folder: Path) -> None:
    """Return when the names in a folder are on the disk, where the system can promise that."""
    with suppress(OSError):  # Windows and some file systems do not open folders
        number = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(number)
        finally:
            os.close(number)


def write_json(file: str | os.PathLike, content: Any) -> None:
    """Write `content` to a JSON file, whole or not at all.

    Raises:
        InputError: the file cannot be written.
    """
    with replacing(file) as partial:
        partial.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


def prepare_folder(folder: str | os.PathLike) -> Path:
    """Make a folder, with its parents, and check that it is writable before work is spent on its content.

    Args:
        folder: its name; it may exist.

    Returns:
        The folder.

    Raises:
        InputError: it cannot be made, or not be written to; folders made on the way are removed again.
    """
    folder = Path(folder)
    probe = folder / ".partial-probe"
    made = []
    try:
        made = [place for place in (folder, *folder.parents) if not place.exists()]
        folder.mkdir(parents=True, exist_ok=True)
        for place in made:
            _sync_folder(place.parent)
        probe.touch()
        probe.unlink(missing_ok=True)  # another process may have tried the same folder
    except OSError as error:
        for place in made:
            with suppress(OSError):
                place.rmdir()
        raise InputError(
            f"{folder}: cannot be used as a folder to write to: {error.strerror or error}; choose another one"
        ) from error
    return folder
