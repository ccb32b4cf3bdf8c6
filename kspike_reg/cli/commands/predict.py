"""`kspike-reg predict`."""

import argparse
import sys

from kspike_reg.cli.command import Command
from kspike_reg.cli.data import read_inputs, refuse_existing, refuse_inputs
from kspike_reg.cli.display import warnings_in_one_line
from kspike_reg.cli.options import add_columns, add_model, add_outside, order_of

__all__ = ["COMMAND"]


def describe(command: argparse.ArgumentParser) -> None:
    """Add the options."""
    add_model(command)
    command.add_argument("--input", required=True, metavar="FILE", help="input paths, .csv or .npz")
    command.add_argument("--output", required=True, metavar="FILE", help="the CSV file to write")
    command.add_argument("--overwrite", action="store_true", help="replace the output file where it exists")
    text = "also write the standard deviation over the population neurons, as NAME_spread"
    command.add_argument("--spread", action="store_true", help=text)
    add_columns(command, "inputs")
    add_outside(command)


def run(options: argparse.Namespace) -> None:
    """Predict the outputs of paths and write them."""
    import numpy as np

    from kspike_reg import datasets, evaluation, files
    from kspike_reg.network import physical, saving

    if not options.overwrite:
        refuse_existing(options.output)
    refuse_inputs([options.output], [options.input, saving.file_of(options.model)])
    model = saving.load(options.model)
    paths = read_inputs(model, options.input, options)
    with warnings_in_one_line(options.name):
        values = evaluation.predict(model, paths, outside=options.outside, return_spread=options.spread, padded=False)
    names = physical.scaling_of(model)[1].names
    if options.spread:
        names, values = (
            [*names, *(f"{name}_spread" for name in names)],
            [np.concatenate(pair, axis=-1) for pair in zip(*values, strict=True)],
        )
    with files.replacing(options.output) as partial:
        datasets.write_csv(partial, paths, values, names, **order_of(options))
    # Next to the paths themselves the message would be one of their lines.
    stream = sys.stderr if files.is_standard_output(options.output) else sys.stdout
    print(f"wrote {', '.join(names)} of {len(paths)} paths to {options.output}", file=stream)


COMMAND = Command("Predict the outputs of your own paths, in physical units.", describe, run)
