"""Packages whose names are imported when they are first asked for, so that importing the package stays quick."""

import importlib
import sys
from collections.abc import Callable, Iterable, Mapping
from typing import Any

__all__ = ["lazy"]


def lazy(
    package: str, homes: Mapping[str, str], modules: Iterable[str] = ()
) -> tuple[Callable[[str], Any], Callable[[], list[str]]]:
    """The functions `__getattr__` and `__dir__` of a package, to be bound to these names in its `__init__.py`.

    Type checkers do not see such names: the package imports them once more under `typing.TYPE_CHECKING`.

    Args:
        package: its `__name__`.
        homes: the module that holds each public name, by the name.
        modules: names of modules of the package that are public too.
    """

    def import_name(name: str) -> Any:
        if name in homes:
            return getattr(importlib.import_module(homes[name]), name)
        if name in modules:
            return importlib.import_module(f"{package}.{name}")
        raise AttributeError(f"module {package!r} has no attribute {name!r}")

    def all_names() -> list[str]:
        return sorted({*vars(sys.modules[package]), *homes, *modules})

    return import_name, all_names
