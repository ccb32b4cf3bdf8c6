"""The neuron types of `bridges.nengo.neurons` in TensorFlow, for NengoDL: the same steps as in the Keras layers.

Importing this module imports NengoDL and registers the neuron types with it. It needs a process of its own, started
with TF_USE_LEGACY_KERAS=1 (and KERAS_BACKEND=tensorflow), see `dl_process`. The steps include the surrogate
derivatives, so `nengo_dl.Simulator(to_nengo(model)).fit(...)` trains the weights and biases of connections and
ensembles. Decays, thresholds and recurrent kernels are constants of the neuron types and are not trained.
"""

import importlib
import os
import sys
import types
from typing import Any

import tensorflow as tf
from keras import ops

from kspike_reg.bridges.extras import needed
from kspike_reg.bridges.nengo import neurons as nengo_neurons
from kspike_reg.errors import InputError
from kspike_reg.neurons.leaky import leaky_integrator_step
from kspike_reg.neurons.lif import lif_step
from kspike_reg.neurons.rlif import rlif_step
from kspike_reg.neurons.slstm import slstm_step

__all__ = ["nengo_dl"]


def _import_nengo_dl():
    """Import NengoDL 3.6. It expects internals of Keras 2 where tf-keras has none, so they are put there meanwhile."""
    if os.environ.get("TF_USE_LEGACY_KERAS") != "1":
        raise InputError(
            "bridges.nengo.dl_neurons: NengoDL needs a process in which TF_USE_LEGACY_KERAS=1 is set before TensorFlow "
            "is imported; simulate(..., simulator='nengo-dl') starts one"
        )
    functional = needed("tf_keras.src.engine.functional", "nengo", "simulate")
    normalization = "tf_keras.src.layers.normalization.batch_normalization"
    missing = {
        "BatchNormalizationV1": needed(f"{normalization}_v1", "nengo", "simulate").BatchNormalization,
        "BatchNormalizationV2": needed(normalization, "nengo", "simulate").BatchNormalization,
    }
    layers = importlib.import_module("keras.layers")
    sys.modules["keras.engine"] = types.ModuleType("keras.engine")
    sys.modules["keras.engine.functional"] = functional
    vars(layers).update(missing)
    try:
        return needed("nengo_dl", "nengo", "simulate")
    finally:
        for name in missing:
            delattr(layers, name)
        del sys.modules["keras.engine"], sys.modules["keras.engine.functional"]


nengo_dl = _import_nengo_dl()


@nengo_dl.builder.Builder.register(nengo_neurons.SimLayer)
class _LayerBuilder(nengo_dl.builder.OpBuilder):
    """One layer at a time. Signals are (minibatch, neurons), the shape that the step functions expect."""

    def build_pre(self, signals: Any, config: Any) -> None:
        super().build_pre(signals, config)
        (op,) = self.ops
        self.neurons = op.neurons
        self.current, self.output = signals.combine([op.J]), signals.combine([op.output])
        self.state = {name: signals.combine([signal]) for name, signal in op.state.items()}

    def build_step(self, signals: Any) -> None:
        before = {name: signals.gather(place) for name, place in self.state.items()}
        step = _STEPS[type(self.neurons)]
        output, after = step(self.neurons, signals.gather(self.current), **before, **self._for_training())
        signals.scatter(self.output, output)
        for name, place in self.state.items():
            signals.scatter(place, after[name])

    def _for_training(self):
        """The surrogate; none without gradients, since this process may not have a surrogate of the user."""
        if self.config.inference_only or not self.neurons.spiking:
            return {}
        return {name: getattr(self.neurons, name) for name in ("detach_reset", "surrogate", "surrogate_scale")}


def _constant(weight):
    return tf.constant(weight, dtype="float32")


def _firing(neurons):
    return {"threshold": _constant(neurons.threshold), "reset": neurons.reset}


def _emitted(neurons, spikes, membrane, **more):
    return spikes if neurons.output == "spikes" else membrane, {"voltage": membrane, "fired": spikes, **more}


def _subtract_lif(neurons, current, voltage, fired, **training):
    return _emitted(
        neurons, *lif_step(current, voltage, fired, decay=_constant(neurons.decay), **_firing(neurons), **training)
    )


def _recurrent_subtract_lif(neurons, current, voltage, fired, **training):
    spikes, membrane = rlif_step(
        current,
        voltage,
        fired,
        recurrent_kernel=_constant(neurons.recurrent_kernel),
        recurrence=neurons.recurrence,
        decay=_constant(neurons.decay),
        **_firing(neurons),
        **training,
    )
    return _emitted(neurons, spikes, membrane)


def _spiking_lstm(neurons, current, voltage, fired, carry, **training):
    spikes, membrane, carry = slstm_step(
        current + _constant(neurons.gate_bias),
        voltage,
        fired,
        carry,
        recurrent_kernel=_constant(neurons.recurrent_kernel),
        **_firing(neurons),
        **training,
    )
    return _emitted(neurons, spikes, membrane, carry=carry)


def _leaky_integrator(neurons, current, voltage):
    membrane = leaky_integrator_step(current, voltage, decay=_constant(neurons.decay))
    return membrane, {"voltage": membrane}


def _rate(neurons, current):
    current = current if neurons.factor is None else current * _constant(neurons.factor)
    return _ACTIVATIONS[neurons.activation](current), {}


# By the names in `neurons.ACTIVATIONS`.
_ACTIVATIONS = {"linear": lambda x: x, "relu": ops.relu, "sigmoid": ops.sigmoid, "tanh": ops.tanh}

# From currents and state to (output, new state).
_STEPS = {
    nengo_neurons.SubtractLIF: _subtract_lif,
    nengo_neurons.RecurrentSubtractLIF: _recurrent_subtract_lif,
    nengo_neurons.SpikingLSTM: _spiking_lstm,
    nengo_neurons.LeakyIntegrator: _leaky_integrator,
    nengo_neurons.Rate: _rate,
}
