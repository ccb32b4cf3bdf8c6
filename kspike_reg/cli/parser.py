"""The parser of the command line: the overview, and the options of each command as its module describes them."""

import argparse
from collections.abc import Sequence
from typing import NoReturn

from kspike_reg import __version__
from kspike_reg.cli.commands import COMMANDS

__all__ = ["build_parser"]

EXAMPLES = """examples:
  train a network for linear elasticity in a minute:
    kspike-reg train --task elasticity --timesteps 5 --recipe modern --epochs 150 --out runs/elasticity
  train a network on your own paths, one line of the file for each step, with columns chosen by name:
    kspike-reg train --data mine.csv --inputs strain --outputs stress --kind slstm --recipe modern --out runs/mine
    kspike-reg predict runs/mine/model.keras --input paths.csv --output stress.csv
  evaluate a trained network that comes with the package, and estimate the energy that it uses:
    kspike-reg evaluate slstm-hardening --data mine.csv
    kspike-reg energy slstm-hardening --data mine.csv
  export a network to other simulators and to chips:
    kspike-reg export rlif-ramberg-osgood --to nir --out model.nir

kspike-reg COMMAND --help lists the options of a command.
"""


def build_parser(arguments: Sequence[str] | None = None) -> argparse.ArgumentParser:
    """The parser of `kspike-reg`, with the choices that the registries hold now.

    The namespace that it returns holds the command's name as `name` and its action as `run`, next to its options.

    Args:
        arguments: the words to be parsed. Only the commands among them get their options, since listing the choices
            imports the registries, which takes longer than the overview of all commands. None describes every command.
    """
    description = "Regression with spiking neural networks on history-dependent data."
    parser = _Parser(prog="kspike-reg", description=description, epilog=EXAMPLES, formatter_class=_Overview)
    parser.add_argument("--version", action="version", version=f"kspike_reg {__version__}")
    subparsers = parser.add_subparsers(title="commands", required=True, metavar="COMMAND", parser_class=_Parser)
    for name, command in COMMANDS.items():
        subparser = subparsers.add_parser(
            name, help=command.summary, description=command.summary, formatter_class=_Help
        )
        subparser.set_defaults(run=command.run, name=name)
        if arguments is None or name in arguments:
            command.describe(subparser)
    return parser


class _Help(argparse.ArgumentDefaultsHelpFormatter):
    """Shows a default where there is one, a tuple as the user types it."""

    def _get_help_string(self, action):
        if action.default in (None, (), False):
            return action.help
        if isinstance(action.default, tuple):
            return f"{action.help} (default: {' '.join(map(str, action.default))})"
        return super()._get_help_string(action)


class _Overview(argparse.RawDescriptionHelpFormatter):
    """Keeps the line breaks of the examples, and shows the commands in a column."""

    def __init__(self, prog):
        super().__init__(prog, max_help_position=16)
        self._action_max_length = 14  # argparse ignores the indent of the commands


class _Parser(argparse.ArgumentParser):
    """Reports an error in one line."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: error: {message}; see {self.prog} --help\n")
