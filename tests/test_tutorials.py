"""The stored tutorials are small, clean and complete, and running them gives the same key numbers.

`make tutorials` runs them; it takes minutes for each tutorial and needs the extra `tutorials`. A cell tagged "check"
prints key numbers. Its first line states how much the numbers of another machine may differ from the stored ones.
"""

import json
import os
import re
import shutil
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

TUTORIALS = sorted((Path(__file__).parents[1] / "tutorials").glob("*.ipynb"))
LARGEST = 1_000_000  # bytes
FIRST_SCREEN = 3  # cells
TOLERANCE = re.compile(r"# Checked to within (\d+) %\n")
NUMBER = re.compile(r"(?<![\w.])-?\d+(?:\.\d+)?(?:e[+-]?\d+)?")

each_tutorial = pytest.mark.parametrize("file", TUTORIALS, ids=lambda file: file.stem)
runs_notebooks = pytest.mark.skipif(
    not all(map(find_spec, ("nbconvert", "ipykernel"))),
    reason="running notebooks needs the extra tutorials: pip install 'kspike_reg[tutorials]'",
)


def notebook(file):
    return json.loads(file.read_text(encoding="utf-8"))


def codes(content):
    return [cell for cell in content["cells"] if cell["cell_type"] == "code"]


def images(cell):
    return [output for output in cell.get("outputs", ()) if "image/png" in output.get("data", {})]


def printed(cell):
    return "".join("".join(output["text"]) for output in cell["outputs"] if output["output_type"] == "stream")


def checks(content):
    """Return the printed text of each cell tagged "check" and the tolerance in its first line."""
    tagged = [cell for cell in codes(content) if "check" in cell["metadata"].get("tags", ())]
    return [(printed(cell), int(TOLERANCE.match("".join(cell["source"]))[1]) / 100) for cell in tagged]


def agree(stored, found, tolerance):
    """Return whether two texts differ only in numbers, each by the tolerance or one unit of its last digit at most."""
    if NUMBER.split(stored) != NUMBER.split(found):
        return False
    for one, other in zip(NUMBER.findall(stored), NUMBER.findall(found), strict=True):
        last_digit = 0 if tolerance == 0 else 10.0 ** -len(one.partition(".")[2])
        # The last factor allows for the rounding of the subtraction, which is far below one digit.
        if abs(float(one) - float(other)) > (tolerance * abs(float(one)) + last_digit) * (1 + 1e-9):
            return False
    return True


def test_there_are_tutorials():
    assert [file.stem.partition("_")[0] for file in TUTORIALS] == [str(number + 1) for number in range(len(TUTORIALS))]
    assert len(TUTORIALS) >= 7
    index = (TUTORIALS[0].parent / "README.md").read_text(encoding="utf-8")
    assert re.findall(r"\]\((.*)\)", index) == [file.name for file in TUTORIALS]


@pytest.mark.parametrize(
    ("found", "tolerance", "expected"),
    [
        ("lif_1: 0.50, True", 0.0, True),
        ("lif_1: 0.54, True", 0.1, True),  # eight per cent
        ("lif_1: 0.46, True", 0.1, True),
        ("lif_1: 0.51, True", 0.0, False),
        ("lif_1: 0.51, True", 0.001, True),  # one unit of the last digit
        ("lif_1: 0.57, True", 0.1, False),
        ("lif_1: -0.50, True", 0.1, False),
        ("lif_1: 0.50, False", 0.1, False),
        ("lif_2: 0.50, True", 0.9, False),  # the digit is part of a name
        ("lif_1: 0.50", 0.1, False),
    ],
)
def test_agree_allows_numbers_a_tolerance_and_words_none(found, tolerance, expected):
    assert agree("lif_1: 0.50, True", found, tolerance) is expected


@each_tutorial
def test_a_tutorial_is_small_and_starts_with_a_figure(file):
    assert file.stat().st_size < LARGEST
    first, *_ = notebook(file)["cells"]
    assert first["cell_type"] == "markdown"
    assert "".join(first["source"]).startswith("# ")
    assert any(images(cell) for cell in notebook(file)["cells"][:FIRST_SCREEN])


@each_tutorial
def test_a_stored_tutorial_ran_from_top_to_bottom_without_noise(file):
    content = notebook(file)
    assert set(content["metadata"]) == {"kernelspec", "language_info"}
    assert content["metadata"]["kernelspec"]["name"] == "python3"
    assert [cell["execution_count"] for cell in codes(content)] == list(range(1, len(codes(content)) + 1))
    for cell in codes(content):
        assert set(cell["metadata"]) <= {"tags"}
        kinds = {(output["output_type"], output.get("name")) for output in cell["outputs"]}
        assert not kinds & {("error", None), ("stream", "stderr")}
        texts = [output.get("text") or output["data"].get("text/plain", "") for output in cell["outputs"]]
        printed_text = "".join("".join(text) for text in texts)
        # Outputs must not contain escape sequences or carriage returns of a terminal, or paths of one machine.
        assert not re.search(r"\x1b|\r|/(tmp|home|root|work|usr|var|Users)/|[A-Z]:\\", printed_text), printed_text
    assert not re.search(r"/(tmp|home|root|work|Users)/", "".join("".join(cell["source"]) for cell in content["cells"]))


@each_tutorial
def test_a_tutorial_checks_key_numbers(file):
    found = checks(notebook(file))
    assert found
    assert all(re.search(r"\d|True|False", text) for text, _ in found)
    # A printed False means that a statement of the tutorial is wrong.
    assert not any(re.search(r": False\b", text) for text, _ in found)


@each_tutorial
def test_the_link_targets_of_a_tutorial_exist(file):
    text = "".join("".join(cell["source"]) for cell in notebook(file)["cells"] if cell["cell_type"] == "markdown")
    for place in re.findall(r"\]\(([^)#:]+)\)", text):
        assert (file.parent / place).exists(), place


@runs_notebooks
@each_tutorial
def test_a_tutorial_runs_and_its_key_numbers_hold(file, tmp_path):
    copy = Path(shutil.copy(file, tmp_path))
    # The cells that call kspike-reg must find the one installed for this Python.
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    command = [
        "nbconvert",
        "--to",
        "notebook",
        "--execute",
        "--inplace",
        "--ExecutePreprocessor.timeout=900",
        copy.name,
    ]
    process = subprocess.run(
        [sys.executable, "-m", *command],
        cwd=tmp_path,
        env=os.environ | {"PATH": path, "TF_CPP_MIN_LOG_LEVEL": "2"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert process.returncode == 0, process.stderr[-4000:]
    stored, found = checks(notebook(file)), checks(notebook(copy))
    for (before, tolerance), (now, _) in zip(stored, found, strict=True):
        assert agree(before, now, tolerance), f"stored:\n{before}\nnow:\n{now}\nwithin {tolerance:.0%}"
