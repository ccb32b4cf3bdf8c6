"""Functions compiled to machine code that loops receive as pointers.

A loop that receives its functions as pointers is compiled once for all neurons.
"""

import os
from collections.abc import Callable
from functools import partial
from typing import Any

import numba
import numpy as np
from numba import types
from numba.core.ccallback import CFunc
from numba.core.compiler_lock import global_compiler_lock
from numba.core.dispatcher import Dispatcher

from kspike_reg.neurons.engines.cpu.machine_code import MachineCodeCache
from kspike_reg.neurons.engines.cpu.threads import uninterrupted

__all__ = ["LOOP_OPTIONS", "NoAliasCompiler", "TileFunction", "entry"]


class NoAliasCompiler(numba.core.compiler.Compiler):
    """Compiles a function whose array arguments do not overlap in memory.

    Numba has no public option for this. Without it, every loop first compares the addresses of all its arrays, which
    takes longer than one row of neurons.
    """

    def define_pipelines(self) -> list:
        self.state.flags.noalias = True
        return super().define_pipelines()


# Options of `numba.njit` for functions whose array arguments do not overlap.
LOOP_OPTIONS = {"nogil": True, "error_model": "numpy", "pipeline_class": NoAliasCompiler}


def entry(function: Callable) -> Callable:
    """Prepare a compiled function that Python calls: its machine code stays on disk, and no signal interrupts numba.

    Functions that it inlines need no files of their own.

    Args:
        function: what `numba.njit` returns.

    Returns:
        The same function.
    """
    if isinstance(function, Dispatcher):  # with NUMBA_DISABLE_JIT, it is a Python function
        function._cache = MachineCodeCache(function.py_func)
        function.compile = partial(uninterrupted, function.compile)
    return function


if hasattr(os, "register_at_fork"):
    # A process that forks while another thread compiles waits for it; the child could never compile anything.
    lock = global_compiler_lock
    os.register_at_fork(before=lock.acquire, after_in_parent=lock.release, after_in_child=lock.release)


def _address(pointer):
    return pointer.address


class Pointer:
    """A pointer to the machine code of a function, as loops take it.

    Numba also takes a `CFunc` itself. Then it runs Python code in every call, and where a signal handler raises an
    exception there, numba raises another one.

    Attributes:
        code: the `CFunc`, which owns the machine code.
        address: its address.
    """

    def __init__(self, code: CFunc) -> None:
        self.code, self.address = code, code.address
        # Without this, numba infers the type in every call of a loop, which takes longer than a small tile.
        self._numba_type_ = types.ExternalFunctionPointer(code._sig, _address)


class TileFunction:
    """A function on the buffers of a tile, as machine code for single or double precision.

    Args:
        function: a function without a result, whose array arguments do not overlap.
        arguments: one entry per argument: the number of axes of a C-contiguous array of the compiled precision, or a
            numba type.
        closure: see `machine_code.MachineCodeCache`.
    """

    def __init__(self, function: Callable, arguments: tuple, closure: str | None = None) -> None:
        self.function, self.arguments, self.closure = function, arguments, closure
        self.compiled = {}

    def machine_code(self, dtype: str) -> Any:
        """The machine code for a precision, which the first call compiles.

        Args:
            dtype: "float32" or "float64".

        Returns:
            A `Pointer`, which compiled loops take as an argument; where numba compiles nothing
            (NUMBA_DISABLE_JIT), the Python function.

        Raises:
            numba.core.errors.NumbaError: numba cannot compile the function.
        """
        if numba.config.DISABLE_JIT:
            return self.function
        if dtype not in self.compiled:
            uninterrupted(self._ensure, dtype)
        return self.compiled[dtype]

    def _ensure(self, dtype):
        with global_compiler_lock:  # threads whose caller was interrupted do not compile once more
            if dtype not in self.compiled:
                self.compiled[dtype] = self._compile(dtype)

    def _compile(self, dtype):
        number = numba.from_dtype(np.dtype(dtype))
        arguments = [types.Array(number, axes, "C") if isinstance(axes, int) else axes for axes in self.arguments]
        options = {"error_model": "numpy"}
        # As `numba.cfunc` does, but with a cache of our own.
        code = CFunc(self.function, (tuple(arguments), types.void), {}, options, pipeline_class=NoAliasCompiler)
        code._cache = MachineCodeCache(self.function, self.closure)
        code.compile()
        return Pointer(code)
