"""Paths from comma-separated values, with errors that name the line and the column."""

import csv
import io
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np

from kspike_reg.datasets.names import require_names
from kspike_reg.errors import InputError
from kspike_reg.ragged import Ragged
from kspike_reg.typing import FloatArray

# pandas takes longer to import than the rest of the data sets. The command line needs the names of the tasks to answer
# --help, so the functions import it.
if TYPE_CHECKING:
    import pandas as pd

__all__ = ["fields_of_csv"]


def fields_of_csv(
    stream: BinaryIO, file: str, inputs: tuple[str, ...], targets: tuple[str, ...], path_column: str, step_column: str
) -> dict[str, Any]:
    """The arguments of `Paths` that a table gives.

    Args:
        stream: the open table.
        file: its name, for messages.
        inputs, targets, path_column, step_column: names of columns, as for `read`.

    Raises:
        InputError: see `read`.
    """
    import pandas as pd

    table = _table(stream, file, (path_column, step_column, *inputs, *targets))
    values = {name: _numbers(file, table[name]) for name in (*inputs, *targets)}
    steps = _numbers(file, table[step_column], whole=True)
    if (table[path_column] == "").any():
        line = table.index[(table[path_column] == "").argmax()]
        raise InputError(f"{file}, line {line}: the column {path_column!r} is empty; every line needs its path")

    of_path, labels = pd.factorize(table[path_column])
    order = np.lexsort((steps, of_path))
    of_path, steps, lines = of_path[order], steps[order], table.index[order]
    twice = (np.diff(of_path) == 0) & (steps[1:] == steps[:-1])
    if twice.any():
        first = twice.argmax()
        one, other = (table[step_column].iloc[order[first + place]] for place in (0, 1))
        raise InputError(
            f"{file}, lines {lines[first]} and {lines[first + 1]}: path {labels[of_path[first]]!r} has "
            + (
                f"step {steps[first]:g} twice; give each step of a path its own number"
                if _same(one, other)
                else f"the steps {one} and {other}, which are one number in double precision; subtract an offset from "
                "the column, or give whole numbers"
            )
        )
    lengths = np.bincount(of_path)

    def ragged(names: tuple[str, ...]) -> Ragged:
        return Ragged(np.stack([values[name][order] for name in names], axis=-1), lengths, lengths.max())

    return {
        "inputs": ragged(inputs),
        "targets": ragged(targets) if targets else None,
        "lengths": lengths,
        "labels": tuple(labels),
        "steps": Ragged(steps, lengths, lengths.max()),
    }


def _same(one: str, other: str) -> bool:
    """Whether two cells hold the same number, exactly."""
    from fractions import Fraction

    try:
        return Fraction(one) == Fraction(other)
    except (ValueError, OverflowError):  # in a notation that pandas alone reads
        return True


def _table(stream: BinaryIO, file: str, wanted: tuple[str, ...]) -> "pd.DataFrame":
    """Return the columns `wanted` as text; the index holds the line on which each row begins."""
    import pandas as pd

    rows, line, rest = [], [], 0
    with io.TextIOWrapper(stream, encoding="utf-8-sig", newline="") as text:
        reader = csv.reader(text, strict=True)
        try:
            for row in reader:
                cells = [cell.strip() for cell in row]
                if any(cells):
                    rows.append(cells)
                    line.append(rest + 1)
                rest = reader.line_num
        except (csv.Error, UnicodeDecodeError) as error:
            raise InputError(f"{file}, line {rest + 1} or below: not comma-separated values: {error}") from error
    if not rows:
        raise InputError(f"{file}: the file is empty")
    header = rows[0]
    require_names(file, "column", wanted, header)
    for name in wanted:
        if header.count(name) > 1:
            raise InputError(f"{file}, line {line[0]}: the column {name!r} occurs twice; give each column its own name")
    for number, row in zip(line, rows, strict=True):
        if any(row[len(header) :]):
            raise InputError(f"{file}, line {number}: {len(row)} cells, but the header names {len(header)} columns")
        row.extend([""] * (len(header) - len(row)))
    if len(rows) == 1:
        raise InputError(f"{file}: there are column names but no lines of data below them")
    places = {name: header.index(name) for name in wanted}
    return pd.DataFrame({name: [row[place] for row in rows[1:]] for name, place in places.items()}, index=line[1:])


def _numbers(file: str, column: "pd.Series", whole: bool = False) -> FloatArray:
    """Return a column of cells as float64, or on request as whole numbers where all are; these are exact.

    The error names the first cell that is not a finite number.
    """
    import pandas as pd

    numbers = pd.to_numeric(column, errors="coerce").to_numpy()
    if not whole or numbers.dtype.kind not in "iu":
        numbers = numbers.astype(np.float64)
    wrong = ~np.isfinite(numbers)
    if wrong.any():
        cell = column.iloc[wrong.argmax()]
        what = "is empty" if cell == "" else f"holds {cell!r}"
        raise InputError(
            f"{file}, line {column.index[wrong.argmax()]}: the column {column.name!r} {what}, expected a finite number"
        )
    return numbers
