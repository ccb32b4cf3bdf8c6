"""Paths from CSV and NPZ files of the user, with errors that name the file, the line and the column."""

import os
from collections.abc import Sequence
from os import PathLike
from pathlib import Path
from typing import TextIO

import numpy as np

from kspike_reg.datasets.from_csv import fields_of_csv
from kspike_reg.datasets.from_npz import fields_of_npz
from kspike_reg.datasets.paths import Paths
from kspike_reg.datasets.streams import opened
from kspike_reg.errors import InputError
from kspike_reg.files import is_stream
from kspike_reg.ragged import Ragged

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
    """Read paths from a CSV or NPZ file, chosen by its suffix, or from a pipe.

    A named pipe, /dev/stdin or the pipe of a shell, <(command), is read once, to its end. Without a suffix its data are
    taken for CSV.

    CSV: one line for each step, with a column that identifies the path, one that orders its steps, and the quantities.
    Paths may differ in length, and lines may come in any order. Whole numbers of steps are exact, nanoseconds since
    1970 too.

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
    reader = _READERS.get(file.suffix.lower(), fields_of_csv if is_stream(file) else None)
    if reader is None:
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
        with opened(file) as stream:
            fields = reader(stream, str(file), tuple(inputs), tuple(targets), path_column, step_column)
    except OSError as error:
        raise InputError(f"{file}: cannot be read: {error.strerror or error}") from error
    try:
        return Paths(
            **fields,
            input_names=tuple(inputs),
            target_names=tuple(targets),
            units=dict(units or {}),
            source={"file": os.path.basename(file)},
        )
    except InputError as error:
        raise InputError(f"{file}: {error}") from error


# By the suffix of a file the function (stream, file, inputs, targets, path_column, step_column) that reads it.
_READERS = {".csv": fields_of_csv, ".npz": fields_of_npz}


def write_csv(
    file: str | PathLike | TextIO,
    paths: Paths,
    values: np.ndarray | Sequence[np.ndarray],
    names: Sequence[str],
    *,
    path_column: str = "path",
    step_column: str = "step",
) -> None:
    """Write one line for each step of `paths`: path, step and `values`.

    Args:
        file: an open text file or a name.
        paths: the `Paths` that the values belong to; padding is left out.
        values: in physical units, shape (n, T, len(names)), or a list with an array for each path, (its length,
            len(names)).
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
    steps = paths.ragged("steps").rows
    if steps.dtype.kind not in "iu":
        with np.errstate(invalid="ignore"):  # beyond 2**63, where the comparison below fails
            whole = np.asarray(steps, dtype=np.int64)
        steps = whole if np.array_equal(whole, steps) else steps
    rows = Ragged.of(values, paths.lengths).rows if isinstance(values, np.ndarray) else np.concatenate(values)
    columns = {path_column: np.repeat(np.array(paths.labels, dtype=object), paths.lengths), step_column: steps}
    columns |= {name: rows[:, index] for index, name in enumerate(names)}
    pd.DataFrame(columns).to_csv(file, index=False)
