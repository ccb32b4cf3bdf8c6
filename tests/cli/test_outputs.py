"""Where commands write to: inputs, links, devices, pipes; standard streams that are full, closed or unread."""

import os
import shutil
import signal
import stat
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from kspike_reg import cli
from kspike_reg.cli.command import Command
from kspike_reg.network.saving import file_of

PATHS = "path,step,strain,stress\na,0,0.0,0\na,1,1e-4,30\nb,0,0.0,0\nb,1,5e-4,90\n"


@pytest.fixture
def workspace(tmp_path, monkeypatch):
    """The current folder, with a model, paths under several names, and a device file."""
    monkeypatch.chdir(tmp_path)
    Path("paths.csv").write_text(PATHS)
    Path("link.csv").symlink_to("paths.csv")
    os.link("paths.csv", "second.csv")
    shutil.copy(file_of("lif-elasticity"), "model.keras")
    return tmp_path


def tree(folder):
    return {str(file): file.read_bytes() for file in sorted(folder.rglob("*")) if file.is_file()}


PREDICT = ("predict", "model.keras", "--overwrite", "--input", "paths.csv", "--output")


@pytest.mark.attack("Files", "an output that is an input, under the same name, another one or a link")
@pytest.mark.parametrize(
    "words",
    [
        (*PREDICT, "paths.csv"),
        (*PREDICT, "./link.csv"),
        (*PREDICT, "second.csv"),
        (*PREDICT, "model.keras"),
        ("predict", "model.keras", "--overwrite", "--input", "link.csv", "--output", "paths.csv"),
        ("export", "model.keras", "--to", "nengo", "--overwrite", "--out", "weights.py", "--data", "weights.npz"),
        ("energy", "model.keras", "--data", "energy/operations.csv", "--out", "energy"),
        ("train", "--data", "run/history.csv", "--inputs", "strain", "--outputs", "stress", "--out", "run"),
    ],
    ids=" ".join,
)
def test_an_output_that_is_an_input_is_refused_and_kept(workspace, words, capfd):
    for name in ("energy/operations.csv", "run/history.csv"):
        Path(name).parent.mkdir()
        Path(name).write_text(PATHS)
    Path("weights.npz").write_bytes(b"paths")
    before = tree(workspace)
    assert cli.main(list(words)) == 2
    error = capfd.readouterr().err
    assert error.startswith(f"kspike-reg {words[0]}: error: ")
    assert "the command reads this file, as " in error
    assert len(error.splitlines()) == 1
    assert tree(workspace) == before


def test_the_trained_networks_of_the_package_are_no_outputs(workspace, capfd):
    words = ["predict", "lif-elasticity", "--overwrite", "--input", "paths.csv", "--output"]
    Path("again.keras").symlink_to(file_of("lif-elasticity"))
    assert cli.main([*words, "again.keras"]) == 2
    assert "the command reads this file, as " in capfd.readouterr().err


@pytest.fixture
def predicted(workspace):
    """The content that `predict` writes."""
    assert cli.main([*PREDICT, "expected.csv"]) == 0
    return Path("expected.csv").read_text()


@pytest.mark.attack("Files", "predictions to a link, a named pipe, a device and standard output")
def test_predictions_go_through_links_and_into_pipes_and_devices(predicted, capfd):
    Path("disk").mkdir()
    Path("disk/old.csv").write_text("old")
    Path("disk/old.csv").chmod(0o640)
    Path("out.csv").symlink_to("disk/old.csv")
    assert cli.main([*PREDICT, "out.csv"]) == 0
    assert Path("out.csv").is_symlink()
    assert Path("disk/old.csv").read_text() == predicted
    assert stat.S_IMODE(Path("disk/old.csv").stat().st_mode) == 0o640

    os.mkfifo("pipe.csv")
    received = []
    reader = threading.Thread(target=lambda: received.append(Path("pipe.csv").read_text()))
    reader.start()
    words = [word for word in PREDICT if word != "--overwrite"]  # a pipe exists, and nothing in it is overwritten
    assert cli.main([*words, "pipe.csv"]) == 0
    reader.join()
    assert received == [predicted]

    capfd.readouterr()
    assert cli.main([*words, "/dev/stdout"]) == 0
    captured = capfd.readouterr()
    assert captured.out == predicted
    assert captured.err == "wrote stress of 2 paths to /dev/stdout\n"
    assert cli.main([*words, "/dev/full"]) == 2
    error = "kspike-reg predict: error: /dev/full: cannot be written: No space left on device\n"
    assert capfd.readouterr().err == error


# --------------------------------------------------------------------------------------------- standard streams

# A command that prints much, after it has written a file, without the seconds that Keras takes to load.
SCRIPT = """
import contextlib, os, sys
from pathlib import Path

from kspike_reg import InputError, cli
from kspike_reg.cli import entry
from kspike_reg.cli.command import Command
from kspike_reg.cli.display import print_table
from kspike_reg.files import write_json

def run(options):
    import pandas as pd
    write_json("whole.json", list(range(2000)))
    Path("numbers.txt").write_text(" ".join(str(os.stat(number).st_rdev) for number in (0, 1, 2)))
    if os.environ["PRINTS"] == "a table":
        for part in range(2):  # one may fit into a pipe
            print_table("numbers", pd.DataFrame({"number": range(9000)}))
    elif os.environ["PRINTS"] == "a line":
        print("wrote whole.json")
    elif os.environ["PRINTS"] == "an error":
        raise InputError("not this one")
    else:
        open("absent/file")

cli.COMMANDS["work"] = Command("Work.", lambda parser: None, run)
sys.modules["keras"] = type(sys)("keras")
sys.modules["keras"].ops = type(sys)("ops")
sys.modules["keras"].ops.zeros = lambda size: None
raise SystemExit(cli.main(sys.argv[1:]))
"""


@pytest.fixture
def work(tmp_path, monkeypatch):
    """A function that runs the command in a shell with redirections; returns status, output and errors."""
    monkeypatch.chdir(tmp_path)
    script = tmp_path / "kspike-reg"  # of this name the package expects that it does without Keras
    script.write_text(SCRIPT)

    def run(prints, redirections, words="work", unbuffered=""):
        environment = os.environ | {"PRINTS": prints, "PYTHONUNBUFFERED": unbuffered}
        command = f"{sys.executable} {script} {words} {redirections}"
        done = subprocess.run(["bash", "-c", command], env=environment, capture_output=True, text=True, check=False)
        assert "Traceback" not in done.stderr
        assert "Exception ignored" not in done.stderr
        if words == "work":
            assert Path("whole.json").read_text().endswith("1999\n]\n")
        return done.returncode, done.stdout, done.stderr

    return run


FULL = "error: standard output: No space left on device\n"


@pytest.mark.attack("Files", "standard output on a full disk")
def test_a_full_standard_output_is_one_line_and_status_1(work):
    assert work("a table", "> /dev/full") == (1, "", f"kspike-reg work: {FULL}")
    assert work("", "> /dev/full 2>&1", "") == (1, "", "")
    for unbuffered in ("", "1"):  # the error comes at the end, or in the middle of argparse, which ignores it
        assert work("a line", "> /dev/full", unbuffered=unbuffered) == (1, "", f"kspike-reg work: {FULL}")
        assert work("", "> /dev/full", "--help", unbuffered=unbuffered) == (1, "", f"kspike-reg --help: {FULL}")


@pytest.mark.attack("Files", "a pipe whose reader ends before the command does")
@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_a_pipe_without_a_reader_ends_the_command_without_a_word(work, unbuffered):
    status, output, errors = work("a table", "| head -n 1; exit ${PIPESTATUS[0]}", unbuffered=unbuffered)
    assert (status, output.strip(), errors) == (128 + signal.SIGPIPE, "numbers", "")


@pytest.mark.attack("Files", "standard error that is full or closed, standard output that is closed")
def test_lost_messages_do_not_change_the_result(work):
    for redirection in ("2> /dev/full", "2>&-", "2>&- >&- <&-"):
        assert work("an error", redirection) == (2, "", "")
    assert work("a line", "2>&- >&- <&-") == (0, "", "")
    # The numbers of closed streams went to the null device, not to files that the command opened.
    assert Path("numbers.txt").read_text().split() == [str(os.stat(os.devnull).st_rdev)] * 3
    assert work("", ">&-", "--help") == (0, "", "")


def test_an_error_of_the_system_is_one_line_and_status_1(work):
    expected = "kspike-reg work: error: absent/file: No such file or directory\n"
    assert work("", "") == (1, "", expected)


# ----------------------------------------------------------------------------------------------------- signals


@pytest.mark.attack("Processes", "each signal that ends a command, also where it becomes another exception on its way")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
@pytest.mark.parametrize("becomes", [None, RuntimeError])
def test_a_signal_ends_a_command_with_its_status(number, becomes, monkeypatch, capfd):
    def work(options):
        try:
            os.kill(os.getpid(), number)
        except KeyboardInterrupt:
            if becomes:
                raise becomes("native code failed") from None
            raise

    before = signal.getsignal(number)
    monkeypatch.setitem(cli.COMMANDS, "work", Command("Work.", lambda parser: None, work))
    if before == signal.SIG_IGN:
        pytest.skip("the tests run under nohup")
    assert cli.main(["work"]) == 128 + number
    assert capfd.readouterr().err == f"\nkspike-reg work: interrupted by {number.name}\n"
    assert signal.getsignal(number) == before


def test_a_signal_that_is_ignored_stays_ignored(monkeypatch, capfd):
    """As nohup does."""
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        work = Command("Work.", lambda parser: None, lambda options: os.kill(os.getpid(), signal.SIGHUP))
        monkeypatch.setitem(cli.COMMANDS, "work", work)
        assert cli.main(["work"]) == 0
    finally:
        signal.signal(signal.SIGHUP, before)
