"""What is measured: sizes of networks and paths, and the matrix products that such a network needs.

This module imports no framework, because TensorFlow and PyTorch run in separate processes.
"""

from dataclasses import asdict, dataclass
from itertools import product

import numpy as np
from numpy.typing import NDArray

DEPTH, FEATURES, OUTPUTS, SEED = 3, 1, 1, 0
UNITS, STEPS, BATCHES = (64, 128, 256), (5, 20, 100), (64, 1024)
CENTRE = (128, 20, 1024)
# Kernel columns per neuron: an SLSTM has four gates.
GATES = {"lif": 1, "rlif": 1, "slstm": 4}
RECURRENT = ("rlif", "slstm")
# Sizes for which the project states a speed goal: units, steps, batch.
GOAL_SIZES = {
    "lif": [(128, 20, 1024), (128, 100, 1024)],
    "rlif": [(128, 20, 1024), (128, 100, 1024)],
    "slstm": [(128, 100, 256)],
}


@dataclass(frozen=True)
class Case:
    """One measurement: a kind of network and its sizes.

    Attributes:
        kind: "lif", "rlif" or "slstm".
        units: neurons in each layer.
        steps: time steps of a path.
        batch: paths in a batch.
    """

    kind: str
    units: int
    steps: int
    batch: int

    @property
    def name(self) -> str:
        """Name in messages."""
        return f"{self.kind} {self.units}x{self.steps}x{self.batch}"

    def data(self) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Inputs and targets, both (batch, steps, 1), normally distributed with a fixed seed."""
        random = np.random.default_rng(SEED)
        inputs, targets = (
            random.normal(size=(self.batch, self.steps, width)).astype("float32") for width in (FEATURES, OUTPUTS)
        )
        return inputs, targets

    def as_dictionary(self) -> dict:
        """Fields for JSON."""
        return asdict(self)


@dataclass(frozen=True)
class LayerMatmul:
    """Sizes of the matrix products of one layer.

    A layer multiplies inputs (batch * steps, inputs) by a kernel (inputs, columns). A recurrent layer also multiplies
    states (batch, states) by a recurrent kernel (states, columns) at each step.

    Attributes:
        inputs: width of the inputs.
        columns: columns of both kernels.
        states: width of the states; 0 without recurrence.
    """

    inputs: int
    columns: int
    states: int = 0

    @property
    def weights(self) -> int:
        """Multiply-accumulates of the forward pass per path and step."""
        return (self.inputs + self.states) * self.columns


def layers_of(case: Case) -> list[LayerMatmul]:
    """Matrix products of each layer, including both readout layers."""
    columns, states = GATES[case.kind] * case.units, case.units if case.kind in RECURRENT else 0
    hidden = [LayerMatmul(FEATURES if n == 0 else case.units, columns, states) for n in range(DEPTH)]
    return [*hidden, *2 * [LayerMatmul(case.units, case.units)]]


def operations_of(case: Case) -> dict[str, int]:
    """Floating point operations of the matrix products, by mode.

    Inference needs the forward products. Training needs two more per forward product: one for the gradient of the
    kernel and one for the gradient of the input. The gradient of the network's own input is not needed.
    """
    layers, multiplied = layers_of(case), 2 * case.steps * case.batch
    forward = multiplied * sum(layer.weights for layer in layers)
    return {
        "inference": forward,
        "training": 3 * forward - multiplied * layers[0].inputs * layers[0].columns,
    }


def star(kind: str) -> list[Case]:
    """Cases that vary one size at a time around the centre, then the goal sizes."""
    units, steps, batch = CENTRE
    points = [(u, steps, batch) for u in UNITS] + [(units, t, batch) for t in STEPS]
    points += [(units, steps, b) for b in BATCHES] + GOAL_SIZES[kind]
    return [Case(kind, *point) for point in dict.fromkeys(points)]


def grid(kind: str) -> list[Case]:
    """All combinations of sizes, then the goal sizes."""
    return [Case(kind, *point) for point in dict.fromkeys([*product(UNITS, STEPS, BATCHES), *GOAL_SIZES[kind]])]
