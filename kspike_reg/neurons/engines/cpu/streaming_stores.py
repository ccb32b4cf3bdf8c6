"""Streaming stores: stores that bypass the cache, for long arrays that are not read again soon.

An ordinary store first reads the cache line that it overwrites, and evicts data that are still needed. Together this
takes a tenth of the time of a training step.
"""

from typing import Any

import numba
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numpy.typing import NDArray

from kspike_reg.neurons.engines.cpu import in_python
from kspike_reg.neurons.engines.cpu.in_python import instruction
from kspike_reg.neurons.engines.cpu.vectors import VECTOR_BYTES

__all__ = ["fence", "store"]


def _pointer(context, builder, kind, array, index):
    """A pointer to an element of a C-contiguous array, by its flat index."""
    return builder.gep(context.make_array(kind)(context, builder, value=array).data, [index])


@instruction(in_python.copy)
def _copy(typing, source, source_start, target, target_start, size):
    """Copy `size` numbers between flat indices.

    The copy bypasses the cache if the target starts at a multiple of a vector and the size is one.
    """
    signature = types.void(source, types.int64, target, types.int64, types.int64)

    def generate(context, builder, signature, arguments):
        source, source_start, target, target_start, size = arguments
        kinds = signature.args[0], signature.args[2]
        source = _pointer(context, builder, kinds[0], source, source_start)
        target = _pointer(context, builder, kinds[1], target, target_start)
        itemsize = kinds[0].dtype.bitwidth // 8
        lanes = VECTOR_BYTES // itemsize
        integer = ir.IntType(64)
        misalignment = builder.urem(builder.ptrtoint(target, integer), integer(VECTOR_BYTES))
        remainder = builder.urem(size, integer(lanes))
        fits = builder.icmp_unsigned("==", builder.or_(misalignment, remainder), integer(0))
        with builder.if_else(fits) as (past_the_cache, through_the_cache):
            with past_the_cache:
                vectors = ir.VectorType(context.get_data_type(kinds[0].dtype), lanes).as_pointer()
                source_vectors, target_vectors = builder.bitcast(source, vectors), builder.bitcast(target, vectors)
                nontemporal = builder.module.add_metadata([ir.Constant(ir.IntType(32), 1)])
                with cgutils.for_range(builder, builder.udiv(size, integer(lanes)), intp=integer) as loop:
                    value = builder.load(builder.gep(source_vectors, [loop.index]), align=itemsize)
                    stored = builder.store(value, builder.gep(target_vectors, [loop.index]), align=VECTOR_BYTES)
                    stored.set_metadata("nontemporal", nontemporal)
            with through_the_cache:
                cgutils.raw_memcpy(builder, target, source, size, itemsize)
        return context.get_dummy_value()

    return signature, generate


@instruction(in_python.nothing)
def fence(typing: Any) -> tuple:
    """Wait until other threads can read the data of all earlier calls of `store`."""

    def generate(context, builder, signature, arguments):
        builder.fence("seq_cst")
        return context.get_dummy_value()

    return types.void(), generate


@numba.njit(nogil=True, error_model="numpy")
def store(source: NDArray, source_row: int, target: NDArray, target_row: int, rows: int = 1) -> None:
    """Copy rows of one C-contiguous array to another by streaming stores.

    Other threads may read them after a `fence`. The arguments are whole arrays and row numbers, because a view has a
    reference count: updating a count that threads share acts as a fence, where the processor waits for its stores.

    Args:
        source, target: (..., columns), with the same number of columns.
        source_row, target_row: the first row in each, counted over all axes before the columns.
        rows: number of rows.
    """
    columns = target.shape[-1]
    _copy(source, source_row * columns, target, target_row * columns, rows * columns)
