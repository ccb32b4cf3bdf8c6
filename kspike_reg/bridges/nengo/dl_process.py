"""Running a network on NengoDL, in a process of its own.

NengoDL wants TensorFlow's Keras to be Keras 2, which is settled when TensorFlow is imported, so it cannot share a
process with Keras 3. Network and data go over in files that only the two processes see, results come back likewise,
and progress over a pipe, whose end tells that the other process is gone, however it ended.
"""

import json
import os
import pickle
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

from kspike_reg.bridges.progress import ProgressBar
from kspike_reg.errors import InputError

__all__ = ["run"]

WORKER = "kspike_reg.bridges.nengo.dl_worker"


def run(network, data, probes, progress=None, batch_size=256):
    """Run all paths, `batch_size` at a time.

    Args:
        network: a `nengo.Network`.
        data: arrays (n, T, width) by input node.
        probes: probes of the network.
        progress: see `simulate`.
        batch_size: paths at a time.

    Returns:
        Arrays (n, T, width) by probe.

    Raises:
        InputError: NengoDL is not installed, or the network cannot be handed over.
        RuntimeError: NengoDL failed, or its process died.
    """
    nodes = list(data)
    paths = len(data[nodes[0]])
    with tempfile.TemporaryDirectory(prefix="kspike-reg-") as folder:
        folder = Path(folder)
        try:
            content = pickle.dumps({"network": network, "nodes": nodes, "probes": probes, "batch_size": batch_size})
        except Exception as error:  # whatever a node's function holds
            raise InputError(
                f"simulate: the network cannot be handed to NengoDL's process: {error}; take functions out of its "
                "nodes that are defined on the fly"
            ) from error
        (folder / "network.pickle").write_bytes(content)
        np.savez(folder / "data.npz", *data.values())
        with ProgressBar("NengoDL", paths, progress) as bar:
            _work(folder, bar)
        with np.load(folder / "records.npz", allow_pickle=False) as records:
            return {probe: records[f"arr_{number}"] for number, probe in enumerate(probes)}


def _work(folder, bar):
    """Start the worker, follow it to its end, and raise what it raised."""
    with open(folder / "log.txt", "wb") as log:
        worker = subprocess.Popen(
            [sys.executable, "-m", WORKER, str(folder)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=log,
            env=_environment(),
            text=True,
        )
        try:
            for line in worker.stdout:
                if line.startswith("paths done: "):
                    bar.done(int(line.rpartition(" ")[2]))
            status = worker.wait()
        finally:
            worker.kill()  # nothing where it has ended
            worker.wait()
            worker.stdout.close()
    if status == 0:
        return
    if (folder / "error.json").is_file():
        error = json.loads((folder / "error.json").read_text(encoding="utf-8"))
        raise (InputError if error["mendable"] else RuntimeError)(f"simulate: on NengoDL: {error['message']}")
    last = (folder / "log.txt").read_text(encoding="utf-8", errors="replace").strip().splitlines()[-3:]
    how = f"was ended by {signal.Signals(-status).name}" if status < 0 else f"ended with status {status}"
    raise RuntimeError(
        f"simulate: NengoDL's process {how} before it was done; memory may have run out, so try a smaller "
        f"batch_size. Its last words: {' / '.join(last) or 'none'}"
    )


def _environment():
    """That of this process, with the variable that NengoDL needs; modules are found where this process finds them."""
    return os.environ | {
        "TF_USE_LEGACY_KERAS": "1",
        "KERAS_BACKEND": "tensorflow",  # of Keras 3, whose operations the neurons of this package are written in
        "TF_CPP_MIN_LOG_LEVEL": os.environ.get("TF_CPP_MIN_LOG_LEVEL", "2"),
        "PYTHONPATH": os.pathsep.join(place or os.getcwd() for place in sys.path),
    }
