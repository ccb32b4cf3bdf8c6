"""Faults put in on purpose: does a test catch each?

    python profiling/mutations.py --out docs/reliability/mutations.json [--number 60] [--seed 0] [--again]

copies the repository to a temporary folder, puts one fault at a time into the copy, runs the tests of that file until
one fails, and writes what was caught, and by which file of tests. The seed chooses the faults; for each in machine
code, which takes minutes to compile, there are nineteen others. --again runs the recorded survivors once more, apart
from those that change nothing, on another backend if KERAS_BACKEND names one.

TensorFlow takes seconds to import, so this process imports it once, and a fork of it runs each fault's tests. The
package itself is imported in the forks alone.
"""

import argparse
import importlib
import json
import os
import platform
import random
import resource
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from importlib.metadata import version
from pathlib import Path
from typing import Any

from mutants import Mutant, mutants_of

ROOT = Path(__file__).parents[1]
# What the tests read.
COPIED = (
    "kspike_reg", "tests", "models", "docs", "profiling", "tutorials", "setup.cfg", "pyproject.toml", "ruff.toml",
    "README.md", "CHANGELOG.md", "CONTRIBUTING.md", "CITATION.cff", "LICENSE", "Makefile", "mkdocs.yml",
)  # fmt: skip
PACKAGES = ("keras", "tensorflow", "numpy", "numba", "pytest", "hypothesis")
MEMORY = 16 * 2**30
RARITY = 20  # of the faults in machine code
IMPORTED = ("keras", "numba", "pandas", "matplotlib.pyplot")

# The tests of each file or folder, those that fail soonest first; the first line that fits counts.
MACHINE_CODE = "kspike_reg/neurons/engines/cpu"
NEURON_TESTS = (
    "tests/neurons/test_steps.py", "tests/neurons/test_cells.py", "tests/neurons/test_neuron_options.py",
    "tests/conformance/test_layers.py",
)  # fmt: skip
TESTS = {
    f"{MACHINE_CODE}/machine_code.py": ("tests/neurons/engines/test_machine_code.py",),
    f"{MACHINE_CODE}/threads.py": ("tests/neurons/engines/test_threads.py",),
    f"{MACHINE_CODE}/engine.py": ("tests/neurons/engines/test_engines.py",),
    f"{MACHINE_CODE}/paths.py": ("tests/neurons/engines/test_engines.py",),
    MACHINE_CODE: ("tests/neurons/engines/test_cpu.py",),
    "kspike_reg/neurons/engines/backend.py": ("tests/neurons/test_cells.py", "tests/neurons/engines/test_engines.py"),
    "kspike_reg/neurons/engines": ("tests/neurons/engines/test_engines.py",),
    "kspike_reg/neurons/initial_state.py": ("tests/neurons/test_calls.py",),
    "kspike_reg/neurons/surrogates.py": ("tests/neurons/test_surrogates.py",),
    "kspike_reg/neurons/heaviside.py": ("tests/neurons/test_surrogates.py", "tests/neurons/test_derivatives.py"),
    "kspike_reg/neurons": NEURON_TESTS,
    "kspike_reg/network/archive.py": ("tests/network/test_archive.py",),
    "kspike_reg/network/saving.py": ("tests/network/test_saving.py", "tests/network/test_archive.py"),
    "kspike_reg/network/regression.py": ("tests/network/test_regression.py",),
    "kspike_reg/network/physical.py": ("tests/network/test_physical.py", "tests/conformance/test_offsets.py"),
    "kspike_reg/network/inputs.py": ("tests/network/test_inputs.py",),
    "kspike_reg/network": ("tests/network/test_graph.py", "tests/network/test_probes.py"),
    "kspike_reg/training.py": ("tests/test_training.py",),
    "kspike_reg/snapshots.py": ("tests/test_training.py",),
    "kspike_reg/datasets/paths.py": ("tests/datasets/test_paths.py",),
    "kspike_reg/datasets/families.py": ("tests/datasets/test_families.py",),
    "kspike_reg/datasets/tasks.py": ("tests/datasets/test_tasks.py",),
    "kspike_reg/datasets/standardiser.py": ("tests/datasets/test_standardiser.py",),
    "kspike_reg/datasets": ("tests/datasets/test_readers.py", "tests/datasets/test_attacked_files.py"),
    "kspike_reg/energy/counts.py": ("tests/energy/test_profile.py",),
}

# Faults that change nothing a caller could see, by file and change, with the reason.
STRICT = "`True` becomes `False` in `strict=True`"
EQUIVALENT = {
    ("kspike_reg/network/inputs.py", STRICT): "the lengths were compared before",
    ("kspike_reg/snapshots.py", STRICT): "the shapes of all arrays were compared before",
    (
        "kspike_reg/neurons/surrogates.py",
        "`scale * ops.ones_like(x)` becomes `scale / ops.ones_like(x)`",
    ): "a product and a quotient with one are equal",
}


def tests_of(file: str) -> tuple[str, ...]:
    """The files of tests that should catch the faults of a file; none for a file that is not mutated."""
    return next((tests for place, tests in TESTS.items() if file == place or file.startswith(f"{place}/")), ())


def choose(root: Path, number: int, seed: int) -> list[Mutant]:
    """Draw faults.

    Args:
        root: the repository, or a copy.
        number: of faults; one in twenty of them in machine code.
        seed: of the draw.
    """
    files = sorted(str(file.relative_to(root)) for file in (root / "kspike_reg").rglob("*.py"))
    everywhere = [each for file in files if tests_of(file) for each in mutants_of(file, (root / file).read_bytes())]
    inside = [mutant for mutant in everywhere if mutant.file.startswith(MACHINE_CODE)]
    outside = [mutant for mutant in everywhere if not mutant.file.startswith(MACHINE_CODE)]
    generator = random.Random(seed)
    chosen = generator.sample(outside, number - number // RARITY) + generator.sample(inside, number // RARITY)
    return sorted(chosen, key=lambda mutant: (mutant.file, mutant.line, mutant.start, mutant.text))


def copy_to(folder: Path) -> None:
    """Copy what the tests need."""
    for name in COPIED:
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
        elif (ROOT / name).exists():
            shutil.copy2(ROOT / name, folder / name)
    (folder / "kspike_reg" / "models").symlink_to("../models")


class Failures:
    """A plugin of pytest that writes the file of the first failure."""

    def __init__(self, file: Path) -> None:
        self.file = file

    def pytest_runtest_logreport(self, report: Any) -> None:
        if report.failed and not self.file.exists():
            self.file.write_text(report.nodeid.split("::")[0], encoding="utf-8")

    def pytest_collectreport(self, report: Any) -> None:
        self.pytest_runtest_logreport(report)


def run_tests(folder: Path, tests: Sequence[str], limit: float) -> tuple[bool, str | None]:
    """Run tests in a fork until one fails.

    Args:
        folder: a copy of the repository.
        tests: files of tests.
        limit: in seconds.

    Returns:
        Whether all passed, and the file of the first failure; "time" where the limit was reached, None where pytest
        could not say.
    """
    failed = folder / "failed"
    failed.unlink(missing_ok=True)
    process = os.fork()
    if not process:
        status = 1
        try:
            os.setsid()
            os.chdir(folder)
            output = os.open(folder / "output", os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
            os.dup2(output, 1)
            os.dup2(output, 2)
            sys.path.insert(0, str(folder))
            resource.setrlimit(resource.RLIMIT_DATA, (MEMORY, MEMORY))  # a loop without end takes no more
            import pytest

            plugins = ["-p", "no:cacheprovider", "--basetemp", str(folder / "temporary")]
            status = pytest.main(["-q", "-x", "--no-header", *plugins, *tests], plugins=[Failures(failed)])
        finally:
            os._exit(status)
    end = time.monotonic() + limit
    while not (ended := os.waitpid(process, os.WNOHANG))[0] and time.monotonic() < end:
        time.sleep(0.05)
    with suppress(ProcessLookupError):
        os.killpg(process, signal.SIGKILL)  # processes that the tests left, too
    if not ended[0]:
        os.waitpid(process, 0)
        return False, "time"
    return ended[1] == 0, failed.read_text(encoding="utf-8") if failed.exists() else None


def judge(folder: Path, mutants: Sequence[Mutant]) -> Iterator[dict[str, Any]]:
    """Run the tests of each fault in a copy of the repository, and once without one.

    Args:
        folder: the copy.
        mutants: the faults.

    Returns:
        An iterator over a dictionary for each fault.
    """
    seconds: dict[tuple[str, ...], float] = {}
    for mutant in mutants:
        file, tests = folder / mutant.file, tests_of(mutant.file)
        if tests not in seconds:
            seconds[tests] = _seconds_without_a_fault(folder, tests)
        source = file.read_bytes()
        try:
            file.write_bytes(mutant.apply(source))
            passed, by = run_tests(folder, tests, limit=60 + 4 * seconds[tests])
        finally:
            file.write_bytes(source)
        print("survived" if passed else "killed", f"{mutant.file}:{mutant.line} {mutant.change} {by or ''}", flush=True)
        result = {"file": mutant.file, "line": mutant.line, "change": mutant.change, "killed": not passed, "by": by}
        result["backend"] = os.environ["KERAS_BACKEND"]
        yield result | {"equivalent": EQUIVALENT.get((mutant.file, mutant.change)) if passed else None}


def _seconds_without_a_fault(folder, tests):
    start = time.monotonic()
    passed, file = run_tests(folder, tests, limit=1200)
    if not passed:
        raise SystemExit(f"{file or tests} fails without a fault:\n{(folder / 'output').read_text()[-3000:]}")
    print(f"{time.monotonic() - start:.0f} s: {', '.join(tests)}", flush=True)
    return time.monotonic() - start


def main(arguments: Sequence[str] | None = None) -> None:
    """Draw faults, run their tests and write the record."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, required=True, help="the record, a JSON file")
    parser.add_argument("--number", type=int, default=60, help="of faults")
    parser.add_argument("--seed", type=int, default=0, help="of their choice")
    parser.add_argument("--again", action="store_true", help="run the survivors of the record once more")
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name).resolve()
        copy_to(folder)
        # Without code on disk, of which a fault in the same second and of the same size would not be seen.
        sys.dont_write_bytecode = True
        os.environ |= {"PYTHONDONTWRITEBYTECODE": "1", "PYTHONPATH": name, "NUMBA_CACHE_DIR": f"{name}/machine_code"}
        os.environ |= {"TF_CPP_MIN_LOG_LEVEL": "2", "CUDA_VISIBLE_DEVICES": ""}
        os.environ.setdefault("KERAS_BACKEND", "tensorflow")
        for package in IMPORTED:
            importlib.import_module(package)
        if options.again:
            record = json.loads(options.out.read_text(encoding="utf-8"))
            left = [result for result in record["mutants"] if not result["killed"]]
            for result in left:
                result["equivalent"] = EQUIVALENT.get((result["file"], result["change"]))
            left = [result for result in left if not result["equivalent"]]
            for result, new in zip(left, judge(folder, [_found(folder, each) for each in left]), strict=True):
                result.update(new)
                write(options.out, record)
        else:
            versions = {"python": platform.python_version()} | {name: version(name) for name in PACKAGES}
            record = {"number": options.number, "seed": options.seed, "versions": versions, "mutants": []}
            for result in judge(folder, choose(folder, options.number, options.seed)):
                record["mutants"].append(result)
                write(options.out, record)
    write(options.out, record)
    print(f"{sum(result['killed'] for result in record['mutants'])} of {len(record['mutants'])} killed")


def write(file: Path, record: dict[str, Any]) -> None:
    """Replace the record as a whole; kspike_reg.files is not imported, since the forks must import the copy."""
    partial = file.with_name(f".partial-{file.name}")
    partial.write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")
    os.replace(partial, file)


def _found(root, result):
    """The fault of a record, whose line may have moved."""
    mutants = mutants_of(result["file"], (root / result["file"]).read_bytes())
    same = [mutant for mutant in mutants if mutant.change == result["change"]]
    return min(same, key=lambda mutant: abs(mutant.line - result["line"]))


if __name__ == "__main__":
    main()
