"""Implementations in Keras: networks of `build`, the same neurons in Keras's own loop, and the matrix products alone.

A step of training is what `model.fit` runs for a batch, and inference is what `model.predict` runs: the train and
predict functions of the model, on a batch that is already on the device.
"""

import math
import os
from collections.abc import Callable
from importlib import import_module
from itertools import repeat
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import keras
import numpy as np
from numpy.typing import NDArray

from implementations.cases import DEPTH, FEATURES, OUTPUTS, RECURRENT, SEED, Case
from implementations.process import MEBI, Implementation
from kspike_reg import build
from kspike_reg.evaluation import records
from kspike_reg.experiments.run import environment
from kspike_reg.network import compile_for_regression
from kspike_reg.network.graph import Node, graph_of

BACKEND = keras.backend.backend()
if BACKEND not in ("tensorflow", "jax"):
    raise NotImplementedError(f"speed is measured on the backends tensorflow and jax, not on {BACKEND}")
matmul = import_module(f"implementations.matmul_{BACKEND}")


class KerasNetwork(Implementation):
    """A compiled Keras model; subclasses define which one."""

    def __init__(self, case: Case) -> None:
        super().__init__(case)
        self.model = self.network()
        self.functions = RUNNERS[BACKEND](self.model, *case.data())

    def network(self) -> keras.Model:
        """The compiled model."""
        raise NotImplementedError

    def built(self, kind: str | None = None, **options: Any) -> keras.Model:
        """The network of `kspike_reg.build` at the sizes of the case."""
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

    def run(self, mode: str, form: str) -> None:
        self.functions[mode]()

    def weights(self) -> int:
        return sum(math.prod(weight.shape) for weight in self.model.trainable_weights)

    def on_device(self) -> dict[str, float]:
        return device_memory()


class Ours(KerasNetwork):
    """The network of `kspike_reg.build`."""

    def network(self) -> keras.Model:
        return self.built()

    def spike_rates(self) -> list[float]:
        """Spikes per neuron and step on the paths of the case, for each spiking layer."""
        inputs, _ = self.case.data()
        return [float(record.spikes.mean()) for record in records(self.model, inputs).values()]

    @staticmethod
    def retracings(kind: str, units: int, sizes: list[tuple[int, int]]) -> list[dict]:
        """How often the Python code of the first spiking layer runs at each size, in training and in inference.

        Args:
            kind: kind of network.
            units: neurons in each layer.
            sizes: pairs (steps, batch), in the order of the calls.

        Returns:
            A row for each size: kind, steps, batch, and the executions of each mode.
        """
        network = build(kind, units=units, population=units, depth=DEPTH, seed=SEED)
        layer, executions = graph_of(network, "retracings").spiking_nodes[0].layer, []
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
    """The network of `build` with thresholds that no membrane reaches."""

    kinds = ()  # only measured on request

    def network(self) -> keras.Model:
        return self.built(threshold=1e3)


class Busy(Ours):
    """The network of `build` with thresholds that every positive membrane reaches."""

    kinds = ()

    def network(self) -> keras.Model:
        return self.built(threshold=1e-4)


class Recomputed(KerasNetwork):
    """The network of `build`, which stores few states and runs forward again during the backward pass."""

    def network(self) -> keras.Model:
        # With sqrt(steps) pieces, a piece has as many steps as there are pieces, and memory is least.
        return self.built(recompute=math.ceil(math.sqrt(self.case.steps)))


class Naive(KerasNetwork):
    """The same neurons and weights, one step after the other in `keras.layers.RNN(cell)`."""

    def network(self) -> keras.Model:
        ours = self.built()
        x = inputs = keras.Input(ours.input_shape[1:])
        for node in graph_of(ours, "naive").nodes:
            x = stepwise(node)(x)
        model = keras.Model(inputs, x)
        model.set_weights(ours.get_weights())
        compile_for_regression(model)
        return model


class Baseline(KerasNetwork):
    """Keras's LSTM layers instead of SLSTM layers, and dense layers instead of the leaky integrators."""

    kinds = ("slstm",)

    def network(self) -> keras.Model:
        return self.built("lstm")


def stepwise(node: Node) -> keras.layers.Layer:
    """A copy of a node's layer; for a layer of neurons, `keras.layers.RNN` around the same cell."""
    layer, cell = node.layer, node.cell
    if cell is None:
        return type(layer).from_config(layer.get_config())
    return keras.layers.RNN(type(cell).from_config(cell.get_config()), return_sequences=True, name=layer.name)


def tensorflow_functions(model: keras.Model, inputs: NDArray, targets: NDArray) -> dict[str, Callable[[], object]]:
    """Training and inference of a model on one batch, each as a function without arguments."""
    import tensorflow as tf

    def with_open_batch(*arrays: tf.Tensor) -> tuple:
        # `fit` knows the steps of its batches, but not how many paths the last one has.
        return tuple(tf.compat.v1.placeholder_with_default(each, (None, *each.shape[1:])) for each in arrays)

    batches = iter(tf.data.Dataset.from_tensors((inputs, targets)).map(with_open_batch).repeat())
    paths = tf.constant(inputs)
    model.make_train_function()
    model.make_predict_function()
    return {
        "training": lambda: float(model.train_function(batches)["loss"]),
        "inference": lambda: model.predict_function([(paths,)]),
    }


def jax_functions(model: keras.Model, inputs: NDArray, targets: NDArray) -> dict[str, Callable[[], object]]:
    """Training and inference of a model on one batch, each as a function without arguments."""
    import jax

    inputs, targets = jax.device_put(inputs), jax.device_put(targets)
    model.make_train_function()
    model.make_predict_function()
    # Both functions donate the buffers of their state and return new ones, so each has a state of its own.
    states = {
        "inference": [
            [jax.numpy.array(variable.value) for variable in variables]
            for variables in (model.trainable_variables, model.non_trainable_variables)
        ]
    }

    def training() -> None:
        # As in `fit`, the state lives outside of the model, which the train function must not touch.
        state = states.get("training") or model._get_jax_state(
            trainable_variables=True, non_trainable_variables=True, optimizer_variables=True, metrics_variables=True
        )
        logs, states["training"] = model.train_function(state, repeat((inputs, targets)))
        jax.block_until_ready((logs, states["training"]))

    def inference() -> None:
        outputs, states["inference"] = model.predict_function(states["inference"], repeat((inputs,)))
        jax.block_until_ready(outputs)

    return {"training": training, "inference": inference}


RUNNERS = {"tensorflow": tensorflow_functions, "jax": jax_functions}


class Matmul(Implementation):
    """The matrix products alone, in operations of the backend: the reference for all times."""

    def __init__(self, case: Case) -> None:
        super().__init__(case)
        forms = matmul.FORMS if case.kind in RECURRENT else {"2-D matmul": matmul.unrolled}
        self.forms = tuple(forms)
        self.functions = {form: matmul.functions(case, recurrent) for form, recurrent in forms.items()}

    def run(self, mode: str, form: str) -> None:
        self.functions[form][mode]()

    def weights(self) -> int:
        return 0


def about() -> dict:
    """Versions, backend and device."""
    return environment()


def device_memory() -> dict[str, float]:
    """The largest memory used on an accelerator so far, where the backend reports it."""
    if BACKEND != "jax":
        return {}
    statistics = import_module("jax").local_devices()[0].memory_stats() or {}
    return {"device / MiB": statistics["peak_bytes_in_use"] / MEBI} if "peak_bytes_in_use" in statistics else {}


IMPLEMENTATIONS = {
    "matmul": Matmul,
    "kspike_reg": Ours,
    "naive": Naive,
    "keras LSTM": Baseline,
    "kspike_reg silent": Silent,
    "kspike_reg busy": Busy,
    "kspike_reg recomputed": Recomputed,
}
