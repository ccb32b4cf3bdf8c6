"""The kernel of a neuron: the functions that the compiled loops need to run its paths.

A kernel has three functions: one step, the states after a step, and one step backward. Each works on one tile for one
step (see `loops`). They are compiled for one precision, and loops receive them as pointers, so that the loops are
compiled once for all neurons. Their machine code stays on disk (see `machine_code`).
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from numba import types

from kspike_reg.neurons.engines.cpu import in_python
from kspike_reg.neurons.engines.cpu.in_python import instruction
from kspike_reg.neurons.engines.cpu.tile_functions import TileFunction

if TYPE_CHECKING:
    from kspike_reg.neurons.cell import NeuronCell

__all__ = ["Kernel", "advances", "firing_options", "restores", "reverses", "widest_registers"]


def advances(function: Callable) -> TileFunction:
    """Decorator of a step: function(rows, currents, states, parameters, options, residuals).

    Args:
        function: updates `states` in place from the last step to this one, and fills `residuals` with the values that
            the backward pass needs. It may overwrite `currents`.

    Returns:
        The function, to be compiled.
    """
    return TileFunction(function, (types.int64, 2, 3, 2, 1, 2))


def restores(function: Callable) -> TileFunction:
    """Decorator of the states after a step: function(rows, residuals, parameters, states).

    Args:
        function: fills `states` from the residuals of the step.

    Returns:
        The function, to be compiled.
    """
    return TileFunction(function, (types.int64, 2, 2, 3))


def reverses(function: Callable) -> TileFunction:
    """Decorator of a step backward.

    Args:
        function: function(rows, residuals, previous, parameters, options, derivatives, states_gradient,
            currents_gradient, parameters_gradient). It reads the residuals of the step, the states before it
            (`previous`), and the surrogate derivatives at its membranes (`derivatives`). It updates `states_gradient`
            in place from the states after the step to the states before it, without the contribution of the
            recurrent weights. It fills `currents_gradient`, and adds to `parameters_gradient`, which has the shape of
            `parameters`.

    Returns:
        The function, to be compiled.
    """
    return TileFunction(function, (types.int64, 2, 3, 2, 1, 2, 3, 2, 2))


@instruction(in_python.nothing)
def widest_registers(typing: Any) -> tuple:
    """Let the loops of the function that calls this use the widest registers of the processor.

    By default, LLVM uses half the width of AVX-512, because some processors reduce their clock for the full width. Long
    arithmetic, such as the gates of SLSTM, is faster with the full width; short passes over memory are not.
    """

    def generate(context, builder, signature, arguments):
        # The `add` of llvmlite rejects attributes that have a value.
        set.add(builder.function.attributes, '"prefer-vector-width"="512"')
        return context.get_dummy_value()

    return types.void(), generate


def firing_options(cell: "NeuronCell") -> tuple[bool, ...]:
    """The constants of a kernel that fires.

    Args:
        cell: a `SpikingCell`.

    Returns:
        Whether a spike subtracts the threshold, whether it clears the membrane, and whether gradients pass through
        the reset.
    """
    return cell.reset == "subtract", cell.reset == "zero", not cell.detach_reset


def no_options(cell: "NeuronCell") -> tuple:
    """The constants of a kernel that has none."""
    return ()


@dataclass(frozen=True)
class Kernel:
    """The functions of a neuron on a tile.

    Attributes:
        advance, restore, reverse: see `advances`, `restores` and `reverses`.
        columns: values that a step saves for each neuron, the membrane first.
        feedback: index of the state that recurrent weights read.
        options: function(cell) that returns the constants of the three functions, a tuple of numbers.
    """

    advance: TileFunction
    restore: TileFunction
    reverse: TileFunction
    columns: int = 1
    feedback: int = 0
    options: Callable[["NeuronCell"], tuple] = no_options
