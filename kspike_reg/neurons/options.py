"""Constructor options, written once: each keyword of each `__init__` along the class hierarchy.

A cell passes the options that it does not know to its parent class, so no single signature lists all of them. This
module collects them, for help(), for `get_config` and for the layer, which separates its own options from its cell's.
"""

import inspect
from collections.abc import Iterable
from typing import Any

import keras

__all__ = ["constructor_options", "show_full_signature", "with_names"]


def constructor_options(cls: type) -> dict[str, inspect.Parameter]:
    """The constructor's named parameters over all of our classes, most derived first.

    Args:
        cls: a Keras layer class.

    Returns:
        A dictionary from name to inspect.Parameter, without `self` and the options of keras.layers.Layer itself.
    """
    options = {}
    for owner in cls.__mro__:
        if owner.__module__.split(".")[0] == "keras":
            continue
        if "__init__" in vars(owner) and issubclass(owner, keras.layers.Layer):
            for name, parameter in list(inspect.signature(owner.__init__).parameters.items())[1:]:
                if parameter.kind is not inspect.Parameter.VAR_KEYWORD:
                    options.setdefault(name, parameter)
    return options


def show_full_signature(cls: type, extra: Iterable[inspect.Parameter] = ()) -> None:
    """Let help() and editors show every option of `cls`, those of its parents and `extra` included."""
    options = {parameter.name: parameter for parameter in extra} | constructor_options(cls)
    rest = inspect.Parameter("kwargs", inspect.Parameter.VAR_KEYWORD)
    cls.__signature__ = inspect.Signature([*sorted(options.values(), key=lambda p: p.kind), rest])


def with_names(config: dict[str, Any]) -> dict[str, Any]:
    """A configuration in which every function is replaced by its name again.

    Keras reads the old .h5 format by replacing each string that is also the name of a function it knows, such as
    "subtract". No option of ours is a function: initializers and their like are stored as dictionaries.
    """
    return {name: value.__name__ if inspect.isfunction(value) else value for name, value in config.items()}
