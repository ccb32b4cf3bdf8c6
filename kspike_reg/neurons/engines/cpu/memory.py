"""Memory for large arrays that is used again and again.

A training step asks for the same arrays as the step before. Fresh from the operating system, memory has to be cleared
page by page, which takes as long as the neurons' own arithmetic.
"""

import math
import threading
from collections import defaultdict

import numpy as np

__all__ = ["copy", "empty"]

# TensorFlow takes over an array whose first byte lies so, without a copy; and products load whole vectors.
ALIGNMENT = 64
# Idle memory beyond this goes back to the system.
MOST_IDLE = 2**30

_idle = defaultdict(list)
# Of many threads; and one that holds it may find, collecting garbage, that an array of its own has ended.
_lock = threading.RLock()


def empty(shape, dtype):
    """An array without contents, whose memory is used again once nobody holds the array, or a view of it, any more.

    Args:
        shape: of the array.
        dtype: a numpy.dtype.
    """
    size = math.prod(shape) * dtype.itemsize
    with _lock:
        block = _idle[size].pop() if _idle[size] else None
    array = np.asarray(_Lent(np.empty(size + ALIGNMENT, np.uint8) if block is None else block))
    offset = -array.ctypes.data % ALIGNMENT
    return array[offset : offset + size].view(dtype).reshape(shape)


def copy(array):
    """A C-contiguous copy of an array in such memory."""
    result = empty(array.shape, array.dtype)
    result[...] = array
    return result


class _Lent:
    """What keeps a block of memory from being used again: NumPy holds it as long as an array of the block lives."""

    def __init__(self, block):
        self.block = block
        self.__array_interface__ = block.__array_interface__

    def __del__(self):
        if _lock is None:  # at its end, Python takes a module's names away before some of what lives in it
            return
        with _lock:
            if sum(size * len(blocks) for size, blocks in _idle.items()) < MOST_IDLE:
                _idle[self.block.size - ALIGNMENT].append(self.block)
