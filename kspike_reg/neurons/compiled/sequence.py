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

# Paths of a tile. A tile's recurrent product uses each weight as often as there are paths; without one, a path at a
# time reads and writes memory in its order.
RECURRENT, SIMPLE = 16, 16
# Below so many currents, a second thread costs more than it saves.
WORTH_A_THREAD = 2**15
# Ranges of paths for each thread: more even out what the system does to the threads, but each is a call.
RANGES = 4


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

    def forward(self, keep, currents, bias, recurrent, parameters, initial):
        """Run all paths through all steps.

        Args:
            keep: whether to keep what `backward` needs.
            currents: input currents without bias, (batch, steps, width).
            bias: (width,).
            recurrent: (units, width), or (0, width) where there is none.
            parameters: (number, units).
            initial: initial states, (number, batch, units).

        Returns:
            Outputs (batch, steps, units), final states (number, batch, units), and what is kept for
            `backward`.
        """
        batch, steps, _ = currents.shape
        units, dtype = parameters.shape[1], currents.dtype
        outputs = memory.empty((batch, steps, units), dtype)
        height = RECURRENT if len(recurrent) else SIMPLE
        tiles = math.ceil(batch / height) if keep else 0
        kept = memory.empty((tiles, steps, height, self.kernel.columns * units), dtype)
        states = memory.empty(initial.shape, dtype)
        states[:] = initial
        functions = (self.kernel.advance.of(dtype.name), np.asarray(self.options, dtype))
        arrays = (parameters, currents, bias, recurrent, self.kernel.feedback, self.leading, states, outputs, kept)
        _share(currents.size, batch, lambda *paths: loops.forward(*paths, *functions, *arrays))
        return outputs, states, kept

    def backward(self, kept, recurrent, parameters, initial, of_outputs, of_states):
        """The gradients of all that goes into `forward`.

        Args:
            kept: what `forward` kept.
            recurrent, parameters, initial: as in `forward`.
            of_outputs, of_states: gradients of the outputs and of the final states.

        Returns:
            Gradients of currents, bias, parameters and initial states, and what the recurrent weights saw, (batch,
            steps, units) or (0, 0, 0): their gradient is its product with that of the currents.
        """
        batch, steps, units = of_outputs.shape
        dtype, width = kept.dtype, recurrent.shape[1]
        sums = math.ceil(batch / loops.SUMMED)
        of_currents = memory.empty((batch, steps, width), dtype)
        fed = memory.empty((batch, steps, units) if len(recurrent) else (0, 0, 0), dtype)
        gradients = memory.empty(of_states.shape, dtype)
        gradients[:] = of_states
        of_parameters = np.zeros((sums, *parameters.shape), dtype)
        of_bias = np.zeros((sums, width), dtype)
        kernel = self.kernel
        fires = self.surrogate is not None
        slope = slopes.slope(self.surrogate, dtype.name) if fires else slopes.flat(dtype.name)
        constants = (
            kernel.restore.of(dtype.name),
            kernel.reverse.of(dtype.name),
            slope,
            surrogates.scale_of(self.surrogate, self.scale) if fires else 0.0,
            np.asarray(self.options, dtype),
        )
        arrays = (parameters, kept, initial, np.ascontiguousarray(recurrent.T), kernel.feedback, self.leading)
        results = (of_outputs, gradients, of_currents, fed, of_parameters, of_bias)
        _share(of_currents.size, batch, lambda *paths: loops.backward(*paths, *constants, *arrays, *results))
        return of_currents, of_bias.sum(axis=0), of_parameters.sum(axis=0), gradients, fed


def _share(size, batch, work):
    """Let threads work on ranges of paths, each of whole tiles; compiled code runs without Python's lock.

    Whoever is done takes the next range, so that a thread that the system holds up does not hold up the others.
    """
    workers = min(_threads(), math.ceil(size / WORTH_A_THREAD))
    rows = math.ceil(batch / workers / RANGES / loops.SUMMED) * loops.SUMMED if workers > 1 else batch
    ranges = iter([(first, min(first + rows, batch)) for first in range(0, batch, rows)])

    def work_through():
        for first, last in ranges:  # a list's iterator gives each range to one thread only
            work(first, last)

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
