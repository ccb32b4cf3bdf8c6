"""Whole paths, forward and in reverse, in loops that numba compiles.

A tile of paths runs through all its steps before the next tile begins, so that the states, currents and gradients of
a step stay in the processor's cache. The loops know nothing of neurons: what a neuron does with one step of a tile,
it says in three functions (see `kernels.Kernel`), which come as arguments.

Buffers of a tile: states (number, rows, units), the spikes of a neuron that fires first and its membrane next;
incoming currents (rows, width), width = projections * units; kept (rows, columns), what the way back needs of a
step, the membrane in the first columns; parameters (number, units), the threshold of a neuron that fires first.
"""

import numba
import numpy as np

from kspike_reg.neurons.engines.cpu.matmul import VECTOR, accumulate, product, room_for_lists
from kspike_reg.neurons.engines.cpu.streaming_stores import settle, store
from kspike_reg.neurons.engines.cpu.tile_functions import Apart

__all__ = ["backward", "forward"]


# Steps of a tile whose inputs are read together: longer stretches of memory, and more rows for a product.
STEPS = 8


OPTIONS = {"nogil": True, "cache": True, "error_model": "numpy", "pipeline_class": Apart}


@numba.njit(**OPTIONS)
def _buffer(rows, columns, like):
    """Rows of numbers, the first where a vector register's load begins: products with others take twice the time."""
    room = VECTOR // like.itemsize
    memory = np.empty(rows * columns + room, like.dtype)
    skip = (-memory.ctypes.data % VECTOR) // like.itemsize
    return memory[skip : skip + rows * columns].reshape((rows, columns))


@numba.njit(**OPTIONS)
def _gather(paths, start, stop, begin, end, rows):
    """Steps begin to end of the paths start to stop, (batch, steps, columns), into rows, step by step."""
    row = 0
    for t in range(begin, end):
        for b in range(start, stop):
            for n in range(paths.shape[2]):
                rows[row, n] = paths[b, t, n]
            row += 1


@numba.njit(**OPTIONS)
def _scatter(rows, start, stop, begin, end, paths):
    """The way back of `_gather`."""
    row = 0
    for t in range(begin, end):
        for b in range(start, stop):
            store(rows, row, paths, b * paths.shape[1] + t)
            row += 1


@numba.njit(**OPTIONS)
def _copy(source, target):
    """target[:] = source, rows of one shape.

    Numba's own assignment takes several times as long, and seconds to compile: it can tell shapes that do not match.
    """
    for r in range(source.shape[0]):
        for n in range(source.shape[1]):
            target[r, n] = source[r, n]


@numba.njit(**OPTIONS)
def _clear(rows):
    """rows[:] = 0."""
    for r in range(rows.shape[0]):
        for n in range(rows.shape[1]):
            rows[r, n] = 0


@numba.njit(**OPTIONS)
def _add(left, right):
    """left += right, rows of one shape."""
    for r in range(left.shape[0]):
        for n in range(left.shape[1]):
            left[r, n] += right[r, n]


@numba.njit(**OPTIONS)
def _add_to_all(rows, row):
    """rows += row, to each."""
    for r in range(rows.shape[0]):
        for n in range(rows.shape[1]):
            rows[r, n] += row[n]


@numba.njit(**OPTIONS)
def _add_all(rows, total):
    """total += the sum of rows."""
    for r in range(rows.shape[0]):
        for n in range(rows.shape[1]):
            total[n] += rows[r, n]


@numba.njit(**OPTIONS)
def forward(
    first,
    last,
    add,
    advance,
    options,
    parameters,
    inputs,
    kernel,
    bias,
    recurrent,
    feedback,
    leading,
    states,
    outputs,
    kept,
):
    """Run the paths first to last, without the last, through all steps.

    Args:
        first, last: range of paths.
        add: machine code of `products.ADD`.
        advance: the neuron's step, see `kernels.Kernel`.
        options: constants of the neuron's functions, (number,).
        parameters: (number, units).
        inputs: (batch, steps, features).
        kernel: input weights, (features, width); without rows where the inputs are the currents, weighed already.
        bias: (width,).
        recurrent: recurrent weights, (units, width); (1, units) where each neuron hears itself alone; (0, width) where
            there are none.
        feedback, leading: which of the states the recurrent weights see, and which is the output.
        states: (number, batch, units), in place from the initial to the final ones.
        outputs: (batch, steps, units), filled.
        kept: (tiles, steps, height, columns), filled; without tiles it keeps nothing. Its height is that of a tile.
    """
    steps, features = inputs.shape[1:]
    width = len(bias)
    number, _, units = states.shape
    height = kept.shape[2]
    weighs, recurs = len(kernel) > 0, len(recurrent) > 0
    one_to_one = len(recurrent) == 1 and width == units
    seen = _buffer(STEPS * height, features, parameters)
    incoming = _buffer(STEPS * height, width, parameters)
    heard = _buffer(height, width, parameters)
    tile = _buffer(number * height, units, parameters).reshape((number, height, units))
    keep = _buffer(height, kept.shape[3], parameters)
    lists = room_for_lists(STEPS * height, max(features, units))
    for start in range(first, last, height):
        stop = min(start + height, last)
        rows = stop - start
        for s in range(number):
            _copy(states[s, start:stop], tile[s, :rows])
        for begin in range(0, steps, STEPS):
            end = min(begin + STEPS, steps)
            block = rows * (end - begin)
            if weighs:
                _gather(inputs, start, stop, begin, end, seen)
                product(add, seen[:block], kernel, incoming[:block], lists)
            else:
                _gather(inputs, start, stop, begin, end, incoming)
            for t in range(begin, end):
                now = slice((t - begin) * rows, (t - begin + 1) * rows)
                _add_to_all(incoming[now], bias)
                if one_to_one:
                    for r in range(rows):
                        for n in range(units):
                            incoming[now.start + r, n] += tile[feedback, r, n] * recurrent[0, n]
                elif recurs:
                    product(add, tile[feedback, :rows], recurrent, heard[:rows], lists)
                    _add(incoming[now], heard[:rows])
                advance(rows, incoming[now], tile, parameters, options, keep)
                if len(kept):
                    store(keep, 0, kept, (start // height * steps + t) * height, rows)
                for r in range(rows):
                    store(tile, leading * height + r, outputs, (start + r) * steps + t)
        for s in range(number):
            _copy(tile[s, :rows], states[s, start:stop])
    settle()


@numba.njit(**OPTIONS)
def backward(
    first,
    last,
    part,
    add,
    restore,
    reverse,
    slope,
    scale,
    options,
    parameters,
    kept,
    inputs,
    kernel,
    initial,
    recurrent,
    feedback,
    leading,
    upstream,
    gradients,
    of_inputs,
    of_kernel,
    of_bias,
    of_recurrent,
    of_parameters,
):
    """The way back of `forward`, from the last step to the first.

    Args:
        first, last: range of paths; first is a multiple of the tile's height.
        part: which of the sums this range adds to.
        add: machine code of `products.ADD`.
        restore, reverse: the neuron's functions, see `kernels.Kernel`.
        slope, scale: the surrogate's derivative and its scale, see `slopes`; a scale of zero: no neuron fires.
        options, parameters, inputs, feedback, leading: as in `forward`.
        kept: what `forward` kept.
        kernel, recurrent: the transposes of the weights, (width, features) and (width, units), without columns where
            there are none.
        initial: initial states, (number, batch, units).
        upstream: gradient of the outputs, (batch, steps, units).
        gradients: (number, batch, units), in place from those of the final states to those of the initial ones.
        of_inputs: gradient of the inputs, as they, filled.
        of_kernel, of_bias, of_recurrent, of_parameters: sums, each (parts, ...), added to.
    """
    steps, features = inputs.shape[1:]
    width = of_bias.shape[1]
    number, _, units = initial.shape
    height = kept.shape[2]
    weighs, recurs = kernel.shape[1] > 0, recurrent.shape[1] > 0
    one_to_one = recurrent.shape[1] == 1 and width == units
    seen = _buffer(STEPS * height, features, parameters)
    of_seen = _buffer(STEPS * height, features, parameters)
    incoming = _buffer(STEPS * height, width, parameters)
    tile = _buffer(number * height, units, parameters).reshape((number, height, units))
    previous = _buffer(number * height, units, parameters).reshape((number, height, units))
    slopes = _buffer(height, units, parameters)
    _clear(slopes)
    heard = _buffer(height, units, parameters)
    fed = _buffer(STEPS * height, units, parameters)
    longest = max(STEPS * height, features, units, width)
    lists = room_for_lists(longest, longest)
    # Sums of this range alone: threads that add to neighbouring places wait for each other.
    sums, bias_sum = _buffer(len(parameters), units, parameters), _buffer(1, width, parameters)
    _clear(sums)
    _clear(bias_sum)
    for start in range(first, last, height):
        stop = min(start + height, last)
        rows = stop - start
        tile_kept = kept[start // height]
        for s in range(number):
            _copy(gradients[s, start:stop], tile[s, :rows])
        for end in range(steps, 0, -STEPS):
            begin = max(end - STEPS, 0)
            block = rows * (end - begin)
            for t in range(end - 1, begin - 1, -1):
                now = slice((t - begin) * rows, (t - begin + 1) * rows)
                if t:
                    restore(rows, tile_kept[t - 1], parameters, previous)
                else:
                    for s in range(number):
                        _copy(initial[s, start:stop], previous[s, :rows])
                for r in range(rows):
                    for n in range(units):
                        tile[leading, r, n] += upstream[start + r, t, n]
                if scale:
                    slope(rows, tile_kept[t], parameters, slopes, scale)
                reverse(rows, tile_kept[t], previous, parameters, options, slopes, tile, incoming[now], sums)
                _add_all(incoming[now], bias_sum[0])
                if one_to_one:
                    for r in range(rows):
                        for n in range(units):
                            of_recurrent[part, 0, n] += previous[feedback, r, n] * incoming[now.start + r, n]
                            tile[feedback, r, n] += recurrent[n, 0] * incoming[now.start + r, n]
                elif recurs:
                    _copy(previous[feedback, :rows], fed[now])
                    product(add, incoming[now], recurrent, heard[:rows], lists)
                    _add(tile[feedback, :rows], heard[:rows])
            if recurs and not one_to_one:
                accumulate(add, fed[:block], incoming[:block], of_recurrent[part], lists)
            if weighs:
                _gather(inputs, start, stop, begin, end, seen)
                accumulate(add, seen[:block], incoming[:block], of_kernel[part], lists)
                product(add, incoming[:block], kernel, of_seen[:block], lists)
                _scatter(of_seen, start, stop, begin, end, of_inputs)
            else:
                _scatter(incoming, start, stop, begin, end, of_inputs)
        for s in range(number):
            _copy(tile[s, :rows], gradients[s, start:stop])
    settle()
    _add(of_bias[part : part + 1], bias_sum)
    _add(of_parameters[part], sums)
