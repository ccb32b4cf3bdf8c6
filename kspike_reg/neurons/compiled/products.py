"""Small matrix products inside compiled loops: those of one tile of paths with a layer's weights.

The innermost block holds its sums in vector registers, which no loop that numba compiles does by itself; it is put
together from LLVM's own instructions. Every sum is taken in the order of its terms with fused multiply-adds, as
TensorFlow takes sums of up to 384 terms, so the bits are the same, whatever is in the tile beside.
"""

import llvmlite.binding
import numba
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


def _block(vectors):
    """result[i, j] += left[i, k] right[k, j] for ROWS rows i and `vectors` vectors of columns j."""

    @intrinsic
    def block(typing, left, left_at, row_step, term_step, terms, right, right_at, right_step, result, result_at):
        """All arrays are C-contiguous; `..._at` is the place of the block's first element, counted in elements.

        row_step and term_step: from one row, and one term, of `left` to the next; right_step: from one row of `right`,
        and of `result`, to the next.
        """
        signature = types.void(left, *[types.int64] * 4, right, *[types.int64] * 2, result, types.int64)

        def generate(context, builder, signature, arguments):
            left, left_at, row_step, term_step, terms, right, right_at, right_step, result, result_at = arguments
            kind = signature.args[0]
            number = context.get_data_type(kind.dtype)
            width = VECTOR * 8 // kind.dtype.bitwidth
            vector = ir.VectorType(number, width)
            whole = ir.IntType(64)
            name = f"llvm.fma.v{width}f{kind.dtype.bitwidth}"
            fuse = cgutils.get_or_insert_function(builder.module, ir.FunctionType(vector, [vector] * 3), name)
            spread = ir.Constant(ir.VectorType(ir.IntType(32), width), [0] * width)
            data = {
                array: context.make_array(kind)(context, builder, value=array).data for array in (left, right, result)
            }

            def pointer(array, place, kind_of_element):
                return builder.bitcast(builder.gep(data[array], [place]), kind_of_element.as_pointer())

            def shifted(place, step, times):
                return builder.add(place, builder.mul(step, ir.Constant(whole, times)))

            def column(place, j):
                return builder.add(place, ir.Constant(whole, j * width))

            places = [
                [pointer(result, column(shifted(result_at, right_step, i), j), vector) for j in range(vectors)]
                for i in range(ROWS)
            ]
            sums = [[cgutils.alloca_once(builder, vector) for _ in row] for row in places]
            for row, slots in zip(places, sums, strict=True):
                for place, slot in zip(row, slots, strict=True):
                    builder.store(builder.load(place, align=1), slot)
            with cgutils.for_range(builder, terms, intp=whole) as loop:
                of_right = builder.add(right_at, builder.mul(right_step, loop.index))
                of_left = builder.add(left_at, builder.mul(term_step, loop.index))
                factors = [builder.load(pointer(right, column(of_right, j), vector), align=1) for j in range(vectors)]
                for i in range(ROWS):
                    scalar = builder.load(pointer(left, shifted(of_left, row_step, i), number))
                    first = builder.insert_element(ir.Constant(vector, ir.Undefined), scalar, ir.Constant(whole, 0))
                    splat = builder.shuffle_vector(first, ir.Constant(vector, ir.Undefined), spread)
                    for factor, slot in zip(factors, sums[i], strict=True):
                        if _FUSED:
                            value = builder.call(fuse, [splat, factor, builder.load(slot)])
                        else:
                            value = builder.fadd(builder.load(slot), builder.fmul(splat, factor))
                        builder.store(value, slot)
            for row, slots in zip(places, sums, strict=True):
                for place, slot in zip(row, slots, strict=True):
                    builder.store(builder.load(slot), place, align=1)
            return context.get_dummy_value()

        return signature, generate

    return block


_wide, _narrow = _block(VECTORS), _block(1)


@numba.njit(nogil=True, cache=True, error_model="numpy", fastmath={"contract"})
def _add(left, row_step, term_step, rows, terms, right, result):
    """result += left @ right, where element (i, k) of `left` is the (i row_step + k term_step)-th of its memory."""
    columns = right.shape[1]
    lanes = VECTOR // result.itemsize
    quads = rows // ROWS * ROWS
    wide = columns // (VECTORS * lanes) * (VECTORS * lanes)
    narrow = columns // lanes * lanes
    for n in range(0, wide, VECTORS * lanes):
        for r in range(0, quads, ROWS):
            _wide(left, r * row_step, row_step, term_step, terms, right, n, columns, result, r * columns + n)
    for n in range(wide, narrow, lanes):
        for r in range(0, quads, ROWS):
            _narrow(left, r * row_step, row_step, term_step, terms, right, n, columns, result, r * columns + n)
    flat = left.ravel()
    for r in range(rows):
        start = narrow if r < quads else 0
        if start < columns:
            for k in range(terms):
                factor = flat[r * row_step + k * term_step]
                for n in range(start, columns):
                    result[r, n] += factor * right[k, n]


@_compiled
def product(left, right, result):
    """result = left @ right.

    Args:
        left, right, result: C-contiguous, (rows, terms), (terms, columns) and (rows, columns).
    """
    flat = result.ravel()
    for i in range(flat.size):
        flat[i] = 0
    _add(left, left.shape[1], 1, left.shape[0], left.shape[1], right, result)


@_compiled
def accumulate(left, right, result):
    """result += left.T @ right.

    Args:
        left, right, result: C-contiguous, (terms, rows), (terms, columns) and (rows, columns).
    """
    _add(left, 1, left.shape[1], left.shape[1], left.shape[0], right, result)
