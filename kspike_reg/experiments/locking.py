"""One process at a time in a folder: `locked`."""

import errno
import json
import os
import socket
import sys
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import filelock

from kspike_reg.errors import InputError

__all__ = ["HOLDER", "LOCK", "UnlockedWarning", "locked"]

LOCK, HOLDER = ".lock", ".lock.json"

# File systems without locks, network ones mostly, answer with one of these.
WITHOUT_LOCKS = (errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP)


class UnlockedWarning(UserWarning):
    """A folder cannot be locked, so that other processes may work in it."""


@contextmanager
def locked(folder: Path, patience: float = 0.0) -> Iterator[None]:
    """Keep other processes out of a folder during the block.

    The operating system holds the lock and releases it when the process ends, however it ends. So the files `.lock` and
    `.lock.json`, which a kill leaves behind, do not block anything; the next lock takes them over and removes them.

    Args:
        folder: an existing folder.
        patience: seconds to wait for another process.

    Raises:
        InputError: another process has locked the folder, or it cannot be locked.
    """
    lock = filelock.FileLock(folder / LOCK, timeout=patience)
    try:
        lock.acquire(poll_interval=0.1)
    except filelock.Timeout:
        raise InputError(_refusal(folder)) from None
    except (OSError, NotImplementedError) as error:
        if getattr(error, "errno", None) not in (None, *WITHOUT_LOCKS):
            raise InputError(f"{folder}: cannot be locked: {error.strerror or error}") from error
        warnings.warn(
            f"{folder}: this file system cannot lock folders; make sure that no other process works there",
            UnlockedWarning,
            stacklevel=3,
        )
        yield
        return
    try:
        _identify(folder / HOLDER)
        yield
    finally:
        # Removed before the release: a process that waits on the removed file notices that, and makes a new one.
        for name in (HOLDER, LOCK):
            with suppress(OSError):  # Windows keeps open files
                os.unlink(folder / name)
        lock.release()


def _identify(file: Path) -> None:
    """Write who holds the lock, for the message that others get; it needs no sync, since it is void after a crash."""
    words = [os.path.basename(sys.argv[0]), *sys.argv[1:]]
    since = time.strftime("%Y-%m-%d %H:%M:%S")
    holder = {"pid": os.getpid(), "host": socket.gethostname(), "command": " ".join(words), "since": since}
    with suppress(OSError):
        file.write_text(json.dumps(holder), encoding="utf-8")


def _refusal(folder: Path) -> str:
    try:
        holder = json.loads((folder / HOLDER).read_text(encoding="utf-8"))
        who = "process {pid} on {host} ({command}), since {since}".format(**holder)
        elsewhere = holder["host"] != socket.gethostname()
    except (OSError, ValueError, KeyError, TypeError):  # it has just begun or ended
        who, elsewhere = "another process", False
    dead = f"; if that process has ended, remove {folder / LOCK}" if elsewhere else ""
    return (
        f"{folder}: in use by {who}; wait until it has ended or end it, then give the same command again, or choose "
        f"another folder{dead}"
    )
