"""Every public layer, one row each: a new neuron or layer is a new row here, and all checks go through it.

Weights and inputs lie on a coarse binary grid (see `oracles.weights.draw_on_a_grid`), and paths are short. Then all
sums are exact, and two ways to the same numbers must agree bit by bit, whatever the order of operations. The exception
is SLSTM: a logistic and a hyperbolic tangent are never exact.
"""

from dataclasses import dataclass

import keras
import numpy as np

from kspike_reg.network.physical import Standardise
from kspike_reg.neurons import (
    LIF,
    RLIF,
    SLSTM,
    LeakyIntegrator,
    LeakyIntegratorCell,
    LIFCell,
    PopulationMean,
    RLIFCell,
    SLSTMCell,
)
from oracles.weights import assign, draw_on_a_grid

BATCH, TIME, FEATURES, UNITS = 3, 7, 2, 5


@dataclass(frozen=True, eq=False)
class Row:
    """A layer under test.

    Attributes:
        layer: the class; a cell is put into `keras.layers.RNN`.
        options: constructor arguments.
        features: width of the inputs, (BATCH, TIME, features).
    """

    layer: type
    options: dict
    features: int = FEATURES

    @property
    def recurrent(self):
        """Whether it runs through time, with a state."""
        return self.is_cell or issubclass(self.layer, keras.layers.RNN)

    @property
    def is_cell(self):
        return hasattr(self.layer, "advance")

    @property
    def exact(self):
        """Whether the numbers on the grid are exact."""
        return self.layer not in (SLSTM, SLSTMCell)

    @property
    def spiking(self):
        return self.recurrent and issubclass(self.cell, LIFCell | SLSTMCell) and "output" not in self.options

    @property
    def cell(self):
        return self.layer if self.is_cell else self.layer.cell_class

    @property
    def keeps_float32(self):
        """Physical numbers outrange half precision."""
        return self.layer is Standardise

    def make(self, dtype=None, **loop):
        """The layer, unbuilt; `loop` are options of `keras.layers.RNN`, for rows that run through time."""
        if self.is_cell:
            return keras.layers.RNN(self.layer(dtype=dtype, **self.options), dtype=dtype, **loop)
        return self.layer(dtype=dtype, **self.options, **loop)

    def build(self, dtype=None, time=None, **loop):
        """The layer, built and with its known weights."""
        layer = self.make(dtype, **loop)
        layer.build((BATCH if loop.get("stateful") else None, time, self.features))
        return self.weigh(layer)

    def weigh(self, layer):
        """Give a built layer the known weights of its row."""
        if self.recurrent:
            assign(layer.cell, draw_on_a_grid(layer.cell, self.features, seed=2))
        return layer

    def inputs(self, batch=BATCH, time=TIME):
        generator = np.random.default_rng(4)
        return generator.integers(-3, 8, (batch, time, self.features)).astype("float32") / 4


MEMBRANE = {"output": "membrane"}
SCALES = {"mean": [0.25, -1.0], "deviation": [0.5, 4.0], "names": ["strain", "temperature"]}

ROWS = {
    "LIF": Row(LIF, {"units": UNITS}),
    "LIF-zero": Row(LIF, {"units": UNITS, "reset": "zero"}),
    "LIF-none": Row(LIF, {"units": UNITS, "reset": "none"}),
    "LIF-membrane": Row(LIF, {"units": UNITS, **MEMBRANE}),
    "RLIF": Row(RLIF, {"units": UNITS}),
    "RLIF-membrane-zero": Row(RLIF, {"units": UNITS, **MEMBRANE, "reset": "zero"}),
    "RLIF-one_to_one": Row(RLIF, {"units": UNITS, "recurrence": "one_to_one"}),
    "SLSTM": Row(SLSTM, {"units": UNITS}),
    "SLSTM-zero": Row(SLSTM, {"units": UNITS, "reset": "zero"}),
    "SLSTM-none": Row(SLSTM, {"units": UNITS, "reset": "none"}),
    "SLSTM-membrane": Row(SLSTM, {"units": UNITS, **MEMBRANE}),
    "LeakyIntegrator": Row(LeakyIntegrator, {"units": UNITS}),
    "LIFCell": Row(LIFCell, {"units": UNITS}),
    "LIFCell-membrane": Row(LIFCell, {"units": UNITS, **MEMBRANE}),
    "RLIFCell": Row(RLIFCell, {"units": UNITS}),
    "RLIFCell-one_to_one": Row(RLIFCell, {"units": UNITS, "recurrence": "one_to_one"}),
    "SLSTMCell": Row(SLSTMCell, {"units": UNITS}),
    "SLSTMCell-membrane": Row(SLSTMCell, {"units": UNITS, **MEMBRANE}),
    "LeakyIntegratorCell": Row(LeakyIntegratorCell, {"units": UNITS}),
    "PopulationMean": Row(PopulationMean, {"outputs": 2}, features=8),
    "Standardise": Row(Standardise, SCALES),
    "Standardise-range": Row(Standardise, SCALES | {"lower": [0.0, -9.0], "upper": [0.5, 7.0]}),
    "Standardise-invert": Row(Standardise, SCALES | {"invert": True}),
}
