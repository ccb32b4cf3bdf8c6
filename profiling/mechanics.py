"""Steps of paths per second that the laws of mechanics compute on one core, and the goal of the project for each.

    python profiling/mechanics.py

prints a table and writes profiling/results/mechanics.json. Repetitions of the cases alternate, so that a slow moment
of the machine affects all of them. Run it on an idle machine.
"""

import os

# One thread; NumPy's libraries read these when they are loaded.
os.environ["OMP_NUM_THREADS"] = "1"
os.environ["OPENBLAS_NUM_THREADS"] = "1"
os.environ["MKL_NUM_THREADS"] = "1"
os.environ["TF_CPP_MIN_LOG_LEVEL"] = "2"  # the package loads Keras, whose start-up messages are irrelevant here

import json
import platform
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np

import kspike_reg
from kspike_reg.datasets import strain_paths
from kspike_reg.mechanics import isotropic_hardening, ramberg_osgood

RESULTS = Path(__file__).parent / "results" / "mechanics.json"
PATHS, STEPS = 10_000, 100
REPETITIONS = 15
SEED = 0


class Case(NamedTuple):
    """A law and the paths that it is measured on.

    Attributes:
        name: for the table.
        what: description of the paths.
        goal: path-steps per second.
        run: the function that is measured; it computes PATHS paths of STEPS steps.
    """

    name: str
    what: str
    goal: int
    run: Callable[[], np.ndarray]


def cases() -> list[Case]:
    """Draw the paths of each case."""
    generator = np.random.default_rng(SEED)
    cyclic = strain_paths("profiling", "cyclic", PATHS, STEPS, SEED, 1e-2)
    paper = (np.linspace(0.0, 1e-2, STEPS), generator.uniform(100.0, 500.0, (PATHS, 1)))
    whole = (
        generator.uniform(-0.1, 0.1, (PATHS, STEPS)),
        generator.uniform(1.0, 5000.0, (PATHS, 1)),
        2.1e5,
        generator.uniform(1.0, 50.0, (PATHS, 1)),
    )
    return [
        Case(
            "hardening",
            "cyclic paths to 0.01, the paper's steel",
            10_000_000,
            lambda: isotropic_hardening(cyclic),
        ),
        Case(
            "ramberg_osgood, paper",
            "strains evenly from 0 to 0.01, yield stress from U(100, 500) MPa, exponent 10",
            1_000_000,
            lambda: ramberg_osgood(*paper),
        ),
        Case(
            "ramberg_osgood, whole range",
            "strains from U(-0.1, 0.1), yield stress from U(1, 5000) MPa and exponent from U(1, 50) for each path",
            1_000_000,
            lambda: ramberg_osgood(*whole),
        ),
    ]


def pin() -> bool:
    """Stay on one core, and return whether the system supports that."""
    if not hasattr(os, "sched_setaffinity"):
        return False
    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    return True


def measure(every: list[Case]) -> list[list[float]]:
    """Return path-steps per second, a list for each case; the cases alternate and the first round is not counted."""
    rates = [[] for _ in every]
    for repetition in range(REPETITIONS + 1):
        for case, own in zip(every, rates, strict=True):
            start = time.perf_counter()
            case.run()
            seconds = time.perf_counter() - start
            if repetition:
                own.append(PATHS * STEPS / seconds)
    return rates


def main() -> None:
    """Measure, print, write."""
    cores, pinned = os.cpu_count(), pin()
    every = cases()
    results = []
    print(f"{'millions of path-steps per second':34}{'median':>8}{'least':>8}{'most':>8}{'goal':>8}")
    for case, rates in zip(every, measure(every), strict=True):
        median, least, most = statistics.median(rates), min(rates), max(rates)
        verdict = "met" if median >= case.goal else "MISSED"
        print(f"{case.name:34}" + "".join(f"{rate / 1e6:8.2f}" for rate in (median, least, most, case.goal)), verdict)
        results.append(
            {
                "case": case.name,
                "what": case.what,
                "goal": case.goal,
                "median": round(median),
                "least": round(least),
                "most": round(most),
                "rates": [round(rate) for rate in rates],
            }
        )
    report = {
        "unit": "path-steps per second",
        "settings": {
            "paths": PATHS,
            "steps": STEPS,
            "repetitions": REPETITIONS,
            "seed": SEED,
            "threads": 1,
            "pinned_to_one_core": pinned,
        },
        "versions": {
            "kspike_reg": kspike_reg.__version__,
            "numpy": np.__version__,
            "python": platform.python_version(),
        },
        "machine": {"architecture": platform.machine(), "cores": cores},
        "results": results,
    }
    RESULTS.parent.mkdir(parents=True, exist_ok=True)
    RESULTS.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
