"""LLVM instructions on vector registers, for small matrix products.

Numba compiles no loop that keeps the sums of a block in vector registers. The functions here build such a block from
LLVM's instructions. Each is an intrinsic, which compiled functions call like a function.
"""

from collections.abc import Callable
from typing import Any

import llvmlite.binding
from llvmlite import ir
from numba import types
from numba.core import cgutils

from kspike_reg.neurons.engines.cpu import in_python
from kspike_reg.neurons.engines.cpu.in_python import instruction

__all__ = ["BLOCK_ROWS", "BLOCK_VECTORS", "VECTOR_BYTES", "append_nonzero_terms", "block", "load_bits"]

_features = llvmlite.binding.get_host_cpu_features()
_HAS_FMA = _features.get("fma", True)
VECTOR_BYTES = 64 if _features.get("avx512f") else 32
# Rows of a block, and vectors in each: as many sums as there are registers, except those that the factors need.
BLOCK_ROWS, BLOCK_VECTORS = 4, 4 if VECTOR_BYTES == 64 else 2

_INTEGER = ir.IntType(64)


def block(rows: int, vectors: int, listed: bool = False) -> Callable:
    """An intrinsic that adds a block of a matrix product: result[i, j] += sum over k of left[i, k] right[k, j].

    Args:
        rows, vectors: size of the block, rows i and vectors of columns j.
        listed: whether the sum runs over listed terms k only.

    Returns:
        The intrinsic.
    """

    @instruction(lambda *arguments: in_python.block(rows, _lanes_of(arguments[1]), vectors, listed, *arguments))
    def add_block(typing, fresh, left, row_step, term_step, terms, lists, line, right, columns, result, row, column):
        """Add the block of C-contiguous arrays whose first element is (row, column).

        fresh: whether the sums start at zero instead of at `result`.
        row_step, term_step: distance in `left` between rows, and between terms, in elements.
        terms, lists, line: the number of terms; if they are listed, they are in this line of `lists`.
        columns: columns of `right` and of `result`.
        """
        size = types.int64
        listing = size, lists, size
        signature = types.void(types.boolean, left, size, size, *listing, right, size, result, size, size)

        def generate(context, builder, signature, arguments):
            fresh, left, row_step, term_step, terms, lists, line, right, columns, result, row, column = arguments
            kind = signature.args[1]
            vector = _vector_type(context, kind)
            left, right, result = (_data(context, builder, kind, array) for array in (left, right, result))
            listed_terms = _line(context, builder, signature.args[5], lists, line)

            corner = builder.add(builder.mul(row, columns), column)
            row_starts = [_advanced(builder, corner, columns, i) for i in range(rows)]
            targets = [_lanes(builder, result, start, j, vector) for start in row_starts for j in range(vectors)]
            sums = _load_sums(builder, fresh, targets, vector)
            first_row = builder.mul(row, row_step)
            left_rows = [builder.gep(left, [_advanced(builder, first_row, row_step, i)]) for i in range(rows)]
            right_column = builder.gep(right, [column])
            with cgutils.for_range(builder, terms, intp=_INTEGER) as loop:
                term = loop.index
                if listed:
                    term = builder.zext(builder.load(builder.gep(listed_terms, [term])), _INTEGER)
                right_row = builder.gep(right_column, [builder.mul(columns, term)])
                factors = [
                    builder.load(_lanes(builder, right_row, _INTEGER(0), j, vector), align=1) for j in range(vectors)
                ]
                offset = builder.mul(term_step, term)
                for i, left_row in enumerate(left_rows):
                    scalar = _splat(builder, builder.load(builder.gep(left_row, [offset])), vector)
                    for factor, total in zip(factors, sums[i * vectors :], strict=False):
                        _multiply_add(builder, scalar, factor, total)
            for target, total in zip(targets, sums, strict=True):
                builder.store(builder.load(total), target, align=1)
            return context.get_dummy_value()

        return signature, generate

    return add_block


@instruction(lambda left, *rest: in_python.append_nonzero_terms(_lanes_of(left), BLOCK_ROWS, left, *rest))
def append_nonzero_terms(
    typing: Any, left: Any, start: Any, row_step: Any, lists: Any, line: Any, count: Any, first: Any
) -> tuple:
    """Append to a list those terms of one vector for which a row of a block has a nonzero element.

    Args:
        typing: numba's typing context.
        left: a C-contiguous array.
        start: where the first row of the block starts in `left`.
        row_step: distance in `left` between rows, in elements.
        lists, line: the list is this line of `lists`.
        count: terms that the list contains so far.
        first: the first term of the vector.

    Returns:
        The new count.
    """
    integer = types.int64
    signature = integer(left, integer, integer, lists, integer, integer, integer)

    def generate(context, builder, signature, arguments):
        left, start, row_step, lists, line, count, first = arguments
        kind = signature.args[0]
        lanes = _vector_type(context, kind).count
        short, mask = ir.IntType(32), ir.IntType(lanes)
        numbers, bits = ir.VectorType(short, lanes), ir.VectorType(ir.IntType(kind.dtype.bitwidth), lanes)
        data = _data(context, builder, kind, left)
        end = builder.gep(_line(context, builder, signature.args[3], lists, line), [count])

        def load_row(i):
            index = builder.add(builder.add(start, first), builder.mul(row_step, _INTEGER(i)))
            return builder.load(builder.bitcast(builder.gep(data, [index]), bits.as_pointer()), align=1)

        nonzero = load_row(0)
        for i in range(1, BLOCK_ROWS):
            nonzero = builder.or_(nonzero, load_row(i))
        nonzero = builder.icmp_unsigned("!=", nonzero, ir.Constant(bits, [0] * lanes))
        terms = builder.add(
            _splat(builder, builder.trunc(first, short), numbers),
            ir.Constant(numbers, list(range(lanes))),
        )
        store = ir.FunctionType(ir.VoidType(), [numbers, short.as_pointer(), ir.VectorType(ir.IntType(1), lanes)])
        store = cgutils.get_or_insert_function(builder.module, store, f"llvm.masked.compressstore.v{lanes}i32")
        builder.call(store, [terms, end, nonzero])
        ones = cgutils.get_or_insert_function(builder.module, ir.FunctionType(mask, [mask]), f"llvm.ctpop.i{lanes}")
        return builder.add(count, builder.zext(builder.call(ones, [builder.bitcast(nonzero, mask)]), _INTEGER))

    return signature, generate


@instruction(in_python.load_bits)
def load_bits(typing: Any, array: Any, index: Any) -> tuple:
    """The bits of a floating point number, as an integer.

    Args:
        typing: numba's typing context.
        array: a C-contiguous array.
        index: flat index of the number.

    Returns:
        An integer of the same width.
    """
    signature = types.Integer(f"int{array.dtype.bitwidth}")(array, types.int64)

    def generate(context, builder, signature, arguments):
        array, index = arguments
        data = _data(context, builder, signature.args[0], array)
        pointer = context.get_value_type(signature.return_type).as_pointer()
        return builder.load(builder.bitcast(builder.gep(data, [index]), pointer))

    return signature, generate


def _lanes_of(array):
    """The elements of an array that fit into a vector register."""
    return VECTOR_BYTES // array.itemsize


def _data(context, builder, kind, array):
    """A pointer to the first element of an array."""
    return context.make_array(kind)(context, builder, value=array).data


def _line(context, builder, kind, lists, line):
    """A pointer to the first number in a line of a C-contiguous array (lines, length)."""
    array = context.make_array(kind)(context, builder, value=lists)
    return builder.gep(array.data, [builder.mul(line, cgutils.unpack_tuple(builder, array.shape)[1])])


def _vector_type(context, kind):
    """The type of a vector register with elements of the array type `kind`."""
    return ir.VectorType(context.get_data_type(kind.dtype), VECTOR_BYTES * 8 // kind.dtype.bitwidth)


def _advanced(builder, start, step, times):
    """start + step * times."""
    return builder.add(start, builder.mul(step, _INTEGER(times)))


def _lanes(builder, data, start, j, vector):
    """A pointer to the j-th vector from index `start` on."""
    index = builder.add(start, _INTEGER(j * vector.count))
    return builder.bitcast(builder.gep(data, [index]), vector.as_pointer())


def _splat(builder, scalar, vector):
    """A vector with `scalar` in all elements."""
    undefined = ir.Constant(vector, ir.Undefined)
    first = builder.insert_element(undefined, scalar, _INTEGER(0))
    return builder.shuffle_vector(
        first, undefined, ir.Constant(ir.VectorType(ir.IntType(32), vector.count), [0] * vector.count)
    )


def _load_sums(builder, fresh, targets, vector):
    """Variables like `targets`, which LLVM keeps in registers: zero if `fresh`, otherwise loaded from the targets."""
    zeros = ir.Constant(vector, [0] * vector.count)
    sums = [cgutils.alloca_once(builder, vector) for _ in targets]
    for target, total in zip(targets, sums, strict=True):
        builder.store(builder.select(fresh, zeros, builder.load(target, align=1)), total)
    return sums


def _multiply_add(builder, left, right, total):
    """total += left * right, with one rounding where the processor has fused multiply-adds."""
    if _HAS_FMA:
        vector = left.type
        name = f"llvm.fma.v{vector.count}f{32 if isinstance(vector.element, ir.FloatType) else 64}"
        function = ir.FunctionType(vector, [vector] * 3)
        fma = cgutils.get_or_insert_function(builder.module, function, name)
        value = builder.call(fma, [left, right, builder.load(total)])
    else:
        value = builder.fadd(builder.load(total), builder.fmul(left, right))
    builder.store(value, total)
