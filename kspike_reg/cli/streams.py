"""Standard streams that are closed, full or without a reader."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import TextIO

__all__ = ["discard_output", "usable_streams"]


@contextmanager
def usable_streams() -> Iterator[None]:
    """During the block all standard streams are there, and writing to standard error never fails.

    A closed stream leads to the null device. Otherwise the next file that is opened would get its number, and messages
    of native libraries would end up in that file. Where standard error is full or gone, with the terminal for instance,
    messages are lost, but not hours of training.
    """
    for number, name, mode in ((0, "stdin", "r"), (1, "stdout", "w"), (2, "stderr", "w")):
        try:
            os.fstat(number)
        except OSError:
            _lead_to_null(number)
        if getattr(sys, name) is None:
            setattr(sys, name, open(number, mode, encoding="utf-8", closefd=False))  # noqa: SIM115 (for good)
    stream = sys.stderr
    sys.stderr = _Unfailing(stream)
    try:
        yield
    finally:
        sys.stderr = stream
        try:
            stream.flush()
        except OSError:
            _lead_to_null(2)  # Python flushes again when it ends, and would change the exit status


def discard_output() -> None:
    """Lead standard output to the null device after an error, since Python flushes the rest when it ends."""
    _lead_to_null(1)


def _lead_to_null(number: int) -> None:
    null = os.open(os.devnull, os.O_RDWR)
    if null != number:
        os.dup2(null, number)
        os.close(null)
    os.set_inheritable(number, True)


class _Unfailing:
    """A text stream whose errors are ignored.

    Args:
        stream: the stream to write to.
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        with suppress(OSError):
            self._stream.write(text)
        return len(text)

    def flush(self) -> None:
        with suppress(OSError):
            self._stream.flush()

    def __getattr__(self, name):
        return getattr(self._stream, name)
