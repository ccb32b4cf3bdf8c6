"""The synapses of a small network and the spikes on them, counted neuron by neuron, and prices in joules.

Counts are exact. Joules are sums of a dozen terms in double precision, exact to about 1e-15, so a relative tolerance of
1e-12 does not hide an error in a count.
"""

import numpy as np
import pytest

from kspike_reg import build
from kspike_reg.energy import profile
from oracles.networks import fire, grid, put_on_the_grid

PATHS, TIME, FEATURES, UNITS, POPULATION, OUTPUTS = 5, 6, 2, 7, 6, 3
LENGTHS = np.array([6, 3, 6, 1, 4])
MASK = np.arange(TIME) < LENGTHS[:, None]
SIZES = {"features": FEATURES, "outputs": OUTPUTS, "units": UNITS, "population": POPULATION, "depth": 2}

PJ = 1e-12
LOIHI = {"event": 27.1 * PJ, "fires": 81 * PJ, "idle": 81 * PJ, "spike": 0.0}
DAVIES = {"event": 23.6 * PJ, "fires": 81 * PJ, "idle": 52 * PJ, "spike": 1.7 * PJ}
# 300 W over 125 or 15.7 TFLOP/s with two operations for a multiply-accumulate; the paper counts one.
PAPERS, HALF, SINGLE = 2.4 * PJ, 4.8 * PJ, 600 / 15.7 * PJ


def close(joules):
    return pytest.approx(joules, rel=1e-12, abs=0)


class Networks:
    """A network on the grid for each kind and readout, its inputs and its report; each is compiled once."""

    def __init__(self):
        self.found = {}

    def __call__(self, kind, readout):
        if (kind, readout) not in self.found:
            model = put_on_the_grid(build(kind, readout=readout, **SIZES))
            inputs = grid(PATHS, TIME, FEATURES)
            self.found[kind, readout] = model, inputs, profile(model, inputs, mask=MASK)
        return self.found[kind, readout]


KINDS = pytest.mark.parametrize("kind", ["lif", "rlif", "slstm"])
READOUTS = pytest.mark.parametrize("readout", ["membrane", "spikes"])


class Counted:
    """The synapses of a network, one dictionary each, their events and the neurons' updates, by loops over neurons."""

    def __init__(self, kind, readout, model, inputs):
        spikes = []
        values = inputs.astype("float64")
        for layer in ("1", "2"):
            values, _ = fire(model.get_layer(f"{kind}_{layer}").cell, values)
            spikes.append(values)
        assert all(0 < each[MASK].sum() < each[MASK].size for each in spikes), (
            "a layer is silent or always fires, so the test is vacuous"
        )
        gates = 4 if kind == "slstm" else 1
        self.synapses = []
        for layer, sources, driven in (("first", FEATURES, None), ("second", UNITS, spikes[0])):
            self.add(layer, "input", sources, gates * UNITS, driven)
            if kind != "lif":
                own = spikes[("first", "second").index(layer)]
                self.add(layer, "recurrent", UNITS, gates * UNITS, own if kind == "rlif" else None, last=False)
        self.add("decoding", "input", UNITS, UNITS, spikes[1] if readout == "spikes" else None)
        self.add("population", "input", UNITS, POPULATION, None)
        steps = LENGTHS.sum()
        self.spikes = sum(int(each[MASK].sum()) for each in spikes)
        self.firing_updates, self.other_updates = 2 * steps * UNITS, steps * (UNITS + POPULATION)
        self.biases = steps * (2 * gates * UNITS + UNITS + POPULATION)
        self.mean = steps * POPULATION

    def add(self, layer, kind, sources, fan_out, spikes, last=True):
        """Real values reach each synapse at each step, spikes when a neuron fires; the last step is not fed back."""
        driving = 0
        for path, length in enumerate(LENGTHS):
            for step in range(length):
                for source in range(sources):
                    used = last or step < length - 1
                    driving += spikes is None or (spikes[path, step, source] == 1.0 and used)
        self.synapses.append(
            {"layer": layer, "kind": kind, "connections": sources * fan_out, "driving": driving}
            | {"share": driving / (sources * LENGTHS.sum()), "events": spikes is not None, "fan_out": fan_out}
        )

    def of(self, **properties):
        return [each for each in self.synapses if all(each[name] == value for name, value in properties.items())]

    def operations(self, events):
        return sum(each["driving"] * each["fan_out"] for each in self.of(events=events))

    @property
    def connections(self):
        return sum(each["connections"] for each in self.synapses)


def joules_on(chip, counted, product):
    """Joules for one path; another device computes the real-valued products for `product` joules each."""
    idle = counted.firing_updates - counted.spikes
    active = counted.spikes + counted.other_updates
    return (
        counted.operations(True) * chip["event"]
        + active * chip["fires"]
        + idle * chip["idle"]
        + counted.spikes * chip["spike"]
        + counted.operations(False) * product
    ) / PATHS
