"""The process in which NengoDL runs; `nengo_dl_process` starts it as python -m ... FOLDER.

FOLDER holds network.pickle and data.npz, written by the process that started this one; records.npz is left there, or
error.json.
"""

import pickle
import sys
from pathlib import Path

import numpy as np

from kspike_reg.errors import InputError
from kspike_reg.files import replacing, write_json


def main(folder):
    """Run and leave the results; returns the exit status."""
    try:
        work(Path(folder))
    except BrokenPipeError:  # the other process is gone
        return 1
    except Exception as error:
        message = str(error) if isinstance(error, InputError) else f"{type(error).__name__}: {_gist(str(error))}"
        write_json(Path(folder) / "error.json", {"mendable": isinstance(error, InputError), "message": message})
        return 1
    return 0


def _gist(message):
    """The first line of a message and the last: TensorFlow puts the places of the graph in between, indented."""
    lines = [line for line in message.splitlines() if line.strip() and not line[0].isspace()]
    return " ".join(dict.fromkeys(lines[:1] + lines[-1:])) or "no message"


def work(folder):
    """Run what lies in the folder."""
    from kspike_reg.bridges.nengo.dl_neurons import nengo_dl

    # Written by the process that started this one, into a folder that no one else may write to.
    content = pickle.loads((folder / "network.pickle").read_bytes())
    network, nodes, probes = (content[name] for name in ("network", "nodes", "probes"))
    with np.load(folder / "data.npz", allow_pickle=False) as arrays:
        data = [arrays[f"arr_{number}"] for number in range(len(nodes))]
    network.probes[:] = [probe for probe in network.probes if probe in probes]
    with network:
        nengo_dl.configure_settings(dtype="float32", inference_only=True, stateful=False)
    paths, steps = data[0].shape[:2]
    batches = -(-paths // content["batch_size"])
    size = -(-paths // batches)  # batches of one size, so that one graph serves all
    records = [np.empty((paths, steps, probe.size_in), "float32") for probe in probes]
    with nengo_dl.Simulator(network, minibatch_size=size, progress_bar=False) as simulator:
        for start in range(0, paths, size):
            rows = np.arange(start, start + size) % paths  # the last batch is filled up with paths that were run before
            part = {node: array[rows] for node, array in zip(nodes, data, strict=True)}
            found = simulator.predict_on_batch(part)
            for probe, record in zip(probes, records, strict=True):
                record[start : start + size] = found[probe][: paths - start]
            sys.stdout.write(f"paths done: {min(start + size, paths)}\n")
            sys.stdout.flush()
    with replacing(folder / "records.npz") as partial:
        np.savez(partial, *records)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
