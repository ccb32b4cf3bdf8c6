"""KerasSpiking's own tests of its ModelEnergy, written again for ours, which runs on Keras 3.

The cases are those of `keras_spiking/tests/test_model_energy.py`, the expected numbers its formulas. There is one
difference, on purpose: axis 1 is time for us where nothing convolves over it, also if its length is known.
"""

import math
import os
import subprocess
import sys
import warnings

import keras
import keras_spiking
import numpy as np
import pytest
from keras import layers

from kspike_reg.energy.keras_spiking import ModelEnergy
from kspike_reg.errors import InputError
from oracles.backend import torch_arrays

pytestmark = [torch_arrays, pytest.mark.attack("Peers' suites", "KerasSpiking's tests of ModelEnergy")]

# Steps of a path: no time axis, a known length, an open one.
TIMESTEPS = [1, 8, None]


@pytest.fixture(autouse=True)
def registries(monkeypatch):
    monkeypatch.setattr(ModelEnergy, "devices", dict(ModelEnergy.devices))
    monkeypatch.setattr(ModelEnergy, "layer_stats_computers", dict(ModelEnergy.layer_stats_computers))


def at_each_step(layer, timesteps):
    return layer if timesteps == 1 else layers.TimeDistributed(layer)


def alone(layer, shape, timesteps=1):
    """Statistics of a layer on data of a shape, and its output shape, both per step."""
    layer = at_each_step(layer, timesteps)
    inputs = keras.Input(shape if timesteps == 1 else (timesteps, *shape))
    model = keras.Model(inputs, layer(inputs))
    return ModelEnergy(model).layer_stats[layer], model.output_shape[1 if timesteps == 1 else 2 :]


def images(use_time, use_skip):
    """The network of test_summary, and its layers' expected (connections, neurons)."""
    timesteps = None if use_time else 1
    pool = layers.GlobalAveragePooling3D if use_time else layers.GlobalAveragePooling2D
    inputs = keras.Input((None,) * use_time + (22, 22, 3))
    first = at_each_step(layers.Conv2D(4, (1, 1), activation="relu"), timesteps)(inputs)
    x = at_each_step(layers.Conv2D(32, (3, 3)), timesteps)(first)
    x = at_each_step(layers.Activation("relu"), timesteps)(x)
    x = pool()(at_each_step(layers.Dropout(0.1), timesteps)(x))
    outputs = layers.Dense(10, activation=keras.ops.relu)(x)
    positions = 22 * 22, 20 * 20
    expected = {(positions[0] * 3 * 4, positions[0] * 4), (positions[1] * 9 * 4 * 32, 0), (0, positions[1] * 32)}
    expected |= {(320, 10)}
    if use_skip:
        outputs = layers.Add()([outputs, layers.Dense(10, activation=keras.ops.relu)(pool()(first))])
        expected |= {(40, 10)}
    return keras.Model(inputs, outputs), expected | {(0, 0)}


@pytest.mark.parametrize("use_time", [False, True])
@pytest.mark.parametrize("use_skip", [False, True])
def test_summary(use_time, use_skip):
    model, expected = images(use_time, use_skip)
    data = np.random.default_rng(0).uniform(-1, 1, (4, *[10] * use_time, 22, 22, 3)).astype("float32")
    energy = ModelEnergy(model, data)
    found = {(each["connections"], each["neurons"]) for each in energy.layer_stats.values()}
    assert found == expected
    names = ["name", "output_shape", "params", "connections", "neurons", "rate"]
    devices = ["energy cpu", "energy spinnaker2", "synop_energy loihi", "neuron_energy loihi", "energy loihi"]
    lines = energy.summary_string([*names, *devices], timesteps_per_inference=10, line_length=200).splitlines()
    start = max(number for number, line in enumerate(lines) if set(line) == {"="})
    for line, device in zip(lines[start + 1 :], ("cpu", "spinnaker2", "loihi"), strict=False):
        assert line == f"Total energy per inference [Joules/inf] ({device}): {energy.total_energy(device, 10):.2e}"
    assert lines[start + 4].startswith("* estimates")
    assert lines[start + 5].startswith("* some layers are not spiking")


@pytest.mark.parametrize("timesteps", TIMESTEPS)
def test_device_energy(timesteps):
    shape = (17, 17, 8) if timesteps == 1 else (timesteps, 17, 17, 8)
    inputs = keras.Input(shape)
    x = at_each_step(layers.Conv2D(32, (3, 3), activation="relu"), timesteps)(inputs)
    model = keras.Model(inputs, at_each_step(layers.Dense(10, activation="relu"), timesteps)(x))
    data = np.random.default_rng(1).uniform(-1, 1, (2, *[5 if n is None else n for n in shape])).astype("float32")
    energy = ModelEnergy(model, data)
    assert energy.total_energy("loihi", 46) == 2 * energy.total_energy("loihi", 23) > 0
    connections = 15 * 15 * 9 * 8 * 32, 15 * 15 * 32 * 10
    neurons = 15 * 15 * 32 + 15 * 15 * 10
    cpu = 8.6e-9 * (sum(connections) + neurons)
    assert energy.total_energy("cpu") == pytest.approx(cpu, rel=1e-12)
    # Hz by KerasSpiking's convention: the mean size of the input. Its mean is in single precision.
    hidden = np.abs(keras.ops.convert_to_numpy(model.layers[1](data)).astype("float64")).mean()
    rates = np.abs(data.astype("float64")).mean(), hidden
    loihi = sum(27.1e-12 * count * rate * 0.001 for count, rate in zip(connections, rates, strict=True))
    assert energy.total_energy("loihi", 23) == pytest.approx(23 * (loihi + 81e-12 * neurons), rel=1e-6)


def test_layer_repeat():
    layer, inputs = layers.Dense(10, activation="relu"), keras.Input((10,))
    once, twice = (ModelEnergy(keras.Model(inputs, outputs)) for outputs in (layer(inputs), layer(layer(inputs))))
    for name in ("connections", "neurons"):
        assert twice.layer_stats[layer][name] == 2 * once.layer_stats[layer][name] > 0


@pytest.mark.parametrize("timesteps", TIMESTEPS)
@pytest.mark.parametrize("dims", [1, 3])
def test_activation_stats(dims, timesteps):
    shape = (5, 7, 6)[-dims:]
    found, _ = alone(layers.Activation("relu"), shape, timesteps)
    is_path = timesteps == 1 and dims == 3  # the difference: five steps of 7 * 6 neurons
    assert found == {"connections": 0, "neurons": math.prod(shape[1:] if is_path else shape), "spiking": False}


@pytest.mark.parametrize("timesteps", TIMESTEPS)
@pytest.mark.parametrize("strides", [(1, 1, 1), (2, 1, 2)])
@pytest.mark.parametrize("activation", [None, "relu"])
@pytest.mark.parametrize("dims", [1, 2, 3])
def test_conv_stats(dims, activation, strides, timesteps):
    kernel = (4, 5, 3)[-dims:]
    kind = getattr(layers, f"Conv{dims}D")
    layer = kind(filters=12, kernel_size=kernel, activation=activation, strides=strides[-dims:])
    found, shape = alone(layer, (*(5, 7, 6)[-dims:], 4), timesteps)
    neurons = math.prod(shape) if activation else 0
    expected = {"connections": math.prod(shape) * math.prod(kernel) * 4, "neurons": neurons, "spiking": not activation}
    assert found == expected


@pytest.mark.parametrize("timesteps", TIMESTEPS)
@pytest.mark.parametrize("activation", [None, "relu"])
@pytest.mark.parametrize("shape", [(10,), (5, 10)])
def test_dense_stats(shape, activation, timesteps):
    found, output = alone(layers.Dense(20, activation=activation), shape, timesteps)
    is_path = timesteps == 1 and len(shape) == 2  # the difference: five steps of one position
    size = math.prod(output[1:] if is_path else output)
    neurons = size if activation else 0
    assert found == {"connections": size * 10, "neurons": neurons, "spiking": not activation}


class Dummy(layers.Layer):
    """A layer without statistics."""

    def call(self, inputs):
        return inputs


def test_errors():
    """Where KerasSpiking warns and counts nothing, for a layer that it does not know, we raise."""
    inputs = keras.Input((5, 10))
    dummy = Dummy()
    energy = ModelEnergy(keras.Model(inputs, layers.Dense(20, activation="relu")(inputs)))
    dummy(inputs)
    cases = {
        r"cannot compute statistics for <object .*> of class object; expected a layer": (
            lambda: ModelEnergy.compute_layer_stats(object())
        ),
        "of class Dummy has no registered statistics": lambda: ModelEnergy.compute_layer_stats(dummy),
        "has not been called": lambda: ModelEnergy.compute_layer_stats(layers.Dense(10)),
        "unknown device 'notadevice'": lambda: energy.total_energy("notadevice"),
        "unknown column 'notacolumn'": lambda: energy.summary(columns=["name", "notacolumn"]),
        "give example_data": lambda: energy.total_energy("loihi"),
    }
    for message, call in cases.items():
        with pytest.raises(ValueError, match=message):
            call()
    x = keras.Input((None, None, 5))
    with pytest.raises(ValueError, match="axis of unknown length"):
        ModelEnergy(keras.Model(x, layers.Dense(20)(x)))


def test_registering_twice_warns():
    inputs = keras.Input((10,))
    dummy = Dummy()
    dummy(inputs)
    ModelEnergy.register_layer(Dummy)(lambda node: {})
    with pytest.warns(UserWarning, match="Layer 'Dummy' already registered"):
        ModelEnergy.register_layer(Dummy)(lambda node: {"notastat": 5})
    with pytest.raises(ValueError, match="unknown statistic 'notastat'"):
        ModelEnergy.compute_layer_stats(dummy)
    device = {"energy_per_synop": 1e-12, "energy_per_neuron": 1e-10, "spiking": True}
    ModelEnergy.register_device("dummydevice", **device)
    with pytest.warns(UserWarning, match="Device 'dummydevice' already registered"):
        ModelEnergy.register_device("dummydevice", **device)


@pytest.mark.parametrize("time", [None, 5])
def test_activation_distribution(time):
    """Ten neurons in each step, distributed or not; KerasSpiking has 50 for five steps that are not distributed."""
    inputs = keras.Input((time, 10))
    for layer in (layers.ReLU(), layers.TimeDistributed(layers.ReLU())):
        layer(inputs)
        assert ModelEnergy.compute_layer_stats(layer)["neurons"] == 10


# ------------------------------------------------------------------------------- which axis of a convolution is time


def test_a_convolution_over_a_path_counts_each_step_once():
    """Layers that run over time, or an open length, show that axis 1 of three is time; then all of the model has it."""
    for time, after in ((None, layers.Identity()), (11, layers.LSTM(2))):
        inputs = keras.Input((time, 3))
        convolution, dense = layers.Conv1D(4, 5, padding="causal", activation="relu"), layers.Dense(6)
        model = keras.Model(inputs, after(dense(convolution(inputs))))
        found = ModelEnergy(model).layer_stats
        assert found[convolution] == {"connections": 5 * 3 * 4, "neurons": 4, "spiking": False}
        assert found[dense]["connections"] == 4 * 6


def test_an_image_before_a_path_is_an_image():
    """Four axes are places, three are steps."""
    inputs = keras.Input((7, 5, 3))
    convolution, dense, lstm = layers.Conv2D(4, (3, 2)), layers.Dense(6), layers.LSTM(2)
    model = keras.Model(inputs, lstm(dense(layers.Reshape((5, 16))(convolution(inputs)))))
    found = ModelEnergy(model).layer_stats
    assert found[convolution]["connections"] == 3 * 2 * 3 * (5 * 4 * 4)
    assert found[dense]["connections"] == 16 * 6
    assert found[lstm]["connections"] == 4 * 2 * (6 + 2)


def test_images_in_a_nested_model_are_images():
    inner = keras.Input((7, 5, 3))
    block = keras.Model(inner, layers.Dense(2)(layers.Conv2D(4, (3, 2), groups=1)(inner)))
    inputs = keras.Input((7, 5, 3))
    model = keras.Model(inputs, block(inputs))
    expected = 3 * 2 * 3 * (5 * 4 * 4) + 5 * 4 * 4 * 2
    assert ModelEnergy(model).layer_stats[block]["connections"] == expected
    frames, film = layers.TimeDistributed(block), keras.Input((None, 7, 5, 3))
    found = ModelEnergy(keras.Model(film, frames(film))).layer_stats[frames]
    assert found["connections"] == expected


# ----------------------------------------------------------------------------------------- KerasSpiking's own layers


class OnKeras3(keras_spiking.SpikingActivation):
    """KerasSpiking's layer, made to be built by Keras 3 as far as its shapes."""

    def build(self, input_shape):
        self.built = True

    def call(self, inputs):
        return inputs

    def compute_output_shape(self, input_shape):
        return tuple(input_shape)


@pytest.mark.parametrize("time", [8, None])
@pytest.mark.parametrize("shape", [(6,), (5, 7, 6)])
def test_spiking_activation_counts_as_in_keras_spiking(shape, time):
    """Also no note that layers are not spiking, and rates in Hz, since its spikes have height 1 / dt."""
    inputs = keras.Input((time, *shape))
    layer = OnKeras3("relu")
    energy = ModelEnergy(keras.Model(inputs, layer(inputs)), np.ones((2, time or 3, *shape), "float32"))
    assert energy.layer_stats[layer] == {"connections": 0, "neurons": math.prod(shape), "spiking": True}
    assert energy.activity == "hertz"
    assert "not spiking" not in energy.summary_string(("name", "energy loihi"))


def test_spiking_activation_says_why_keras_3_cannot_run_it():
    """If this fails, KerasSpiking has learned Keras 3, and the message can go."""
    layer = keras_spiking.SpikingActivation("relu")
    with pytest.raises(InputError, match=r"has not been called; layers of KerasSpiking .*no time_major.*neurons.LIF"):
        ModelEnergy.compute_layer_stats(layer)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with pytest.raises((ValueError, AttributeError)):
            layer(keras.Input((None, 3)))


@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="tf-keras runs on TensorFlow alone")
def test_models_of_keras_2_are_refused_by_that_name():
    """In a process of its own, in which KerasSpiking's layers are of Keras 2."""
    pytest.importorskip("tf_keras", reason="the extra nengo is not installed")
    script = """
import keras_spiking, tf_keras
from kspike_reg.energy.keras_spiking import ModelEnergy
inputs = tf_keras.Input((None, 3))
layer = keras_spiking.SpikingActivation("relu")
model = tf_keras.Model(inputs, layer(inputs))
assert keras_spiking.ModelEnergy(model).layer_stats[layer]["neurons"] == 3
for call in (lambda: ModelEnergy(model), lambda: ModelEnergy.compute_layer_stats(layer)):
    try:
        call()
    except ValueError as error:
        assert "is of Keras 2; build it with Keras 3, or count it by keras_spiking.ModelEnergy" in str(error), error
    else:
        raise AssertionError
"""
    environment = os.environ | {"TF_USE_LEGACY_KERAS": "1", "TF_CPP_MIN_LOG_LEVEL": "3"}
    process = subprocess.run(
        [sys.executable, "-c", script], env=environment, capture_output=True, text=True, check=False
    )
    assert process.returncode == 0, process.stderr[-3000:]
