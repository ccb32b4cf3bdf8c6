"""The entry point `main`: parse the arguments, load the backend, run the command, turn errors into an exit status."""

import os
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress

from kspike_reg.cli.display import print_interruption, print_problem
from kspike_reg.cli.parser import build_parser
from kspike_reg.cli.signals import Signals
from kspike_reg.cli.streams import discard_output, output_failed, usable_streams
from kspike_reg.errors import InputError

__all__ = ["main", "quiet_start"]

WITHOUT_READER = 141  # 128 and SIGPIPE, the status of any program that writes to a pipe whose reader has ended


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command. Without arguments it prints the help.

    Args:
        arguments: the words after `kspike-reg`; None takes those of the process.

    Returns:
        The exit status: 0 for success, 1 where the system fails, a full disk for instance, 2 for bad input, both
        reported in one line on standard error, 141 where the reader of standard output has ended, and 128 and its
        number after a signal, 130 after Ctrl-C.

    Raises:
        SystemExit: with status 2 for arguments that cannot be parsed, with status 0 after `--help` and `--version`.
    """
    arguments = sys.argv[1:] if arguments is None else arguments
    command = arguments[0] if arguments else ""
    with usable_streams():
        signals = Signals()
        try:
            with signals:
                try:
                    return _run(arguments)
                finally:
                    sys.stdout.flush()  # here an error can still be reported
        except KeyboardInterrupt:
            print_interruption(command, signals.name)
            return signals.status
        except BrokenPipeError:
            discard_output()
            return WITHOUT_READER
        except OSError as error:
            print_problem(command, "error", f"{_place(error)}{error.strerror or error}")
            return 1
        except Exception:
            if signals.received is None:
                raise
            # On its way through native code the interruption became another exception.
            print_interruption(command, signals.name)
            return signals.status


def _run(arguments: Sequence[str]) -> int:
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
    return 0


def _place(error: OSError) -> str:
    """What an error of the system is about, for the start of its message."""
    if output_failed(error):
        discard_output()
        return "standard output: "
    return "" if error.filename is None else f"{error.filename}: "


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
        except Exception:
            held_back.seek(0)
            with suppress(OSError):
                os.write(standard_error, held_back.read())
            raise
        finally:
            os.dup2(standard_error, 2)
            os.close(standard_error)
