"""The page on reliability is made from the records of attacks and mutations, and says what they say."""

import json
import sys
from pathlib import Path

import pytest

sys.path.append(str(Path(__file__).parents[1] / "profiling"))

import reliability

ROOT = Path(__file__).parents[1]
RECORDS = [
    json.loads((ROOT / "docs" / "reliability" / f"{name}.json").read_text()) for name in ("attacks", "mutations")
]

REPORT = """<testsuites><testsuite>
<testcase name="one"><properties><property name="area" value="Files"/><property name="attack" value="a | pipe"/>
<property name="times" value="20"/></properties></testcase>
<testcase name="two"><properties><property name="area" value="Files"/><property name="attack" value="a | pipe"/>
</properties><failure/></testcase>
<testcase name="three"><properties><property name="area" value="Names"/><property name="attack" value="none"/>
</properties><skipped/></testcase>
<testcase name="four"><properties><property name="times" value="9"/></properties></testcase>
</testsuite></testsuites>"""


def test_the_page_is_what_the_records_say():
    assert (ROOT / "docs" / "reliability.md").read_text() == reliability.page(*RECORDS)


def test_all_recorded_attacks_held():
    attacks, _ = RECORDS
    assert len(attacks["attacks"]) > 50
    assert not [row for row in attacks["attacks"] if row["failed"]]
    assert all(row["times"] >= row["tests"] > 0 for row in attacks["attacks"])


def test_attacks_are_read_from_a_report(tmp_path):
    (tmp_path / "tests.xml").write_text(REPORT)
    expected = [("Files", "a | pipe", 20, "passed"), ("Files", "a | pipe", 1, "failed")]
    assert reliability.attacks_in(tmp_path / "tests.xml") == expected


def test_attacks_are_counted_by_kind_and_backend():
    runs = [
        ("tensorflow", [("Files", "a", 20, "passed"), ("Files", "a", 1, "failed"), ("Data", "b", 2, "passed")]),
        ("torch", [("Files", "a", 3, "passed")]),
    ]
    found = reliability.record(runs, short=True)
    assert found["attacks"] == [
        {"area": "Data", "attack": "b", "times": 2, "tests": 1, "failed": 0, "backends": ["tensorflow"]},
        {"area": "Files", "attack": "a", "times": 24, "tests": 3, "failed": 1, "backends": ["tensorflow", "torch"]},
    ]
    assert "2 of 3" in reliability.page(found, {"mutants": []})


def test_survivors_are_listed():
    mutants = [
        {"file": "kspike_reg/a.py", "line": 7, "change": "+ to -", "killed": False},
        {"file": "kspike_reg/c.py", "line": 9, "change": "1 to 2", "killed": False, "equivalent": "never read"},
        {"file": "kspike_reg/b.py", "line": 8, "change": "< to <=", "killed": True},
    ]
    assert reliability.survivors({"mutants": mutants}) == (
        "- `kspike_reg/a.py`, line 7: + to -\n- `kspike_reg/c.py`, line 9: 1 to 2 (never read)"
    )
    assert reliability.survivors({"mutants": mutants[2:]}) == "None."


@pytest.mark.parametrize("backend", reliability.BACKENDS)
def test_the_folders_of_a_backend_exist(backend):
    assert all((ROOT / folder).is_dir() for folder in reliability.BACKENDS[backend])
