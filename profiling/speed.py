"""Speed of training and prediction relative to the matrix products alone, and to networks of other packages.

    python profiling/speed.py

prints tables and writes them, with a record and figures, to profiling/results/speed; on another backend than
TensorFlow (KERAS_BACKEND=jax) to profiling/results/speed_jax. It needs Linux. Other packages need the extra bench and
are left out without it. Results that are already in the record are not measured again.

TensorFlow and PyTorch run in separate processes. Repetitions of all implementations alternate in random order, so that
a slow moment of the machine affects all of them, and ratios are taken round by round. Each implementation is warmed up
and tried in all of its forms; the fastest form counts. First call and memory are measured separately, each in a new
process.
"""

import argparse
import os
from collections.abc import Sequence
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
# Several processes share an accelerator.
os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")

from implementations.cases import Case, grid, star
from speed_parts import MEASURE
from speed_record import PARTS, Record
from speed_report import write_report

from kspike_reg.errors import InputError
from kspike_reg.files import prepare_folder

RESULTS = Path(__file__).parent / "results"
KINDS = ("lif", "rlif", "slstm")
SIZES = {"star": star, "grid": grid}


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, print and write."""
    options = read(arguments)
    backend = os.environ.get("KERAS_BACKEND", "tensorflow")
    folder = options.out or RESULTS / ("speed" if backend == "tensorflow" else f"speed_{backend}")
    record = Record(prepare_folder(folder) / "speed.json", options.seconds, not options.uncompiled)
    for kind in options.kinds:
        for part in options.parts:
            MEASURE[part](record, kind, cases_of(kind, options.sizes))
    print(write_report(record.content, folder))
    print(f"\nwrote speed.json, speed.md and the figures in {folder}")


def read(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Options of the command line."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--kinds", nargs="+", choices=KINDS, default=KINDS, help="kinds of network")
    parser.add_argument(
        "--sizes", nargs="+", default=["star"], help="star (vary one size at a time), grid (all) or UNITSxSTEPSxBATCH"
    )
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=PARTS, help="what to measure")
    parser.add_argument(
        "--seconds", type=float, default=60, help="time for the rounds of a case, of which there are at least five"
    )
    parser.add_argument(
        "--uncompiled", action="store_true", help="skip the forms of other packages that torch.compile compiles"
    )
    parser.add_argument("--out", metavar="FOLDER", type=Path, help="folder for the record, tables and figures")
    options = parser.parse_args(arguments)
    try:
        cases_of(KINDS[0], options.sizes)
    except InputError as error:
        parser.error(str(error))
    return options


def cases_of(kind: str, sizes: Sequence[str]) -> list[Case]:
    """Cases of one kind that the command line selects, without repeats.

    Raises:
        InputError: a size that is neither a name nor three positive integers.
    """
    cases = []
    for size in sizes:
        if size in SIZES:
            cases += SIZES[size](kind)
            continue
        numbers = size.split("x")
        if len(numbers) != 3 or not all(number.isdecimal() and int(number) for number in numbers):
            raise InputError(f"--sizes: expected star, grid or three sizes such as 128x20x1024, received {size!r}")
        cases.append(Case(kind, *map(int, numbers)))
    return list(dict.fromkeys(cases))


if __name__ == "__main__":
    main()
