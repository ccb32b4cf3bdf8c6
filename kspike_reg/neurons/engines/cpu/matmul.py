"""Small matrix products inside compiled loops: those of one tile of paths with a layer's weights.

The innermost block holds its sums in vector registers, which no loop that numba compiles does by itself; it is put
together from LLVM's own instructions. Every sum is taken in the order of its terms with fused multiply-adds, as
TensorFlow takes sums of up to 384 terms, so the bits are the same, whatever is in the tile beside.

Most of what is multiplied here are spikes, and most of them are zeros. A block leaves out the terms in which all its
rows have a zero, which changes no bit of a sum of finite terms.
"""

import llvmlite.binding
import numba
import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from kspike_reg.neurons.engines.cpu.tile_functions import TileFunction

__all__ = ["ADD", "VECTOR", "accumulate", "product", "room_for_lists"]

_features = llvmlite.binding.get_host_cpu_features()
VECTOR = 64 if _features.get("avx512f") else 32  # bytes
# Rows of a block, and its vectors in a row: as many sums as there are registers for, but for those of the factors.
ROWS, VECTORS = 4, 4 if VECTOR == 64 else 2
# A list of terms is made where less than this part of them counts.
WORTH_A_LIST = 0.75
_FUSED = _features.get("fma", True)

_compiled = numba.njit(nogil=True, cache=True, error_model="numpy", fastmath=False)


def _line(context, builder, kind, lists, line):
    """A pointer to the first number in a line of a C-contiguous array (lines, length)."""
    array = context.make_array(kind)(context, builder, value=lists)
    return builder.gep(array.data, [builder.mul(line, cgutils.unpack_tuple(builder, array.shape)[1])])


def _block(rows, vectors, listed=False):
    """result[i, j] += left[i, k] right[k, j] for so many rows i and vectors of columns j, over all k or listed ones."""

    @intrinsic
    def block(typing, fresh, left, row_step, term_step, terms, lists, line, right, columns, result, row, column):
        """The block of C-contiguous arrays whose first element is (row, column).

        fresh: whether to begin at zero, whatever is in `result`.
        row_step, term_step: elements from one row, and from one term, of `left` to the next.
        terms, lists, line: how many terms; where they are listed, which: see `_pick`.
        columns: of `right` and of `result`.
        """
        place = types.int64
        which = place, lists, place
        signature = types.void(types.boolean, left, place, place, *which, right, place, result, place, place)

        def generate(context, builder, signature, arguments):
            fresh, left, row_step, term_step, terms, lists, line, right, columns, result, row, column = arguments
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
            numbers = _line(context, builder, signature.args[5], lists, line)

            def at(begin, place, kind_of_element):
                return builder.bitcast(builder.gep(begin, [place]), kind_of_element.as_pointer())

            def shifted(place, step, times):
                return builder.add(place, builder.mul(step, ir.Constant(whole, times)))

            def lane(place, j):
                return builder.add(place, ir.Constant(whole, j * width))

            of_result = builder.add(builder.mul(row, columns), column)
            places = [
                [at(data[result], lane(shifted(of_result, columns, i), j), vector) for j in range(vectors)]
                for i in range(rows)
            ]
            sums = [[cgutils.alloca_once(builder, vector) for _ in line] for line in places]
            for line, slots in zip(places, sums, strict=True):
                for place, slot in zip(line, slots, strict=True):
                    builder.store(builder.select(fresh, zeros, builder.load(place, align=1)), slot)
            of_left = builder.mul(row, row_step)
            lines = [builder.gep(data[left], [shifted(of_left, row_step, i)]) for i in range(rows)]
            factors_of = builder.gep(data[right], [column])
            with cgutils.for_range(builder, terms, intp=whole) as loop:
                term = loop.index
                if listed:
                    term = builder.zext(builder.load(builder.gep(numbers, [term])), whole)
                above = builder.gep(factors_of, [builder.mul(columns, term)])
                factors = [builder.load(at(above, lane(whole(0), j), vector), align=1) for j in range(vectors)]
                beside = builder.mul(term_step, term)
                for i in range(rows):
                    scalar = builder.load(builder.gep(lines[i], [beside]))
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
_listed_wide, _listed_narrow = _block(ROWS, VECTORS, listed=True), _block(ROWS, 1, listed=True)


@intrinsic
def _enter(typing, left, begin, row_step, lists, line, count, first):
    """Enter those of a vector's terms from the first on in which one of a tall block's rows has not zero.

    begin: where the block's first row begins in `left`.
    lists, line, count: what to enter them into, and how many are there already.
    Returns how many there are then.
    """
    place = types.int64
    signature = place(left, place, place, lists, place, place, place)

    def generate(context, builder, signature, arguments):
        left, begin, row_step, lists, line, count, first = arguments
        kind = signature.args[0]
        lanes = VECTOR * 8 // kind.dtype.bitwidth
        whole, short, mask = ir.IntType(64), ir.IntType(32), ir.IntType(lanes)
        numbers, bits = ir.VectorType(short, lanes), ir.VectorType(ir.IntType(kind.dtype.bitwidth), lanes)
        data = context.make_array(kind)(context, builder, value=left).data
        end = builder.gep(_line(context, builder, signature.args[3], lists, line), [count])

        def row(i):
            at = builder.add(builder.add(begin, first), builder.mul(row_step, whole(i)))
            return builder.load(builder.bitcast(builder.gep(data, [at]), bits.as_pointer()), align=1)

        found = row(0)
        for i in range(1, ROWS):
            found = builder.or_(found, row(i))
        found = builder.icmp_unsigned("!=", found, ir.Constant(bits, [0] * lanes))
        undefined = ir.Constant(numbers, ir.Undefined)
        place = builder.insert_element(undefined, builder.trunc(first, short), short(0))
        places = builder.add(
            builder.shuffle_vector(place, undefined, ir.Constant(numbers, [0] * lanes)),
            ir.Constant(numbers, list(range(lanes))),
        )
        store = ir.FunctionType(ir.VoidType(), [numbers, short.as_pointer(), ir.VectorType(ir.IntType(1), lanes)])
        store = cgutils.get_or_insert_function(builder.module, store, f"llvm.masked.compressstore.v{lanes}i32")
        builder.call(store, [places, end, found])
        ones = cgutils.get_or_insert_function(builder.module, ir.FunctionType(mask, [mask]), f"llvm.ctpop.i{lanes}")
        return builder.add(count, builder.zext(builder.call(ones, [builder.bitcast(found, mask)]), whole))

    return signature, generate


@intrinsic
def _bits(typing, array, place):
    """The bits of a floating point number, counted as if the array had one axis, as an integer."""
    signature = types.Integer(f"int{array.dtype.bitwidth}")(array, types.int64)

    def generate(context, builder, signature, arguments):
        data = context.make_array(signature.args[0])(context, builder, value=arguments[0]).data
        whole = context.get_value_type(signature.return_type).as_pointer()
        return builder.load(builder.bitcast(builder.gep(data, [arguments[1]]), whole))

    return signature, generate


@_compiled
def _pick(left, begin, row_step, term_step, terms, lists, line):
    """List the terms in which one of a tall block's rows has something else than zero.

    Args:
        left, row_step, term_step, terms: as in `_add`.
        begin: where the block's first row begins in `left`.
        lists, line: into this line; the last number there tells how many they are.
    """
    lanes = VECTOR // left.itemsize
    count, vectors = 0, terms // lanes * lanes if term_step == 1 and VECTOR == 64 else 0
    for k in range(0, vectors, lanes):
        count = _enter(left, begin, row_step, lists, line, count, k)
    count = np.uint64(count)  # without a sign, an index is not looked at for one
    for k in range(vectors, terms):
        place = begin + k * term_step
        bits = _bits(left, place)
        for i in range(1, ROWS):
            bits |= _bits(left, place + i * row_step)
        lists[line, count] = k
        count += np.uint64(bits != 0)
    lists[line, -1] = count


@_compiled
def _blocks(fresh, left, row_step, term_step, terms, lists, listed, right, result, columns):
    """`_add` for so many columns, a multiple of a vector's.

    lists, listed: for each tall block's rows a line of terms, and whether to keep to them.
    """
    lanes = VECTOR // result.itemsize
    rows, step = result.shape
    tall = rows // ROWS * ROWS
    wide = columns // (VECTORS * lanes) * (VECTORS * lanes)
    for n in range(0, wide, VECTORS * lanes):
        for r in range(0, tall, ROWS):
            line = r // ROWS
            if listed:
                some = np.int64(lists[line, -1])
                _listed_wide(fresh, left, row_step, term_step, some, lists, line, right, step, result, r, n)
            else:
                _tall_wide(fresh, left, row_step, term_step, terms, lists, line, right, step, result, r, n)
        for r in range(tall, rows):
            _flat_wide(fresh, left, row_step, term_step, terms, lists, 0, right, step, result, r, n)
    for n in range(wide, columns, lanes):
        for r in range(0, tall, ROWS):
            line = r // ROWS
            if listed:
                some = np.int64(lists[line, -1])
                _listed_narrow(fresh, left, row_step, term_step, some, lists, line, right, step, result, r, n)
            else:
                _tall_narrow(fresh, left, row_step, term_step, terms, lists, line, right, step, result, r, n)
        for r in range(tall, rows):
            _flat_narrow(fresh, left, row_step, term_step, terms, lists, 0, right, step, result, r, n)


def _add(fresh, left, row_step, term_step, terms, right, result, lists):
    """result += left @ right, where element (i, k) of `left` is the (i row_step + k term_step)-th of its memory.

    fresh: whether the result begins at zero.
    """
    rows, columns = result.shape
    lanes = VECTOR // result.itemsize
    # Where few zeros are in the first rows, it is not worth a search in the others.
    listed = False
    if rows >= ROWS:
        _pick(left, 0, row_step, term_step, terms, lists, 0)
        listed = lists[0, -1] < WORTH_A_LIST * terms
    if listed:
        for line in range(1, rows // ROWS):
            _pick(left, line * ROWS * row_step, row_step, term_step, terms, lists, line)
    whole = columns // lanes * lanes
    _blocks(fresh, left, row_step, term_step, terms, lists, listed, right, result, whole)
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
        _blocks(fresh, left, row_step, term_step, terms, lists, listed, factors, sums, lanes)
        for r in range(rows):
            for n in range(whole, columns):
                result[r, n] = sums[r, n - whole]


@_compiled
def room_for_lists(rows, terms):
    """What a product of so many rows and terms at most wants for its lists of terms.

    Once for many products: making it is an instruction that waits for all that stores have sent past the cache.
    """
    return np.empty((max(1, rows // ROWS), terms + 1), np.uint32)


LISTS = types.Array(types.uint32, 2, "C")
ADD = TileFunction(_add, (types.boolean, 2, types.int64, types.int64, types.int64, 2, 2, LISTS))


@_compiled
def product(add, left, right, result, lists):
    """result = left @ right.

    Args:
        add: machine code of `ADD` for the kind of number.
        left, right, result: C-contiguous, (rows, terms), (terms, columns) and (rows, columns).
        lists: see `room_for_lists`.
    """
    add(True, left, left.shape[1], 1, left.shape[1], right, result, lists)


@_compiled
def accumulate(add, left, right, result, lists):
    """result += left.T @ right.

    Args:
        add: machine code of `ADD` for the kind of number.
        left, right, result: C-contiguous, (terms, rows), (terms, columns) and (rows, columns).
        lists: see `room_for_lists`.
    """
    add(False, left, 1, left.shape[1], left.shape[0], right, result, lists)
