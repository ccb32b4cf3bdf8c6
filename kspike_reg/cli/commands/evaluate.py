"""`kspike-reg evaluate`."""

import argparse
from collections.abc import Callable
from typing import Any

from kspike_reg.cli.command import Command
from kspike_reg.cli.data import read_inputs_and_outputs
from kspike_reg.cli.display import print_report, warnings_in_one_line
from kspike_reg.cli.options import add_columns, add_model, add_outside

__all__ = ["COMMAND"]


def describe(command: argparse.ArgumentParser) -> None:
    """Add the options."""
    from kspike_reg.bridges.targets import SIMULATORS

    add_model(command)
    command.add_argument("--data", required=True, metavar="FILE", help="paths with inputs and outputs, .csv or .npz")
    add_columns(command, "inputs", "outputs")
    add_outside(command)
    text = "where to run the network instead of Keras; each needs its optional dependencies"
    command.add_argument("--simulator", choices=tuple(SIMULATORS), help=text)


def run(options: argparse.Namespace) -> None:
    """Evaluate a model."""
    from kspike_reg import evaluation
    from kspike_reg.network import saving

    model = saving.load(options.model)
    paths = read_inputs_and_outputs(model, options.data, options)
    with warnings_in_one_line(options.name):
        test = evaluation.evaluate(model, paths, outside=options.outside, simulate=_simulate(options.simulator))
    print_report(test, {})


def _simulate(simulator: str | None) -> Callable[..., Any] | None:
    """The function with which `evaluation.evaluate` runs a model elsewhere; None for Keras."""
    if simulator is None:
        return None
    from kspike_reg.bridges import simulate

    return lambda model, paths: simulate(model, paths, simulator=simulator)


COMMAND = Command("Compute the errors and spike rates of a trained network on your own paths.", describe, run)
