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

__all__ = ["SUMMED", "backward", "forward", "product"]

# Paths whose gradients make one sum, a multiple of every tile's height. So sums do not depend on the number of threads.
SUMMED = 16
# Recurrent weights are taken so many rows at a time, a block that stays in the cache for the whole tile.
BLOCK = 64


class Apart(numba.core.compiler.Compiler):
    """Compiles a function whose arrays never share memory, which numba cannot be told otherwise.

    Else each loop begins with a comparison of all its arrays' places, which takes longer than a row of neurons.
    """

    def define_pipelines(self):
        self.state.flags.noalias = True
        return super().define_pipelines()


OPTIONS = {"nogil": True, "cache": True, "error_model": "numpy", "pipeline_class": Apart}


@numba.njit(**OPTIONS, fastmath={"contract"})
def product(left, right, result):
    """result = left @ right, every sum in the order of its terms with fused multiply-adds.

    TensorFlow's product of up to 384 terms sums in that order too, so the bits are the same.

    Args:
        left, right, result: C-contiguous, (rows, terms), (terms, columns) and (rows, columns); result is filled.
    """
    rows, terms = left.shape
    columns = right.shape[1]
    quads = rows // 4 * 4
    result[:] = 0
    for start in range(0, terms, BLOCK):
        stop = min(start + BLOCK, terms)
        even = start + (stop - start) // 4 * 4
        # Four rows by four terms at a time: sixteen multiply-adds for twelve loads and stores.
        for r in range(0, quads, 4):
            for k in range(start, even, 4):
                a0, a1, a2, a3 = left[r, k], left[r, k + 1], left[r, k + 2], left[r, k + 3]
                b0, b1, b2, b3 = left[r + 1, k], left[r + 1, k + 1], left[r + 1, k + 2], left[r + 1, k + 3]
                c0, c1, c2, c3 = left[r + 2, k], left[r + 2, k + 1], left[r + 2, k + 2], left[r + 2, k + 3]
                d0, d1, d2, d3 = left[r + 3, k], left[r + 3, k + 1], left[r + 3, k + 2], left[r + 3, k + 3]
                for n in range(columns):
                    w0, w1, w2, w3 = right[k, n], right[k + 1, n], right[k + 2, n], right[k + 3, n]
                    result[r, n] = (((result[r, n] + a0 * w0) + a1 * w1) + a2 * w2) + a3 * w3
                    result[r + 1, n] = (((result[r + 1, n] + b0 * w0) + b1 * w1) + b2 * w2) + b3 * w3
                    result[r + 2, n] = (((result[r + 2, n] + c0 * w0) + c1 * w1) + c2 * w2) + c3 * w3
                    result[r + 3, n] = (((result[r + 3, n] + d0 * w0) + d1 * w1) + d2 * w2) + d3 * w3
        for r in range(rows):
            for k in range(even if r < quads else start, stop):
                for n in range(columns):
                    result[r, n] += left[r, k] * right[k, n]


@numba.njit(**OPTIONS)
def forward(
    first, last, advance, options, parameters, currents, bias, recurrent, feedback, leading, states, outputs, kept
):
    """Run the paths first to last, without the last, through all steps.

    Args:
        first, last: range of paths.
        advance: the neuron's step, see `kernels.Kernel`.
        options: constants of the neuron's functions, (number,).
        parameters: (number, units).
        currents: input currents without bias, (batch, steps, width).
        bias: (width,).
        recurrent: recurrent weights, (units, width), or (0, width) where there are none.
        feedback, leading: which of the states the recurrent weights see, and which is the output.
        states: (number, batch, units), in place from the initial to the final ones.
        outputs: (batch, steps, units), filled.
        kept: (tiles, steps, height, columns), filled; without tiles it keeps nothing. Its height is that of a tile.
    """
    steps, width = currents.shape[1:]
    number, _, units = states.shape
    height = kept.shape[2]
    incoming = np.empty((height, width), currents.dtype)
    heard = np.empty((height, width), currents.dtype)
    tile = np.empty((number, height, units), currents.dtype)
    keep = np.empty((height, kept.shape[3]), currents.dtype)
    for start in range(first, last, height):
        stop = min(start + height, last)
        rows = stop - start
        for s in range(number):
            tile[s, :rows] = states[s, start:stop]
        for t in range(steps):
            if len(recurrent):
                product(tile[feedback, :rows], recurrent, heard[:rows])
                for r in range(rows):
                    for n in range(width):
                        incoming[r, n] = currents[start + r, t, n] + bias[n] + heard[r, n]
            else:
                for r in range(rows):
                    for n in range(width):
                        incoming[r, n] = currents[start + r, t, n] + bias[n]
            if len(kept):
                keep = kept[start // height, t]
            advance(rows, incoming, tile, parameters, options, keep)
            for r in range(rows):
                for n in range(units):
                    outputs[start + r, t, n] = tile[leading, r, n]
        for s in range(number):
            states[s, start:stop] = tile[s, :rows]


@numba.njit(**OPTIONS)
def backward(
    first,
    last,
    restore,
    reverse,
    slope,
    scale,
    options,
    parameters,
    kept,
    initial,
    weights,
    feedback,
    leading,
    upstream,
    gradients,
    of_currents,
    fed,
    of_parameters,
    of_bias,
):
    """The way back of `forward`, from the last step to the first.

    Args:
        first, last: range of paths; first is a multiple of SUMMED.
        restore, reverse: the neuron's functions, see `kernels.Kernel`.
        slope, scale: the surrogate's derivative and its scale, see `slopes`; a scale of zero: no neuron fires.
        options, parameters, feedback, leading: as in `forward`.
        kept: what `forward` kept.
        initial: initial states, (number, batch, units).
        weights: transpose of the recurrent weights, (width, units), or (width, 0).
        upstream: gradient of the outputs, (batch, steps, units).
        gradients: (number, batch, units), in place from those of the final states to those of the initial ones.
        of_currents: gradient of the currents, (batch, steps, width), filled.
        fed: what the recurrent weights saw, (batch, steps, units), filled; (0, 0, 0) where there are none.
        of_parameters, of_bias: one sum for each SUMMED paths, (sums, number, units) and (sums, width), added to.
    """
    steps, width = of_currents.shape[1:]
    number, _, units = initial.shape
    height = kept.shape[2]
    incoming = np.empty((height, width), kept.dtype)
    tile = np.empty((number, height, units), kept.dtype)
    previous = np.empty((number, height, units), kept.dtype)
    slopes = np.zeros((height, units), kept.dtype)
    heard = np.empty((height, units), kept.dtype)
    for start in range(first, last, height):
        stop = min(start + height, last)
        rows = stop - start
        sums, bias_sums = of_parameters[start // SUMMED], of_bias[start // SUMMED]
        tile_kept = kept[start // height]
        for s in range(number):
            tile[s, :rows] = gradients[s, start:stop]
        for t in range(steps - 1, -1, -1):
            if t:
                restore(rows, tile_kept[t - 1], parameters, previous)
            else:
                for s in range(number):
                    previous[s, :rows] = initial[s, start:stop]
            for r in range(rows):
                for n in range(units):
                    tile[leading, r, n] += upstream[start + r, t, n]
            keep = tile_kept[t]
            if scale:
                slope(rows, keep, parameters, slopes, scale)
            reverse(rows, keep, previous, parameters, options, slopes, tile, incoming, sums)
            for r in range(rows):
                for n in range(width):
                    of_currents[start + r, t, n] = incoming[r, n]
                    bias_sums[n] += incoming[r, n]
            if len(fed):
                for r in range(rows):
                    for n in range(units):
                        fed[start + r, t, n] = previous[feedback, r, n]
                product(incoming[:rows], weights, heard[:rows])
                for r in range(rows):
                    for n in range(units):
                        tile[feedback, r, n] += heard[r, n]
        for s in range(number):
            gradients[s, start:stop] = tile[s, :rows]
