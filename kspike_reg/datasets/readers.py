"""Paths from CSV and NPZ files of the user, with errors that name the file, the line and the column."""

import csv
import difflib
import zipfile
import zlib
from collections.abc import Iterable, Sequence
from dataclasses import replace
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

import numpy as np

from kspike_reg.datasets.paths import Paths
from kspike_reg.errors import InputError
from kspike_reg.typing import FloatArray

# pandas takes longer to import than the rest of the data sets. The command line needs the names of the tasks to answer
# --help, so the functions import it.
if TYPE_CHECKING:
    import pandas as pd

__all__ = ["read", "write_csv"]


def read(
    file: str | PathLike,
    inputs: Sequence[str],
    targets: Sequence[str] = (),
    *,
    path_column: str = "path",
    step_column: str = "step",
    units: dict[str, str] | None = None,
) -> Paths:
    """Read paths from a CSV or NPZ file, chosen by its suffix.

    CSV: one line for each step, with a column that identifies the path, one that orders its steps, and the quantities.
    Paths may differ in length, and lines may come in any order.

    NPZ: one array for each quantity, shape (paths, steps), and optionally `lengths`, shape (paths,). An array
    `strain` of shape (paths, steps, k) holds the quantities strain_1 ... strain_k.

    Args:
        file: the file's name.
        inputs, targets: names of the quantities; no targets where only inputs are known.
        path_column, step_column: names of the columns that identify the path and order its steps (CSV).
        units: unit of each quantity by its name, for the labels of figures; a quantity that is not named has none.

    Returns:
        `Paths`, in the order of their first lines.

    Raises:
        InputError: the file cannot be read, a unit is given for none of the quantities, a column is missing, a
            cell is not a finite number, a step occurs twice, or a path has one step.
    """
    file = Path(file)
    if file.suffix.lower() not in _READERS:
        raise InputError(f"{file}: expected a file that ends in {' or '.join(_READERS)}")
    if not inputs:
        raise InputError(f"{file}: expected the name of at least one input column, received none")
    named = [*inputs, *targets]
    repeated = sorted({name for name in named if named.count(name) > 1})
    if repeated:
        raise InputError(f"{file}: {', '.join(repeated)} is named more than once among inputs and outputs")
    strangers = sorted(set(units or ()) - set(named))
    if strangers:
        raise InputError(f"{file}: a unit for {strangers[0]!r}, which is none of the quantities: {', '.join(named)}")
    try:
        if file.stat().st_size == 0:
            raise InputError(f"{file}: the file is empty")
        paths = _READERS[file.suffix.lower()](file, tuple(inputs), tuple(targets), path_column, step_column)
    except OSError as error:
        raise InputError(f"{file}: cannot be read: {error.strerror or error}") from error
    return replace(paths, units=dict(units or {}))


def write_csv(
    file: str | PathLike | TextIO,
    paths: Paths,
    values: np.ndarray,
    names: Sequence[str],
    *,
    path_column: str = "path",
    step_column: str = "step",
) -> None:
    """Write one line for each step of `paths`: path, step and `values`, shape (n, T, len(names)).

    Args:
        file: an open text file or a name.
        paths: the `Paths` that the values belong to; padding is left out.
        values: shape (n, T, len(names)), in physical units.
        names: one column name for each value.
        path_column, step_column: names of the columns for path and step.

    Raises:
        InputError: two columns would have the same name.
    """
    import pandas as pd

    named = [path_column, step_column, *names]
    clash = [name for name in named if named.count(name) > 1]
    if clash:
        raise InputError(
            f"write_csv: two columns cannot both be named {clash[0]!r}; "
            "choose other names for the columns of path and step, or leave one of the values out"
        )
    mask = paths.mask
    steps = paths.steps[mask]
    with np.errstate(invalid="ignore"):  # beyond 2**63, where the comparison below fails
        whole = np.asarray(steps, dtype=np.int64)
    columns = {
        path_column: np.repeat(np.array(paths.labels, dtype=object), paths.lengths),
        step_column: whole if np.array_equal(whole, steps) else steps,
    }
    columns |= {name: values[mask][:, index] for index, name in enumerate(names)}
    pd.DataFrame(columns).to_csv(file, index=False)


def _read_csv(
    file: Path, inputs: tuple[str, ...], targets: tuple[str, ...], path_column: str, step_column: str
) -> Paths:
    import pandas as pd

    table = _table(file, (path_column, step_column, *inputs, *targets))
    values = {name: _numbers(file, table[name]) for name in (step_column, *inputs, *targets)}
    if (table[path_column] == "").any():
        line = table.index[(table[path_column] == "").argmax()]
        raise InputError(f"{file}, line {line}: the column {path_column!r} is empty; every line needs its path")

    of_path, labels = pd.factorize(table[path_column])
    steps = values[step_column]
    order = np.lexsort((steps, of_path))
    of_path, steps, lines = of_path[order], steps[order], table.index[order]
    twice = (np.diff(of_path) == 0) & (np.diff(steps) == 0)
    if twice.any():
        first = twice.argmax()
        raise InputError(
            f"{file}, lines {lines[first]} and {lines[first + 1]}: path {labels[of_path[first]]!r} has "
            f"step {steps[first]:g} twice; give each step of a path its own number"
        )
    lengths = np.bincount(of_path)
    position = np.arange(len(of_path)) - np.repeat(np.cumsum(lengths) - lengths, lengths)

    def padded(names: tuple[str, ...]) -> FloatArray:
        array = np.zeros((len(lengths), lengths.max(), len(names)))
        for index, name in enumerate(names):
            array[of_path, position, index] = values[name][order]
        return array

    step_numbers = np.zeros((len(lengths), lengths.max()))
    step_numbers[of_path, position] = steps
    return _paths(
        file,
        inputs=padded(inputs),
        targets=padded(targets) if targets else None,
        input_names=inputs,
        target_names=targets,
        lengths=lengths,
        labels=tuple(labels),
        steps=step_numbers,
    )


def _table(file: Path, wanted: tuple[str, ...]) -> "pd.DataFrame":
    """Return the columns `wanted` as text; the index holds the line on which each row begins."""
    import pandas as pd

    rows, line, rest = [], [], 0
    with open(file, encoding="utf-8-sig", newline="") as stream:
        reader = csv.reader(stream, strict=True)
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
    _require(file, "column", wanted, header)
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


def _read_npz(
    file: Path, inputs: tuple[str, ...], targets: tuple[str, ...], _path_column: str, _step_column: str
) -> Paths:
    try:
        # NumPy does not close a file that it fails to read.
        with open(file, "rb") as stream:
            archive = np.load(stream, allow_pickle=False)
            if not isinstance(archive, np.lib.npyio.NpzFile):
                raise InputError(f"{file}: holds a single array; expected an archive made by numpy.savez")
            arrays = {name: archive[name] for name in archive.files}
            others = [name for name, array in arrays.items() if not isinstance(array, np.ndarray)]
            if others:
                raise InputError(f"{file}: {others[0]!r} is not an array; expected an archive made by numpy.savez")
    except _DAMAGE as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"{file}: not an NPZ archive of plain number arrays: {error}") from error
    quantities = {}
    for name, array in arrays.items():
        if array.ndim == 3:
            quantities |= {f"{name}_{index + 1}": array[..., index] for index in range(array.shape[2])}
        if array.ndim != 3 or array.shape[2] == 1:
            quantities[name] = array[..., 0] if array.ndim == 3 else array
    _require(file, "array", (*inputs, *targets), tuple(quantities))
    shape = quantities[inputs[0]].shape
    for name in (*inputs, *targets):
        array = quantities[name]
        if array.dtype.kind not in "fiu":
            raise InputError(f"{file}: the array {name!r} holds {array.dtype}, expected real numbers")
        if array.ndim != 2 or array.shape != shape or array.size == 0:
            raise InputError(
                f"{file}: the array {name!r} has shape {array.shape}; expected (paths, steps), the same for all, "
                f"and {inputs[0]!r} has {shape}"
            )
    return _paths(
        file,
        inputs=np.stack([quantities[name] for name in inputs], axis=-1),
        targets=np.stack([quantities[name] for name in targets], axis=-1) if targets else None,
        input_names=inputs,
        target_names=targets,
        lengths=arrays.get("lengths"),
    )


# What NumPy and zipfile raise for a damaged archive: a wrong size, checksum, method, version, flag, header.
_DAMAGE = (ValueError, zipfile.BadZipFile, EOFError, zlib.error, NotImplementedError, RuntimeError)

_READERS = {".csv": _read_csv, ".npz": _read_npz}


def _paths(file: Path, **fields: Any) -> Paths:
    try:
        return Paths(**fields, source={"file": file.name})
    except InputError as error:
        raise InputError(f"{file}: {error}") from error


def _require(file: Path, kind: str, wanted: Iterable[str], found: Sequence[str]) -> None:
    for name in wanted:
        if name in found:
            continue
        near = difflib.get_close_matches(name, found, n=1)
        hint = f"; did you mean {near[0]!r}?" if near else ""
        raise InputError(f"{file}: no {kind} {name!r}; the {kind}s are {', '.join(map(repr, found))}{hint}")


def _numbers(file: Path, column: "pd.Series") -> FloatArray:
    """Return a column of cells as float64; the error names the first cell that is not a finite number."""
    import pandas as pd

    numbers = pd.to_numeric(column, errors="coerce").to_numpy(dtype=np.float64)
    wrong = ~np.isfinite(numbers)
    if wrong.any():
        cell = column.iloc[wrong.argmax()]
        what = "is empty" if cell == "" else f"holds {cell!r}"
        raise InputError(
            f"{file}, line {column.index[wrong.argmax()]}: the column {column.name!r} {what}, expected a finite number"
        )
    return numbers
