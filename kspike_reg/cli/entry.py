"""The entry point `main`: parse the arguments, load the backend, run the command, turn errors into an exit status."""

import os
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from kspike_reg.cli.display import print_interruption, print_problem
from kspike_reg.cli.parser import build_parser
from kspike_reg.errors import InputError

__all__ = ["main", "quiet_start"]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command. Without arguments it prints the help.

    Args:
        arguments: the words after `kspike-reg`; None takes those of the process.

    Returns:
        The exit status: 0 for success, 2 for bad input, which is reported in one line on standard error, 130 after
        an interruption.

    Raises:
        SystemExit: with status 2 for arguments that cannot be parsed, with status 0 after `--help` and `--version`.
    """
    arguments = sys.argv[1:] if arguments is None else arguments
    parser = build_parser(arguments)
    if not arguments:
        parser.print_help()
        return 0
    options = parser.parse_args(arguments)
    try:
        with quiet_start():
            import keras

            keras.ops.zeros(1)  # makes the backend look for devices and complain about missing ones
        options.run(options)
    except InputError as error:
        print_problem(options.name, "error", error)
        return 2
    except KeyboardInterrupt:
        print_interruption()
        return 130
    return 0


@contextmanager
def quiet_start() -> Iterator[None]:
    """Hold back what TensorFlow's libraries write to standard error while they load, unless loading fails."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    sys.stderr.flush()
    standard_error = os.dup(2)
    with tempfile.TemporaryFile() as held_back:
        os.dup2(held_back.fileno(), 2)
        try:
            yield
        except BaseException:
            held_back.seek(0)
            os.write(standard_error, held_back.read())
            raise
        finally:
            os.dup2(standard_error, 2)
            os.close(standard_error)
