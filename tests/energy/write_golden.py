"""Record the numbers of KerasSpiking for networks that Keras 2 can build: python write_golden.py FILE.

It needs tf-keras and TF_USE_LEGACY_KERAS=1 in the environment. The tests of our `ModelEnergy` on Keras 3 build the
networks with the same function.

Weights and data are small multiples of 1/8, so that every sum is exact in float32 and both versions of Keras agree
bit by bit.
"""

import json
import sys
from pathlib import Path

import numpy as np

DEVICES = ("cpu", "gpu", "arm", "loihi", "spinnaker", "spinnaker2")
STEPS = 10
DT = (None, 0.002)


def networks(keras):
    """Models of dense layers by name, with example data; `keras` is Keras 2 or 3."""
    layers, random = keras.layers, np.random.default_rng(0)

    def grid(*shape):
        return (random.integers(-8, 9, shape) / 8).astype("float32")

    def model(inputs, outputs):
        network = keras.Model(inputs, outputs)
        network.set_weights([grid(*weights.shape) for weights in network.get_weights()])
        return network

    x = keras.Input((3,))
    deep = layers.Dense(7, "relu", name="one")(x)
    deep = layers.Dropout(0.5, name="drop")(deep)
    deep = layers.Dense(5, name="two")(layers.Dense(4, "relu", name="three")(deep))
    yield "deep", model(x, deep), grid(6, 3)

    x = keras.Input((None, 2))
    path = layers.Dense(5, name="two")(layers.Dense(6, "relu", name="one")(x))
    path = layers.ReLU(name="relu")(layers.Activation("linear", name="linear")(path))
    path = layers.TimeDistributed(layers.Dense(3, "relu"), name="distributed")(path)
    yield "path", model(x, path), grid(4, 5, 2)

    x = keras.Input((None, 4, 3))
    table = layers.Dense(2, "relu", name="positions")(x)
    table = layers.TimeDistributed(layers.Dense(5), name="distributed")(table)
    yield "positions", model(x, table), grid(2, 5, 4, 3)

    x = keras.Input((12,))
    added = layers.Add(name="add")([layers.Dense(5, "relu", name="left")(x), layers.Dense(5, name="right")(x)])
    added = layers.Flatten(name="flatten")(layers.Reshape((5, 1), name="reshape")(added))
    yield "branches", model(x, layers.Dense(2, name="out")(added)), grid(7, 12)

    x = keras.Input((6,))
    shared = layers.Dense(6, "relu", name="shared")
    yield "reused", model(x, shared(shared(x))), grid(4, 6)

    x = keras.Input((7, 6, 3))
    image = layers.Conv2D(4, (1, 1), activation="relu", name="first")(x)
    skipped = layers.Dense(5, "relu", name="skipped")(layers.GlobalAveragePooling2D(name="small")(image))
    image = layers.Conv2D(6, (3, 2), strides=(2, 1), groups=2, name="second")(image)
    image = layers.LeakyReLU(name="leaky")(layers.Dense(3, "relu", name="pixels")(image))
    image = layers.Dense(5, name="out")(layers.GlobalAveragePooling2D(name="mean")(image))
    yield "image", model(x, layers.Add(name="add")([image, skipped])), grid(3, 7, 6, 3)

    x = keras.Input((None, 5, 4, 2))
    film = layers.TimeDistributed(layers.Conv2D(3, (2, 3), activation="relu", padding="same"), name="frames")(x)
    film = layers.TimeDistributed(layers.Activation("relu"), name="relu")(film)
    yield "film", model(x, layers.GlobalAveragePooling3D(name="mean")(film)), grid(2, 3, 5, 4, 2)

    x = keras.Input((None, 3))
    causal = layers.Conv1D(4, 3, padding="causal", dilation_rate=2, activation="relu", name="causal")(x)
    yield "causal", model(x, layers.Dense(2, name="out")(causal)), grid(3, 6, 3)

    x = keras.Input((6, 2))
    signal = layers.Conv1D(4, 3, strides=2, activation="relu", name="signal")(x)
    yield "signal", model(x, layers.Activation("relu", name="relu")(signal)), grid(3, 6, 2)

    x = keras.Input((5, 4, 3, 2))
    volume = layers.Conv3D(3, (4, 2, 1), activation="relu", use_bias=False, name="volume")(x)
    yield "volume", model(x, layers.GlobalAveragePooling3D(name="mean")(volume)), grid(2, 5, 4, 3, 2)


def measure(energy_class, keras):
    """Statistics, rates and joules of every layer, by network and layer."""
    found = {}
    for name, network, data in networks(keras):
        energy = energy_class(network, data)
        found[name] = {
            layer.name: {
                "connections": int(energy.layer_stats[layer]["connections"]),
                "neurons": int(energy.layer_stats[layer]["neurons"]),
                "spiking": bool(energy.layer_stats[layer]["spiking"]),
                "rate": float(energy.layer_rates[layer]),
                "joules": {
                    f"{device} {dt}": [float(joules) for joules in energy.layer_energy(layer, device, STEPS, dt)]
                    for device in DEVICES
                    for dt in DT
                },
            }
            for layer in network.layers
            if type(layer).__name__ != "InputLayer"  # its name ends in a counter
        }
    return found


if __name__ == "__main__":
    import keras_spiking
    import tf_keras

    golden = measure(keras_spiking.ModelEnergy, tf_keras)
    golden["versions"] = {"keras_spiking": keras_spiking.__version__, "tf_keras": tf_keras.__version__}
    Path(sys.argv[1]).write_text(json.dumps(golden, indent=1) + "\n")
