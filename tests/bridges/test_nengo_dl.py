"""NengoDL in a process of its own: its results, its errors, and a process that dies."""

import importlib
import os
import signal
import subprocess
import sys
import threading
import time

import numpy as np
import pytest

from kspike_reg import InputError
from kspike_reg.bridges import simulate, to_nengo
from kspike_reg.bridges.nengo import dl_process as nengo_dl_process
from kspike_reg.neurons import LIF
from oracles.backend import torch_arrays
from oracles.bridged import chain, draw, every_option, everything, records

nengo = pytest.importorskip("nengo", reason="needs pip install 'kspike_reg[nengo]'")

pytestmark = torch_arrays
needs_nengo_dl = pytest.mark.skipif(
    importlib.util.find_spec("nengo_dl") is None, reason="needs pip install 'kspike_reg[nengo]'"
)

# Float32 rounds sums of a few dozen numbers of order one, over some ten steps, in other orders than Keras.
ROUNDING = {"rtol": 1e-5, "atol": 1e-5}


def paths(shape, seed=0):
    return np.random.default_rng(seed).normal(0.3, 1.0, shape).astype("float32")


@pytest.fixture(scope="module")
def small():
    return draw(chain(LIF(4, return_sequences=True, name="lif")), 1)


# ------------------------------------------------------------------------------------------------------------ results


@needs_nengo_dl
@pytest.mark.parametrize("make", [every_option, everything])
def test_it_computes_the_same_as_keras(make):
    """Batches of two for five paths: the last batch is filled up."""
    model = make()
    inputs = [paths((5, 8, tensor.shape[-1]), 3) for tensor in model.inputs]
    outputs, spikes, membranes = records(model, *inputs)
    found = simulate(model, inputs, "nengo-dl", batch_size=2)
    assert list(found.spikes) == list(spikes)
    for name, record in spikes.items():
        np.testing.assert_array_equal(found.spikes[name], record, err_msg=name)
        assert record.any()
    for name, record in membranes.items():
        np.testing.assert_allclose(found.membranes[name], record, err_msg=name, **ROUNDING)
    found_outputs = found.outputs if isinstance(found.outputs, list) else [found.outputs]
    for output, reference in zip(found_outputs, outputs, strict=True):
        np.testing.assert_allclose(output, reference, **ROUNDING)


TRAINING = """
import numpy as np, nengo, tensorflow as tf
from kspike_reg.bridges.nengo.dl_neurons import nengo_dl
from kspike_reg.bridges import to_nengo
from kspike_reg import build
network = to_nengo(build("KIND", units=6, population=4, depth=2, seed=1))
(start,), (end,) = network.layout.inputs, network.layout.outputs
data = np.random.default_rng(0).normal(size=(16, 12, 1)).astype("float32")
with nengo_dl.Simulator(network, minibatch_size=16, progress_bar=False) as simulator:
    simulator.compile(tf.keras.optimizers.Adam(0.01), loss={end.end: "mse"})
    fit = simulator.fit({start.end: data}, {end.end: np.cumsum(data, 1)}, epochs=15, verbose=0)
    losses = fit.history["loss"]
print(losses[0], losses[-1])
"""


@needs_nengo_dl
def test_a_converted_network_can_be_trained_in_nengo_dl():
    """The neuron types have surrogate derivatives: fifteen steps of Adam lower the loss."""
    process = subprocess.run(
        [sys.executable, "-c", TRAINING.replace("KIND", "rlif")],
        env=nengo_dl_process._environment(), capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert process.returncode == 0, process.stderr
    first, last = map(float, process.stdout.split()[-2:])
    assert last < 0.9 * first


# ------------------------------------------------------------------------------------------------- errors and death


def other_worker(tmp_path, monkeypatch, script):
    """Let a script take the worker's place."""
    (tmp_path / "other_worker.py").write_text(script)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(nengo_dl_process, "WORKER", "other_worker")


@needs_nengo_dl
def test_its_errors_are_raised(small):
    network = to_nengo(small)
    with network:
        wrong = nengo.Node(_fail, size_in=1, size_out=1, label="wrong")
        nengo.Connection(network.all_ensembles[0].neurons[:1], wrong, synapse=None)
        nengo.Connection(wrong, network.all_ensembles[0].neurons[:1], synapse=0)
    with pytest.raises(RuntimeError, match=r"^simulate: on NengoDL: UnknownError: [^\n]*no such luck$"):
        simulate(network, paths((2, 3, 3)), "nengo-dl")


def _fail(time, x):
    if time > 0:
        raise ArithmeticError("no such luck")
    return x


def test_a_package_that_the_process_cannot_import_is_named(small, tmp_path, monkeypatch):
    script = "import runpy, sys; sys.modules['nengo_dl'] = None\n"
    script += "runpy.run_module('kspike_reg.bridges.nengo.dl_worker', run_name='__main__', alter_sys=True)"
    other_worker(tmp_path, monkeypatch, script)
    with pytest.raises(InputError, match=r"needs the package 'nengo_dl', .*pip install 'kspike_reg\[nengo\]'"):
        simulate(small, paths((2, 3, 3)), "nengo-dl")


def test_a_killed_process_is_an_error_without_waiting(small, tmp_path, monkeypatch):
    script = "import os, pathlib, sys, time\nsys.stderr.write('busy')\nsys.stderr.flush()\n"
    script += f"pathlib.Path({str(tmp_path / 'pid')!r}).write_text(str(os.getpid()))\ntime.sleep(600)"
    other_worker(tmp_path, monkeypatch, script)

    def kill():
        for _ in range(600):
            if (tmp_path / "pid").exists() and (text := (tmp_path / "pid").read_text()):
                os.kill(int(text), signal.SIGKILL)
                return
            time.sleep(0.1)

    killer = threading.Thread(target=kill)
    killer.start()
    with pytest.raises(RuntimeError, match=r"process was killed by SIGKILL before it was done; .* last messages: busy"):
        simulate(small, paths((2, 3, 3)), "nengo-dl")
    killer.join()


def test_the_error_of_a_failed_process_contains_its_last_messages(small, tmp_path, monkeypatch):
    other_worker(tmp_path, monkeypatch, "import sys\nprint('paths done: 1')\nsys.exit('out of luck')")
    with pytest.raises(RuntimeError, match=r"ended with status 1 .*last messages: out of luck"):
        simulate(small, paths((2, 3, 3)), "nengo-dl")


def test_an_interrupt_ends_the_process(small, tmp_path, monkeypatch):
    script = "import os, pathlib, time\n"
    script += f"pathlib.Path({str(tmp_path / 'pid')!r}).write_text(str(os.getpid()))\n"
    script += "print('paths done: 1', flush=True)\ntime.sleep(600)"
    other_worker(tmp_path, monkeypatch, script)
    monkeypatch.setattr(nengo_dl_process.ProgressBar, "done", _interrupt)
    with pytest.raises(KeyboardInterrupt):
        simulate(small, paths((2, 3, 3)), "nengo-dl")
    with pytest.raises(ProcessLookupError):
        os.kill(int((tmp_path / "pid").read_text()), 0)


def _interrupt(bar, count):
    raise KeyboardInterrupt


def test_a_network_that_cannot_be_sent_to_the_process(small):
    network = to_nengo(small)
    with network:
        nengo.Node(lambda time: 0.0)
    with pytest.raises(InputError, match="cannot be sent to NengoDL's process"):
        simulate(network, paths((2, 3, 3)), "nengo-dl")


def test_nengo_dl_is_not_imported_where_keras_is_keras_3(monkeypatch):
    monkeypatch.delenv("TF_USE_LEGACY_KERAS", raising=False)
    monkeypatch.delitem(sys.modules, "kspike_reg.bridges.nengo.dl_neurons", raising=False)
    with pytest.raises(InputError, match="TF_USE_LEGACY_KERAS=1"):
        importlib.import_module("kspike_reg.bridges.nengo.dl_neurons")
