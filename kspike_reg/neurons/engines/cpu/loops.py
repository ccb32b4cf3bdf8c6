"""Compiled loops that run a layer over whole paths, forward and backward.

A tile of paths runs through all its steps before the next tile begins, so that the states, currents and gradients of
a step stay in the processor's cache. The loops know no neuron: the kernel of a neuron provides its step on a tile, as
functions that the loops receive as arguments (see `kernels.Kernel`).

Buffers of a tile:

- states: (number, rows, units); for a neuron that fires, the spikes first and the membrane second;
- currents: (rows, width), where width = projections * units;
- residuals: (rows, columns), the values of a step that the backward pass needs, the membrane in the first columns;
- parameters: (number, units), the threshold first for a neuron that fires.
"""

from typing import Any

import numba
from numpy.typing import NDArray

from kspike_reg.neurons.engines.cpu.buffers import (
    add,
    add_sum,
    add_to_each,
    clear,
    copy,
    empty,
    empty_states,
    gather,
    scatter,
)
from kspike_reg.neurons.engines.cpu.matmul import accumulate, empty_term_lists, multiply
from kspike_reg.neurons.engines.cpu.streaming_stores import fence, store
from kspike_reg.neurons.engines.cpu.tile_functions import LOOP_OPTIONS, entry

__all__ = ["BLOCK_STEPS", "backward", "forward"]

# Steps of a tile that are projected together: longer stretches of memory, and more rows for a matrix product.
BLOCK_STEPS = 8


@entry
@numba.njit(**LOOP_OPTIONS)
def forward(
    first: int,
    last: int,
    gemm: Any,
    advance: Any,
    options: NDArray,
    parameters: NDArray,
    inputs: NDArray,
    kernel: NDArray,
    bias: NDArray,
    recurrent: NDArray,
    feedback: int,
    leading: int,
    states: NDArray,
    outputs: NDArray,
    residuals: NDArray,
) -> None:
    """Run the paths `first` to `last`, `last` excluded, through all steps.

    Args:
        first, last: range of paths; `first` is a multiple of the height of a tile.
        gemm: machine code of `matmul.GEMM`.
        advance: the step of the neuron, see `kernels.Kernel`.
        options: constants of the kernel, (number,).
        parameters: (number, units).
        inputs: (batch, steps, features).
        kernel: input weights, (features, width); (0, width) if the inputs are currents, projected before.
        bias: (width,).
        recurrent: recurrent weights, (units, width); (1, units) for one-to-one recurrence; (0, width) for none.
        feedback, leading: indices of the state that recurrent weights read, and of the state that is the output.
        states: (number, batch, units), updated in place from the initial to the final states.
        outputs: (batch, steps, units), filled.
        residuals: (tiles, steps, height, columns), filled; without tiles, nothing is saved. `height` is that of a tile.
    """
    height = residuals.shape[2]
    weights, results = (kernel, bias, recurrent), (states, outputs, residuals)
    buffers = _forward_buffers(inputs.shape[2], weights, results)
    for start in range(first, last, height):
        stop = min(start + height, last)
        _forward_tile(
            start, stop, gemm, advance, options, parameters, inputs, weights, feedback, leading, results, buffers
        )
    fence()


@numba.njit(**LOOP_OPTIONS)
def _forward_buffers(features, weights, results):
    """The buffers of `_forward_tile`, in the order in which it takes them."""
    states, _, residuals = results
    number, _, units = states.shape
    height, columns = residuals.shape[2:]
    width = len(weights[1])
    return (
        empty(BLOCK_STEPS * height, features, states),
        empty(BLOCK_STEPS * height, width, states),
        empty(height, width, states),
        empty_states(number, height, units, states),
        empty(height, columns, states),
        empty_term_lists(BLOCK_STEPS * height, max(features, units)),
    )


@numba.njit(**LOOP_OPTIONS)
def _forward_tile(
    start, stop, gemm, advance, options, parameters, inputs, weights, feedback, leading, results, buffers
):
    """Run one tile, the paths `start` to `stop`, through all steps; see `forward`."""
    kernel, bias, recurrent = weights
    states, outputs, residuals = results
    input_rows, currents, recurrent_currents, tile, step_residuals, lists = buffers
    steps, height, rows, units = inputs.shape[1], residuals.shape[2], stop - start, states.shape[2]
    projects, is_recurrent = len(kernel) > 0, len(recurrent) > 0
    one_to_one = len(recurrent) == 1 and len(bias) == units
    for s in range(len(states)):
        copy(states[s, start:stop], tile[s, :rows])
    for begin in range(0, steps, BLOCK_STEPS):
        end = min(begin + BLOCK_STEPS, steps)
        if projects:
            block = rows * (end - begin)
            gather(inputs, start, stop, begin, end, input_rows)
            multiply(gemm, input_rows[:block], kernel, currents[:block], lists)
        else:
            gather(inputs, start, stop, begin, end, currents)
        for t in range(begin, end):
            now = currents[(t - begin) * rows : (t - begin + 1) * rows]
            add_to_each(now, bias)
            if one_to_one:
                for r in range(rows):
                    for n in range(units):
                        now[r, n] += tile[feedback, r, n] * recurrent[0, n]
            elif is_recurrent:
                multiply(gemm, tile[feedback, :rows], recurrent, recurrent_currents[:rows], lists)
                add(now, recurrent_currents[:rows])
            advance(rows, now, tile, parameters, options, step_residuals)
            if len(residuals):
                store(step_residuals, 0, residuals, (start // height * steps + t) * height, rows)
            for r in range(rows):
                store(tile, leading * height + r, outputs, (start + r) * steps + t)
    for s in range(len(states)):
        copy(tile[s, :rows], states[s, start:stop])


@entry
@numba.njit(**LOOP_OPTIONS)
def backward(
    first: int,
    last: int,
    gemm: Any,
    restore: Any,
    reverse: Any,
    derivative: Any,
    scale: float,
    options: NDArray,
    parameters: NDArray,
    residuals: NDArray,
    inputs: NDArray,
    initial: NDArray,
    weights: tuple[NDArray, NDArray],
    feedback: int,
    leading: int,
    gradients: tuple[NDArray, NDArray, NDArray],
    sums: tuple[NDArray, NDArray, NDArray, NDArray],
) -> None:
    """The backward pass of `forward`, from the last step to the first.

    Args:
        first, last, gemm, options, parameters, residuals, inputs, feedback, leading: as in `forward`.
        restore, reverse: functions of the neuron, see `kernels.Kernel`.
        derivative, scale: surrogate derivative, see `surrogate_derivatives`; a scale of zero if no neuron fires.
        initial: initial states, (number, batch, units).
        weights: transposed input weights (width, features) and recurrent weights (width, units), without columns
            where there are none.
        gradients: of the outputs, (batch, steps, units); of the states, (number, batch, units), updated in place from
            the final to the initial ones; of the inputs, filled.
        sums: gradients of input weights, bias, recurrent weights and parameters, added to.
    """
    height = residuals.shape[2]
    constants = scale, options, parameters
    arrays = residuals, inputs, initial, *weights
    indices = feedback, leading
    buffers = _backward_buffers(height, inputs.shape[2], initial, weights)
    # Sums of this range alone, because threads that add to neighbouring memory wait for each other.
    bias_sum, parameters_sum = empty(1, len(weights[0]), initial), empty(len(parameters), initial.shape[2], initial)
    clear(bias_sum)
    clear(parameters_sum)
    tile_sums = sums[0], bias_sum, sums[2], parameters_sum
    for start in range(first, last, height):
        stop = min(start + height, last)
        _backward_tile(
            start, stop, gemm, restore, reverse, derivative, constants, arrays, indices, gradients, tile_sums, buffers
        )
    fence()
    add_sum(bias_sum, sums[1])
    add(sums[3], parameters_sum)


@numba.njit(**LOOP_OPTIONS)
def _backward_buffers(height, features, initial, weights):
    """The buffers of `_backward_tile`, in the order in which it takes them."""
    number, _, units = initial.shape
    width = len(weights[0])
    derivatives = empty(height, units, initial)
    clear(derivatives)
    longest = max(BLOCK_STEPS * height, features, units, width)
    return (
        empty_states(number, height, units, initial),
        empty_states(number, height, units, initial),
        derivatives,
        empty(BLOCK_STEPS * height, width, initial),
        (empty(BLOCK_STEPS * height, units, initial), empty(height, units, initial)),
        (empty(BLOCK_STEPS * height, features, initial), empty(BLOCK_STEPS * height, features, initial)),
        empty_term_lists(longest, longest),
    )


@numba.njit(**LOOP_OPTIONS)
def _backward_tile(
    start, stop, gemm, restore, reverse, derivative, constants, arrays, indices, gradients, sums, buffers
):
    """Run one tile, the paths `start` to `stop`, backward through all steps; see `backward`."""
    (scale, options, parameters), (feedback, leading) = constants, indices
    residuals, inputs, initial, kernel, recurrent = arrays
    outputs_gradient, states_gradient, inputs_gradient = gradients
    kernel_sum, bias_sum, recurrent_sum, parameters_sum = sums
    previous, tile_gradient, derivatives, currents_gradient, recurrence, projection, lists = buffers
    (feedback_rows, feedback_gradient), (input_rows, input_gradient) = recurrence, projection
    number, _, units = initial.shape
    steps, rows, step_residuals = inputs.shape[1], stop - start, residuals[start // residuals.shape[2]]
    projects, is_recurrent = kernel.shape[1] > 0, recurrent.shape[1] > 0
    one_to_one = recurrent.shape[1] == 1 and len(recurrent) == units
    for s in range(number):
        copy(states_gradient[s, start:stop], tile_gradient[s, :rows])
    for end in range(steps, 0, -BLOCK_STEPS):
        begin = max(end - BLOCK_STEPS, 0)
        block = rows * (end - begin)
        for t in range(end - 1, begin - 1, -1):
            now = slice((t - begin) * rows, (t - begin + 1) * rows)
            if t:
                restore(rows, step_residuals[t - 1], parameters, previous)
            else:
                for s in range(number):
                    copy(initial[s, start:stop], previous[s, :rows])
            for r in range(rows):
                for n in range(units):
                    tile_gradient[leading, r, n] += outputs_gradient[start + r, t, n]
            residual_rows, gradient = step_residuals[t], currents_gradient[now]
            if scale:
                derivative(rows, residual_rows, parameters, derivatives, scale)
            reverse(
                rows, residual_rows, previous, parameters, options, derivatives, tile_gradient, gradient, parameters_sum
            )
            add_sum(gradient, bias_sum[0])
            if one_to_one:
                for r in range(rows):
                    for n in range(units):
                        recurrent_sum[0, n] += previous[feedback, r, n] * gradient[r, n]
                        tile_gradient[feedback, r, n] += recurrent[n, 0] * gradient[r, n]
            elif is_recurrent:
                copy(previous[feedback, :rows], feedback_rows[now])
                multiply(gemm, gradient, recurrent, feedback_gradient[:rows], lists)
                add(tile_gradient[feedback, :rows], feedback_gradient[:rows])
        if is_recurrent and not one_to_one:
            accumulate(gemm, feedback_rows[:block], currents_gradient[:block], recurrent_sum, lists)
        if projects:
            gather(inputs, start, stop, begin, end, input_rows)
            accumulate(gemm, input_rows[:block], currents_gradient[:block], kernel_sum, lists)
            multiply(gemm, currents_gradient[:block], kernel, input_gradient[:block], lists)
            scatter(input_gradient, start, stop, begin, end, inputs_gradient)
        else:
            scatter(currents_gradient, start, stop, begin, end, inputs_gradient)
    for s in range(number):
        copy(tile_gradient[s, :rows], states_gradient[s, start:stop])
