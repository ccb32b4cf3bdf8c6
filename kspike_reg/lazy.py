"""Packages whose names are imported when they are first asked for, so that importing the package stays quick."""

import importlib
import sys

__all__ = ["lazy"]


def lazy(package, homes, modules=()):
    """The functions `__getattr__` and `__dir__` of a package, to be bound to these names in its `__init__.py`.

    Args:
        package: its `__name__`.
        homes: the module that holds each public name, by the name.
        modules: names of modules of the package that are public too.
    """

    def import_name(name):
        if name in homes:
            return getattr(importlib.import_module(homes[name]), name)
        if name in modules:
            return importlib.import_module(f"{package}.{name}")
        raise AttributeError(f"module {package!r} has no attribute {name!r}")

    def all_names():
        return sorted({*vars(sys.modules[package]), *homes, *modules})

    return import_name, all_names
