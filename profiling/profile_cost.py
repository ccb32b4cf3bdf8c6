"""Time of `profile` relative to `model.predict` on the same data; the goal is at most twice the time.

    python profiling/profile_cost.py

prints a table and writes profiling/results/profile_cost.json. Both alternate in one process, so that a slow moment of
the machine affects both. The first call of each, which compiles, is timed separately.
"""

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from kspike_reg import build
from kspike_reg.energy import profile
from kspike_reg.experiments.run import environment
from kspike_reg.files import write_json
from kspike_reg.network import SPIKING
from kspike_reg.tables import markdown

RESULTS = Path(__file__).parent / "results" / "profile_cost.json"
PATHS, BATCH, REPETITIONS, SEED = 1024, 256, 7, 0
STEPS = (5, 20, 100)
UNITS = 128


def main() -> None:
    """Measure all kinds at all lengths, print and write."""
    rows = [measure(kind, steps) for kind in SPIKING for steps in STEPS]
    print(markdown(pd.DataFrame(rows)))
    settings = {"paths": PATHS, "batch_size": BATCH, "units": UNITS, "repetitions": REPETITIONS, "seed": SEED}
    write_json(RESULTS, {"settings": settings, "environment": environment(), "cases": rows})


def measure(kind: str, steps: int) -> dict[str, Any]:
    """Time both for one network.

    Args:
        kind: kind of network.
        steps: time steps of a path.

    Returns:
        A row of the table: median seconds of both, and the median, least and greatest ratio over the repetitions.
    """
    model = build(kind, units=UNITS, timesteps=None, seed=SEED)
    inputs = np.random.default_rng(SEED).normal(size=(PATHS, steps, 1)).astype("float32")
    both = {
        "predict": lambda: model.predict(inputs, batch_size=BATCH, verbose=0),
        "profile": lambda: profile(model, inputs, batch_size=BATCH),
    }
    first = {name: seconds(run) for name, run in both.items()}
    times = {name: [] for name in both}
    for _ in range(REPETITIONS):
        for name, run in both.items():
            times[name].append(seconds(run))
    ratios = np.divide(times["profile"], times["predict"])
    return {
        "kind": kind,
        "steps": steps,
        "predict / s": float(np.median(times["predict"])),
        "profile / s": float(np.median(times["profile"])),
        "ratio": float(np.median(ratios)),
        "least": float(ratios.min()),
        "greatest": float(ratios.max()),
        "first predict / s": first["predict"],
        "first profile / s": first["profile"],
    }


def seconds(run: Callable[[], object]) -> float:
    """Wall-clock seconds of one call."""
    start = time.perf_counter()
    run()
    return time.perf_counter() - start


if __name__ == "__main__":
    main()
