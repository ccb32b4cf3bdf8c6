"""Whether networks give the same spikes and the same stress on Nengo and NengoDL as in Keras.

    python profiling/bridges_table.py [--paths N] [--simulators nengo nengo-dl]

runs the trained networks of models/ on their whole test sets, or the first N paths of them, and untrained networks on
random walks, prints a table and writes profiling/results/bridges.json and bridges.md. A neuron-step is one neuron in
one step of one path; `model.predict` is the reference. Near a threshold a rounding error may make a spike or undo it:
"clear" counts the neuron-steps of each path up to the first step in which any membrane of the network comes within
1e-4 of its threshold.
"""

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")  # the package loads Keras, whose start is of no interest here

import argparse
import json
import platform
import time
from importlib.metadata import version
from pathlib import Path

import keras
import numpy as np
import pandas as pd

import kspike_reg
from kspike_reg.bridges import simulate
from kspike_reg.experiments import Configuration
from kspike_reg.files import write_json
from kspike_reg.network import SPIKING, spiking_layers
from kspike_reg.tables import markdown

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "profiling" / "results"
MARGIN = 1e-4  # distance from the threshold that keeps spikes safe from rounding
RANDOM = {"paths": 256, "steps": 50, "features": 2, "outputs": 2, "units": 64, "population": 64}
SEED = 0


def cases(paths):
    """Each case: kind, name, model, inputs, and the standard deviation of each output in the data of training."""
    for file in sorted((ROOT / "models").glob("*/metrics.json")):
        name, record = file.parent.name, json.loads(file.read_text(encoding="utf-8"))
        kind = record["configuration"]["kind"]
        if kind not in SPIKING:
            continue
        fields = {key: tuple(v) if isinstance(v, list) else v for key, v in record["configuration"].items()}
        model = kspike_reg.load(file.parent / "model.keras")
        inputs = Configuration(**fields).load_data()[2].inputs[:paths]
        yield kind, name, model, inputs.astype("float32"), model.layers[-1].deviation
    sizes = {name: RANDOM[name] for name in ("features", "outputs", "units", "population")}
    generator = np.random.default_rng(SEED)
    walks = generator.normal(0, 0.3, (RANDOM["paths"], RANDOM["steps"], RANDOM["features"])).cumsum(axis=1)
    for kind in SPIKING:
        firing = {"threshold": (0.05, 0.5), "readout_decay": (0.0, 1.0)} | (
            {} if kind == "slstm" else {"decay": (0, 1)}
        )
        model = kspike_reg.build(kind, seed=SEED, **sizes, **firing)
        inputs = walks[:paths].astype("float32")
        yield kind, "random", model, inputs, model.predict(inputs, verbose=0).std(axis=(0, 1)).tolist()


def reference(model, inputs):
    """Outputs, spikes and membranes by Keras, the latter two by layer; in a chain each layer hears the one before."""
    layers, membranes = spiking_layers(model), []
    for layer in layers:
        twin = type(layer).from_config(layer.get_config() | {"output": "membrane", "name": f"{layer.name}_membrane"})
        membranes.append(twin(layer.input))
        twin.set_weights(layer.get_weights())
    recorder = keras.Model(model.input, [model.output, [layer.output for layer in layers], membranes])
    outputs, records, membranes = recorder.predict(inputs, batch_size=256, verbose=0)
    spikes = {
        layer.name: keras.ops.convert_to_numpy(layer.cell.spikes_of(record))
        for layer, record in zip(layers, records, strict=True)
    }
    return outputs, spikes, {layer.name: membrane for layer, membrane in zip(layers, membranes, strict=True)}


def clear_steps(model, membranes):
    """Booleans (paths, steps): whether no membrane has come near its threshold so far."""
    clear = True
    for layer in spiking_layers(model):
        distance = np.abs(membranes[layer.name] - keras.ops.convert_to_numpy(layer.cell.threshold))
        clear = clear & (distance >= MARGIN).all(axis=2)
    return np.logical_and.accumulate(clear, axis=1)


def compare(model, simulation, outputs, spikes, clear, deviation):
    """The figures of one run."""
    steps = sum(record.size for record in spikes.values())
    wrong = {name: simulation.spikes[name] != record for name, record in spikes.items()}
    clear_count = sum(int(clear.sum()) * record.shape[2] for record in spikes.values())
    distance = np.abs(np.asarray(simulation.outputs) - outputs) / np.array(deviation)
    return {
        "paths": len(outputs),
        "steps": outputs.shape[1],
        "neuron_steps": steps,
        "spikes": int(sum(record.sum(dtype=np.int64) for record in spikes.values())),
        "different": int(sum(each.sum() for each in wrong.values())),
        "share_identical": 1 - float(sum(each.sum() for each in wrong.values())) / steps,
        "paths_with_a_difference": int(np.any([each.any(axis=(1, 2)) for each in wrong.values()], axis=0).sum()),
        "clear_neuron_steps": clear_count,
        "clear_different": int(sum(each[clear].sum() for each in wrong.values())),
        "largest_output_deviation": float(distance.max()),
    }


COLUMNS = (
    "kind", "network", "simulator", "paths", "steps", "neuron-steps", "identical",
    "paths with a difference", "clear", "identical there", "output / deviations", "seconds",
)  # fmt: skip


def row(run):
    """One line of the table, in the order of `COLUMNS`."""
    clear = run["clear_neuron_steps"]
    return (
        run["kind"], f"`{run['network']}`", run["simulator"], str(run["paths"]), str(run["steps"]),
        f"{run['neuron_steps']:,}", f"{100 * run['share_identical']:.6f} %", str(run["paths_with_a_difference"]),
        f"{clear:,}",
        f"{100 - 100 * run['clear_different'] / clear:.6f} %" if clear else "-",
        f"{run['largest_output_deviation']:.1e}", f"{run['seconds']:.0f}",
    )  # fmt: skip


def table(runs):
    """All runs as Markdown."""
    return markdown(pd.DataFrame(map(row, runs), columns=COLUMNS)) + "\n"


def write(runs, arguments):
    """Write what has been measured so far."""
    packages = ("kspike_reg", "keras", "tensorflow", "numpy", "nengo", "nengo-dl", "tf-keras")
    report = {
        "settings": {"paths": arguments.paths, "margin": MARGIN, "random": RANDOM, "seed": SEED},
        "versions": {"python": platform.python_version()} | {name: version(name) for name in packages},
        "machine": {"architecture": platform.machine(), "cores": os.cpu_count()},
        "results": runs,
    }
    RESULTS.mkdir(parents=True, exist_ok=True)
    write_json(RESULTS / "bridges.json", report)
    (RESULTS / "bridges.md").write_text(table(runs), encoding="utf-8")


def main():
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--paths", type=int, help="paths of each data set; all by default")
    parser.add_argument("--simulators", nargs="+", default=["nengo", "nengo-dl"])
    arguments = parser.parse_args()
    runs = []
    for kind, name, model, inputs, deviation in cases(arguments.paths):
        outputs, spikes, membranes = reference(model, inputs)
        clear = clear_steps(model, membranes)
        for simulator in arguments.simulators:
            start = time.perf_counter()
            found = simulate(model, inputs, simulator, batch_size=256)
            seconds = time.perf_counter() - start
            figures = compare(model, found, outputs, spikes, clear, deviation)
            runs.append(
                {"kind": kind, "network": name, "simulator": simulator, **figures, "seconds": round(seconds, 1)}
            )
            print(*row(runs[-1]), flush=True)
            write(runs, arguments)


if __name__ == "__main__":
    main()
