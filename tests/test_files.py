"""Files are written as a whole or not at all, whatever happens meanwhile."""

import json

import pytest

from kspike_reg.errors import InputError
from kspike_reg.files import prepare_folder, replacing, write_json


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
