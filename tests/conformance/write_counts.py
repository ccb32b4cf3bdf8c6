"""Write the counts of the profiler on the current backend: python write_counts.py FILE.json

Weights and inputs lie on a grid on which single precision is exact, so that every backend must count the same integers.
The gates of an SLSTM are never exact, but its membranes stay away from the thresholds.
"""

import json
import sys

import numpy as np

from kspike_reg import build
from kspike_reg.energy import profile
from oracles.networks import fire, grid, put_on_the_grid

LENGTHS = np.array([6, 3, 6, 1, 4])
MASK = np.arange(6) < LENGTHS[:, None]
SIZES = {"features": 2, "outputs": 3, "units": 7, "population": 6, "depth": 2}


def counts():
    """The report of `profile` as a dictionary for each kind of spiking network and each readout."""
    found = {}
    inputs = grid(5, 6, 2)
    for kind, readout in (("lif", "membrane"), ("rlif", "spikes"), ("slstm", "membrane")):
        model = put_on_the_grid(build(kind, readout=readout, **SIZES))
        if kind == "slstm":
            spikes, _ = fire(model.get_layer("slstm_1").cell, inputs.astype("float64"))
            fire(model.get_layer("slstm_2").cell, spikes)  # fails if a membrane is near its threshold
        found[kind] = profile(model, inputs, mask=MASK, batch_size=2).to_dict()
    return found


if __name__ == "__main__":
    with open(sys.argv[1], "w", encoding="utf-8") as file:
        json.dump(counts(), file)
