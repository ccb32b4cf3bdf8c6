"""What is measured: the sizes of a network and of its paths, and the matrix products that such a network needs.

Imports no framework, since TensorFlow and PyTorch live in different processes here.
"""

from dataclasses import asdict, dataclass
from itertools import product

import numpy as np

DEPTH, FEATURES, OUTPUTS, SEED = 3, 1, 1, 0
UNITS, STEPS, BATCHES = (64, 128, 256), (5, 20, 100), (64, 1024)
CENTRE = (128, 20, 1024)
# Columns of the kernels for each neuron: SLSTM has four gates.
GATES = {"lif": 1, "rlif": 1, "slstm": 4}
RECURRENT = ("rlif", "slstm")
# The sizes at which something was promised.
PROMISED = {
    "lif": [(128, 20, 1024), (128, 100, 1024)],
    "rlif": [(128, 20, 1024), (128, 100, 1024)],
    "slstm": [(128, 100, 256)],
}


@dataclass(frozen=True)
class Case:
    """A kind of network, its units in each layer, and paths: how many steps, how many at once."""

    kind: str
    units: int
    steps: int
    batch: int

    @property
    def name(self):
        """For files and messages."""
        return f"{self.kind} {self.units}x{self.steps}x{self.batch}"

    def data(self):
        """Inputs and targets, each (batch, steps, 1), random normal by the seed."""
        random = np.random.default_rng(SEED)
        return tuple(
            random.normal(size=(self.batch, self.steps, width)).astype("float32") for width in (FEATURES, OUTPUTS)
        )

    def as_dictionary(self):
        """For JSON."""
        return asdict(self)


@dataclass(frozen=True)
class LayerProducts:
    """The products of one layer: inputs (batch * steps, inputs) with a kernel (inputs, columns), and, where it is
    recurrent, at each step states (batch, states) with a kernel (states, columns).
    """

    inputs: int
    columns: int
    states: int = 0

    @property
    def weights(self):
        """Multiply-accumulates for each path and step, forward."""
        return (self.inputs + self.states) * self.columns


def layers_of(case):
    """The `LayerProducts` of each layer, both of the readout included."""
    columns, states = GATES[case.kind] * case.units, case.units if case.kind in RECURRENT else 0
    hidden = [LayerProducts(FEATURES if n == 0 else case.units, columns, states) for n in range(DEPTH)]
    return [*hidden, *2 * [LayerProducts(case.units, case.units)]]


def operations_of(case):
    """Floating point operations of the products: forward, and in a step of training.

    Training takes the forward products and two more for each, the gradients of its kernel and of what it multiplies;
    that of the network's own input nobody needs.
    """
    layers, multiplied = layers_of(case), 2 * case.steps * case.batch
    forward = multiplied * sum(layer.weights for layer in layers)
    return {
        "inference": forward,
        "training": 3 * forward - multiplied * layers[0].inputs * layers[0].columns,
    }


def star(kind):
    """Around the centre one size at a time, then what was promised."""
    units, steps, batch = CENTRE
    points = [(u, steps, batch) for u in UNITS] + [(units, t, batch) for t in STEPS]
    points += [(units, steps, b) for b in BATCHES] + PROMISED[kind]
    return [Case(kind, *point) for point in dict.fromkeys(points)]


def grid(kind):
    """Every combination of sizes, then what was promised."""
    return [Case(kind, *point) for point in dict.fromkeys([*product(UNITS, STEPS, BATCHES), *PROMISED[kind]])]
