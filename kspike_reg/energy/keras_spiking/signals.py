"""What drives the synapses of a model, recorded while it runs: values of its graph, and what is inside its RNNs."""

from collections.abc import Sequence
from typing import TypeAlias

import keras
import numpy as np
from keras import ops

from kspike_reg.energy.keras_spiking.layer_calls import width_of
from kspike_reg.network.execute import GraphModel, call_layer, execute
from kspike_reg.network.graph import Graph
from kspike_reg.network.probes import states_at
from kspike_reg.typing import Tensor

__all__ = ["Signal", "SignalRecorder"]

# A value of the graph by its number; or, at every step of an RNN, by the name of its node and the number of a cell in
# it, the cell's "output" or its "spikes".
Signal: TypeAlias = int | tuple[str, int, str]


class SignalRecorder(GraphModel):
    """Runs a graph and returns signals, a list of tensors.

    Args:
        graph: the model.
        signals: what to return.
    """

    def __init__(self, graph: Graph, signals: Sequence[Signal]) -> None:
        super().__init__(graph, "activity")
        self.signals = tuple(signals)

    def run(self, values: dict[int, Tensor]) -> list[Tensor]:
        found: dict[Signal, Tensor] = {}

        def call(node, arguments, keywords):
            outputs = call_layer(node, arguments, keywords)
            inside = [signal for signal in self.signals if not isinstance(signal, int) and signal[0] == node.name]
            if inside:
                found.update(_inside(node, inside, outputs, arguments, keywords))
            return outputs

        found.update(execute(self.graph, values, call))
        return [found[signal] for signal in self.signals]


def _inside(node, signals, outputs, arguments, keywords):
    """Signals from inside an RNN, (batch, time, width), in the order in which it runs the steps."""
    layer = node.layer
    if node.cell is not None:
        return {signal: states_at(node, (signal[2],), outputs, arguments, keywords)[signal[2]] for signal in signals}
    stack = _WatchedStack(layer.cell, [signal[1:] for signal in signals])
    loop = keras.layers.RNN(stack, return_sequences=True, go_backwards=layer.go_backwards, dtype=layer.dtype_policy)
    ends = np.cumsum(stack.widths)[:-1].tolist()
    return dict(zip(signals, ops.split(loop(*arguments, **keywords), ends, axis=-1), strict=True))


class _WatchedStack:
    """Stacked cells as one cell that outputs what some of them compute, next to one another.

    Args:
        stack: the cells.
        wanted: pairs of a cell's number and what to output, "output" or "spikes".
    """

    def __init__(self, stack: keras.layers.StackedRNNCells, wanted: Sequence[tuple[int, str]]) -> None:
        self.cells, self.wanted = list(stack.cells), list(wanted)
        self.widths = [width_of(self.cells[number]) for number, _ in self.wanted]
        self.output_size = sum(self.widths)
        self.state_size, self.get_initial_state = stack.state_size, stack.get_initial_state
        self.compute_dtype = stack.compute_dtype

    def call(self, inputs, states):
        found, after = {}, []
        for number, (cell, state) in enumerate(zip(self.cells, states, strict=True)):
            several = keras.tree.is_nested(state)
            inputs, state = cell(inputs, list(state) if several else [state])
            after.append(list(state) if several else state[0])
            found[number, "output"] = inputs
            if (number, "spikes") in self.wanted:
                found[number, "spikes"] = cell.unpack(state).spikes
        return ops.concatenate([found[key] for key in self.wanted], axis=-1), after

    __call__ = call
