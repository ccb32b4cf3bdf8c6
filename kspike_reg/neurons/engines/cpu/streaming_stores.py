"""Stores past the cache, into long arrays that nobody reads soon.

An ordinary store first reads the line of memory that it is about to overwrite, and drives from the cache what is still
needed: a tenth of a training step's time.
"""

import numba
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from kspike_reg.neurons.engines.cpu.matmul import VECTOR

__all__ = ["settle", "store"]


def _pointer(context, builder, kind, array, place):
    """To the element at a place of a C-contiguous array, counted as if it had one axis."""
    return builder.gep(context.make_array(kind)(context, builder, value=array).data, [place])


@intrinsic
def _copy(typing, source, source_at, target, target_at, size):
    """So many numbers from one place to another; past the cache where the target begins and ends a vector's place."""
    signature = types.void(source, types.int64, target, types.int64, types.int64)

    def generate(context, builder, signature, arguments):
        source, source_at, target, target_at, size = arguments
        kinds = signature.args[0], signature.args[2]
        source = _pointer(context, builder, kinds[0], source, source_at)
        target = _pointer(context, builder, kinds[1], target, target_at)
        bytes_each = kinds[0].dtype.bitwidth // 8
        lanes = VECTOR // bytes_each
        whole = ir.IntType(64)
        begins = builder.urem(builder.ptrtoint(target, whole), whole(VECTOR))
        ends = builder.urem(size, whole(lanes))
        fits = builder.icmp_unsigned("==", builder.or_(begins, ends), whole(0))
        with builder.if_else(fits) as (past_the_cache, through_it):
            with past_the_cache:
                vectors = ir.VectorType(context.get_data_type(kinds[0].dtype), lanes).as_pointer()
                source_vectors, target_vectors = builder.bitcast(source, vectors), builder.bitcast(target, vectors)
                nontemporal = builder.module.add_metadata([ir.Constant(ir.IntType(32), 1)])
                with cgutils.for_range(builder, builder.udiv(size, whole(lanes)), intp=whole) as loop:
                    value = builder.load(builder.gep(source_vectors, [loop.index]), align=bytes_each)
                    stored = builder.store(value, builder.gep(target_vectors, [loop.index]), align=VECTOR)
                    stored.set_metadata("nontemporal", nontemporal)
            with through_it:
                cgutils.raw_memcpy(builder, target, source, size, bytes_each)
        return context.get_dummy_value()

    return signature, generate


@intrinsic
def settle(typing):
    """Wait until what `store` has sent on its way is where other threads may read it."""

    def generate(context, builder, signature, arguments):
        builder.fence("seq_cst")
        return context.get_dummy_value()

    return types.void(), generate


@numba.njit(nogil=True, cache=True, error_model="numpy")
def store(source, source_row, target, target_row, rows=1):
    """Rows of one C-contiguous array into those of another; before another thread reads them it takes a `settle`.

    Whole arrays and numbers of rows, not views: a view is counted, and a counter that threads share is a fence, at
    which the processor waits for its stores.

    Args:
        source, target: (..., columns), with as many columns.
        source_row, target_row: the first row in each, counted as if there were one axis before the columns.
        rows: how many.
    """
    columns = target.shape[-1]
    _copy(source, source_row * columns, target, target_row * columns, rows * columns)
