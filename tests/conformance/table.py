"""Every public layer, one row each. A new neuron or layer gets a row here, and all checks run on it.

Weights and inputs lie on a coarse binary grid (see `oracles.weights.draw_on_a_grid`), and paths are short. All sums are
then exact, and two computations of the same numbers must agree bit by bit for any order of operations. SLSTM is the
exception: a logistic and a hyperbolic tangent are never exact.
"""

from dataclasses import dataclass, replace

import keras
import numpy as np

from kspike_reg import neurons
from kspike_reg.network.physical import Standardise
from oracles.weights import assign, draw_on_a_grid

BATCH, TIME, FEATURES, UNITS = 3, 7, 2, 5


@dataclass(frozen=True, eq=False)
class Row:
    """A layer under test.

    Attributes:
        layer: the class; a cell is put into `keras.layers.RNN`.
        options: constructor arguments.
        features: width of the inputs, (BATCH, TIME, features).
        exact: whether the numbers on the grid are exact.
    """

    layer: type
    options: dict
    features: int = FEATURES
    exact: bool = True

    @property
    def recurrent(self):
        """Whether the layer runs over time and has a state."""
        return self.is_cell or issubclass(self.layer, keras.layers.RNN)

    @property
    def is_cell(self):
        return hasattr(self.layer, "advance")

    @property
    def spiking(self):
        """Whether the layer emits spikes."""
        return self.recurrent and "spikes" in self.cell.state_names and "output" not in self.options

    @property
    def cell(self):
        return self.layer if self.is_cell else self.layer.cell_class

    @property
    def keeps_float32(self):
        """Whether the layer always computes in float32, since physical values exceed the range of half precision."""
        return self.layer is Standardise

    def make(self, dtype=None, **loop):
        """The layer, unbuilt; `loop` holds options of `keras.layers.RNN` for rows that run over time."""
        if self.is_cell:
            return keras.layers.RNN(self.layer(dtype=dtype, **self.options), dtype=dtype, **loop)
        return self.layer(dtype=dtype, **self.options, **loop)

    def build(self, dtype=None, time=None, **loop):
        """The layer, built, with its known weights."""
        layer = self.make(dtype, **loop)
        layer.build((BATCH if loop.get("stateful") else None, time, self.features))
        return self.with_weights(layer)

    def with_weights(self, layer):
        """Assign the known weights of the row to a built layer."""
        if self.recurrent:
            assign(layer.cell, draw_on_a_grid(layer.cell, self.features, seed=2))
        return layer

    def inputs(self, batch=BATCH, time=TIME):
        generator = np.random.default_rng(4)
        return generator.integers(-3, 8, (batch, time, self.features)).astype("float32") / 4


MEMBRANE = {"output": "membrane"}
SCALES = {"mean": [0.25, -1.0], "deviation": [0.5, 4.0], "names": ["strain", "temperature"]}

ROWS = {
    "LIF": Row(neurons.LIF, {"units": UNITS}),
    "LIF-zero": Row(neurons.LIF, {"units": UNITS, "reset": "zero"}),
    "LIF-none": Row(neurons.LIF, {"units": UNITS, "reset": "none"}),
    "LIF-membrane": Row(neurons.LIF, {"units": UNITS, **MEMBRANE}),
    "RLIF": Row(neurons.RLIF, {"units": UNITS}),
    "RLIF-membrane-zero": Row(neurons.RLIF, {"units": UNITS, **MEMBRANE, "reset": "zero"}),
    "RLIF-one_to_one": Row(neurons.RLIF, {"units": UNITS, "recurrence": "one_to_one"}),
    "SLSTM": Row(neurons.SLSTM, {"units": UNITS}, exact=False),
    "SLSTM-zero": Row(neurons.SLSTM, {"units": UNITS, "reset": "zero"}, exact=False),
    "SLSTM-none": Row(neurons.SLSTM, {"units": UNITS, "reset": "none"}, exact=False),
    "SLSTM-membrane": Row(neurons.SLSTM, {"units": UNITS, **MEMBRANE}, exact=False),
    "LeakyIntegrator": Row(neurons.LeakyIntegrator, {"units": UNITS}),
    "LIFCell-membrane": Row(neurons.LIFCell, {"units": UNITS, **MEMBRANE}),
    "RLIFCell-one_to_one": Row(neurons.RLIFCell, {"units": UNITS, "recurrence": "one_to_one"}),
    "SLSTMCell-membrane": Row(neurons.SLSTMCell, {"units": UNITS, **MEMBRANE}, exact=False),
    "PopulationMean": Row(neurons.PopulationMean, {"outputs": 2}, features=8),
    "Standardise": Row(Standardise, SCALES),
    "Standardise-range": Row(Standardise, SCALES | {"lower": [0.0, -9.0], "upper": [0.5, 7.0]}),
    "Standardise-invert": Row(Standardise, SCALES | {"invert": True}),
}

# Every cell on its own in `keras.layers.RNN`, with the options of the first row of its layer.
for _row in list(ROWS.values()):
    if hasattr(_row.layer, "cell_class"):
        ROWS.setdefault(_row.layer.cell_class.__name__, replace(_row, layer=_row.layer.cell_class))
