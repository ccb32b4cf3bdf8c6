"""Small matrix products inside compiled loops: those of one tile of paths with a layer's weights.

The innermost block holds its sums in vector registers, which no loop that numba compiles does by itself; it is put
together from LLVM's own instructions. Every sum is taken in the order of its terms with fused multiply-adds, as
TensorFlow takes sums of up to 384 terms, so the bits are the same, whatever is in the tile beside.
"""

import llvmlite.binding
import numba
import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

__all__ = ["VECTOR", "accumulate", "product"]

_features = llvmlite.binding.get_host_cpu_features()
VECTOR = 64 if _features.get("avx512f") else 32  # bytes
# Rows of a block, and its vectors in a row: as many sums as there are registers for, but for those of the factors.
ROWS, VECTORS = 4, 4 if VECTOR == 64 else 2
_FUSED = _features.get("fma", True)

_compiled = numba.njit(nogil=True, cache=True, error_model="numpy", fastmath=False)


def _block(rows, vectors):
    """result[i, j] += left[i, k] right[k, j] for so many rows i and vectors of columns j."""

    @intrinsic
    def block(typing, fresh, left, row_step, term_step, terms, right, columns, result, row, column):
        """The block of C-contiguous arrays whose first element is (row, column).

        fresh: whether to begin at zero, whatever is in `result`.
        row_step, term_step: elements from one row, and from one term, of `left` to the next.
        columns: of `right` and of `result`.
        """
        place = types.int64
        signature = types.void(types.boolean, left, place, place, place, right, place, result, place, place)

        def generate(context, builder, signature, arguments):
            fresh, left, row_step, term_step, terms, right, columns, result, row, column = arguments
            kind = signature.args[1]
            number = context.get_data_type(kind.dtype)
            width = VECTOR * 8 // kind.dtype.bitwidth
            vector = ir.VectorType(number, width)
            whole = ir.IntType(64)
            name = f"llvm.fma.v{width}f{kind.dtype.bitwidth}"
            fuse = cgutils.get_or_insert_function(builder.module, ir.FunctionType(vector, [vector] * 3), name)
            spread = ir.Constant(ir.VectorType(ir.IntType(32), width), [0] * width)
            zeros = ir.Constant(vector, [0] * width)
            data = {
                array: context.make_array(kind)(context, builder, value=array).data for array in (left, right, result)
            }

            def pointer(array, place, kind_of_element):
                return builder.bitcast(builder.gep(data[array], [place]), kind_of_element.as_pointer())

            def shifted(place, step, times):
                return builder.add(place, builder.mul(step, ir.Constant(whole, times)))

            def lane(place, j):
                return builder.add(place, ir.Constant(whole, j * width))

            of_result = builder.add(builder.mul(row, columns), column)
            places = [
                [pointer(result, lane(shifted(of_result, columns, i), j), vector) for j in range(vectors)]
                for i in range(rows)
            ]
            sums = [[cgutils.alloca_once(builder, vector) for _ in line] for line in places]
            for line, slots in zip(places, sums, strict=True):
                for place, slot in zip(line, slots, strict=True):
                    builder.store(builder.select(fresh, zeros, builder.load(place, align=1)), slot)
            with cgutils.for_range(builder, terms, intp=whole) as loop:
                of_right = builder.add(column, builder.mul(columns, loop.index))
                of_left = builder.add(builder.mul(row, row_step), builder.mul(term_step, loop.index))
                factors = [builder.load(pointer(right, lane(of_right, j), vector), align=1) for j in range(vectors)]
                for i in range(rows):
                    scalar = builder.load(pointer(left, shifted(of_left, row_step, i), number))
                    first = builder.insert_element(ir.Constant(vector, ir.Undefined), scalar, ir.Constant(whole, 0))
                    splat = builder.shuffle_vector(first, ir.Constant(vector, ir.Undefined), spread)
                    for factor, slot in zip(factors, sums[i], strict=True):
                        if _FUSED:
                            value = builder.call(fuse, [splat, factor, builder.load(slot)])
                        else:
                            value = builder.fadd(builder.load(slot), builder.fmul(splat, factor))
                        builder.store(value, slot)
            for line, slots in zip(places, sums, strict=True):
                for place, slot in zip(line, slots, strict=True):
                    builder.store(builder.load(slot), place, align=1)
            return context.get_dummy_value()

        return signature, generate

    return block


_tall_wide, _tall_narrow = _block(ROWS, VECTORS), _block(ROWS, 1)
_flat_wide, _flat_narrow = _block(1, VECTORS), _block(1, 1)


@_compiled
def _blocks(fresh, left, row_step, term_step, terms, right, result, columns):
    """`_add` for so many columns, a multiple of a vector's."""
    lanes = VECTOR // result.itemsize
    rows, step = result.shape
    tall = rows // ROWS * ROWS
    wide = columns // (VECTORS * lanes) * (VECTORS * lanes)
    for n in range(0, wide, VECTORS * lanes):
        for r in range(0, tall, ROWS):
            _tall_wide(fresh, left, row_step, term_step, terms, right, step, result, r, n)
        for r in range(tall, rows):
            _flat_wide(fresh, left, row_step, term_step, terms, right, step, result, r, n)
    for n in range(wide, columns, lanes):
        for r in range(0, tall, ROWS):
            _tall_narrow(fresh, left, row_step, term_step, terms, right, step, result, r, n)
        for r in range(tall, rows):
            _flat_narrow(fresh, left, row_step, term_step, terms, right, step, result, r, n)


@_compiled
def _add(fresh, left, row_step, term_step, terms, right, result):
    """result += left @ right, where element (i, k) of `left` is the (i row_step + k term_step)-th of its memory."""
    rows, columns = result.shape
    lanes = VECTOR // result.itemsize
    whole = columns // lanes * lanes
    _blocks(fresh, left, row_step, term_step, terms, right, result, whole)
    if whole < columns:
        # The last columns in vectors of their own, filled up.
        factors, sums = np.zeros((terms, lanes), right.dtype), np.zeros((rows, lanes), result.dtype)
        for k in range(terms):
            for n in range(whole, columns):
                factors[k, n - whole] = right[k, n]
        if not fresh:
            for r in range(rows):
                for n in range(whole, columns):
                    sums[r, n - whole] = result[r, n]
        _blocks(fresh, left, row_step, term_step, terms, factors, sums, lanes)
        for r in range(rows):
            for n in range(whole, columns):
                result[r, n] = sums[r, n - whole]


@_compiled
def product(left, right, result):
    """result = left @ right.

    Args:
        left, right, result: C-contiguous, (rows, terms), (terms, columns) and (rows, columns).
    """
    # Numbers with a type: numba compiles a function anew for each literal that it is given.
    _add(np.bool_(True), left, left.shape[1], np.int64(1), left.shape[1], right, result)


@_compiled
def accumulate(left, right, result):
    """result += left.T @ right.

    Args:
        left, right, result: C-contiguous, (terms, rows), (terms, columns) and (rows, columns).
    """
    _add(np.bool_(False), left, np.int64(1), left.shape[1], left.shape[0], right, result)
