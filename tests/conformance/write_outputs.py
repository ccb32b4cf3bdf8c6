"""Write the outputs of every row of the table on the current backend: python write_outputs.py FILE.npz

Weights and inputs come from NumPy, so that the files of two backends hold the same numbers up to rounding. "outputs/"
holds the outputs and the final states, "gradients/" the gradients of a loss on the outputs.
"""

import sys

import numpy as np
from keras import ops

from conformance.table import BATCH, ROWS, TIME
from oracles.backend import gradients, numpy_of
from oracles.weights import assign, draw


def arrays():
    for name, row in ROWS.items():
        inputs = np.random.default_rng(7).normal(0.3, 1.0, (BATCH, TIME, row.features)).astype("float32")
        if not row.recurrent:
            yield f"outputs/{name}/0", row.build()(inputs)
            continue
        layer = row.build(return_sequences=True, return_state=True)
        assign(layer.cell, draw(layer.cell, row.features, seed=7))
        for number, output in enumerate(layer(inputs)):
            yield f"outputs/{name}/{number}", output
        upstream = np.random.default_rng(8).normal(size=(BATCH, TIME, row.options["units"])).astype("float32")
        found = gradients(lambda: ops.sum(ops.multiply(layer(inputs)[0], upstream)), layer.trainable_weights)  # noqa: B023
        for weight, gradient in zip(layer.trainable_weights, found, strict=True):
            yield f"gradients/{name}/{weight.name}", gradient


if __name__ == "__main__":
    np.savez(sys.argv[1], **{name: numpy_of(values) for name, values in arrays()})
