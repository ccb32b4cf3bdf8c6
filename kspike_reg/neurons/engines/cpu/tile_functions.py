"""Functions in machine code that loops are given as pointers, so that they are compiled once, apart from the loops."""

import numba
import numpy as np
from numba import types

__all__ = ["Apart", "TileFunction"]


class Apart(numba.core.compiler.Compiler):
    """Compiles a function whose arrays never share memory, which numba cannot be told otherwise.

    Else each loop begins with a comparison of all its arrays' places, which takes longer than a row of neurons.
    """

    def define_pipelines(self):
        self.state.flags.noalias = True
        return super().define_pipelines()


class TileFunction:
    """A function on the buffers of a tile, in machine code for single or double precision.

    Args:
        function: without a result.
        arguments: for each the number of axes, of an array of such numbers, or a type of numba's.
        on_disk: whether to keep the machine code on disk, for a function that stands in a file.
    """

    def __init__(self, function, arguments, on_disk=True):
        self.function, self.arguments, self.on_disk = function, arguments, on_disk
        self.compiled = {}

    def of(self, dtype):
        """The machine code for a NumPy dtype; compiled at the first call.

        Raises:
            numba.core.errors.NumbaError: numba does not know what the function does.
        """
        if dtype not in self.compiled:
            number = numba.from_dtype(np.dtype(dtype))
            arguments = [types.Array(number, of, "C") if isinstance(of, int) else of for of in self.arguments]
            compiler = numba.cfunc(
                types.void(*arguments),
                cache=self.on_disk,
                error_model="numpy",
                pipeline_class=Apart,
            )
            code = compiler(self.function)
            # Else every call of a loop that is given this code finds out anew, which takes longer than a small tile.
            code._numba_type_ = numba.typeof(code)
            self.compiled[dtype] = code
        return self.compiled[dtype]
