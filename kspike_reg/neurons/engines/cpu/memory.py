"""A pool of memory for large arrays.

A training step needs the same arrays as the step before. The operating system clears fresh memory page by page, which
takes as long as the arithmetic of the neurons.
"""

import math
import os
import threading
from collections import defaultdict

import numpy as np
from numpy.typing import NDArray

__all__ = ["copy", "empty"]

# In bytes. TensorFlow adopts an array with this alignment without a copy, and matrix products load whole vectors.
ALIGNMENT = 64
# In bytes. Idle memory beyond this is returned to the system.
MOST_IDLE = 2**30

_idle = defaultdict(list)
# Many threads share the pool. The lock is reentrant: a thread that holds it may collect garbage, and so run `__del__`.
_lock = threading.RLock()


def _renew_lock():
    """A forked process has none of the threads, one of which may have held the lock."""
    global _lock
    _lock = threading.RLock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_renew_lock)


def empty(shape: tuple[int, ...], dtype: np.dtype) -> NDArray:
    """An uninitialised array from the pool.

    Its memory returns to the pool when the array and all its views are gone.

    Args:
        shape: shape of the array.
        dtype: a numpy.dtype.

    Returns:
        A C-contiguous array, aligned to `ALIGNMENT` bytes.
    """
    size = math.prod(shape) * dtype.itemsize
    with _lock:
        block = _idle[size].pop() if _idle[size] else None
    array = np.asarray(_PooledBlock(np.empty(size + ALIGNMENT, np.uint8) if block is None else block))
    offset = -array.ctypes.data % ALIGNMENT
    return array[offset : offset + size].view(dtype).reshape(shape)


def copy(array: NDArray) -> NDArray:
    """A C-contiguous copy of an array, in memory from the pool."""
    result = empty(array.shape, array.dtype)
    result[...] = array
    return result


class _PooledBlock:
    """Owner of a block of memory. NumPy holds it as long as an array of the block lives; then the block is idle."""

    def __init__(self, block):
        self.block = block
        self.__array_interface__ = block.__array_interface__

    def __del__(self):
        if _lock is None:  # at exit, Python clears the names of this module before it deletes some arrays
            return
        with _lock:
            if sum(size * len(blocks) for size, blocks in _idle.items()) < MOST_IDLE:
                _idle[self.block.size - ALIGNMENT].append(self.block)
