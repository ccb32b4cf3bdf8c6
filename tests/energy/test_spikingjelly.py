"""Synaptic events compared with SpikingJelly's counter, if it is installed (extra bench)."""

import importlib.util
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest

from kspike_reg.energy import profile
from kspike_reg.neurons import LIF
from oracles.backend import numpy_of, torch_arrays
from oracles.weights import assign, draw_on_a_grid

pytestmark = torch_arrays

FEATURES, UNITS, OUTPUTS, DECAY, THRESHOLD = 3, 11, 4, 0.5, 0.75


def test_a_feed_forward_layer_has_as_many_events_as_spikingjelly_counts(tmp_path):
    """The two neurons agree for a hard reset only: SpikingJelly subtracts before the leak, we subtract after it.

    Weights and inputs lie on a binary grid, so that both give the same spikes for any order of summation.
    SpikingJelly runs in a process of its own, since it imports Triton, which conflicts with TensorFlow.
    """
    if importlib.util.find_spec("spikingjelly") is None:
        pytest.skip("SpikingJelly is not installed, see the extra bench")
    inputs = keras.Input((None, FEATURES))
    layer = LIF(UNITS, return_sequences=True, reset="zero", name="lif")
    model = keras.Model(inputs, keras.layers.Dense(OUTPUTS, name="consumer")(layer(inputs)))
    weights = draw_on_a_grid(layer.cell, FEATURES, seed=2)
    weights |= {"decay": np.full(UNITS, DECAY, "float32"), "threshold": np.full(UNITS, THRESHOLD, "float32")}
    assign(layer.cell, weights)
    data = np.random.default_rng(4).integers(-3, 8, (6, 9, FEATURES)).astype("float32") / 4

    sources = {"first": layer.cell, "second": model.get_layer("consumer")}
    arrays = {f"{name}_kernel": numpy_of(source.kernel.value) for name, source in sources.items()}
    arrays |= {f"{name}_bias": numpy_of(source.bias.value) for name, source in sources.items()}
    np.savez(tmp_path / "network.npz", data=data, decay=DECAY, threshold=THRESHOLD, **arrays)
    script = Path(__file__).with_name("count_with_spikingjelly.py")
    command = [sys.executable, str(script), str(tmp_path / "network.npz")]
    process = subprocess.run(command, capture_output=True, text=True, check=False)
    assert process.returncode == 0, process.stderr[-5000:]

    report = profile(model, data)
    assert report["consumer"].accumulates == int(process.stdout) > 0
    assert 0 < report["lif"].spikes < data.shape[0] * data.shape[1] * UNITS
