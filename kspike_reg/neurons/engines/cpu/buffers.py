"""Buffers of a tile: aligned memory, and the passes over their rows that loops make."""

import numba
import numpy as np
from numpy.typing import NDArray

from kspike_reg.neurons.engines.cpu.streaming_stores import store
from kspike_reg.neurons.engines.cpu.tile_functions import LOOP_OPTIONS
from kspike_reg.neurons.engines.cpu.vectors import VECTOR_BYTES

__all__ = ["add", "add_sum", "add_to_each", "clear", "copy", "empty", "empty_states", "gather", "scatter"]


@numba.njit(**LOOP_OPTIONS)
def empty(rows: int, columns: int, like: NDArray) -> NDArray:
    """An uninitialised array (rows, columns), aligned to a vector register, with the precision of `like`.

    Matrix products take twice the time with an array that is not aligned.
    """
    padding = VECTOR_BYTES // like.itemsize
    memory = np.empty(rows * columns + padding, like.dtype)
    skip = (-memory.ctypes.data % VECTOR_BYTES) // like.itemsize
    return memory[skip : skip + rows * columns].reshape((rows, columns))


@numba.njit(**LOOP_OPTIONS)
def empty_states(number: int, rows: int, units: int, like: NDArray) -> NDArray:
    """Likewise, an array (number, rows, units)."""
    return empty(number * rows, units, like).reshape((number, rows, units))


@numba.njit(**LOOP_OPTIONS)
def gather(paths: NDArray, start: int, stop: int, begin: int, end: int, rows: NDArray) -> None:
    """Copy the steps `begin` to `end` of the paths `start` to `stop` to rows, step by step.

    Args:
        paths: (batch, steps, columns).
        start, stop: range of paths.
        begin, end: range of steps.
        rows: (rows, columns), filled.
    """
    row = 0
    for t in range(begin, end):
        for b in range(start, stop):
            for n in range(paths.shape[2]):
                rows[row, n] = paths[b, t, n]
            row += 1


@numba.njit(**LOOP_OPTIONS)
def scatter(rows: NDArray, start: int, stop: int, begin: int, end: int, paths: NDArray) -> None:
    """The inverse of `gather`, by streaming stores."""
    row = 0
    for t in range(begin, end):
        for b in range(start, stop):
            store(rows, row, paths, b * paths.shape[1] + t)
            row += 1


@numba.njit(**LOOP_OPTIONS)
def copy(source: NDArray, target: NDArray) -> None:
    """target[:] = source, for rows of equal shape.

    Numba's own assignment also handles shapes that differ. It takes several times as long, and seconds to compile.
    """
    for r in range(source.shape[0]):
        for n in range(source.shape[1]):
            target[r, n] = source[r, n]


@numba.njit(**LOOP_OPTIONS)
def clear(rows: NDArray) -> None:
    """rows[:] = 0."""
    for r in range(rows.shape[0]):
        for n in range(rows.shape[1]):
            rows[r, n] = 0


@numba.njit(**LOOP_OPTIONS)
def add(left: NDArray, right: NDArray) -> None:
    """left += right, for rows of equal shape."""
    for r in range(left.shape[0]):
        for n in range(left.shape[1]):
            left[r, n] += right[r, n]


@numba.njit(**LOOP_OPTIONS)
def add_to_each(rows: NDArray, row: NDArray) -> None:
    """Add `row`, (columns,), to each of the rows."""
    for r in range(rows.shape[0]):
        for n in range(rows.shape[1]):
            rows[r, n] += row[n]


@numba.njit(**LOOP_OPTIONS)
def add_sum(rows: NDArray, total: NDArray) -> None:
    """Add the sum over the rows to `total`, (columns,)."""
    for r in range(rows.shape[0]):
        for n in range(rows.shape[1]):
            total[n] += rows[r, n]
