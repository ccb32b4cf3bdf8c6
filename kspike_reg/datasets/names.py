"""Names of quantities that a file must hold."""

import difflib
from collections.abc import Iterable, Sequence

from kspike_reg.errors import InputError

__all__ = ["require_names"]


def require_names(file: str, kind: str, wanted: Iterable[str], found: Sequence[str]) -> None:
    """Refuse a file that lacks a name, with the one that is spelt most like it.

    Args:
        file: its name, for the message.
        kind: what the names are of, "column" for instance.
        wanted: names that are needed.
        found: names that are there.

    Raises:
        InputError: a name is missing.
    """
    for name in wanted:
        if name in found:
            continue
        near = difflib.get_close_matches(name, found, n=1)
        hint = f"; did you mean {near[0]!r}?" if near else ""
        raise InputError(f"{file}: no {kind} {name!r}; the {kind}s are {', '.join(map(repr, found))}{hint}")
