"""Commands that are killed at random moments: nothing is lost, nothing goes on running, the result is the same."""

import csv
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from killed_study import STUDY
from kspike_reg import cli, experiments, load
from kspike_reg.experiments import STUDIES
from kspike_reg.experiments.reproduce import cases_of

pytestmark = pytest.mark.skipif(not os.path.isdir("/proc/self"), reason="finds processes in /proc")

SCRIPT = Path(__file__).parent / "killed_study.py"
SIGNALS = (signal.SIGKILL, signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
PATHS = "path,step,strain\na,0,0.0\na,1,1e-4\nb,0,0.0\nb,1,5e-4\nb,2,9e-4\n"
# The folder or file that each command writes, and its other words.
COMMANDS = {
    "train": ("run", ["train", "--task", "elasticity", "--timesteps", "3", "--units", "6", "--population", "4",
                      "--depth", "2", "--epochs", "20", "--training-paths", "200", "--seed", "11", "--out", "run"]),
    "reproduce": ("study", ["reproduce", "small", "--workers", "2", "--out", "study"]),
    "energy": ("energy", ["energy", "lif-elasticity", "--data", "paths.csv", "--out", "energy"]),
    "export": ("export", ["export", "lif-elasticity", "--to", "nengo", "--overwrite", "--out", "export/lif.py"]),
    "predict": ("predict", ["predict", "lif-elasticity", "--input", "paths.csv", "--overwrite", "--output",
                            "predict/out.csv"]),
}  # fmt: skip


def start(command):
    """The command as a process with a session of its own, by which its children are found."""
    return subprocess.Popen(
        [sys.executable, SCRIPT, *COMMANDS[command][1]],
        start_new_session=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip


def running(session):
    """The processes of a session that have not ended."""
    found = []
    for folder in Path("/proc").iterdir():
        if folder.name.isdecimal():
            try:
                state, _, _, of = (folder / "stat").read_text().rpartition(")")[2].split()[:4]
            except OSError:  # it has just ended
                continue
            if int(of) == session and state != "Z":
                found.append(int(folder.name))
    return found


def kill(command, moment, number):
    """Start a command, send it a signal, and check how it ends.

    Args:
        command: its name.
        moment: seconds since the command itself began, after the imports; negative ones since the process began.
        number: the signal.

    Returns:
        Whether it was still running.
    """
    process = start(command)
    if moment >= 0:
        assert process.stdout.readline() == b"begins\n"
    try:
        _, messages = process.communicate(timeout=abs(moment))
    except subprocess.TimeoutExpired:
        process.send_signal(number)
        _, messages = process.communicate(timeout=60)
    messages = messages.decode()
    # Before `main` is reached the signal ends Python by itself, SIGINT with a traceback.
    assert process.returncode in (0, -number, 128 + number), messages
    assert process.returncode <= 0 or "Traceback" not in messages, messages
    patience = time.monotonic() + 20  # workers end within one call of native code
    while running(process.pid):
        assert time.monotonic() < patience, f"processes {running(process.pid)} are left"
        time.sleep(0.05)
    if process.returncode == 128 + number:
        assert not left_behind()
    return process.returncode != 0


def left_behind():
    """Temporary files and locks."""
    return [str(file) for file in Path().rglob(".*")]


def results(command):
    """Everything that a command has made, without the times; by file, or by case."""
    place = Path(COMMANDS[command][0])
    if command == "train":
        return results_of_run(place)
    if command == "reproduce":
        return {case.name: results_of_run(case) for case in sorted((place / "cases").iterdir())}
    return {str(file): file.read_bytes() for file in sorted(place.rglob("*")) if file.is_file()}


def results_of_run(folder):
    metrics = json.loads((folder / "metrics.json").read_text())
    del metrics["training"]["seconds"], metrics["environment"]["threads"]  # those of a worker are fewer
    with open(folder / "history.csv", newline="") as lines:
        history = [{name: row[name] for name in ("epoch", "loss", "val_loss")} for row in csv.DictReader(lines)]
    weights = [weight.tolist() for weight in load(folder / "model.keras").get_weights()]
    return metrics, history, weights, sorted(file.name for file in folder.iterdir())


@pytest.fixture
def small_study(monkeypatch):
    monkeypatch.setitem(STUDIES, "small", STUDY)


@pytest.fixture
def reference(tmp_path_factory, monkeypatch, small_study):
    """A function that returns what a command makes without a kill, and about how many seconds that takes."""

    def find(command):
        folder = tmp_path_factory.mktemp("reference")
        with monkeypatch.context() as patch:
            patch.chdir(folder)
            prepare()
            begin = time.monotonic()
            if command == "reproduce":
                settings = {"recipe": "paper", "quick": False, "changes": {}}
                for case in cases_of(STUDY, Path("study"), settings, []):
                    experiments.run(case.configuration, case.folder)
                return results(command), 3 * (time.monotonic() - begin)  # each worker imports the package
            assert cli.main(COMMANDS[command][1]) == 0
            return results(command), time.monotonic() - begin

    return find


def prepare():
    """The files that commands read, and one that two of them replace."""
    Path("paths.csv").write_text(PATHS)
    for file in ("export/lif.py", "predict/out.csv"):
        Path(file).parent.mkdir()
        Path(file).write_text("precious\n")


def attack(command, moments, expected):
    """Kill a command at each of the moments, pairs (seconds, signal), then let it end; returns how often it ran."""
    hits = 0
    for moment, number in moments:
        hits += kill(command, moment, number)
        if command in ("energy", "export", "predict"):  # each file is the old one, the new one, or not there
            for name, content in results(command).items():
                if not os.path.basename(name).startswith(".partial-"):
                    assert content in (expected[name], b"precious\n"), f"{name} after {number!r} at {moment:.3f} s"
    assert cli.main(COMMANDS[command][1]) == 0
    assert results(command) == expected
    assert not left_behind()
    return hits


# Moments of the suite, as shares of the time that the command takes.
SHORT = {
    "train": ((0.3, signal.SIGTERM), (0.5, signal.SIGKILL), (0.2, signal.SIGHUP)),
    "reproduce": ((0.6, signal.SIGKILL), (0.7, signal.SIGTERM)),
    "energy": ((0.5, signal.SIGHUP),),
    "export": ((0.4, signal.SIGINT),),
    "predict": ((0.6, signal.SIGKILL),),
}


@pytest.mark.attack("Processes", "SIGKILL, SIGTERM, SIGINT and SIGHUP in the middle of a command")
@pytest.mark.parametrize("command", COMMANDS)
def test_a_killed_command_loses_nothing_and_leaves_nothing_running(
    command, reference, tmp_path, monkeypatch, record_property
):
    expected, seconds = reference(command)
    monkeypatch.chdir(tmp_path)
    prepare()
    record_property("times", len(SHORT[command]))
    attack(command, [(share * seconds, number) for share, number in SHORT[command]], expected)


@pytest.mark.nightly
@pytest.mark.attack("Processes", "SIGKILL, SIGTERM, SIGINT and SIGHUP at 50 random moments of each command")
@pytest.mark.parametrize("command", COMMANDS)
def test_fifty_kills_lose_nothing(command, reference, tmp_path, monkeypatch, record_property):
    """Five kills after one another, then a restart that must end; ten times."""
    expected, seconds = reference(command)
    seed = int.from_bytes(os.urandom(4))
    print(f"seed {seed}")
    draw = random.Random(seed)
    hits = 0
    for attempt in range(10):
        (folder := tmp_path / str(attempt)).mkdir()
        monkeypatch.chdir(folder)
        prepare()
        # Every fifth one comes while the process starts.
        moments = [draw.uniform(0, seconds) for _ in range(4)] + [-draw.uniform(0.01, 5)]
        moments = [(moment, SIGNALS[(5 * attempt + index) % 4]) for index, moment in enumerate(moments)]
        hits += attack(command, moments, expected)
        monkeypatch.chdir(tmp_path)
        shutil.rmtree(folder)
    record_property("times", 50)
    assert hits >= 25, "most kills came too late"
