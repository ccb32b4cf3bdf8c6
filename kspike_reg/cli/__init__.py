"""The command line `kspike-reg`: its parser, one file for each command, and the tables and progress that it prints.

Choices and defaults come from the package's own registries and from `experiments.Configuration`, none of which imports
Keras, so `--help` and wrong arguments are answered at once.
"""

from kspike_reg.cli.commands import COMMANDS
from kspike_reg.cli.entry import main
from kspike_reg.cli.parser import build_parser

__all__ = ["COMMANDS", "build_parser", "main"]
