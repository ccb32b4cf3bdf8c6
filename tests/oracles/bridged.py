"""Keras networks for the bridges, and their records by the cells of Keras, step by step."""

import keras
import numpy as np

from kspike_reg.network.execute import execute
from kspike_reg.network.graph import graph_of
from kspike_reg.network.physical import Standardise
from kspike_reg.neurons import LIF, RLIF, SLSTM, LeakyIntegrator, LIFCell, PopulationMean
from oracles import weights
from oracles.backend import numpy_of


def records(model, *inputs):
    """(outputs, spikes by node, membranes by node) by Keras, where each cell runs one step at a time."""
    graph = graph_of(model, "records")
    spikes, membranes = {}, {}

    def call(node, arguments, keywords):
        cell = node.cell
        if cell is not None:
            trace, states = [], cell.get_initial_state(batch_size=len(inputs[0]))
            for step in range(arguments[0].shape[1]):
                _, states = cell(arguments[0][:, step], states)
                trace.append(cell.unpack(numpy_of(states)))
            if cell.fires:
                spikes[node.name] = np.stack([state.spikes for state in trace], axis=1)
            membranes[node.name] = np.stack([state.membrane for state in trace], axis=1)
        return node.layer(*arguments, **keywords)

    values = execute(graph, dict(enumerate(inputs)), call)
    return [numpy_of(values[value]) for value in graph.outputs], spikes, membranes


def draw(model, seed, on_a_grid=False):
    """Give every cell of this package in the model random weights that make it fire."""
    for number, node in enumerate(graph_of(model, "draw").nodes):
        if node.cell is not None:
            make = weights.draw_on_a_grid if on_a_grid else weights.draw
            weights.assign(node.cell, make(node.cell, node.cell.kernel.shape[0], seed + number))
    return model


def chain(*layers, features=3, steps=None):
    x = inputs = keras.Input((steps, features), name="strain")
    for layer in layers:
        x = layer(x)
    return keras.Model(inputs, x)


def options():
    """One layer for each neuron, reset, output and recurrence."""
    for reset in ("subtract", "zero", "none"):
        for output in ("spikes", "membrane"):
            yield LIF, {"reset": reset, "output": output}
            yield SLSTM, {"reset": reset, "output": output}
            for recurrence in ("dense", "one_to_one"):
                yield RLIF, {"reset": reset, "output": output, "recurrence": recurrence}


def every_option(seed=5, **more):
    """All of `options` in parallel on the same input, each with weights of its own; one output."""
    inputs = keras.Input((None, 3), name="strain")
    branches = [
        kind(2 + number % 3, return_sequences=True, name="-".join([kind.__name__, *found.values()]), **found)(inputs)
        for number, (kind, found) in enumerate(options())
    ]
    return draw(keras.Model(inputs, keras.layers.Concatenate()(branches)), seed, **more)


def everything(seed=7):
    """Two inputs and five outputs, one without time; nested models, layers called twice, every layer that Nengo has."""
    keras.utils.set_random_seed(seed)  # of the Dense layers; `draw` sets the cells
    strain = keras.Input((None, 2), name="strain")
    temperature = keras.Input((None, 1), name="temperature")
    block_input = keras.Input((None, 4), name="block_input")
    x = LIF(5, return_sequences=True, name="lif", output="membrane")(block_input)
    x = keras.Sequential([keras.Input((None, 5)), SLSTM(4, return_sequences=True, name="slstm")], name="inner")(x)
    block = keras.Model(block_input, x, name="block")
    wide = keras.layers.Concatenate()(
        [
            Standardise([0.3, -2.0], [1.5, 0.7], ["a", "b"])(strain),
            temperature,
            keras.layers.Dropout(0.5)(keras.layers.Dense(1, "tanh", name="tanh")(strain)),
        ]
    )
    shared = keras.layers.Dense(4, "relu", use_bias=False, name="shared")
    once = block(shared(wide))
    twice = block(once)
    rlif = keras.layers.RNN(LIFCell(4), return_sequences=True, name="cell_in_rnn")(once)
    joined = keras.layers.Average()([keras.layers.Add()([once, rlif, twice]), keras.layers.Subtract()([twice, rlif])])
    mean = PopulationMean(2, name="mean")(LeakyIntegrator(6, return_sequences=True, name="leaky")(joined))
    physical = Standardise([5.0, -3.0], [2.0, 0.5], ["c", "d"], invert=True, name="restore")(mean)
    spread = keras.layers.TimeDistributed(keras.layers.Dense(3, "sigmoid", name="per_step"))(twice)
    last = keras.layers.Dense(2, name="head")(RLIF(3, name="last")(shared(once)))
    masked = LIF(3, return_sequences=True, name="masked")(keras.layers.Masking(-99.0, name="mask")(temperature))
    outputs = [physical, keras.layers.Activation("tanh")(spread), last, twice, masked]
    model = keras.Model([strain, temperature], outputs)
    return draw(model, seed)
