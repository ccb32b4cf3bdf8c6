"""Running a network on NengoDL, in a process of its own.

NengoDL needs Keras 2 as the Keras of TensorFlow, which is decided when TensorFlow is imported, so it cannot share a
process with Keras 3. The two processes exchange the network, the data and the results as files in a private folder.
Progress comes through a pipe, which closes when the other process ends for any reason.
"""

import json
import os
import pickle
import signal
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from kspike_reg.bridges.progress import ProgressBar
from kspike_reg.errors import InputError

__all__ = ["run"]

WORKER = "kspike_reg.bridges.nengo.dl_worker"


def run(
    network: Any,
    data: dict[Any, np.ndarray],
    probes: Sequence[Any],
    progress: bool | None = None,
    batch_size: int = 256,
) -> dict[Any, np.ndarray]:
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
        InputError: NengoDL is not installed, or the network cannot be sent to the other process.
        RuntimeError: NengoDL failed, or its process died.
    """
    nodes = list(data)
    paths = len(data[nodes[0]])
    with tempfile.TemporaryDirectory(prefix="kspike-reg-") as folder:
        folder = Path(folder)
        try:
            content = pickle.dumps({"network": network, "nodes": nodes, "probes": probes, "batch_size": batch_size})
        except Exception as error:  # pickle raises many classes
            raise InputError(
                f"simulate: the network cannot be sent to NengoDL's process: {error}; give its nodes functions that "
                "are defined at the top level of a module"
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
            worker.kill()  # does nothing if it has ended
            worker.wait()
            worker.stdout.close()
    if status == 0:
        return
    if (folder / "error.json").is_file():
        error = json.loads((folder / "error.json").read_text(encoding="utf-8"))
        raise (InputError if error["is_input_error"] else RuntimeError)(f"simulate: on NengoDL: {error['message']}")
    last = (folder / "log.txt").read_text(encoding="utf-8", errors="replace").strip().splitlines()[-3:]
    how = f"was killed by {signal.Signals(-status).name}" if status < 0 else f"ended with status {status}"
    raise RuntimeError(
        f"simulate: NengoDL's process {how} before it was done; memory may have run out, so try a smaller "
        f"batch_size. Its last messages: {' / '.join(last) or 'none'}"
    )


def _environment():
    """The environment of this process, with the variables that NengoDL needs and the same places to import from."""
    return os.environ | {
        "TF_USE_LEGACY_KERAS": "1",
        "KERAS_BACKEND": "tensorflow",  # of Keras 3, whose operations the steps of our neurons use
        "TF_CPP_MIN_LOG_LEVEL": os.environ.get("TF_CPP_MIN_LOG_LEVEL", "2"),
        "PYTHONPATH": os.pathsep.join(place or os.getcwd() for place in sys.path),
    }
