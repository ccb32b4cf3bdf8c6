"""The process in which NengoDL runs; `dl_process` starts it as python -m ... FOLDER.

FOLDER holds network.pickle and data.npz, written by the process that started this one. This process writes records.npz,
or error.json.
"""

import pickle
import sys
from pathlib import Path

import numpy as np

from kspike_reg.errors import InputError
from kspike_reg.files import replacing, write_json


def main(folder: str) -> int:
    """Run, write the results or the error to the folder, and return the exit status."""
    try:
        work(Path(folder))
    except BrokenPipeError:  # the other process has ended
        return 1
    except Exception as error:
        is_input_error = isinstance(error, InputError)
        message = str(error) if is_input_error else f"{type(error).__name__}: {_gist(str(error))}"
        write_json(Path(folder) / "error.json", {"is_input_error": is_input_error, "message": message})
        return 1
    return 0


def _gist(message):
    """The first line of a message and the last; between them TensorFlow prints the graph, indented."""
    lines = [line for line in message.splitlines() if line.strip() and not line[0].isspace()]
    return " ".join(dict.fromkeys(lines[:1] + lines[-1:])) or "no message"


def work(folder: Path) -> None:
    """Run the network in the folder on the data in the folder."""
    from kspike_reg.bridges.nengo.dl_neurons import nengo_dl

    # Written by the process that started this one, into a folder that only its user can write to.
    content = pickle.loads((folder / "network.pickle").read_bytes())
    network, nodes, probes = (content[name] for name in ("network", "nodes", "probes"))
    with np.load(folder / "data.npz", allow_pickle=False) as arrays:
        data = [arrays[f"arr_{number}"] for number in range(len(nodes))]
    network.probes[:] = [probe for probe in network.probes if probe in probes]
    with network:
        nengo_dl.configure_settings(dtype="float32", inference_only=True, stateful=False)
    paths, steps = data[0].shape[:2]
    batches = -(-paths // content["batch_size"])
    size = -(-paths // batches)  # batches of one size, so that one graph runs all of them
    records = [np.empty((paths, steps, probe.size_in), "float32") for probe in probes]
    with nengo_dl.Simulator(network, minibatch_size=size, progress_bar=False) as simulator:
        for start in range(0, paths, size):
            rows = np.arange(start, start + size) % paths  # the last batch is filled up with the first paths
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
