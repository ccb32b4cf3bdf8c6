"""One process at a time in the folder of a run or a study; a dead one blocks nothing."""

import errno
import fcntl
import json
import os
import signal
import socket
import subprocess
import sys
import threading

import pytest

from kspike_reg import InputError, experiments
from kspike_reg.experiments import Configuration
from kspike_reg.experiments.locking import HOLDER, LOCK, UnlockedWarning, locked

CONFIGURATION = Configuration(task="elasticity", timesteps=3, units=3, population=2, depth=1, epochs=1)
HOLD = """
import sys
from pathlib import Path
from kspike_reg.experiments.locking import locked

with locked(Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def holder(tmp_path):
    """A process that holds the lock of `tmp_path / "run"` until its standard input ends."""
    script = tmp_path / "kspike-reg"  # of this name the package expects that it does without Keras
    script.write_text(HOLD)
    (tmp_path / "run").mkdir()
    process = subprocess.Popen(
        [sys.executable, script, tmp_path / "run"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout.readline() == "held\n"
    yield process
    process.kill()
    process.wait()
    process.stdin.close()
    process.stdout.close()


@pytest.mark.attack("Processes", "two trainings, or two studies, in one folder")
@pytest.mark.parametrize("what", ["run", "reproduce"])
def test_the_second_process_says_who_holds_the_folder_and_changes_nothing(holder, tmp_path, what):
    folder = tmp_path / "run"
    before = {file.name: file.read_bytes() for file in folder.iterdir()}
    with pytest.raises(InputError) as caught:
        experiments.run(CONFIGURATION, folder) if what == "run" else experiments.reproduce("ramberg-osgood", folder)
    who = f"{folder}: in use by process {holder.pid} on {socket.gethostname()} (kspike-reg {folder}), since 2"
    assert str(caught.value).startswith(who)
    assert str(caught.value).endswith("wait until it has ended or end it, then give the same command again, or choose "
                                      "another folder")  # fmt: skip
    assert {file.name: file.read_bytes() for file in folder.iterdir()} == before


@pytest.mark.attack("Processes", "a lock that a killed process has left behind")
def test_the_lock_of_a_killed_process_blocks_nothing_and_its_files_are_removed(holder, tmp_path):
    folder = tmp_path / "run"
    holder.send_signal(signal.SIGKILL)
    holder.wait()
    assert sorted(os.listdir(folder)) == [LOCK, HOLDER]
    experiments.run(CONFIGURATION, folder)  # which refuses a folder with foreign files
    assert sorted(os.listdir(folder)) == [
        "card.md", "configuration.json", "history.csv", "loss.png", "metrics.json", "model.keras", "predictions.png"
    ]  # fmt: skip


def test_a_process_with_patience_waits_for_the_other_one(holder, tmp_path):
    with pytest.raises(InputError, match="in use by process"), locked(tmp_path / "run", patience=0.3):
        raise AssertionError("the folder is locked")
    threading.Timer(0.5, holder.stdin.close).start()
    with locked(tmp_path / "run", patience=60):
        holder.wait()
        assert json.loads((tmp_path / "run" / HOLDER).read_text())["pid"] == os.getpid()
    assert os.listdir(tmp_path / "run") == []


def test_a_folder_is_locked_within_one_process_too_and_free_after_an_error(tmp_path):
    def fail():
        with locked(tmp_path):
            with pytest.raises(InputError, match=f"in use by process {os.getpid()} on"), locked(tmp_path):
                raise AssertionError("the folder is locked")
            raise KeyError

    with pytest.raises(KeyError):
        fail()
    with locked(tmp_path):
        assert sorted(os.listdir(tmp_path)) == [LOCK, HOLDER]
    assert os.listdir(tmp_path) == []


def test_a_lock_whose_holder_is_unreadable_is_refused_all_the_same(tmp_path):
    with locked(tmp_path):
        for content in ("", "[]", "{}", '{"host": 3}'):
            (tmp_path / HOLDER).write_text(content)
            with pytest.raises(InputError, match="in use by another process; wait"), locked(tmp_path):
                raise AssertionError("the folder is locked")


def test_a_lock_of_another_computer_can_be_removed(tmp_path):
    """Where the file system itself cannot tell whether that computer still runs."""
    with locked(tmp_path):
        holder = json.loads((tmp_path / HOLDER).read_text()) | {"host": "elsewhere"}
        (tmp_path / HOLDER).write_text(json.dumps(holder))
        with pytest.raises(InputError, match=r"on elsewhere .*; if that process has ended, remove .*/\.lock$"):
            locked(tmp_path).__enter__()


def test_a_file_system_without_locks_is_a_warning(tmp_path, monkeypatch):
    def refuse(number, operation):
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr(fcntl, "flock", refuse)
    with pytest.warns(UnlockedWarning, match="cannot lock folders; make sure that no other process"), locked(tmp_path):
        (tmp_path / "model.keras").touch()
    assert (tmp_path / "model.keras").exists()


def test_a_folder_that_cannot_be_locked_for_another_reason_is_an_error(tmp_path):
    (tmp_path / LOCK).mkdir()
    with pytest.raises(InputError, match="cannot be locked: "), locked(tmp_path):
        raise AssertionError("there is no lock")
