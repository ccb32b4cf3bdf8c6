"""The tool that puts faults into the package makes those that it names, and its record is of such faults."""

import ast
import collections
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

sys.path.append(str(Path(__file__).parents[1] / "profiling"))

import mutants
import mutations

ROOT = Path(__file__).parents[1]
RECORD = ROOT / "docs" / "reliability" / "mutations.json"


def faults(source):
    """What becomes of a source, by the change in words."""
    content = source.encode()
    return {each.change: each.apply(content).decode() for each in mutants.mutants_of("a.py", content)}


@pytest.mark.parametrize(
    ("source", "change", "expected"),
    [
        ("a = b < c", "`b < c` becomes `b <= c`", "a = (b <= c)"),
        ("a = b < c is d", "`b < c is d` becomes `b < c is not d`", "a = (b < c is not d)"),
        ("a = 'µ', b in c", "`b in c` becomes `b not in c`", "a = 'µ', (b not in c)"),  # a letter of two bytes
        ("a = 2.5 * (b - c)", "`b - c` becomes `b + c`", "a = 2.5 * ((b + c))"),
        ("a = b / c * d", "`b / c * d` becomes `b / c / d`", "a = (b / c / d)"),
        ("a = b[:, 7]", "`7` becomes `8` in `(:, 7)`", "a = b[:, (8)]"),
        ("def a(b, *, c=1e3): pass", "`1000.0` becomes `1001.0`", "def a(b, *, c=(1001.0)): pass"),
        ("a(b=True)", "`True` becomes `False` in `b=True`", "a(b=(False))"),
        ("a = -(-b // c) + d", "`-(-b // c)` becomes `b // c`", "a = (b // c) + d"),
        ("a = min(b, c)", "`min` becomes `max` in `min(b, c)`", "a = (max)(b, c)"),
        ("a = np.maximum(b, c)", "`np.maximum` becomes `np.minimum`", "a = (np.minimum)(b, c)"),
        ("a = not b and c", "`not b` becomes `b`", "a = (b) and c"),
        ("a = not b and c", "`not b and c` becomes `not b or c`", "a = (not b or c)"),
        ("if a(b): c()", "`a(b)` becomes `not a(b)`", "if (not a(b)): c()"),
        ("a = b if c else d", "`c` becomes `not c` in `b if c else d`", "a = b if (not c) else d"),
    ],
)
def test_a_fault_is_put_into_its_place_and_nowhere_else(source, change, expected):
    source, expected = f"# above, µ\n{source}\nb = 'below'\n", f"# above, µ\n{expected}\nb = 'below'\n"
    assert faults(source)[change] == expected


def test_the_number_and_the_line_of_a_fault_are_right():
    source = 'def a(b: int = 3):\n    """The 5 of 6."""\n    return [\n        b + 1,\n    ]\n'
    found = sorted((each.line, each.change) for each in mutants.mutants_of("a.py", source.encode()))
    assert found == [(1, "`3` becomes `4`"), (4, "`1` becomes `2` in `b + 1`"), (4, "`b + 1` becomes `b - 1`")]


@pytest.mark.parametrize(
    "source",
    [
        "raise ValueError(1 + 2)", "a = f'{1 + 2}'", "a: dict[str, 3]", "@a(maxsize=4)\ndef b() -> c[2]: pass",
        "from .. import a", "a = 'b' + c", "a = f'b' * c",
    ],
)  # fmt: skip
def test_messages_annotations_and_decorators_stay_as_they_are(source):
    assert faults(source) == {}


def test_every_fault_of_the_package_is_valid_python_and_changes_the_file():
    """With the fault, the file still compiles, and it is another program."""
    for file in ("kspike_reg/network/physical.py", "kspike_reg/datasets/paths.py", "kspike_reg/training.py"):
        source = (ROOT / file).read_bytes()
        found = mutants.mutants_of(file, source)
        assert len(found) > 30
        assert len({each.apply(source) for each in found}) == len(found)
        for each in found:
            assert ast.dump(ast.parse(each.apply(source))) != ast.dump(ast.parse(source))


def test_the_seed_chooses_the_faults_and_few_are_in_machine_code():
    chosen = mutations.choose(ROOT, 60, seed=4)
    assert chosen == mutations.choose(ROOT, 60, seed=4) != mutations.choose(ROOT, 60, seed=5)
    assert len(set(chosen)) == 60
    assert sum(each.file.startswith(mutations.MACHINE_CODE) for each in chosen) == 3
    folders = collections.Counter(each.file.split("/")[1] for each in mutations.choose(ROOT, 300, seed=4))
    assert folders.keys() == {"neurons", "network", "training.py", "snapshots.py", "datasets", "energy"}


def test_the_most_special_tests_of_a_file_are_run_and_all_exist():
    assert mutations.tests_of("kspike_reg/network/physical.py")[0] == "tests/network/test_physical.py"
    assert mutations.tests_of("kspike_reg/neurons/engines/cpu/lif.py") == ("tests/neurons/engines/test_cpu.py",)
    assert mutations.tests_of("kspike_reg/neurons/lif.py") == mutations.NEURON_TESTS
    assert mutations.tests_of("kspike_reg/plotting/style.py") == ()
    for place, tests in mutations.TESTS.items():
        assert (ROOT / place).exists(), place
        assert all((ROOT / file).exists() for file in tests), tests


# ------------------------------------------------------------------------------------------- tests in a fork


def test_the_file_that_catches_a_fault_is_named(tmp_path):
    (tmp_path / "setup.cfg").write_text("[tool:pytest]\naddopts = -p no:nengo\n")
    (tmp_path / "test_right.py").write_text("def test_it(): assert True\n")
    (tmp_path / "test_wrong.py").write_text("def test_it(): assert False\n")
    (tmp_path / "test_late.py").write_text("import time\ndef test_it(): time.sleep(60)\n")
    (tmp_path / "test_broken.py").write_text("import nothing_of_this_name\n")
    cases = {"right": 50, "wrong": 50, "late": 2, "broken": 50}
    script = (
        "import json, pathlib, mutations\n"
        "def run(name, limit):\n"
        "    return mutations.run_tests(pathlib.Path(), ['test_right.py', f'test_{name}.py'], limit)\n"
        f"print(json.dumps({{name: run(name, limit) for name, limit in {cases}.items()}}))"
    )
    # A process of its own, since a fork of this one would have locks of threads that it does not have.
    environment = os.environ | {"PYTHONPATH": str(Path(mutations.__file__).parent)}
    process = subprocess.run(
        [sys.executable, "-c", script], cwd=tmp_path, env=environment, capture_output=True, text=True, check=True
    )
    assert json.loads(process.stdout) == {
        "right": [True, None], "wrong": [False, "test_wrong.py"], "late": [False, "time"],
        "broken": [False, "test_broken.py"],
    }  # fmt: skip


# ------------------------------------------------------------------------------------------- the record


@pytest.fixture(scope="module")
def record():
    return json.loads(RECORD.read_text(encoding="utf-8"))


def test_the_record_names_faults_and_the_tests_that_caught_them(record):
    assert len(record["mutants"]) == record["number"] >= 60
    for mutant in record["mutants"]:
        assert mutant["by"] in (*mutations.tests_of(mutant["file"]), "time", None)
        assert mutant["killed"] or mutant["by"] is None
        assert " becomes " in mutant["change"]


def test_every_survivor_changes_nothing_that_a_caller_could_see(record):
    left = [mutant for mutant in record["mutants"] if not mutant["killed"]]
    assert all(mutant["equivalent"] for mutant in left), left
