"""What LLVM's instructions do, in Python, for runs without machine code (NUMBA_DISABLE_JIT=1).

Then the loops run on NumPy arrays, which check every index: slow, and made to find faults.
"""

from collections.abc import Callable
from typing import Any

from numba import config
from numba.extending import intrinsic
from numpy.typing import NDArray

__all__ = ["append_nonzero_terms", "block", "copy", "instruction", "load_bits", "nothing"]


def instruction(stand_in: Callable) -> Callable:
    """Decorator of an instruction for compiled loops.

    Args:
        stand_in: a Python function that does the same.

    Returns:
        The decorator: `numba.extending.intrinsic`, or one that replaces the instruction by `stand_in` where numba
        compiles nothing.
    """
    return (lambda function: stand_in) if config.DISABLE_JIT else intrinsic


def nothing() -> None:
    """An instruction that changes no number."""


def copy(source: NDArray, source_start: int, target: NDArray, target_start: int, size: int) -> None:
    """See `streaming_stores._copy`."""
    if source_start + size > source.size or target_start + size > target.size:
        raise IndexError(f"{size} numbers from {source_start} of {source.size} to {target_start} of {target.size}")
    target.reshape(-1)[target_start : target_start + size] = source.reshape(-1)[source_start : source_start + size]


def load_bits(array: NDArray, index: int) -> Any:
    """See `vectors.load_bits`."""
    return array.reshape(-1).view(f"int{8 * array.itemsize}")[index]


def append_nonzero_terms(
    lanes: int, rows: int, left: NDArray, start: int, row_step: int, lists: NDArray, line: int, count: int, first: int
) -> int:
    """See `vectors.append_nonzero_terms`; `lanes` are the numbers of a vector, `rows` the rows of a block."""
    flat = left.reshape(-1)
    for term in range(first, first + lanes):
        if any(flat[start + term + i * row_step] != 0 for i in range(rows)):
            lists[line, count] = term
            count += 1
    return count


def block(rows: int, lanes: int, vectors: int, listed: bool, *arguments: Any) -> None:
    """See `vectors.block`; `lanes` are the numbers of a vector."""
    fresh, left, row_step, term_step, terms, lists, line, right, columns, result, row, column = arguments
    left, right, result = left.reshape(-1), right.reshape(-1), result.reshape(-1)
    for i in range(rows):
        for n in range(column, column + vectors * lanes):
            target = (row + i) * columns + n
            total = result.dtype.type(0) if fresh else result[target]
            for k in range(terms):
                term = int(lists[line, k]) if listed else k
                # A product of two numbers in single precision is exact in double precision, as in a fused instruction.
                product = float(left[(row + i) * row_step + term * term_step]) * float(right[term * columns + n])
                total = result.dtype.type(float(total) + product)
            result[target] = total
