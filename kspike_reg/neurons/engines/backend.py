"""The engine of backend operations, unrolled or as a symbolic loop, differentiated by the backend itself."""

import itertools
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import keras
from keras import ops

from kspike_reg.neurons.engines.base import Call, Engine, Result
from kspike_reg.typing import Tensor

if TYPE_CHECKING:
    from kspike_reg.neurons.cell import NeuronCell
    from kspike_reg.neurons.layer import NeuronLayer

__all__ = ["LoopEngine", "UnrolledEngine", "can_unroll", "run_cell"]

# Unrolling halves the time of a symbolic loop, at a cost in tracing that grows with the steps.
LONGEST_UNROLLED = 32


class LoopEngine(Engine):
    """A symbolic loop over the steps; supports every call."""

    name = "loop"
    unroll = False

    def refusal(self, layer: "NeuronLayer", call: Call) -> str | None:
        return None

    def run(self, layer: "NeuronLayer", call: Call) -> Result:
        # Masked steps repeat the output before them, which may lie in the piece before.
        if call.training and layer.recompute is not None and call.mask is None:
            return _run_in_pieces(layer, call)
        return self.run_whole(layer, call)

    def run_whole(self, layer: "NeuronLayer", call: Call) -> Result:
        """Run all steps of a call at once, whatever `recompute` says."""
        cell = layer.cell
        currents = cell.project(call.sequences, call.training)

        def advance(currents, states):
            return cell.advance(currents, states, call.training)

        return run_cell(layer, advance, currents, call, self.unroll)


class UnrolledEngine(LoopEngine):
    """The steps laid out one after the other when the graph is built."""

    name = "unrolled"
    unroll = True

    def refusal(self, layer: "NeuronLayer", call: Call) -> str | None:
        if call.mask is not None:
            return f"the engine 'unrolled' runs {type(layer.cell).__name__} without a mask only"
        if call.sequences.shape[1] is None:
            return f"the engine 'unrolled' runs {type(layer.cell).__name__} over a known number of steps only"
        return None

    def pays(self, call: Call) -> bool:
        return can_unroll(call)


def can_unroll(call: Call) -> bool:
    """Whether the number of steps is known, and so small that unrolling pays."""
    steps = call.sequences.shape[1]
    return steps is not None and steps <= LONGEST_UNROLLED


def run_cell(
    layer: keras.layers.RNN,
    step: Callable[[Tensor, Sequence[Tensor]], tuple[Tensor, list[Tensor]]],
    inputs: Tensor,
    call: Call,
    unroll: bool,
) -> Result:
    """Run a step over whole paths in Keras's own loop, and return the states that a call asks for.

    Args:
        layer: the RNN whose options hold.
        step: function of one step's inputs and the states before it; its output and the states after it.
        inputs: of all steps, (batch, time, ...).
        call: initial states, mask and the names of the states to return.
        unroll: whether to lay out the loop.
    """
    cell = layer.cell
    loop = keras.layers.RNN(
        _Observed(cell, step, call.states),
        return_sequences=call.every_step,
        go_backwards=layer.go_backwards,
        unroll=unroll,
        zero_output_for_mask=layer.zero_output_for_mask,
        name=layer.name,
    )
    last, outputs, final = loop.inner_loop(inputs, list(call.initial_state), call.mask)
    if len(call.states) == 1:
        return Result(last, {call.states[0]: outputs}, final)
    by_name = dict(zip(call.states, ops.split(outputs, len(call.states), axis=-1), strict=True))
    return Result(last[..., : cell.units], by_name, final)


class _Observed:
    """A step whose output is the states that are asked for, next to one another, in the form that Keras's loop calls.

    One loop then gives all of them.
    """

    def __init__(self, cell: "NeuronCell", step: Callable[..., Any], names: tuple[str, ...]) -> None:
        self.cell, self.step, self.names = cell, step, names
        self.state_size = cell.state_size

    def call(self, inputs, states):
        _, states = self.step(inputs, states)
        by_name = self.cell.unpack(states)
        observed = [getattr(by_name, name) for name in self.names]
        return observed[0] if len(observed) == 1 else ops.concatenate(observed, axis=-1), states

    __call__ = call


def _run_in_pieces(layer: "NeuronLayer", call: Call) -> Result:
    """Run a training step piece by piece; the backward pass runs each piece forward once more."""
    from kspike_reg.neurons.engines import choose

    cell, sequences = layer.cell, call.sequences
    steps = ops.shape(sequences)[1]
    count = layer.recompute if sequences.shape[1] is None else min(layer.recompute, sequences.shape[1])
    ends = [steps * number // count for number in range(count + 1)]
    pieces = [sequences[:, start:stop] for start, stop in itertools.pairwise(ends)]
    masks = cell.masks  # the backward pass, long after this call, needs the same ones

    @keras.remat
    def again(piece, *states):
        with cell.holding(masks):
            part = Call(piece, list(states), call.states, training=True, every_step=call.every_step)
            found = choose(layer, part).run_whole(layer, part)
            return found.last, [found.states[name] for name in call.states], found.final

    parts, states = [], call.initial_state
    for piece in reversed(pieces) if layer.go_backwards else pieces:
        last, outputs, states = again(piece, *states)
        parts.append(outputs)
    joined = [ops.concatenate(each, axis=1) for each in zip(*parts, strict=True)]
    return Result(last, dict(zip(call.states, joined, strict=True)), states)
