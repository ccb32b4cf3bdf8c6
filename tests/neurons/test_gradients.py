"""Gradients: finite differences for smooth networks, values worked by hand for networks that fire."""

import math

import keras
import numpy as np
import pytest
from keras import ops

from kspike_reg.neurons import LIF, RLIF, SLSTM, LeakyIntegrator
from oracles.backend import finite_differences, gradients, numpy_of, torch_arrays
from oracles.weights import assign, draw

pytestmark = torch_arrays

BATCH, TIME, FEATURES, UNITS = 2, 4, 3, 2


# The error of central differences is step^2 / 6 times the third derivative, plus the rounding of the loss over the
# step. Only on TensorFlow does Keras compute in float64; on other backends its type promotion stops at float32.
DOUBLE = keras.backend.backend() == "tensorflow"
DTYPE, STEP = ("float64", 1e-5) if DOUBLE else ("float32", 1e-2)
TOLERANCE = {"rtol": 1e-6, "atol": 1e-7} if DOUBLE else {"rtol": 5e-3, "atol": 2e-3}


@pytest.mark.parametrize(
    ("neuron", "options"),
    [
        (LeakyIntegrator, {}),
        (LeakyIntegrator, {"use_bias": False}),
        (LIF, {"reset": "subtract"}),
        (LIF, {"reset": "zero"}),
        (RLIF, {"reset": "subtract"}),
        (SLSTM, {"reset": "subtract"}),
        (SLSTM, {"reset": "zero"}),
        (SLSTM, {"reset": "subtract", "detach_reset": False}),
    ],
    ids=lambda value: value.__name__ if isinstance(value, type) else "-".join(map(str, value.values())) or "plain",
)
def test_below_the_threshold_gradients_equal_finite_differences(neuron, options):
    """All weights, also the decay and all four gates; with thresholds of 50 all neurons are silent, hence smooth."""
    if neuron is not LeakyIntegrator:
        # The window is exactly zero so far below the threshold; other surrogates are nearly zero.
        options = options | {"output": "membrane", "surrogate": "boxcar"}
    layer = neuron(UNITS, return_sequences=True, dtype=DTYPE, **options)
    layer.build((None, None, FEATURES))
    assign(layer.cell, draw(layer.cell, FEATURES, seed=5) | {"threshold": np.full(UNITS, 50.0)})
    inputs = np.random.default_rng(6).normal(0.2, 1.0, (BATCH, TIME, FEATURES)).astype(DTYPE)
    weights = np.linspace(0.5, 1.5, BATCH * TIME * UNITS).reshape(BATCH, TIME, UNITS).astype(DTYPE)

    def loss():
        """A sum of squares of all outputs with unequal weights, so that no gradient is constant."""
        return ops.sum(ops.multiply(ops.square(layer(inputs)), weights))

    found = gradients(loss, layer.trainable_weights)
    assert len(found) >= 2
    for variable, gradient in zip(layer.trainable_weights, found, strict=True):
        if variable.name == "threshold" or (variable.name == "recurrent_kernel" and neuron is RLIF):
            np.testing.assert_array_equal(gradient, 0, err_msg=variable.name)  # only spikes depend on them
            continue
        assert np.all(np.abs(gradient) > 1e-6), f"the loss hardly depends on {variable.name}"
        expected = finite_differences(loss, variable, STEP)
        np.testing.assert_allclose(gradient, expected, **TOLERANCE, err_msg=variable.name)


def phi(distance):
    """The default surrogate derivative (equation 9)."""
    return 1 / (1 + (math.pi * distance) ** 2)


def two_steps(neuron, **options):
    """One neuron: w = 0.8, b = 0.1, decay = 0.5, threshold = 1 under x = 1.5, 0.6, and the loss S[1] + 3 S[2].

    U[1] = 0.8 * 1.5 + 0.1 = 1.3 fires; U[2] = 0.5 * 1.3 + 0.8 * 0.6 + 0.1 - 1 = 0.23 does not.
    """
    layer = neuron(1, return_sequences=True, **options)
    layer.build((1, 2, 1))
    weights = {"kernel": [[0.8]], "bias": [0.1], "decay": [0.5], "threshold": [1.0], "recurrent_kernel": [[0.4]]}
    assign(layer.cell, {name: np.array(value, "float32") for name, value in weights.items()})
    inputs = np.array([[[1.5], [0.6]]], "float32")
    assert numpy_of(layer(inputs)).ravel().tolist() == [1.0, 0.0]
    found = gradients(
        lambda: ops.sum(ops.multiply(layer(inputs), np.array([[[1.0], [3.0]]], "float32"))), layer.trainable_weights
    )
    return {
        weight.name: float(gradient.item()) for weight, gradient in zip(layer.trainable_weights, found, strict=True)
    }


def test_gradients_through_spikes_worked_by_hand():
    """The reset spike passes no gradient by default. With p1 = phi(U[1] - 1), p2 = phi(U[2] - 1):

    dL/dw = p1 * 1.5 + 3 p2 (0.5 * 1.5 + 0.6)
    dL/db = p1 + 3 p2 (0.5 + 1)
    dL/ddecay = 3 p2 U[1]
    dL/dthreshold = -p1 + 3 p2 (-1 - S[1]),   S[1] = 1 from the reset, which subtracts the threshold
    """
    p1, p2 = phi(1.3 - 1), phi(0.23 - 1)
    expected = {
        "kernel": 1.5 * p1 + 3 * p2 * (0.5 * 1.5 + 0.6),
        "bias": p1 + 3 * p2 * 1.5,
        "decay": 3 * p2 * 1.3,
        "threshold": -p1 - 3 * p2 * 2,
    }
    assert two_steps(LIF) == pytest.approx(expected, rel=1e-5)  # float32


def test_gradients_through_the_reset_spike_worked_by_hand():
    """With detach_reset=False, U[2] = ... - threshold S[1] also passes on -threshold dS[1]:

    dL/dw = p1 * 1.5 + 3 p2 (0.5 * 1.5 + 0.6 - p1 * 1.5)
    dL/db = p1 + 3 p2 (1.5 - p1)
    dL/ddecay = 3 p2 U[1], as before: S[1] does not depend on the decay
    dL/dthreshold = -p1 + 3 p2 (-1 - S[1] + p1)
    """
    p1, p2 = phi(1.3 - 1), phi(0.23 - 1)
    expected = {
        "kernel": 1.5 * p1 + 3 * p2 * (0.5 * 1.5 + 0.6 - 1.5 * p1),
        "bias": p1 + 3 * p2 * (1.5 - p1),
        "decay": 3 * p2 * 1.3,
        "threshold": -p1 + 3 * p2 * (-2 + p1),
    }
    found = two_steps(LIF, detach_reset=False)
    assert found == pytest.approx(expected, rel=1e-5)  # float32
    detached = two_steps(LIF)
    assert found["kernel"] != pytest.approx(detached["kernel"], rel=1e-2)
    assert found["decay"] == detached["decay"]


@pytest.mark.parametrize("detach_reset", [True, False])
def test_gradients_through_the_reset_to_zero_worked_by_hand(detach_reset):
    """U[2] = 0.5 U[1] (1 - S[1]) + 0.8 * 0.6 + 0.1 = 0.58 with S[1] = 1, so U[2] depends on U[1] through S[1] alone:

    dU[2]/dw = 0.6 - 0.5 U[1] dS[1]/dw,   dS[1]/dw = 1.5 p1 where the reset is not detached
    """
    p1, p2 = phi(1.3 - 1), phi(0.58 - 1)
    through_reset = 0.0 if detach_reset else 0.5 * 1.3 * p1
    found = two_steps(LIF, reset="zero", detach_reset=detach_reset)
    expected = {
        "kernel": 1.5 * p1 + 3 * p2 * (0.6 - 1.5 * through_reset),
        "bias": p1 + 3 * p2 * (1.0 - through_reset),
        "decay": 0.0,
        "threshold": -p1 + 3 * p2 * (-1.0 + through_reset),
    }
    assert found == pytest.approx(expected, rel=1e-5)  # float32


def test_gradients_through_recurrent_spikes_worked_by_hand():
    """RLIF with V = 0.4: U[2] = 0.23 + 0.4 = 0.63. Only the reset is detached; V passes its gradient on:

    dL/dV = 3 p2 S[1]
    dL/dw = p1 * 1.5 + 3 p2 (0.5 * 1.5 + 0.6 + 0.4 p1 * 1.5)
    dL/dthreshold = -p1 + 3 p2 (-1 - S[1] - 0.4 p1)
    """
    p1, p2 = phi(1.3 - 1), phi(0.63 - 1)
    found = two_steps(RLIF)
    expected = {
        "recurrent_kernel": 3 * p2,
        "kernel": 1.5 * p1 + 3 * p2 * (0.5 * 1.5 + 0.6 + 0.4 * 1.5 * p1),
        "bias": p1 + 3 * p2 * (1.5 + 0.4 * p1),
        "decay": 3 * p2 * 1.3,
        "threshold": -p1 + 3 * p2 * (-2 - 0.4 * p1),
    }
    assert found == pytest.approx(expected, rel=1e-5)  # float32


def slstm_gradients(**options):
    """One neuron without input: the bias alone sets the gates, the threshold is 0.2, the loss is h[2].

    sigmoid(i) = 3/4, sigmoid(f) = 1/2, tanh(g) = 3/5, sigmoid(o) = 4/5: c[1] = 0.45, h[1] = 0.8 tanh(0.45) fires.
    """
    layer = SLSTM(1, output="membrane", unit_forget_bias=False, **options)
    layer.build((1, 2, 1))
    weights = {
        "kernel": np.zeros((1, 4)),
        "recurrent_kernel": np.zeros((1, 4)),
        "bias": np.array([math.log(3), 0.0, math.log(2), math.log(4)]),
        "threshold": np.array([0.2]),
    }
    assign(layer.cell, {name: value.astype("float32") for name, value in weights.items()})
    inputs = np.zeros((1, 2, 1), "float32")
    membrane = 0.8 * math.tanh(0.675) - 0.2
    np.testing.assert_allclose(numpy_of(layer(inputs)), [[membrane]], rtol=1e-5)
    (gradient,) = gradients(lambda: ops.sum(layer(inputs)), [layer.cell.threshold])
    return gradient.item()


def test_gradients_of_an_slstm_into_its_threshold_worked_by_hand():
    """h[2] = o tanh(c[2]) - threshold S[1], so -S[1] = -1, and - threshold dS[1] if the reset is not detached:

    dS[1]/dthreshold = -phi(h[1] - 0.2).
    """
    assert slstm_gradients() == pytest.approx(-1.0, rel=1e-6)
    p1 = phi(0.8 * math.tanh(0.45) - 0.2)
    assert slstm_gradients(detach_reset=False) == pytest.approx(-1.0 + 0.2 * p1, rel=1e-5)


@pytest.mark.parametrize("neuron", [LIF, RLIF, SLSTM])
def test_every_weight_gets_a_gradient_through_a_spike(neuron):
    """In a layer that fires now and then, a loss on the spikes changes every weight and each neuron's threshold."""
    layer = neuron(5, return_sequences=True)
    layer.build((None, None, 2))
    assign(layer.cell, draw(layer.cell, 2, seed=2))
    inputs = np.random.default_rng(2).normal(0.3, 1.0, (3, 6, 2)).astype("float32")
    assert set(np.unique(numpy_of(layer(inputs)))) == {0.0, 1.0}
    weights = np.random.default_rng(3).normal(size=(3, 6, 5)).astype("float32")
    found = gradients(lambda: ops.sum(ops.multiply(layer(inputs), weights)), layer.trainable_weights)
    assert len(found) >= 4
    for weight, gradient in zip(layer.trainable_weights, found, strict=True):
        assert np.all(np.isfinite(gradient)), weight.name
        assert np.all(gradient != 0), weight.name


def test_the_gradient_flows_into_the_inputs():
    """Leaky integrator, decay 0.5, w = 0.8: d(U[2])/dx = (0.5 * 0.8, 0.8)."""
    layer = LeakyIntegrator(1, kernel_initializer=0.8, decay_initializer=0.5)
    layer.build((1, 2, 1))
    inputs = keras.Variable(np.array([[[1.5], [0.6]]], "float32"))
    (gradient,) = gradients(lambda: ops.sum(layer(inputs.value)), [inputs])
    np.testing.assert_allclose(gradient.ravel(), [0.4, 0.8], rtol=1e-6)  # float32
