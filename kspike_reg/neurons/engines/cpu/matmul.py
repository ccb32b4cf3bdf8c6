"""Small matrix products inside compiled loops: one tile of paths times the weights of a layer.

Each sum is taken in the order of its terms with fused multiply-adds, as TensorFlow does for sums of up to 384 terms.
The bits are therefore TensorFlow's, and do not depend on the other rows of a tile.

Most left factors are spikes, and most spikes are zero. A block skips the terms for which all its rows have a zero. For
finite terms, this changes no bit of a sum.
"""

from typing import Any

import numba
import numpy as np
from numba import types
from numpy.typing import NDArray

from kspike_reg.neurons.engines.cpu.tile_functions import TileFunction
from kspike_reg.neurons.engines.cpu.vectors import (
    BLOCK_ROWS,
    BLOCK_VECTORS,
    VECTOR_BYTES,
    append_nonzero_terms,
    block,
    load_bits,
)

__all__ = ["GEMM", "accumulate", "empty_term_lists", "multiply"]

# Terms are listed if the first rows of the left factor are nonzero for less than this fraction of them.
LISTED_FRACTION = 0.75

_compiled = numba.njit(nogil=True, error_model="numpy", fastmath=False)

_tall_wide, _tall_narrow = block(BLOCK_ROWS, BLOCK_VECTORS), block(BLOCK_ROWS, 1)
_flat_wide, _flat_narrow = block(1, BLOCK_VECTORS), block(1, 1)
_listed_wide, _listed_narrow = block(BLOCK_ROWS, BLOCK_VECTORS, listed=True), block(BLOCK_ROWS, 1, listed=True)


@_compiled
def _list_terms(left, start, row_step, term_step, terms, lists, line):
    """List the terms for which one row of a tall block has a nonzero element.

    Args:
        left, row_step, term_step, terms: as in `_gemm`.
        start: where the first row of the block starts in `left`.
        lists, line: the list is this line of `lists`; the last number of the line is the number of listed terms.
    """
    lanes = VECTOR_BYTES // left.itemsize
    count, vectors = 0, terms // lanes * lanes if term_step == 1 and VECTOR_BYTES == 64 else 0
    for k in range(0, vectors, lanes):
        count = append_nonzero_terms(left, start, row_step, lists, line, count, k)
    count = np.uint64(count)  # numba does not check unsigned indices for negative values
    for k in range(vectors, terms):
        index = start + k * term_step
        bits = load_bits(left, index)
        for i in range(1, BLOCK_ROWS):
            bits |= load_bits(left, index + i * row_step)
        lists[line, count] = k
        count += np.uint64(bits != 0)
    lists[line, -1] = count


@_compiled
def _blocks(fresh, left, row_step, term_step, terms, lists, listed, right, result, columns):
    """`_gemm` for the first columns, whose number is a multiple of a vector's.

    lists, listed: one line of terms for each tall block, and whether the blocks use them.
    """
    lanes = VECTOR_BYTES // result.itemsize
    rows, step = result.shape
    tall = rows // BLOCK_ROWS * BLOCK_ROWS
    wide = columns // (BLOCK_VECTORS * lanes) * (BLOCK_VECTORS * lanes)
    for n in range(0, wide, BLOCK_VECTORS * lanes):
        for r in range(0, tall, BLOCK_ROWS):
            line = r // BLOCK_ROWS
            if listed:
                count = np.int64(lists[line, -1])
                _listed_wide(fresh, left, row_step, term_step, count, lists, line, right, step, result, r, n)
            else:
                _tall_wide(fresh, left, row_step, term_step, terms, lists, line, right, step, result, r, n)
        for r in range(tall, rows):
            _flat_wide(fresh, left, row_step, term_step, terms, lists, 0, right, step, result, r, n)
    for n in range(wide, columns, lanes):
        for r in range(0, tall, BLOCK_ROWS):
            line = r // BLOCK_ROWS
            if listed:
                count = np.int64(lists[line, -1])
                _listed_narrow(fresh, left, row_step, term_step, count, lists, line, right, step, result, r, n)
            else:
                _tall_narrow(fresh, left, row_step, term_step, terms, lists, line, right, step, result, r, n)
        for r in range(tall, rows):
            _flat_narrow(fresh, left, row_step, term_step, terms, lists, 0, right, step, result, r, n)


def _gemm(fresh, left, row_step, term_step, terms, right, result, lists):
    """result += left @ right, where element (i, k) of `left` has the flat index i row_step + k term_step.

    fresh: whether the sums start at zero instead of at `result`.
    """
    rows, columns = result.shape
    lanes = VECTOR_BYTES // result.itemsize
    # If the first rows have few zeros, the search in the other rows is not worth its time.
    listed = False
    if rows >= BLOCK_ROWS:
        _list_terms(left, 0, row_step, term_step, terms, lists, 0)
        listed = lists[0, -1] < LISTED_FRACTION * terms
    if listed:
        for line in range(1, rows // BLOCK_ROWS):
            _list_terms(left, line * BLOCK_ROWS * row_step, row_step, term_step, terms, lists, line)
    whole = columns // lanes * lanes
    _blocks(fresh, left, row_step, term_step, terms, lists, listed, right, result, whole)
    if whole < columns:
        # The last columns, padded to a vector.
        factors, sums = np.zeros((terms, lanes), right.dtype), np.zeros((rows, lanes), result.dtype)
        for k in range(terms):
            for n in range(whole, columns):
                factors[k, n - whole] = right[k, n]
        if not fresh:
            for r in range(rows):
                for n in range(whole, columns):
                    sums[r, n - whole] = result[r, n]
        _blocks(fresh, left, row_step, term_step, terms, lists, listed, factors, sums, lanes)
        for r in range(rows):
            for n in range(whole, columns):
                result[r, n] = sums[r, n - whole]


_LISTS = types.Array(types.uint32, 2, "C")
GEMM = TileFunction(_gemm, (types.boolean, 2, types.int64, types.int64, types.int64, 2, 2, _LISTS))


@_compiled
def empty_term_lists(rows: int, terms: int) -> NDArray:
    """Memory for the lists of terms of a matrix product.

    One array serves many products: its allocation is an instruction that waits for all streaming stores.

    Args:
        rows, terms: the largest numbers of rows and of terms.

    Returns:
        An uninitialised array (tall blocks, terms + 1).
    """
    return np.empty((max(1, rows // BLOCK_ROWS), terms + 1), np.uint32)


@_compiled
def multiply(gemm: Any, left: NDArray, right: NDArray, result: NDArray, lists: NDArray) -> None:
    """result = left @ right.

    Args:
        gemm: machine code of `GEMM` for the precision of the arrays.
        left, right, result: C-contiguous, (rows, terms), (terms, columns) and (rows, columns).
        lists: see `empty_term_lists`.
    """
    gemm(True, left, left.shape[1], 1, left.shape[1], right, result, lists)


@_compiled
def accumulate(gemm: Any, left: NDArray, right: NDArray, result: NDArray, lists: NDArray) -> None:
    """result += left.T @ right.

    Args:
        gemm: machine code of `GEMM` for the precision of the arrays.
        left, right, result: C-contiguous, (terms, rows), (terms, columns) and (rows, columns).
        lists: see `empty_term_lists`.
    """
    gemm(False, left, 1, left.shape[1], left.shape[0], right, result, lists)
