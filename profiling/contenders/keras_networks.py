"""Contenders in Keras: `build`'s networks, and the same neurons by Keras's own loop.

A step of training is what `model.fit` runs for a batch and inference what `model.predict` runs: the model's own train
and predict functions, on a batch that is on the device already.
"""

import inspect
import math
import os
from importlib import import_module
from itertools import repeat

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import keras
import numpy as np

from contenders.cases import DEPTH, FEATURES, OUTPUTS, RECURRENT, SEED
from contenders.process import MEBI, Contender
from kspike_reg import build
from kspike_reg.evaluation import records
from kspike_reg.experiments.run import environment
from kspike_reg.network import compile_for_regression
from kspike_reg.neurons.layer import NeuronLayer

BACKEND = keras.backend.backend()
if BACKEND not in ("tensorflow", "jax"):
    raise NotImplementedError(f"speed is measured on the backends tensorflow and jax, not on {BACKEND}")
products = import_module(f"contenders.products_{BACKEND}")


class KerasNetwork(Contender):
    """A compiled Keras model; subclasses say which."""

    def __init__(self, case):
        super().__init__(case)
        self.model = self.network()
        self.functions = RUNNERS[BACKEND](self.model, *case.data())

    def network(self):
        """The model."""
        raise NotImplementedError

    def ours(self, kind=None, **options):
        """The network of `build` at the case's size."""
        units = self.case.units
        return build(
            kind or self.case.kind,
            features=FEATURES,
            outputs=OUTPUTS,
            units=units,
            population=units,
            depth=DEPTH,
            seed=SEED,
            **options,
        )

    def run(self, mode, form):
        self.functions[mode]()

    def weights(self):
        return sum(math.prod(weight.shape) for weight in self.model.trainable_weights)

    def on_device(self):
        return device_memory()


class Ours(KerasNetwork):
    """The network of `build`."""

    def network(self):
        return self.ours()

    def spike_rates(self):
        """Spikes of a neuron and step on the case's paths, for each spiking layer."""
        inputs, _ = self.case.data()
        return [float(record.spikes.mean()) for record in records(self.model, inputs).values()]

    @staticmethod
    def retracings(kind, units, sizes):
        """Executions of a layer's Python code after each size in turn, in training and in prediction.

        Args:
            kind, units: of the network.
            sizes: pairs (steps, batch).
        """
        network = build(kind, units=units, population=units, depth=DEPTH, seed=SEED)
        layer, executions = network.layers[1], []
        call = layer.call
        layer.call = lambda *arguments, **options: executions.append(1) or call(*arguments, **options)
        rows = []
        for steps, batch in sizes:
            paths = np.ones((batch, steps, FEATURES), "float32")
            calls = {
                "training": lambda paths=paths: network.train_on_batch(paths, paths[..., :OUTPUTS]),
                "inference": lambda paths=paths: network.predict(paths, batch_size=len(paths), verbose=0),
            }
            row = {"kind": kind, "steps": steps, "batch": batch}
            for mode, function in calls.items():
                executions.clear()
                function()
                row[mode] = len(executions)
            rows.append(row)
        return rows


class Silent(Ours):
    """The same, with thresholds that no membrane reaches."""

    kinds = ()  # it takes part where it is called by its name

    def network(self):
        return self.ours(threshold=1e3)


class Busy(Ours):
    """The same, with thresholds that every positive membrane reaches."""

    kinds = ()

    def network(self):
        return self.ours(threshold=1e-4)


class Recomputed(KerasNetwork):
    """The same, which keeps no states for the way back but runs forward once more."""

    def network(self):
        # Where paths are cut into pieces, such pieces hold as many states as there are ends of pieces.
        return self.ours(recompute=math.ceil(math.sqrt(self.case.steps)))


class Naive(KerasNetwork):
    """The same neurons and weights, one step after the other in `keras.layers.RNN(cell)`."""

    def network(self):
        ours = self.ours()
        x = inputs = keras.Input(ours.input_shape[1:])
        for layer in ours.layers[1:]:
            x = stepwise(layer)(x)
        model = keras.Model(inputs, x)
        model.set_weights(ours.get_weights())
        compile_for_regression(model)
        return model


class Baseline(KerasNetwork):
    """Keras's own LSTM layers in place of the SLSTM, dense ones in place of the integrators."""

    kinds = ("slstm",)

    def network(self):
        return self.ours("lstm")


def stepwise(layer):
    """A layer, or for one of neurons `keras.layers.RNN` around the same cell."""
    if not isinstance(layer, NeuronLayer):
        return type(layer).from_config(layer.get_config())
    cell = type(layer.cell).from_config(layer.cell.get_config())
    return keras.layers.RNN(cell, return_sequences=True, name=layer.name)


def tensorflow_functions(model, inputs, targets):
    """Training and inference of a model on one batch, each as a function without arguments."""
    import tensorflow as tf

    def sizes_open(*batch):
        # `fit` knows the steps of its batches, but not how many paths the last one holds.
        return tuple(tf.compat.v1.placeholder_with_default(each, (None, *each.shape[1:])) for each in batch)

    batches = iter(tf.data.Dataset.from_tensors((inputs, targets)).map(sizes_open).repeat())
    paths = tf.constant(inputs)
    model.make_train_function()
    model.make_predict_function()
    return {
        "training": lambda: float(model.train_function(batches)["loss"]),
        "inference": lambda: model.predict_function([(paths,)]),
    }


def jax_functions(model, inputs, targets):
    """Training and inference of a model on one batch, each as a function without arguments."""
    import jax

    inputs, targets = jax.device_put(inputs), jax.device_put(targets)
    model.make_train_function()
    model.make_predict_function()
    kept = {}

    def training():
        # As `fit` does: the state stays outside of the model, which the train function may not touch.
        state = kept.get("state") or model._get_jax_state(
            trainable_variables=True, non_trainable_variables=True, optimizer_variables=True, metrics_variables=True
        )
        logs, kept["state"] = model.train_function(state, repeat((inputs, targets)))
        jax.block_until_ready((logs, kept["state"]))

    # Either gives the buffers of its state away and gets others back, so each has its own.
    kept["weights"] = [
        [jax.numpy.array(variable.value) for variable in variables]
        for variables in (model.trainable_variables, model.non_trainable_variables)
    ]

    def inference():
        outputs, kept["weights"] = model.predict_function(kept["weights"], repeat((inputs,)))
        jax.block_until_ready(outputs)

    return {"training": training, "inference": inference}


RUNNERS = {"tensorflow": tensorflow_functions, "jax": jax_functions}


class Products(Contender):
    """The matrix products alone, in the backend's own operations: the floor."""

    def __init__(self, case):
        super().__init__(case)
        ways = products.FORMS if case.kind in RECURRENT else {"2-D products": products.laid_out}
        self.forms = tuple(ways)
        self.functions = {form: products.functions(case, steps_of) for form, steps_of in ways.items()}

    def run(self, mode, form):
        self.functions[form][mode]()

    def weights(self):
        return 0


def about():
    """Versions, backend and device."""
    return environment()


def device_memory():
    """The most that an accelerator held so far."""
    if BACKEND != "jax":
        return {}
    statistics = import_module("jax").local_devices()[0].memory_stats() or {}
    return {"device / MiB": statistics["peak_bytes_in_use"] / MEBI} if "peak_bytes_in_use" in statistics else {}


CONTENDERS = {
    "products": Products,
    "kspike_reg": Ours,
    "naive": Naive,
    "keras LSTM": Baseline,
    "kspike_reg silent": Silent,
    "kspike_reg busy": Busy,
}
if "recompute" in inspect.signature(build).parameters:
    CONTENDERS["kspike_reg recomputed"] = Recomputed
