"""A user's own paths from CSV and NPZ files, with errors that name the file, the line and the column."""

import difflib
import warnings
import zipfile
from pathlib import Path

import numpy as np
import pandas as pd

from kspike_reg.datasets.paths import Paths
from kspike_reg.errors import InputError

__all__ = ["read", "write_csv"]


def read(file, inputs, targets=(), *, path_column="path", step_column="step"):
    """Read paths from a CSV or NPZ file, chosen by its suffix.

    CSV: one line for each step, with a column that tells the path, one that orders its steps, and the quantities.
    Paths may differ in length, and lines may come in any order.

    NPZ: one array for each quantity, shape (paths, steps), and optionally `lengths`, shape (paths,). An array
    `strain` of shape (paths, steps, k) holds the quantities strain_1 ... strain_k.

    Args:
        file: the file's name.
        inputs, targets: names of the quantities; no targets where only inputs are known.
        path_column, step_column: names of the columns that tell the path and order its steps (CSV).

    Returns:
        `Paths`, in the order of their first lines.

    Raises:
        InputError: the file cannot be read, a column is missing, a cell is no finite number, a step comes twice, or a
            path has one step.
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
    try:
        if file.stat().st_size == 0:
            raise InputError(f"{file}: the file is empty")
        return _READERS[file.suffix.lower()](file, tuple(inputs), tuple(targets), path_column, step_column)
    except OSError as error:
        raise InputError(f"{file}: cannot be read: {error.strerror or error}") from error


def write_csv(file, paths, values, names, *, path_column="path", step_column="step"):
    """Write one line for each step of `paths`: path, step and `values`, shape (n, T, len(names)).

    Args:
        file: an open text file or a name.
        paths: the `Paths` that the values belong to; its padding is left out.
        values: shape (n, T, len(names)), in physical units.
        names: one column name for each value.
        path_column, step_column: names of the columns for path and step.
    """
    mask = paths.mask
    steps = paths.steps[mask]
    whole = np.asarray(steps, dtype=np.int64)
    columns = {
        path_column: np.repeat(np.array(paths.labels, dtype=object), paths.lengths),
        step_column: whole if np.array_equal(whole, steps) else steps,
    }
    columns |= {name: values[mask][:, index] for index, name in enumerate(names)}
    pd.DataFrame(columns).to_csv(file, index=False)


def _read_csv(file, inputs, targets, path_column, step_column):
    try:
        with warnings.catch_warnings():
            # pandas only warns of lines that are longer than the header, and cuts them.
            warnings.simplefilter("error", pd.errors.ParserWarning)
            table = pd.read_csv(
                file, dtype=str, keep_default_na=False, skip_blank_lines=False, index_col=False, encoding="utf-8-sig"
            )
    except (pd.errors.ParserError, pd.errors.ParserWarning, pd.errors.EmptyDataError, UnicodeDecodeError) as error:
        raise InputError(f"{file}: not a table of comma-separated values: {str(error).strip()}") from error
    table = table.fillna("").map(str.strip) if len(table) else table
    table.columns = [str(name).strip() for name in table.columns]
    _require(file, "column", (path_column, step_column, *inputs, *targets), tuple(table.columns))
    table = table[(table != "").any(axis=1)] if len(table) else table
    if table.empty:
        raise InputError(f"{file}: there are column names but no lines of data below them")
    values = {name: _numbers(file, table[name]) for name in (step_column, *inputs, *targets)}
    if (table[path_column] == "").any():
        line = _line(table.index[(table[path_column] == "").argmax()])
        raise InputError(f"{file}, line {line}: the column {path_column!r} is empty; every line needs its path")

    of_path, labels = pd.factorize(table[path_column])
    steps = values[step_column]
    order = np.lexsort((steps, of_path))
    of_path, steps, lines = of_path[order], steps[order], table.index[order]
    twice = (np.diff(of_path) == 0) & (np.diff(steps) == 0)
    if twice.any():
        first = twice.argmax()
        raise InputError(
            f"{file}, lines {_line(lines[first])} and {_line(lines[first + 1])}: path {labels[of_path[first]]!r} has "
            f"step {steps[first]:g} twice; number the steps of a path apart"
        )
    lengths = np.bincount(of_path)
    position = np.arange(len(of_path)) - np.repeat(np.cumsum(lengths) - lengths, lengths)

    def padded(names):
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


def _read_npz(file, inputs, targets, _path_column, _step_column):
    try:
        with np.load(file, allow_pickle=False) as archive:
            if not isinstance(archive, np.lib.npyio.NpzFile):
                raise InputError(f"{file}: holds a single array; expected an archive made by numpy.savez")
            arrays = {name: archive[name] for name in archive.files}
    except (ValueError, zipfile.BadZipFile, EOFError) as error:
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


_READERS = {".csv": _read_csv, ".npz": _read_npz}


def _paths(file, **fields):
    try:
        return Paths(**fields, source={"file": file.name})
    except InputError as error:
        raise InputError(f"{file}: {error}") from error


def _require(file, kind, wanted, found):
    for name in wanted:
        if name in found:
            continue
        near = difflib.get_close_matches(name, found, n=1)
        hint = f"; did you mean {near[0]!r}?" if near else ""
        raise InputError(f"{file}: no {kind} {name!r}; the {kind}s are {', '.join(map(repr, found))}{hint}")


def _numbers(file, column):
    """A column of cells as float64, or an error that names the first cell that is no finite number."""
    numbers = pd.to_numeric(column, errors="coerce").to_numpy(dtype=np.float64)
    wrong = ~np.isfinite(numbers)
    if wrong.any():
        cell = column.iloc[wrong.argmax()]
        what = "is empty" if cell == "" else f"holds {cell!r}"
        raise InputError(
            f"{file}, line {_line(column.index[wrong.argmax()])}: the column {column.name!r} {what}, "
            "expected a finite number"
        )
    return numbers


def _line(index):
    """The line of the file that a row of the table came from: the header is line 1."""
    return int(index) + 2
