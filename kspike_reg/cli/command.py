"""`Command`: what the module of a command provides."""

import argparse
from collections.abc import Callable
from typing import NamedTuple

__all__ = ["Command"]


class Command(NamedTuple):
    """A command of `kspike-reg`.

    Args:
        summary: one sentence for the help.
        describe: adds the command's options to its parser. It imports the registries that it lists choices from, and
            nothing that imports Keras.
        run: carries the command out with the options that were parsed. It prints its result and raises `InputError`
            for bad input.
    """

    summary: str
    describe: Callable[[argparse.ArgumentParser], None]
    run: Callable[[argparse.Namespace], None]
