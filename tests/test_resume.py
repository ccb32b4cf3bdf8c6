"""A run that is killed at any moment continues from its last finished epoch and ends with the same results."""

import csv
import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from kspike_reg import load

SCRIPT = Path(__file__).parent / "killed_run.py"

# In the order in which a run reaches them that is started again after each; seven epochs of four batches.
POINTS = (
    "configuration.json replaced@1",
    "batch ends@3",
    "snapshot half written@2",
    "epoch begins@2",
    "history written@2",
    "snapshot.npz about to be replaced@2",
    "snapshot.npz replaced@2",
    "model half written@1",
    "metrics.json about to be replaced@1",
)


def start(folder, point="never"):
    return subprocess.run([sys.executable, SCRIPT, folder, point], capture_output=True, text=True, check=False)


def results(folder):
    """The weights, and every number of the run except the times."""
    metrics = json.loads((folder / "metrics.json").read_text())
    del metrics["training"]["seconds"]
    with open(folder / "history.csv", newline="") as lines:
        history = [{name: row[name] for name in ("epoch", "loss", "val_loss")} for row in csv.DictReader(lines)]
    return load(folder / "model.keras").get_weights(), metrics, history


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory):
    folder = tmp_path_factory.mktemp("uninterrupted") / "run"
    finished = start(folder)
    assert finished.returncode == 0, finished.stderr
    return results(folder)


def assert_files_are_complete(folder):
    for file in folder.iterdir():
        if file.name.startswith((".partial-", ".lock")):  # the next run takes them over, and removes them
            continue
        if file.suffix == ".npz":
            with np.load(file) as arrays:
                assert arrays["epochs_done"] > 0
        elif file.suffix == ".json":
            json.loads(file.read_text())
        elif file.suffix == ".keras":
            load(file)
        elif file.suffix == ".csv":
            text = file.read_text()  # empty before the first epoch ends
            assert text == "" or text.endswith("\n")
        elif file.suffix == ".md":
            assert file.read_text().endswith(".\n")
        else:
            assert file.read_bytes().startswith(b"\x89PNG")


def assert_same(ours, theirs):
    for one, other in zip(ours[0], theirs[0], strict=True):
        np.testing.assert_array_equal(one, other)
    assert ours[1:] == theirs[1:]
    assert [row["epoch"] for row in ours[2]] == [str(epoch) for epoch in range(7)]


def test_a_run_killed_again_and_again_ends_with_the_same_weights(tmp_path, uninterrupted):
    folder = tmp_path / "run"
    for point in POINTS:
        killed = start(folder, point)
        assert killed.returncode == -signal.SIGKILL, f"{point}: not killed\n{killed.stderr}"
        assert_files_are_complete(folder)
    finished = start(folder)
    assert finished.returncode == 0, finished.stderr
    assert_same(results(folder), uninterrupted)
    left = sorted(file.name for file in folder.iterdir())
    assert left == sorted(
        ["card.md", "configuration.json", "history.csv", "loss.png", "metrics.json", "model.keras", "predictions.png"]
    )


def test_a_kill_from_outside_costs_nothing(tmp_path, uninterrupted):
    folder = tmp_path / "run"
    process = subprocess.Popen([sys.executable, SCRIPT, folder, "never"], stderr=subprocess.DEVNULL)
    while not (folder / "snapshot.npz").exists():
        assert process.poll() is None, "the run ended before it could be killed"
        time.sleep(0.005)
    process.kill()
    assert process.wait() == -signal.SIGKILL
    assert not (folder / "metrics.json").exists()
    assert start(folder).returncode == 0
    assert_same(results(folder), uninterrupted)
