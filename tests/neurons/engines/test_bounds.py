"""The loops with every index checked: in machine code with bounds checks, and in Python without machine code.

Machine code reads and writes wherever an index points. Numba checks indices on request, except in the instructions of
`cpu.vectors` and `cpu.streaming_stores`; in Python, NumPy checks all.
"""

import os
import re
import subprocess
import sys
from pathlib import Path

import keras
import pytest

BACKEND = keras.backend.backend()
pytestmark = pytest.mark.skipif(BACKEND == "jax", reason="there are no compiled loops on JAX")

ROOT = Path(__file__).parents[3]
LOOPS, LAYERS = "tests/neurons/engines/test_cpu.py", "tests/neurons/engines/test_properties.py"
# Tests that are about machine code itself, or take minutes in Python.
IN_MACHINE_CODE = ("threads", "concurrent", "outlives", "parts_and_tiles", "slstm-0", "slstm-7")
CHECKED, IN_PYTHON = {"NUMBA_BOUNDSCHECK": "1"}, {"NUMBA_DISABLE_JIT": "1"}


def run(settings, *arguments):
    """Run Python in a process of its own with settings of numba; returns exit status and output."""
    environment = os.environ | {"PYTHONPATH": str(ROOT / "tests"), "TF_CPP_MIN_LOG_LEVEL": "3"} | settings
    found = subprocess.run(
        [sys.executable, *arguments], cwd=ROOT, env=environment, capture_output=True, text=True, check=False
    )
    return found.returncode, found.stdout + found.stderr


def passed(settings, *arguments):
    """Run tests, and return how many passed; fail if one fails."""
    status, output = run(settings, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--tb=short", *arguments)
    assert status == 0, output[-10000:]
    return int(re.search(r"(\d+) passed", output).group(1))


FAULT = """
import numba, numpy as np
from kspike_reg.neurons.engines.cpu import lif
from kspike_reg.neurons.engines.cpu.kernels import Kernel, advances
from kspike_reg.neurons.engines.cpu.sequence import Sequence

@advances
def advance(rows, currents, states, parameters, options, residuals):
    residuals[rows + 8, 0] = 1

kernel = Kernel(advance, lif.KERNEL.restore, lif.KERNEL.reverse)
arrays = [(5, 7, 2), (2, 6), (6,), (0, 6), (2, 6), (2, 5, 6)]
Sequence(kernel, (1, 0, 1), 0).forward(True, *(np.ones(shape, np.float32) for shape in arrays))
"""


@pytest.mark.parametrize("settings", [CHECKED, IN_PYTHON], ids=["bounds checks", "Python"])
def test_an_index_out_of_bounds_is_reported(settings):
    """By both kinds of runs, so that the runs below can fail."""
    _, output = run(settings, "-c", FAULT)
    assert "IndexError" in output, output


@pytest.mark.attack("Compiled engine", "every index of the loops, by bounds checks in machine code")
def test_the_loops_pass_their_tests_with_bounds_checks(record_property):
    record_property("times", passed(CHECKED, LOOPS))


@pytest.mark.attack("Compiled engine", "calls of layers, with bounds checks in machine code")
def test_layers_agree_with_bounds_checks(record_property):
    assert passed(CHECKED | {"PROPERTY_CASES": "100"}, LAYERS) == 1
    record_property("times", 100)


@pytest.mark.attack("Compiled engine", "calls of layers, without machine code")
def test_layers_agree_without_machine_code(record_property):
    assert passed(IN_PYTHON | {"PROPERTY_CASES": "40"}, LAYERS) == 1
    record_property("times", 40)


@pytest.mark.nightly
@pytest.mark.attack("Compiled engine", "every index of the loops, without machine code")
def test_the_loops_pass_their_tests_without_machine_code(record_property):
    others = " and ".join(f"not {name}" for name in IN_MACHINE_CODE)
    record_property("times", passed(IN_PYTHON, LOOPS, "-k", others))


@pytest.mark.nightly
@pytest.mark.attack("Compiled engine", "calls of layers, with bounds checks in machine code")
def test_layers_agree_with_bounds_checks_in_many_more_cases(record_property):
    assert passed(CHECKED | {"PROPERTY_CASES": "2000"}, LAYERS) == 1
    record_property("times", 2000)
