"""What was attacked, how often, and what held.

    python profiling/reliability.py [--short] [--backends tensorflow torch] [--reports tensorflow=tests.xml ...]

runs every test that is marked as an attack, the long ones too unless --short is given, or reads the reports of such
runs (`pytest -o junit_family=xunit1 --junitxml tests.xml`), and writes
docs/reliability/attacks.json and, from it and from docs/reliability/mutations.json (see profiling/mutations.py), the
page docs/reliability.md. On PyTorch and JAX the tests of neurons and layers run; the others do not depend on the
backend. An attack that a test repeats counts as often as the test says.
"""

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pandas as pd

from kspike_reg.files import replacing, write_json
from kspike_reg.tables import markdown

ROOT = Path(__file__).parents[1]
RECORDS = ROOT / "docs" / "reliability"
BACKENDS = {"tensorflow": ("tests",), "torch": ("tests/neurons", "tests/conformance"), "jax": ("tests/neurons",)}
PACKAGES = ("keras", "tensorflow", "torch", "jax", "numpy", "numba", "hypothesis")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the attacks, and write the record and the page; returns 1 if one did not hold."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--short", action="store_true", help="without the tests that run for more than minutes")
    parser.add_argument("--backends", nargs="+", default=["tensorflow"], choices=BACKENDS, help="backends of Keras")
    parser.add_argument(
        "--reports", nargs="+", default=[], metavar="BACKEND=FILE", help="reports of pytest to read; runs nothing"
    )
    parser.add_argument("--page", action="store_true", help="write the page from the records, and run nothing")
    options = parser.parse_args(arguments)
    if not options.page:
        RECORDS.mkdir(exist_ok=True)
        reports = [tuple(report.split("=", 1)) for report in options.reports]
        found = [(backend, attacks_in(Path(file))) for backend, file in reports] or [
            (backend, _run(backend, options.short)) for backend in options.backends
        ]
        write_json(RECORDS / "attacks.json", record(found, options.short))
    attacks = json.loads((RECORDS / "attacks.json").read_text(encoding="utf-8"))
    mutations = json.loads((RECORDS / "mutations.json").read_text(encoding="utf-8"))
    with replacing(ROOT / "docs" / "reliability.md") as partial:
        partial.write_text(page(attacks, mutations), encoding="utf-8")
    return int(any(row["failed"] for row in attacks["attacks"]))


def record(runs: Sequence[tuple[str, list[tuple[str, str, int, str]]]], short: bool) -> dict[str, Any]:
    """The attacks of several runs, by kind.

    Args:
        runs: pairs of a backend of Keras and the attacks of its run, as `attacks_in` returns them.
        short: whether the runs left out the tests marked as nightly.

    Returns:
        The rows of the table, `attacks`, and the versions and settings behind them.
    """
    rows: dict[tuple[str, str], dict[str, Any]] = {}
    for backend, attacks in runs:
        for area, attack, times, status in attacks:
            row = rows.setdefault(
                (area, attack), {"area": area, "attack": attack, "times": 0, "tests": 0, "failed": 0, "backends": []}
            )
            row["times"] += times
            row["tests"] += 1
            row["failed"] += status != "passed"
            if backend not in row["backends"]:
                row["backends"].append(backend)
    return {
        "attacks": [rows[key] for key in sorted(rows)],
        "short": short,
        "versions": {"python": platform.python_version()} | {name: _version(name) for name in PACKAGES},
        "machine": platform.machine(),
    }


def _version(package):
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _run(backend, short):
    """The attacks of all tests that ran: area, attack, how often, and "passed" or "failed"."""
    marks = "attack and not nightly" if short else "attack"
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "tests.xml")
        command = [sys.executable, "-m", "pytest", "-q", "-m", marks, "-o", "junit_family=xunit1", f"--junitxml={file}"]
        environment = os.environ | {"KERAS_BACKEND": backend, "HYPOTHESIS_PROFILE": "suite" if short else "nightly"}
        status = subprocess.run(command + list(BACKENDS[backend]), cwd=ROOT, env=environment, check=False).returncode
        if status not in (0, 1):
            raise SystemExit(f"pytest ended with status {status} on {backend}")
        return attacks_in(file)


def attacks_in(file: Path) -> list[tuple[str, str, int, str]]:
    """The attacks in pytest's report.

    Args:
        file: a JUnit file, as `pytest --junitxml` writes it.

    Returns:
        For each test that ran: area, attack, how often, and "passed" or "failed".
    """
    found = []
    for case in ElementTree.parse(file).iter("testcase"):
        properties = {entry.get("name"): entry.get("value") for entry in case.iter("property")}
        if "attack" not in properties or case.find("skipped") is not None:
            continue
        held = case.find("failure") is None and case.find("error") is None
        times = int(properties.get("times", 1))
        found.append((properties["area"], properties["attack"], times, "passed" if held else "failed"))
    return found


def page(attacks: dict[str, Any], mutations: dict[str, Any]) -> str:
    """The page of the documentation.

    Args:
        attacks: a record as `record` returns it.
        mutations: the record of profiling/mutations.py.
    """
    rows = attacks["attacks"]
    held = sum(row["tests"] - row["failed"] for row in rows)
    table = pd.DataFrame(
        {
            "area": [row["area"] for row in rows],
            "attack": [row["attack"] for row in rows],
            "times": [f"{row['times']:,}" for row in rows],
            "tests": [f"{row['tests'] - row['failed']} of {row['tests']}" for row in rows],
            "backends": [", ".join(row["backends"]) for row in rows],
        }
    )
    versions = ", ".join(f"{name} {number}" for name, number in attacks["versions"].items() if number)
    killed = sum(mutant["killed"] for mutant in mutations["mutants"])
    command = "python profiling/reliability.py" + (" --short" if attacks["short"] else "")
    return f"""# Reliability

What was attacked, how often, and what held. `{command}` made this page with {versions}.

Each row is a kind of fault that users of other packages met, or that an adversary tried: inputs of any type and order
in memory, signals at random moments, power cuts, files that lie about their size, names that leave their quotes.
*times* counts the single attacks, such as drawn cases or signals; *tests* says in how many tests all of them held.
{held} of {sum(row["tests"] for row in rows)} tests held, with {sum(row["times"] for row in rows):,} attacks.

{markdown(table)}

## Faults put in on purpose

Tests are worth what they catch. `python profiling/mutations.py` puts one fault at a time into the package (a plus for
a minus, a bound moved by one, a default changed) and runs the tests of that file: {killed} of
{len(mutations["mutants"])} faults were caught. Survivors:

{survivors(mutations)}
"""


def survivors(mutations: dict[str, Any]) -> str:
    """The faults that no test caught, as a list; some of them change nothing that could be seen, and say why."""
    lines = []
    for mutant in mutations["mutants"]:
        if not mutant["killed"]:
            why = mutant.get("equivalent")
            lines.append(f"- `{mutant['file']}`, line {mutant['line']}: {mutant['change']}{f' ({why})' if why else ''}")
    return "\n".join(lines) or "None."


if __name__ == "__main__":
    raise SystemExit(main())
