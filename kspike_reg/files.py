"""Files that are whole or not there: a kill at any moment leaves the old one or the new one, never half."""

import json
import os
from contextlib import contextmanager, suppress
from pathlib import Path

from kspike_reg.errors import InputError

__all__ = ["prepare_folder", "replacing", "write_json"]


@contextmanager
def replacing(file):
    """Give a name beside `file` to write to; it takes the place of `file` when the block ends well.

    The name keeps the suffix, since some writers choose their format by it, and is the same every time, so that what
    a kill left behind is overwritten by the next attempt.

    Raises:
        InputError: the place cannot be written to.
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
        with suppress(OSError):  # the reason has been told
            partial.unlink(missing_ok=True)


def write_json(file, content):
    """Write `content` to a JSON file, whole or not at all."""
    with replacing(file) as partial:
        partial.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


def prepare_folder(folder):
    """Make `folder` and see that it can be written to, before any work is spent on what goes there.

    Raises:
        InputError: it cannot.
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
