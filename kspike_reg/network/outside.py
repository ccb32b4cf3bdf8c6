"""What to do about inputs outside the range that a network was trained on, by name; does not import Keras."""

import warnings
from collections.abc import Callable

from kspike_reg.errors import InputError, OutOfRangeWarning

__all__ = ["OUTSIDE"]


def _warn(message: str, stacklevel: int) -> None:
    warnings.warn(message, OutOfRangeWarning, stacklevel=stacklevel)


def _raise(message: str, _stacklevel: int) -> None:
    raise InputError(f"{message}; train it on such inputs too, or choose outside='warn' or 'ignore'")


# Each takes the message and the stack level of the warning, see `warnings.warn`; None looks for nothing.
OUTSIDE: dict[str, Callable[[str, int], None] | None] = {"warn": _warn, "raise": _raise, "ignore": None}
