"""A layer of neurons over whole paths by the compiled loops, in NumPy arrays; the work is shared among threads."""

import math
import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache

import numpy as np

from kspike_reg.neurons import surrogates
from kspike_reg.neurons.compiled import loops, memory, slopes
from kspike_reg.neurons.compiled.kernels import Kernel

__all__ = ["Sequence"]

# Paths of a tile: enough to use each weight again from the cache, few enough for the tile's buffers to stay there.
HEIGHT = 8
# Most parts that a batch is cut into, each a call that takes any free thread. What is summed over paths is summed by
# part, and parts do not depend on the number of threads: neither do the sums.
PARTS = 8
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
            keep: whether to keep what `backward` needs.
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
        units, dtype = parameters.shape[1], inputs.dtype
        outputs = memory.empty((batch, steps, units), dtype)
        tiles = math.ceil(batch / HEIGHT) if keep else 0
        kept = memory.empty((tiles, steps, HEIGHT, self.kernel.columns * units), dtype)
        states = memory.copy(initial)
        functions = (self.kernel.advance.of(dtype.name), np.asarray(self.options, dtype))
        weights = (parameters, inputs, memory.copy(kernel), bias, memory.copy(recurrent), self.kernel.feedback)
        results = (self.leading, states, outputs, kept)
        _share(outputs.size, batch, lambda first, last, _: loops.forward(first, last, *functions, *weights, *results))
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
        dtype = kept.dtype
        parts = math.ceil(len(inputs) / _paths_of_a_part(len(inputs)))
        of_inputs = memory.empty(inputs.shape, dtype)
        of_initial = memory.copy(of_states)
        sums = [np.zeros((parts, *array.shape), dtype) for array in (kernel, bias, recurrent, parameters)]
        fires = self.surrogate is not None
        functions = (
            self.kernel.restore.of(dtype.name),
            self.kernel.reverse.of(dtype.name),
            slopes.slope(self.surrogate, dtype.name) if fires else slopes.flat(dtype.name),
            surrogates.scale_of(self.surrogate, self.scale) if fires else 0.0,
            np.asarray(self.options, dtype),
        )
        transposes = [memory.copy(weights.T) for weights in (kernel, recurrent)]
        weights = (parameters, kept, inputs, transposes[0], initial, transposes[1], self.kernel.feedback)
        results = (self.leading, of_outputs, of_initial, of_inputs, *sums)
        _share(of_outputs.size, len(inputs), lambda *part: loops.backward(*part, *functions, *weights, *results))
        return of_inputs, *(parts.sum(axis=0) for parts in sums), of_initial


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
