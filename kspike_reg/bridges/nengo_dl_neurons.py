"""The neuron types of `nengo_neurons` in TensorFlow, for NengoDL: the very steps that the Keras layers take.

Importing this module imports NengoDL and makes the neuron types known to it. It needs a process of its own, started
with TF_USE_LEGACY_KERAS=1 (and KERAS_BACKEND=tensorflow), see `nengo_dl_process`. The surrogate derivatives come
along, so `nengo_dl.Simulator(to_nengo(model)).fit(...)` trains the weights and biases of connections and ensembles;
decays, thresholds and recurrent kernels lie in the neuron types and stay as they are.
"""

import importlib
import os
import sys
import types

import tensorflow as tf
from keras import ops

from kspike_reg.bridges import nengo_neurons
from kspike_reg.bridges.extras import needed
from kspike_reg.errors import InputError
from kspike_reg.neurons.leaky import leaky_integrator_step
from kspike_reg.neurons.lif import lif_step
from kspike_reg.neurons.rlif import rlif_step
from kspike_reg.neurons.slstm import slstm_step

__all__ = ["nengo_dl"]


def _import_nengo_dl():
    """NengoDL 3.6 looks for Keras 2's internals where tf-keras does not have them: lend it those names meanwhile."""
    if os.environ.get("TF_USE_LEGACY_KERAS") != "1":
        raise InputError(
            "nengo_dl_neurons: NengoDL needs a process in which TF_USE_LEGACY_KERAS=1 is set before TensorFlow is "
            "imported; simulate(..., simulator='nengo-dl') starts one"
        )
    functional = needed("tf_keras.src.engine.functional", "nengo", "simulate")
    normalization = "tf_keras.src.layers.normalization.batch_normalization"
    lent = {
        "BatchNormalizationV1": needed(f"{normalization}_v1", "nengo", "simulate").BatchNormalization,
        "BatchNormalizationV2": needed(normalization, "nengo", "simulate").BatchNormalization,
    }
    layers = importlib.import_module("keras.layers")
    sys.modules["keras.engine"] = types.ModuleType("keras.engine")
    sys.modules["keras.engine.functional"] = functional
    vars(layers).update(lent)
    try:
        return needed("nengo_dl", "nengo", "simulate")
    finally:
        for name in lent:
            delattr(layers, name)
        del sys.modules["keras.engine"], sys.modules["keras.engine.functional"]


nengo_dl = _import_nengo_dl()


class _Steps(nengo_dl.builder.OpBuilder):
    """Neurons of one type: NengoDL merges ensembles side by side, each with weights of its own.

    Signals are (minibatch, neurons), as the step functions want them.
    """

    def build_pre(self, signals, config):
        super().build_pre(signals, config)
        self.parts = []
        for op in self.ops:
            state = {name: signals.combine([signal]) for name, signal in op.state.items()}
            self.parts.append((op.neurons, signals.combine([op.J]), signals.combine([op.output]), state))

    def build_step(self, signals):
        for neurons, current, output, state in self.parts:
            before = {name: signals.gather(place) for name, place in state.items()}
            handed_on, after = self.step(neurons, signals.gather(current), **before)
            signals.scatter(output, handed_on)
            for name, place in state.items():
                signals.scatter(place, after[name])

    def step(self, neurons, current, **state):
        """(what the neurons hand on, their state after the step) from their currents and their state before."""
        raise NotImplementedError

    def _firing(self, neurons):
        """The options that all step functions of spiking neurons share."""
        options = {
            "threshold": _constant(neurons.threshold),
            "reset": neurons.reset,
            "detach_reset": neurons.detach_reset,
        }
        if self.config.inference_only:  # no gradients, and this process may not know a surrogate of the user's own
            return options
        return options | {"surrogate": neurons.surrogate, "surrogate_scale": neurons.surrogate_scale}

    @staticmethod
    def _handed_on(neurons, spikes, membrane, **more):
        output = spikes if neurons.output == "spikes" else membrane
        return output, {"voltage": membrane, "fired": spikes, **more}


def _constant(weight):
    return tf.constant(weight, dtype="float32")


def _steps_of(neuron_type):
    """Enter a class of steps for a neuron type."""

    def enter(steps):
        nengo_dl.neuron_builders.SimNeuronsBuilder.TF_NEURON_IMPL[neuron_type] = steps
        return steps

    return enter


@_steps_of(nengo_neurons.SubtractLIF)
class _SubtractLIF(_Steps):
    def step(self, neurons, current, voltage, fired):
        spikes, membrane = lif_step(current, voltage, fired, decay=_constant(neurons.decay), **self._firing(neurons))
        return self._handed_on(neurons, spikes, membrane)


@_steps_of(nengo_neurons.RecurrentSubtractLIF)
class _RecurrentSubtractLIF(_Steps):
    def step(self, neurons, current, voltage, fired):
        spikes, membrane = rlif_step(
            current,
            voltage,
            fired,
            recurrent_kernel=_constant(neurons.recurrent_kernel),
            recurrence=neurons.recurrence,
            decay=_constant(neurons.decay),
            **self._firing(neurons),
        )
        return self._handed_on(neurons, spikes, membrane)


@_steps_of(nengo_neurons.SpikingLSTM)
class _SpikingLSTM(_Steps):
    def step(self, neurons, current, voltage, fired, carry):
        spikes, membrane, carry = slstm_step(
            current + _constant(neurons.gate_bias),
            voltage,
            fired,
            carry,
            recurrent_kernel=_constant(neurons.recurrent_kernel),
            **self._firing(neurons),
        )
        return self._handed_on(neurons, spikes, membrane, carry=carry)


@_steps_of(nengo_neurons.LeakyIntegrator)
class _LeakyIntegrator(_Steps):
    def step(self, neurons, current, voltage):
        membrane = leaky_integrator_step(current, voltage, decay=_constant(neurons.decay))
        return membrane, {"voltage": membrane}


@_steps_of(nengo_neurons.Rate)
class _Rate(_Steps):
    def step(self, neurons, current):
        return _ACTIVATIONS[neurons.activation](current), {}


# The same names as in `nengo_neurons.ACTIVATIONS`.
_ACTIVATIONS = {"linear": lambda x: x, "relu": ops.relu, "sigmoid": ops.sigmoid, "tanh": ops.tanh}
