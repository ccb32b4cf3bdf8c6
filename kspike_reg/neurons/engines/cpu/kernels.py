"""What a neuron gives for its paths to be compiled: a step, how to get the states back, and the step's reverse.

They are functions on one tile and one step (see `loops`), compiled for one kind of number and handed to the loops as
pointers, so that the loops are compiled once for all neurons. Numba keeps the machine code on disk.
"""

from dataclasses import dataclass

from numba import types
from numba.extending import intrinsic

from kspike_reg.neurons.engines.cpu.tile_functions import TileFunction

__all__ = ["Kernel", "advances", "restores", "reverses", "widest_registers"]


def advances(function):
    """A step: function(rows, incoming, states, parameters, options, kept).

    `states` goes from those of the last step to those of this one in place, `kept` is filled with what the way back
    needs; `incoming` may be overwritten.
    """
    return TileFunction(function, (types.int64, 2, 3, 2, 1, 2))


def restores(function):
    """The states after a step from what it kept: function(rows, kept, parameters, states) fills `states`."""
    return TileFunction(function, (types.int64, 2, 2, 3))


def reverses(function):
    """A step in reverse: function(rows, kept, previous, parameters, options, slopes, gradients, incoming, sums).

    `kept` is of this step, `previous` are the states before it, `slopes` the surrogate's derivative at its membranes.
    `gradients` goes from those of the states after the step to those before it in place, but for what the recurrent
    weights add; `incoming` is filled with the gradient of the incoming currents, and to `sums`, which
    are like `parameters`, their gradients are added.
    """
    return TileFunction(function, (types.int64, 2, 3, 2, 1, 2, 3, 2, 2))


@intrinsic
def widest_registers(typing):
    """Called in a function, lets its loops use the processor's widest registers.

    LLVM keeps to half of AVX-512's otherwise, since some processors slow down for it. Long arithmetic gains all the
    same, such as SLSTM's gates; short passes over memory do not.
    """

    def generate(context, builder, signature, arguments):
        # llvmlite's own `add` knows no attribute that has a value.
        set.add(builder.function.attributes, '"prefer-vector-width"="512"')
        return context.get_dummy_value()

    return types.void(), generate


@dataclass(frozen=True)
class Kernel:
    """A neuron's functions on a tile.

    Attributes:
        advance, restore, reverse: see `advances`, `restores` and `reverses`.
        columns: numbers per neuron that a step keeps, the membrane first.
        feedback: which of the states recurrent weights see.
    """

    advance: TileFunction
    restore: TileFunction
    reverse: TileFunction
    columns: int = 1
    feedback: int = 0
