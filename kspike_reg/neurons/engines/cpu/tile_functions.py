"""Functions compiled to machine code that loops receive as pointers.

A loop that receives its functions as pointers is compiled once for all neurons.
"""

from collections.abc import Callable
from typing import Any

import numba
import numpy as np
from numba import types

__all__ = ["LOOP_OPTIONS", "NoAliasCompiler", "TileFunction"]


class NoAliasCompiler(numba.core.compiler.Compiler):
    """Compiles a function whose array arguments do not overlap in memory.

    Numba has no public option for this. Without it, every loop first compares the addresses of all its arrays, which
    takes longer than one row of neurons.
    """

    def define_pipelines(self) -> list:
        self.state.flags.noalias = True
        return super().define_pipelines()


# Options of `numba.njit` for functions whose array arguments do not overlap.
LOOP_OPTIONS = {"nogil": True, "cache": True, "error_model": "numpy", "pipeline_class": NoAliasCompiler}


class TileFunction:
    """A function on the buffers of a tile, as machine code for single or double precision.

    Args:
        function: a function without a result, whose array arguments do not overlap.
        arguments: one entry per argument: the number of axes of a C-contiguous array of the compiled precision, or a
            numba type.
        on_disk: whether numba keeps the machine code on disk; the function must be defined in a file.
    """

    def __init__(self, function: Callable, arguments: tuple, on_disk: bool = True) -> None:
        self.function, self.arguments, self.on_disk = function, arguments, on_disk
        self.compiled = {}

    def machine_code(self, dtype: str) -> Any:
        """The machine code for a precision, which the first call compiles.

        Args:
            dtype: "float32" or "float64".

        Returns:
            A `numba.cfunc`, which compiled loops take as an argument.

        Raises:
            numba.core.errors.NumbaError: numba cannot compile the function.
        """
        if dtype not in self.compiled:
            number = numba.from_dtype(np.dtype(dtype))
            arguments = [types.Array(number, axes, "C") if isinstance(axes, int) else axes for axes in self.arguments]
            compiler = numba.cfunc(
                types.void(*arguments),
                cache=self.on_disk,
                error_model="numpy",
                pipeline_class=NoAliasCompiler,
            )
            code = compiler(self.function)
            # Without this, numba infers the type in every call of a loop, which takes longer than a small tile.
            code._numba_type_ = numba.typeof(code)
            self.compiled[dtype] = code
        return self.compiled[dtype]
