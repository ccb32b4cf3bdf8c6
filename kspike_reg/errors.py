"""The one error that means "the caller can mend this", and the one warning.

The command line turns either into one line, the error into exit status 2 too.
"""

import numbers

__all__ = ["InputError", "OutOfRangeWarning", "require_whole"]


class InputError(ValueError):
    """A file, an argument or an array from outside that does not fit.

    The message says who complains, what came, what was expected and how to mend it.
    """


class OutOfRangeWarning(UserWarning):
    """Inputs leave the range that a network was trained on, so that its answers are extrapolations."""


def require_whole(owner, least=1, **counts):
    """Raise InputError unless every one of the named counts is a whole number, `least` or more.

    Args:
        owner: who asks, for the message.
        least: the smallest count allowed.
        **counts: the counts by their names; True and False are none.
    """
    for name, count in counts.items():
        if isinstance(count, bool) or not isinstance(count, numbers.Integral) or count < least:
            kind = {0: "a whole number, zero or more", 1: "a positive integer"}.get(
                least, f"an integer, at least {least}"
            )
            raise InputError(f"{owner}: expected {name} to be {kind}, received {name}={count!r}")
