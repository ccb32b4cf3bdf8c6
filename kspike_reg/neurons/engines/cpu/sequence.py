"""A layer of neurons over whole paths by the compiled loops, in NumPy arrays; the work is shared among threads."""

import math
import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache

import numpy as np

from kspike_reg.neurons import surrogates
from kspike_reg.neurons.engines.cpu import loops, matmul as products, memory, surrogate_derivatives as slopes
from kspike_reg.neurons.engines.cpu.kernels import Kernel

__all__ = ["Sequence"]

# Paths of a tile: enough to use each weight again from the cache, few enough for the tile's buffers to stay there.
HEIGHT = 8
# Most parts that a batch is cut into, each a call that takes any free thread. What is summed over paths is summed by
# part, and parts do not depend on the number of threads: neither do the sums.
PARTS = 8
# Steps of paths that the way back runs forward once more at a time, where nothing was kept: some dozens of paths.
GROUP = 2**12
# Below so many states in all, a second thread costs more than it saves.
WORTH_A_THREAD = 2**15


@dataclass(frozen=True)
class Sequence:
    """Forward and backward pass of one layer over whole paths.

    Attributes:
        kernel: the neuron.
        options: constants of its functions.
        leading: which of the states is the output.
        surrogate, scale: of its spikes; None where it never fires.
    """

    kernel: Kernel
    options: tuple
    leading: int
    surrogate: str | None = None
    scale: float | None = None

    def compiles(self, dtype):
        """Whether numba can compile the surrogate for this kind of number, so that there is a way back."""
        return self.surrogate is None or slopes.slope(self.surrogate, dtype) is not None

    def forward(self, keep, inputs, kernel, bias, recurrent, parameters, initial):
        """Run all paths through all steps.

        Args:
            keep: whether to keep what `backward` needs; else `backward` runs the paths forward once more.
            inputs: (batch, steps, features).
            kernel: (features, width), or (0, width) where the inputs are currents, weighed already.
            bias: (width,).
            recurrent: (units, width), or (0, width) where there are no recurrent weights.
            parameters: (number, units).
            initial: initial states, (number, batch, units).

        Returns:
            Outputs (batch, steps, units), final states (number, batch, units), and what is kept for `backward`.
        """
        batch, steps, _ = inputs.shape
        outputs = memory.empty((batch, steps, parameters.shape[1]), inputs.dtype)
        states, kept = memory.copy(initial), self._room(batch if keep else 0, steps, parameters)
        run = self._forward(kernel, bias, recurrent, parameters)
        _share(outputs.size, batch, lambda first, last, _: run(first, last, inputs, states, outputs, kept))
        return outputs, states, kept

    def backward(self, kept, inputs, kernel, bias, recurrent, parameters, initial, of_outputs, of_states):
        """The gradients of all that goes into `forward`.

        Args:
            kept: what `forward` kept.
            inputs, kernel, bias, recurrent, parameters, initial: as in `forward`.
            of_outputs, of_states: gradients of the outputs and of the final states.

        Returns:
            Gradients of inputs, kernel, bias, recurrent weights, parameters and initial states.
        """
        batch, steps, _ = inputs.shape
        of_inputs, of_initial = memory.empty(inputs.shape, inputs.dtype), memory.copy(of_states)
        parts = math.ceil(batch / _paths_of_a_part(batch))
        sums = [np.zeros((parts, *array.shape), inputs.dtype) for array in (kernel, bias, recurrent, parameters)]
        run = self._backward(kernel, recurrent, parameters, sums)
        again = None if len(kept) else self._forward(kernel, bias, recurrent, parameters)

        def from_kept(first, last, part):
            run(first, last, part, kept, inputs, initial, of_outputs, of_initial, of_inputs)

        def from_inputs(first, last, part):
            tiles = max(1, GROUP // (max(1, steps) * HEIGHT))
            for start in range(first, last, tiles * HEIGHT):
                group = slice(start, min(start + tiles * HEIGHT, last))
                paths, begin = inputs[group], memory.copy(initial[:, group])
                gradients = memory.copy(of_initial[:, group])
                remembered = self._room(len(paths), steps, parameters)
                outputs = memory.empty((len(paths), steps, parameters.shape[1]), inputs.dtype)
                again(0, len(paths), paths, memory.copy(begin), outputs, remembered)
                run(0, len(paths), part, remembered, paths, begin, of_outputs[group], gradients, of_inputs[group])
                of_initial[:, group] = gradients

        _share(of_outputs.size, batch, from_kept if len(kept) else from_inputs)
        return of_inputs, *(parts.sum(axis=0) for parts in sums), of_initial

    def _room(self, paths, steps, parameters):
        """For what so many paths keep."""
        columns = self.kernel.columns * parameters.shape[1]
        return memory.empty((math.ceil(paths / HEIGHT), steps, HEIGHT, columns), parameters.dtype)

    def _forward(self, kernel, bias, recurrent, parameters):
        """`loops.forward` with all that all paths share: function(first, last, inputs, states, outputs, kept)."""
        constants = (
            products.ADD.of(parameters.dtype.name),
            self.kernel.advance.of(parameters.dtype.name),
            np.asarray(self.options, parameters.dtype),
            memory.copy(parameters),
        )
        # Products leave out what is zero; a weight that is not finite shall not go unnoticed for that.
        finite = np.isfinite(kernel).all(axis=0) & np.isfinite(recurrent).all(axis=0)
        biases = np.where(finite, bias, bias.dtype.type(np.nan))
        weights = (memory.copy(kernel), biases, memory.copy(recurrent), self.kernel.feedback, self.leading)
        return lambda first, last, inputs, *results: loops.forward(first, last, *constants, inputs, *weights, *results)

    def _backward(self, kernel, recurrent, parameters, sums):
        """`loops.backward` likewise.

        It is a function(first, last, part, kept, inputs, initial, of_outputs, of_states, of_inputs).
        """
        dtype = parameters.dtype
        fires = self.surrogate is not None
        constants = (
            products.ADD.of(dtype.name),
            self.kernel.restore.of(dtype.name),
            self.kernel.reverse.of(dtype.name),
            slopes.slope(self.surrogate, dtype.name) if fires else slopes.flat(dtype.name),
            surrogates.scale_of(self.surrogate, self.scale) if fires else 0.0,
            np.asarray(self.options, dtype),
            memory.copy(parameters),
        )
        kernel, recurrent = (memory.copy(weights.T) for weights in (kernel, recurrent))
        ends = (recurrent, self.kernel.feedback, self.leading)
        return lambda first, last, part, kept, inputs, initial, *gradients: loops.backward(
            first, last, part, *constants, kept, inputs, kernel, initial, *ends, *gradients, *sums
        )


def _paths_of_a_part(batch):
    return max(1, math.ceil(batch / PARTS / HEIGHT)) * HEIGHT


def _share(size, batch, work):
    """Let threads work on parts of the batch; compiled code runs without Python's lock.

    Whoever is done takes the next part, so that a thread that the system holds up does not hold up the others.

    Args:
        size: neuron-steps in all.
        batch: number of paths.
        work: function(first path, last path, number of the part).
    """
    paths = _paths_of_a_part(batch)
    parts = iter([(first, min(first + paths, batch), first // paths) for first in range(0, batch, paths)])

    def work_through():
        for part in parts:  # a list's iterator gives each part to one thread only
            work(*part)

    workers = min(_threads(), math.ceil(size / WORTH_A_THREAD), math.ceil(batch / paths))
    others = [_pool().submit(work_through) for _ in range(workers - 1)]
    work_through()
    for other in others:
        other.result()


@cache
def _threads():
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()


@cache
def _pool():
    return ThreadPoolExecutor(_threads(), thread_name_prefix="kspike_reg")
