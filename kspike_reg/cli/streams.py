"""Standard streams that are closed, full or without a reader."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import TextIO

__all__ = ["discard_output", "output_failed", "usable_streams"]


@contextmanager
def usable_streams() -> Iterator[None]:
    """During the block all standard streams are there, and writing to standard error never fails.

    Standard output keeps its first error, which `flush` raises again: argparse ignores errors, and buffers lose them.

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
    output, errors = sys.stdout, sys.stderr
    sys.stdout, sys.stderr = _Remembering(output), _Unfailing(errors)
    try:
        yield
    finally:
        sys.stdout, sys.stderr = output, errors
        try:
            errors.flush()
        except OSError:
            _lead_to_null(2)  # Python flushes again when it ends, and would change the exit status


def output_failed(error: OSError) -> bool:
    """Whether an error is that of standard output, in the block of `usable_streams`."""
    return error is getattr(sys.stdout, "error", None)


def discard_output() -> None:
    """Lead standard output to the null device after an error, since Python flushes the rest when it ends."""
    _lead_to_null(1)


def _lead_to_null(number: int) -> None:
    null = os.open(os.devnull, os.O_RDWR)
    if null != number:
        os.dup2(null, number)
        os.close(null)
    os.set_inheritable(number, True)


class _Wrapper:
    """A text stream around another one.

    Args:
        stream: the stream to write to.
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def __getattr__(self, name):
        return getattr(self._stream, name)


class _Remembering(_Wrapper):
    """Raises its first error again whenever it is flushed."""

    error: OSError | None = None

    def write(self, text: str) -> int:
        try:
            return self._stream.write(text)
        except OSError as error:
            self.error = self.error or error
            raise

    def flush(self) -> None:
        if self.error:
            raise self.error
        try:
            self._stream.flush()
        except OSError as error:
            self.error = error
            raise


class _Unfailing(_Wrapper):
    """Ignores its errors."""

    def write(self, text: str) -> int:
        with suppress(OSError):
            self._stream.write(text)
        return len(text)

    def flush(self) -> None:
        with suppress(OSError):
            self._stream.flush()
