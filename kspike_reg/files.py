"""Files that are written as a whole: a kill at any moment leaves the old file or the new one, never half of one."""

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from kspike_reg.errors import InputError

__all__ = ["prepare_folder", "replacing", "write_json"]


@contextmanager
def replacing(file: str | os.PathLike) -> Iterator[Path]:
    """Replace a file when the block ends without an exception.

    The block writes to a temporary file in the same folder. The temporary name keeps the suffix, since some writers
    choose their format by it. It is always the same, so the next attempt overwrites what a kill left behind.

    Args:
        file: its name; the file need not exist, its folder must.

    Yields:
        The temporary file to write to.

    Raises:
        InputError: the file cannot be written.
    """
    file = Path(file)
    if not file.name:
        raise InputError(f"{str(file)!r}: cannot be written: expected the name of a file")
    partial = file.with_name(f".partial-{file.name}")
    try:
        yield partial
        os.replace(partial, file)
    except OSError as error:
        raise InputError(f"{file}: cannot be written: {error.strerror or error}") from error
    finally:
        with suppress(OSError):  # an error that matters is already on its way to the caller
            partial.unlink(missing_ok=True)


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
        probe.touch()
        probe.unlink()
    except OSError as error:
        for place in made:
            with suppress(OSError):
                place.rmdir()
        raise InputError(
            f"{folder}: cannot be used as a folder to write to: {error.strerror or error}; choose another one"
        ) from error
    return folder
