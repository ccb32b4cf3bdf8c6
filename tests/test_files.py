"""Files are written as a whole or not at all, whatever happens meanwhile."""

import json
import os
import stat
import subprocess
import sys
import threading

import pytest

from kspike_reg.errors import InputError
from kspike_reg.files import is_standard_output, prepare_folder, replacing, write_json


def tree(folder):
    """Every file below `folder` with its content, and every folder."""
    return {str(path.relative_to(folder)): path.read_bytes() if path.is_file() else None for path in folder.rglob("*")}


class Interruption(BaseException):
    """Like a kill or Ctrl-C: no handler of `Exception` catches it."""


def test_the_new_content_replaces_the_old_at_the_end_of_the_block(tmp_path):
    file = tmp_path / "weights.txt"
    file.write_text("old")
    with replacing(file) as partial:
        partial.write_text("new")
        assert file.read_text() == "old"  # until the block ends
    assert tree(tmp_path) == {"weights.txt": b"new"}


def test_the_old_content_is_never_changed(tmp_path):
    """A process that has the old file open reads all of it, since the new one is another file under its name."""
    file = tmp_path / "weights.txt"
    file.write_text("old")
    with open(file) as old:
        with replacing(file) as partial:
            partial.write_text("newer")
        assert old.read() == "old"
    assert file.read_text() == "newer"


def test_a_new_file_is_made(tmp_path):
    with replacing(str(tmp_path / "weights.txt")) as partial:
        partial.write_text("new")
    assert tree(tmp_path) == {"weights.txt": b"new"}


def test_the_temporary_file_is_in_the_same_folder_with_the_same_suffix_and_always_the_same_name(tmp_path):
    """Writers choose their format by the suffix; a folder on another disk could not be replaced in one step."""
    names = []
    for _ in range(2):
        with replacing(tmp_path / "model.keras") as partial:
            partial.write_text("new")
            names.append(partial)
    assert names[0] == names[1] != tmp_path / "model.keras"
    assert names[0].parent == tmp_path
    assert names[0].suffix == ".keras"


def break_off(file, error):
    """Raise `error` in the middle of writing."""
    with replacing(file) as partial:
        partial.write_text("ne")
        raise error


@pytest.mark.parametrize("error", [KeyError("a"), ValueError("b"), Interruption(), KeyboardInterrupt()])
def test_the_old_file_is_kept_when_the_block_raises(tmp_path, error):
    """In the middle of writing: the same error is raised, and no other file is left."""
    file = tmp_path / "weights.txt"
    file.write_text("old")
    with pytest.raises(type(error)) as caught:
        break_off(file, error)
    assert caught.value is error
    assert tree(tmp_path) == {"weights.txt": b"old"}


def test_a_block_that_raises_before_it_writes_changes_nothing(tmp_path):
    with pytest.raises(KeyError), replacing(tmp_path / "weights.txt"):
        raise KeyError
    assert tree(tmp_path) == {}


def test_the_next_attempt_overwrites_the_temporary_file_of_a_kill(tmp_path):
    file = tmp_path / "weights.txt"
    with replacing(file) as partial:
        name = partial
        partial.write_text("first")
    name.write_text("half of the sec")  # as after a kill
    with replacing(file) as partial:
        partial.write_text("third")
    assert tree(tmp_path) == {"weights.txt": b"third"}


def test_a_block_that_writes_nothing_is_an_error_and_keeps_the_old_file(tmp_path):
    file = tmp_path / "weights.txt"
    file.write_text("old")
    with pytest.raises(InputError, match=r"weights\.txt: cannot be written"), replacing(file):
        assert file.exists()
    assert tree(tmp_path) == {"weights.txt": b"old"}


def impossible(folder):
    """Names below `folder` where no file can be written, even as root."""
    (folder / "regular").write_text("a file")
    (folder / "folder").mkdir()
    (folder / "folder" / "inside").write_text("kept")
    return {
        "below a file": folder / "regular" / "new.txt",
        "in no folder": folder / "absent" / "new.txt",
        "in place of a folder": folder / "folder",
        "too long a name": folder / ("x" * 300 + ".txt"),
    }


PLACES = ("below a file", "in no folder", "in place of a folder", "too long a name")


@pytest.mark.parametrize("place", PLACES)
def test_a_file_that_cannot_be_written_is_refused_by_name(tmp_path, place):
    file = impossible(tmp_path)[place]
    before = tree(tmp_path)
    with pytest.raises(InputError, match="cannot be written") as caught, replacing(file) as partial:
        partial.write_text("new")
    assert str(caught.value).startswith(f"{file}: ")
    assert "\n" not in str(caught.value)
    assert tree(tmp_path) == before


@pytest.mark.parametrize("name", ["", ".", "/"])
def test_a_name_that_is_not_the_name_of_a_file_is_refused(name):
    with pytest.raises(InputError), replacing(name) as partial:
        partial.write_text("new")


def test_json_is_written_whole_or_not_at_all(tmp_path):
    file = tmp_path / "metrics.json"
    content = {"error": 0.25, "names": ["strain", "ε"], "none": None}
    write_json(file, content)
    assert json.loads(file.read_text(encoding="utf-8")) == content
    before = tree(tmp_path)
    with pytest.raises(TypeError):
        write_json(file, {"error": 0.5, "names": object()})
    assert tree(tmp_path) == before


def test_a_folder_is_made_with_its_parents_and_left_empty(tmp_path):
    folder = tmp_path / "runs" / "elasticity" / "first"
    assert prepare_folder(str(folder)) == folder
    assert folder.is_dir()
    assert list(folder.iterdir()) == []


def test_an_existing_folder_keeps_its_content(tmp_path):
    (tmp_path / "notes.txt").write_text("kept")
    prepare_folder(tmp_path)
    assert tree(tmp_path) == {"notes.txt": b"kept"}


@pytest.mark.parametrize(
    "name",
    [
        pytest.param("regular", id="a file"),
        pytest.param("regular/run", id="below a file"),
        pytest.param("regular/runs/first", id="two below a file"),
        pytest.param("x" * 300, id="too long a name"),
        pytest.param("new/" + "x" * 300, id="too long a name in a new folder"),
    ],
)
def test_a_folder_that_cannot_be_made_is_refused_by_name_and_leaves_nothing(tmp_path, name):
    (tmp_path / "regular").write_text("a file")
    with pytest.raises(InputError, match="cannot be used as a folder to write to") as caught:
        prepare_folder(tmp_path / name)
    assert str(caught.value).startswith(f"{tmp_path / name}: ")
    assert "\n" not in str(caught.value)
    assert tree(tmp_path) == {"regular": b"a file"}


# ------------------------------------------------------------------------------- links, modes, devices, power cuts


@pytest.mark.attack("Files", "an output that is a symbolic link, to a file, to a new name, through another link")
@pytest.mark.parametrize("there", [True, False])
def test_the_file_behind_a_link_is_replaced_and_the_link_stays(tmp_path, there):
    (tmp_path / "disk").mkdir()
    target, link, chain = tmp_path / "disk" / "weights", tmp_path / "weights.npz", tmp_path / "chain.npz"
    if there:
        target.write_text("old")
    link.symlink_to(target)
    chain.symlink_to("weights.npz")
    with replacing(chain) as partial:
        assert (partial.parent, partial.suffix) == (target.parent, ".npz")  # one step, and the writer's format
        partial.write_text("new")
    assert link.is_symlink()
    assert chain.is_symlink()
    assert target.read_text() == "new"
    assert sorted(tree(tmp_path)) == ["chain.npz", "disk", "disk/weights", "weights.npz"]


@pytest.mark.attack("Files", "an output whose mode is not the usual one")
@pytest.mark.parametrize("mode", [0o600, 0o664, 0o755])
def test_the_mode_and_the_owner_of_a_file_are_kept(tmp_path, mode):
    file = tmp_path / "weights.txt"
    file.write_text("old")
    file.chmod(mode)
    if os.geteuid() == 0:
        os.chown(file, 1234, 2345)
    before = file.stat()
    with replacing(file) as partial:
        partial.write_text("new")
    after = file.stat()
    assert stat.S_IMODE(after.st_mode) == mode
    assert (after.st_uid, after.st_gid) == (before.st_uid, before.st_gid)


def test_a_new_file_has_the_usual_mode(tmp_path):
    with replacing(tmp_path / "weights.txt") as partial:
        partial.write_text("new")
    (tmp_path / "usual.txt").write_text("new")
    assert (tmp_path / "weights.txt").stat().st_mode == (tmp_path / "usual.txt").stat().st_mode


def test_a_write_protected_file_is_refused(tmp_path, monkeypatch):
    file = tmp_path / "weights.txt"
    file.write_text("precious")
    file.chmod(0o444)
    if os.geteuid() == 0:  # who may write to everything
        monkeypatch.setattr(os, "access", lambda file, mode: mode != os.W_OK)
    with pytest.raises(InputError, match=r"weights\.txt: cannot be written: Permission denied"), replacing(file):
        raise AssertionError("nothing is computed for a file that cannot be written")
    assert tree(tmp_path) == {"weights.txt": b"precious"}


def test_a_planted_link_under_the_temporary_name_does_not_lead_elsewhere(tmp_path):
    (tmp_path / "precious").write_text("precious")
    (tmp_path / ".partial-weights.txt").symlink_to(tmp_path / "precious")
    with replacing(tmp_path / "weights.txt") as partial:
        partial.write_text("new")
    assert tree(tmp_path) == {"precious": b"precious", "weights.txt": b"new"}


@pytest.mark.attack("Files", "an output that is a named pipe or a device")
def test_a_named_pipe_and_a_device_are_written_to_and_stay(tmp_path):
    pipe, link = tmp_path / "pipe.csv", tmp_path / "null.csv"
    os.mkfifo(pipe)
    link.symlink_to(os.devnull)
    received = []
    reader = threading.Thread(target=lambda: received.append(pipe.read_text()))
    reader.start()
    for file in (pipe, link):
        with replacing(file) as partial:
            assert partial.suffix == ".csv"
            partial.write_text("new")
    reader.join()
    assert received == ["new"]
    assert stat.S_ISFIFO(pipe.stat().st_mode)
    assert stat.S_ISCHR(os.stat(os.devnull).st_mode)
    assert sorted(tree(tmp_path)) == ["null.csv", "pipe.csv"]


def test_a_full_device_is_an_error_in_one_line():
    with pytest.raises(InputError, match=r"^/dev/full: cannot be written: No space left on device$"):
        write_json("/dev/full", {"a": 1})


def test_standard_output_is_written_to_in_order(tmp_path):
    """Redirected to a file, it is not replaced: what the process prints before and after stays."""
    script = (
        "import os; from kspike_reg.files import *; os.write(1, b'before '); write_json('/dev/stdout', 2); print(3)"
    )
    with open(tmp_path / "all.txt", "wb") as stream:
        subprocess.run([sys.executable, "-c", script], stdout=stream, check=True)
    assert (tmp_path / "all.txt").read_text() == "before 2\n3\n"
    assert is_standard_output("/dev/stdout")
    assert not is_standard_output("/dev/stderr")


def test_a_pipe_without_a_reader_is_told_from_other_errors():
    """So that the command ends as others do in front of `head`."""
    reader, writer = os.pipe()
    os.close(reader)
    with pytest.raises(BrokenPipeError):
        write_json(f"/dev/fd/{writer}", {"a": 1})
    os.close(writer)


@pytest.mark.attack("Files", "a power cut between writing and renaming")
def test_content_is_on_the_disk_before_its_name_and_its_name_before_the_block_ends(tmp_path, monkeypatch):
    """The order of the calls is the promise: no test can cut the power."""
    calls = []
    fsync, replace = os.fsync, os.replace

    def traced_fsync(number):
        calls.append(("synced", os.path.basename(os.readlink(f"/proc/self/fd/{number}"))))
        fsync(number)

    def traced_replace(source, target):
        calls.append(("renamed", os.path.basename(source)))
        replace(source, target)

    monkeypatch.setattr(os, "fsync", traced_fsync)
    monkeypatch.setattr(os, "replace", traced_replace)
    write_json(tmp_path / "metrics.json", {"a": 1})
    partial = ".partial-metrics.json"
    assert calls == [("synced", partial), ("renamed", partial), ("synced", tmp_path.name)]
