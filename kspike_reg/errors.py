"""The one error for input that the caller can fix, and the one warning.

The command line prints either as one line, and exits with status 2 after an error.
"""

import numbers
from typing import Any

__all__ = ["InputError", "OutOfRangeWarning", "require_whole"]


class InputError(ValueError):
    """A file, an argument or an array from outside that does not fit.

    The message names the function or file, what was received, what was expected and how to fix it.
    """


class OutOfRangeWarning(UserWarning):
    """Inputs leave the range that a network was trained on, so its predictions are extrapolations."""


def require_whole(caller: str, least: int = 1, **counts: Any) -> None:
    """Raise InputError unless every one of the named counts is a whole number, `least` or more.

    Args:
        caller: named in the message.
        least: the smallest count allowed.
        **counts: the counts by their names; True and False are not counts.

    Raises:
        InputError: a count that is no whole number, or too small.
    """
    for name, count in counts.items():
        if isinstance(count, bool) or not isinstance(count, numbers.Integral) or count < least:
            kind = {0: "a whole number, zero or more", 1: "a positive integer"}.get(
                least, f"an integer, at least {least}"
            )
            raise InputError(f"{caller}: expected {name} to be {kind}, received {name}={count!r}")
