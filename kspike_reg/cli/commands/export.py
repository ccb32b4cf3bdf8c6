"""`kspike-reg export`."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kspike_reg.cli.command import Command
from kspike_reg.cli.data import read_inputs_and_outputs, refuse_existing, refuse_inputs
from kspike_reg.cli.options import add_columns, add_model
from kspike_reg.errors import InputError

if TYPE_CHECKING:
    import keras

__all__ = ["COMMAND", "OPTIONS"]


def describe(command: argparse.ArgumentParser) -> None:
    """Add the options."""
    from kspike_reg.bridges.nir.parameters import FORMS
    from kspike_reg.bridges.targets import TARGETS

    add_model(command)
    text = "; ".join(f"{name}: {target.summary}" for name, target in TARGETS.items())
    command.add_argument("--to", required=True, choices=tuple(TARGETS), help=text)
    text = f"the file to write: {', '.join(_file_name(name, *target.suffixes) for name, target in TARGETS.items())}"
    command.add_argument("--out", required=True, metavar="FILE", help=text)
    command.add_argument("--overwrite", action="store_true", help="replace files that exist")
    nir = command.add_argument_group("NIR")
    text = "how neurons are written, depending on the reader"
    nir.add_argument("--form", choices=tuple(FORMS), default="trained", help=text)
    loihi = command.add_argument_group("Loihi's report")
    loihi.add_argument("--data", metavar="FILE", help="paths of one length with inputs and outputs, .csv or .npz")
    add_columns(loihi, "inputs", "outputs")


def run(options: argparse.Namespace) -> None:
    """Write a model for another simulator or chip."""
    from kspike_reg.bridges.targets import TARGETS
    from kspike_reg.network import saving

    target, out = TARGETS[options.to], Path(options.out)
    if out.suffix != target.suffixes[0]:
        raise InputError(f"{out}: expected a name that ends in {target.suffixes[0]} for --to {options.to}")
    files = [out.with_suffix(suffix) for suffix in target.suffixes]
    for file in files if not options.overwrite else ():
        refuse_existing(file)
    refuse_inputs(files, [options.data, saving.file_of(options.model)])
    model = saving.load(options.model)
    remark = target.write(model, out, **{name: OPTIONS[name](model, options) for name in target.options})
    if remark:
        print(remark)
    print(f"wrote {' and '.join(map(str, files))}")


def _file_name(target: str, suffix: str, *others: str) -> str:
    return f"{suffix} for {target}" + (f" (with {' and '.join(others)} next to it)" if others else "")


def _form(_model: "keras.Model", options: argparse.Namespace) -> str:
    return options.form


def _paths(model: "keras.Model", options: argparse.Namespace) -> Any:
    if options.data is None:
        raise InputError(f"--to {options.to} runs the network: give paths with inputs and outputs by --data")
    return read_inputs_and_outputs(model, options.data, options)


# The options that a target can take, see `bridges.targets.Target`.
OPTIONS = {"form": _form, "paths": _paths}

COMMAND = Command("Export a network to Nengo, NIR or Loihi's emulator.", describe, run)
