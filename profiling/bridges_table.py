"""Whether networks give the same spikes and stresses on Nengo and NengoDL as in Keras.

    python profiling/bridges_table.py [--paths N] [--simulators nengo nengo-dl]

runs the trained networks of models/ on their whole test sets, or on the first N paths, and untrained networks on
random walks. It prints a table and writes profiling/results/bridges.json and bridges.md. The reference is the run in
Keras; a neuron-step is one neuron in one step of one path. Near a threshold, rounding may add or remove a spike.
Therefore "clear" counts only the neuron-steps of each path before any membrane of the network comes within 1e-4 of its
threshold for the first time.
"""

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")  # hides the start-up messages of TensorFlow

import argparse
import json
import platform
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple

import keras
import numpy as np
import pandas as pd
from numpy.typing import NDArray

import kspike_reg
from kspike_reg.bridges import simulate
from kspike_reg.evaluation import Recording, records
from kspike_reg.experiments import Configuration
from kspike_reg.files import write_json
from kspike_reg.network import SPIKING
from kspike_reg.network.physical import scaling_of
from kspike_reg.tables import markdown

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "profiling" / "results"
MARGIN = 1e-4  # distance from the threshold at which rounding cannot change a spike
RANDOM = {"paths": 256, "steps": 50, "features": 2, "outputs": 2, "units": 64, "population": 64}
SEED = 0
PACKAGES = ("kspike_reg", "keras", "tensorflow", "numpy", "nengo", "nengo-dl", "tf-keras")


class Case(NamedTuple):
    """A network and its inputs.

    Attributes:
        kind: kind of network.
        name: folder in models/, or "random" for an untrained network.
        model: the network.
        inputs: shape (paths, steps, features).
        deviation: standard deviation of each output, in the training data or on random walks.
    """

    kind: str
    name: str
    model: keras.Model
    inputs: NDArray[np.float32]
    deviation: Sequence[float]


def cases(paths: int | None) -> Iterator[Case]:
    """All networks, each with its first `paths` paths, or with all of them for None."""
    yield from trained(paths)
    yield from untrained(paths)


def trained(paths: int | None) -> Iterator[Case]:
    """The trained spiking networks of models/ on their test sets."""
    for file in sorted((ROOT / "models").glob("*/metrics.json")):
        configuration = Configuration.of_record(json.loads(file.read_text(encoding="utf-8"))["configuration"])
        if configuration.kind not in SPIKING:
            continue
        model = kspike_reg.load(file.parent / "model.keras")
        inputs = configuration.load_data()[2].inputs[:paths].astype("float32")
        _, scaling = scaling_of(model)
        yield Case(configuration.kind, file.parent.name, model, inputs, scaling.deviation)


def untrained(paths: int | None) -> Iterator[Case]:
    """An untrained network of each spiking kind on random walks, with thresholds at which it fires."""
    sizes = {name: RANDOM[name] for name in ("features", "outputs", "units", "population")}
    generator = np.random.default_rng(SEED)
    walks = generator.normal(0, 0.3, (RANDOM["paths"], RANDOM["steps"], RANDOM["features"])).cumsum(axis=1)
    inputs = walks[:paths].astype("float32")
    for kind in SPIKING:
        ranges = {"threshold": (0.05, 0.5), "readout_decay": (0.0, 1.0)} | (
            {} if kind == "slstm" else {"decay": (0, 1)}
        )
        model = kspike_reg.build(kind, seed=SEED, **sizes, **ranges)
        yield Case(kind, "random", model, inputs, model.predict(inputs, verbose=0).std(axis=(0, 1)).tolist())


def clear_steps(reference: Recording) -> NDArray[np.bool_]:
    """Whether no membrane has come near its threshold so far, shape (paths, steps)."""
    clear = True
    for record in reference.values():
        clear = clear & (np.abs(record.membranes - record.thresholds) >= MARGIN).all(axis=2)
    return np.logical_and.accumulate(clear, axis=1)


def compare(
    simulation: Recording, reference: Recording, clear: NDArray[np.bool_], deviation: Sequence[float]
) -> dict[str, Any]:
    """Compare a simulation with the run in Keras.

    Args:
        simulation: what the simulator returned.
        reference: the run in Keras.
        clear: see `clear_steps`.
        deviation: standard deviation of each output.

    Returns:
        Counts of neuron-steps, spikes and differences, and the largest deviation of an output.
    """
    spikes = reference.spikes
    steps = sum(of_layer.size for of_layer in spikes.values())
    wrong = {name: simulation.spikes[name] != of_layer for name, of_layer in spikes.items()}
    distance = np.abs(np.asarray(simulation.outputs) - reference.outputs) / np.array(deviation)
    return {
        "paths": len(reference.outputs),
        "steps": reference.outputs.shape[1],
        "neuron_steps": steps,
        "spikes": int(sum(of_layer.sum(dtype=np.int64) for of_layer in spikes.values())),
        "different": int(sum(each.sum() for each in wrong.values())),
        "share_identical": 1 - float(sum(each.sum() for each in wrong.values())) / steps,
        "paths_with_a_difference": int(np.any([each.any(axis=(1, 2)) for each in wrong.values()], axis=0).sum()),
        "clear_neuron_steps": sum(int(clear.sum()) * of_layer.shape[2] for of_layer in spikes.values()),
        "clear_different": int(sum(each[clear].sum() for each in wrong.values())),
        "largest_output_deviation": float(distance.max()),
    }


COLUMNS = (
    "kind", "network", "simulator", "paths", "steps", "neuron-steps", "identical",
    "paths with a difference", "clear", "identical there", "output / deviations", "seconds",
)  # fmt: skip


def row(run: Mapping[str, Any]) -> tuple[str, ...]:
    """One line of the table, in the order of `COLUMNS`."""
    clear = run["clear_neuron_steps"]
    return (
        run["kind"], f"`{run['network']}`", run["simulator"], str(run["paths"]), str(run["steps"]),
        f"{run['neuron_steps']:,}", f"{100 * run['share_identical']:.6f} %", str(run["paths_with_a_difference"]),
        f"{clear:,}",
        f"{100 - 100 * run['clear_different'] / clear:.6f} %" if clear else "-",
        f"{run['largest_output_deviation']:.1e}", f"{run['seconds']:.0f}",
    )  # fmt: skip


def table(runs: Iterable[Mapping[str, Any]]) -> str:
    """All runs as Markdown."""
    return markdown(pd.DataFrame(map(row, runs), columns=COLUMNS)) + "\n"


def write(runs: Sequence[Mapping[str, Any]], paths: int | None) -> None:
    """Write the results so far."""
    report = {
        "settings": {"paths": paths, "margin": MARGIN, "random": RANDOM, "seed": SEED},
        "versions": {"python": platform.python_version()} | {name: version(name) for name in PACKAGES},
        "machine": {"architecture": platform.machine(), "cores": os.cpu_count()},
        "results": runs,
    }
    RESULTS.mkdir(parents=True, exist_ok=True)
    write_json(RESULTS / "bridges.json", report)
    (RESULTS / "bridges.md").write_text(table(runs), encoding="utf-8")


def main() -> None:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--paths", type=int, help="paths of each data set; all by default")
    parser.add_argument("--simulators", nargs="+", default=["nengo", "nengo-dl"])
    arguments = parser.parse_args()
    runs = []
    for case in cases(arguments.paths):
        reference = records(case.model, case.inputs)
        clear = clear_steps(reference)
        for simulator in arguments.simulators:
            start = time.perf_counter()
            simulation = simulate(case.model, case.inputs, simulator, batch_size=256)
            seconds = time.perf_counter() - start
            about = {"kind": case.kind, "network": case.name, "simulator": simulator}
            figures = compare(simulation, reference, clear, case.deviation)
            runs.append(about | figures | {"seconds": round(seconds, 1)})
            print(*row(runs[-1]), flush=True)
            write(runs, arguments.paths)


if __name__ == "__main__":
    main()
