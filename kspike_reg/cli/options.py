"""Options that several commands share, and how they are read back."""

import argparse
from typing import Any

__all__ = [
    "add_columns",
    "add_model",
    "add_order",
    "add_outside",
    "add_setting",
    "add_settings",
    "order_of",
    "settings_of",
]

# A group of options, or a parser itself.
Group = argparse._ActionsContainer


def add_setting(group: Group, field: str, text: str, *, unset: str | None = None, **options: Any) -> None:
    """Add the option for a field of `experiments.Configuration`; the help states the field's default.

    The option is absent from the namespace unless it is given, so that a recipe can set the field.

    Args:
        group: where to add it.
        field: the name of the field; the option is the same with dashes.
        text: for the help.
        unset: what a default of None means, for the help; None does not mention it.
        **options: further arguments of `add_argument`.
    """
    from kspike_reg.experiments.configuration import Configuration

    default = getattr(Configuration, field)
    shown = unset if default is None else default
    add_settings(group, {field: text if shown is None else f"{text} (default: {shown})"}, **options)


def add_settings(group: Group, texts: dict[str, str], **options: Any) -> None:
    """Add options for fields of `experiments.Configuration`, by field, whose defaults are decided elsewhere."""
    for field, text in texts.items():
        group.add_argument(f"--{field.replace('_', '-')}", default=argparse.SUPPRESS, help=text, **options)


def settings_of(options: argparse.Namespace) -> dict[str, Any]:
    """The fields of `experiments.Configuration` that the command line gives, by name."""
    from dataclasses import fields

    from kspike_reg.experiments.configuration import Configuration

    names = {field.name for field in fields(Configuration)}
    return {name: value for name, value in vars(options).items() if name in names}


def add_model(command: argparse.ArgumentParser) -> None:
    """Add the model that a command works on."""
    command.add_argument("model", metavar="MODEL", help="a model.keras, or the name of a trained network")


def add_outside(command: argparse.ArgumentParser) -> None:
    """Add `--outside`."""
    from kspike_reg.network.outside import OUTSIDE

    text = "what to do where inputs leave the range that the network was trained on"
    command.add_argument("--outside", choices=tuple(OUTSIDE), default="warn", help=text)


def add_order(group: Group) -> None:
    """Add the CSV columns that identify the path and order its steps."""
    from kspike_reg.experiments.configuration import Configuration

    add = group.add_argument
    add("--path-column", default=Configuration.path_column, metavar="NAME", help="CSV column that identifies the path")
    add("--step-column", default=Configuration.step_column, metavar="NAME", help="CSV column that orders its steps")


def add_columns(group: Group, *sides: str) -> None:
    """Add the columns of a user's file.

    Args:
        group: where to add them.
        *sides: "inputs", "outputs"; their columns default to those that the model was trained on.
    """
    add_order(group)
    for side in sides:
        text = f"columns of the {side}, in the model's order (default: those it was trained on)"
        group.add_argument(f"--{side}", nargs="+", default=argparse.SUPPRESS, metavar="NAME", help=text)


def order_of(options: argparse.Namespace) -> dict[str, str]:
    """The columns that `add_order` adds, as keywords of `datasets.read` and `datasets.write_csv`."""
    return {"path_column": options.path_column, "step_column": options.step_column}
