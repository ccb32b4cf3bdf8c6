"""The neurons and the profiler on the other backends of Keras: the same tests and the same numbers."""

import contextlib
import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest

from conformance import write_counts

TESTS = Path(__file__).parent
BACKENDS = ("tensorflow", "jax", "torch")
OTHERS = [backend for backend in BACKENDS if backend != keras.backend.backend()]


def run(backend, *commands):
    """Run Python commands in parallel on another backend from the root of the repository; fail if one fails.

    Args:
        backend: its name; the test is skipped if it is not installed.
        commands: the arguments of the interpreter for each command.

    Returns:
        The output of each command.
    """
    if importlib.util.find_spec(backend) is None:
        pytest.skip(f"the backend {backend} is not installed")
    environment = os.environ | {"KERAS_BACKEND": backend, "PYTHONPATH": str(TESTS), "TF_CPP_MIN_LOG_LEVEL": "3"}
    options = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
    with contextlib.ExitStack() as stack:
        processes = [
            stack.enter_context(
                subprocess.Popen([sys.executable, *command], cwd=TESTS.parent, env=environment, **options)
            )
            for command in commands
        ]
        outputs = [process.communicate()[0] for process in processes]
    for process, output in zip(processes, outputs, strict=True):
        if process.returncode:
            pytest.fail(f"on {backend}, exit status {process.returncode}:\n{output[-10000:]}")
    return outputs


def test_a_failure_on_another_backend_is_reported():
    """The function fails with the output of the failed command; the test uses the current backend."""
    fine, bad = ("-c", "print('fine')"), ("-c", "import sys; print('said before'); sys.exit(3)")
    assert run(keras.backend.backend(), fine, fine) == ["fine\n", "fine\n"]
    with pytest.raises(pytest.fail.Exception, match="exit status 3") as failure:
        run(keras.backend.backend(), fine, bad)
    assert "said before" in str(failure.value)


@pytest.mark.parametrize("backend", OTHERS)
def test_the_neurons_pass_their_tests_on(backend):
    """The folders run in parallel, since JAX compiles slowly."""
    if backend == "tensorflow":
        pytest.skip("the default backend, whose tests run by themselves")
    options = ("-q", "-p", "no:nengo", "-p", "no:cacheprovider", "--tb=short")
    suites = [("-m", "pytest", f"tests/{folder}", *options) for folder in ("neurons", "conformance")]
    *outputs, named = run(backend, *suites, ("-c", "import keras; print(keras.backend.backend())"))
    assert all(" passed" in output for output in outputs)
    assert named.split()[-1] == backend


@pytest.fixture(scope="module")
def here(tmp_path_factory):
    """The numbers on the current backend."""
    return outputs_on(keras.backend.backend(), tmp_path_factory.mktemp("here"))


def outputs_on(backend, folder):
    file = folder / f"{backend}.npz"
    run(backend, (str(TESTS / "conformance" / "write_outputs.py"), str(file)))
    with np.load(file) as arrays:
        return dict(arrays)


@pytest.mark.parametrize("backend", OTHERS)
def test_the_numbers_are_the_same_on(backend, here, tmp_path):
    """Spikes are identical, membranes and gradients equal up to float32 rounding over a few steps."""
    there = outputs_on(backend, tmp_path)
    assert there.keys() == here.keys()
    spiking = 0
    for name, expected in here.items():
        if name.startswith("outputs/") and set(np.unique(expected)) == {0.0, 1.0}:
            spiking += expected.ndim == 3  # (batch, time, units), not a state
            np.testing.assert_array_equal(there[name], expected, err_msg=name)
        else:
            # Gradients are sums over some dozens of terms of order one.
            tolerance = 1e-5 if name.startswith("outputs/") else 1e-4
            np.testing.assert_allclose(there[name], expected, atol=tolerance, rtol=tolerance, err_msg=name)
    assert spiking >= 10
    assert sum(name.startswith("gradients/") for name in here) >= 60


@pytest.mark.parametrize("backend", OTHERS)
def test_the_profiler_counts_the_same_integers_on(backend, tmp_path):
    """Events, operations, updates and memory of each layer are exactly equal."""
    file = tmp_path / "counts.json"
    run(backend, (str(TESTS / "conformance" / "write_counts.py"), str(file)))
    there, here = json.loads(file.read_text()), json.loads(json.dumps(write_counts.counts()))
    assert there.keys() == here.keys()
    for name, expected in here.items():
        assert there[name] == expected, name
        assert expected["totals"]["accumulates"] > 0, f"{name} is silent, so the test is vacuous"
