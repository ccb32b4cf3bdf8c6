"""Memory for large arrays that is used again and again.

A training step asks for the same arrays as the step before. Fresh from the operating system, memory has to be cleared
page by page, which takes as long as the neurons' own arithmetic.
"""

import math
from collections import defaultdict

import numpy as np

__all__ = ["copy", "empty"]

# TensorFlow takes over an array whose first byte lies so, without a copy; and products load whole vectors.
ALIGNMENT = 64
# Idle memory beyond this goes back to the system.
MOST_IDLE = 2**30

_idle = defaultdict(list)


def empty(shape, dtype):
    """An array without contents, whose memory is used again once nobody holds the array, or a view of it, any more.

    Args:
        shape: of the array.
        dtype: a numpy.dtype.
    """
    size = math.prod(shape) * dtype.itemsize
    lent = _Lent(_idle[size].pop() if _idle[size] else np.empty(size + ALIGNMENT, np.uint8))
    array = np.asarray(lent)
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
        if sum(size * len(blocks) for size, blocks in _idle.items()) < MOST_IDLE:
            _idle[self.block.size - ALIGNMENT].append(self.block)
