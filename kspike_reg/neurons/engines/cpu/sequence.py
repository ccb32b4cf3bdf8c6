"""A layer over whole paths, forward and backward, on NumPy arrays.

The compiled loops do the work; threads share it.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from kspike_reg.neurons import surrogates
from kspike_reg.neurons.engines.cpu import arguments, loops, memory, threads
from kspike_reg.neurons.engines.cpu.kernels import Kernel
from kspike_reg.neurons.engines.cpu.matmul import GEMM
from kspike_reg.neurons.engines.cpu.surrogate_derivatives import surrogate_derivative, zero_derivative

__all__ = ["Sequence"]

# Paths of a tile: enough to reuse each weight from the cache, few enough for the buffers of the tile to stay there.
TILE_HEIGHT = 8
# The batch is divided into at most this many parts, and any free thread takes the next one. Sums over paths are taken
# part by part. The parts do not depend on the number of threads, so neither do the sums.
PARTS = 8
# Without saved residuals, the backward pass recomputes the forward pass for groups of so many steps of paths, which are
# some dozens of paths.
RECOMPUTED_STEPS = 2**12
# For fewer neuron-steps in all, a second thread costs more than it saves.
NEURON_STEPS_PER_THREAD = 2**15


@dataclass(frozen=True)
class Sequence:
    """Forward and backward pass of one layer over whole paths.

    Attributes:
        kernel: kernel of the neuron.
        options: constants of the kernel.
        leading: index of the state that is the output.
        feedback: index of the state that recurrent weights read; None takes the kernel's.
        surrogate, scale: surrogate of the spikes and its scale; None if the neuron does not fire.
    """

    kernel: Kernel
    options: tuple
    leading: int
    feedback: int | None = field(default=None, kw_only=True)
    surrogate: str | None = None
    scale: float | None = None

    def compiles(self, dtype: str) -> bool:
        """Whether numba can compile the surrogate derivative, which the backward pass needs, for this precision."""
        return self.surrogate is None or surrogate_derivative(self.surrogate, dtype) is not None

    def forward(
        self,
        keep: bool,
        inputs: NDArray,
        kernel: NDArray,
        bias: NDArray,
        recurrent: NDArray,
        parameters: NDArray,
        initial: NDArray,
    ) -> tuple[NDArray, NDArray, NDArray]:
        """Run all paths through all steps.

        Args:
            keep: whether to save the residuals for `backward`; otherwise `backward` recomputes them.
            inputs: (batch, steps, features).
            kernel: (features, width), or (0, width) if the inputs are currents, projected before.
            bias: (width,).
            recurrent: (units, width), (1, units) for one-to-one recurrence, or (0, width) for none.
            parameters: (number, units).
            initial: initial states, (number, batch, units).

        Returns:
            Outputs (batch, steps, units), final states (number, batch, units), and the residuals for `backward`.
        """
        weights = {"kernel": kernel, "bias": bias, "recurrent": recurrent, "parameters": parameters}
        inputs, kernel, bias, recurrent, parameters, initial = arguments.fit(
            {"inputs": inputs} | weights | {"initial": initial}
        )
        batch, steps, _ = inputs.shape
        outputs = memory.empty((batch, steps, parameters.shape[1]), inputs.dtype)
        states, residuals = memory.copy(initial), self._empty_residuals(batch if keep else 0, steps, parameters)
        run = self._bind_forward(kernel, bias, recurrent, parameters)
        _run_parts(outputs.size, batch, lambda first, last, _: run(first, last, inputs, states, outputs, residuals))
        return outputs, states, residuals

    def backward(
        self,
        residuals: NDArray,
        inputs: NDArray,
        kernel: NDArray,
        bias: NDArray,
        recurrent: NDArray,
        parameters: NDArray,
        initial: NDArray,
        outputs_gradient: NDArray,
        states_gradient: NDArray,
    ) -> tuple[NDArray, ...]:
        """The gradients of all arrays that `forward` takes.

        Args:
            residuals: those that `forward` returned.
            inputs, kernel, bias, recurrent, parameters, initial: as in `forward`.
            outputs_gradient, states_gradient: gradients of the outputs and of the final states.

        Returns:
            Gradients of inputs, kernel, bias, recurrent weights, parameters and initial states.
        """
        gradients = {"outputs_gradient": outputs_gradient, "states_gradient": states_gradient}
        weights = {"kernel": kernel, "bias": bias, "recurrent": recurrent, "parameters": parameters}
        arrays = {"inputs": inputs} | weights | {"initial": initial, "residuals": residuals} | gradients
        sizes = {
            "tiles": (0, math.ceil(inputs.shape[0] / TILE_HEIGHT)),
            "height": (TILE_HEIGHT,),
            "values": (self.kernel.columns * parameters.shape[-1],),
        }
        inputs, kernel, bias, recurrent, parameters, initial, residuals, outputs_gradient, states_gradient = (
            arguments.fit(arrays, sizes)
        )
        batch, steps, _ = inputs.shape
        inputs_gradient, initial_gradient = memory.empty(inputs.shape, inputs.dtype), memory.copy(states_gradient)
        parts = math.ceil(batch / _paths_per_part(batch))
        sums = [np.zeros((parts, *array.shape), inputs.dtype) for array in (kernel, bias, recurrent, parameters)]
        run = self._bind_backward(kernel, recurrent, parameters, sums)
        recompute = None if len(residuals) else self._bind_forward(kernel, bias, recurrent, parameters)

        def from_residuals(first, last, part):
            gradients = outputs_gradient, initial_gradient, inputs_gradient
            run(first, last, part, residuals, inputs, initial, gradients)

        def from_inputs(first, last, part):
            tiles = max(1, RECOMPUTED_STEPS // (max(1, steps) * TILE_HEIGHT))
            for start in range(first, last, tiles * TILE_HEIGHT):
                group = slice(start, min(start + tiles * TILE_HEIGHT, last))
                paths, begin = inputs[group], memory.copy(initial[:, group])
                group_gradient = memory.copy(initial_gradient[:, group])
                recomputed = self._empty_residuals(len(paths), steps, parameters)
                outputs = memory.empty((len(paths), steps, parameters.shape[1]), inputs.dtype)
                recompute(0, len(paths), paths, memory.copy(begin), outputs, recomputed)
                gradients = outputs_gradient[group], group_gradient, inputs_gradient[group]
                run(0, len(paths), part, recomputed, paths, begin, gradients)
                initial_gradient[:, group] = group_gradient

        _run_parts(outputs_gradient.size, batch, from_residuals if len(residuals) else from_inputs)
        with np.errstate(over="ignore", invalid="ignore"):  # as in the loops
            return inputs_gradient, *(parts.sum(axis=0) for parts in sums), initial_gradient

    @property
    def _indices(self):
        """Indices of the state that recurrent weights read, and of the state that is the output."""
        return self.kernel.feedback if self.feedback is None else self.feedback, self.leading

    def _empty_residuals(self, paths, steps, parameters):
        """Memory for the residuals of so many paths."""
        columns = self.kernel.columns * parameters.shape[1]
        return memory.empty((math.ceil(paths / TILE_HEIGHT), steps, TILE_HEIGHT, columns), parameters.dtype)

    def _bind_forward(self, kernel, bias, recurrent, parameters):
        """`loops.forward` with the arguments that all paths share.

        Returns:
            function(first, last, inputs, states, outputs, residuals).
        """
        constants = (
            GEMM.machine_code(parameters.dtype.name),
            self.kernel.advance.machine_code(parameters.dtype.name),
            np.asarray(self.options, parameters.dtype),
            memory.copy(parameters),
        )
        # Matrix products skip zeros. A weight that is not finite must show in the result nevertheless.
        finite = np.isfinite(kernel).all(axis=0) & np.isfinite(recurrent).all(axis=0)
        biases = np.where(finite, bias, bias.dtype.type(np.nan))
        weights = (memory.copy(kernel), biases, memory.copy(recurrent), *self._indices)
        return lambda first, last, inputs, *results: loops.forward(first, last, *constants, inputs, *weights, *results)

    def _bind_backward(self, kernel, recurrent, parameters, sums):
        """`loops.backward` with the arguments that all paths share.

        Returns:
            function(first, last, part, residuals, inputs, initial, gradients), where `gradients` are those of the
            outputs, of the states and of the inputs.
        """
        dtype = parameters.dtype
        fires = self.surrogate is not None
        constants = (
            GEMM.machine_code(dtype.name),
            self.kernel.restore.machine_code(dtype.name),
            self.kernel.reverse.machine_code(dtype.name),
            surrogate_derivative(self.surrogate, dtype.name) if fires else zero_derivative(dtype.name),
            surrogates.scale_of(self.surrogate, self.scale) if fires else 0.0,
            np.asarray(self.options, dtype),
            memory.copy(parameters),
        )
        weights = memory.copy(kernel.T), memory.copy(recurrent.T)

        def run(first, last, part, residuals, inputs, initial, gradients):
            part_sums = tuple(array[part] for array in sums)
            paths = residuals, inputs, initial
            loops.backward(first, last, *constants, *paths, weights, *self._indices, gradients, part_sums)

        return run


def _paths_per_part(batch):
    return max(1, math.ceil(batch / PARTS / TILE_HEIGHT)) * TILE_HEIGHT


def _run_parts(size: int, batch: int, work: Callable) -> None:
    """Let threads work on the parts of a batch.

    Args:
        size: neuron-steps in all.
        batch: number of paths.
        work: function(first path, last path, index of the part).
    """
    paths = _paths_per_part(batch)
    parts = [(first, min(first + paths, batch), first // paths) for first in range(0, batch, paths)]
    threads.share(work, parts, math.ceil(size / NEURON_STEPS_PER_THREAD))
