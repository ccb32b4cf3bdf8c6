"""Spikes in the forward pass, surrogate derivatives in the backward pass."""

import inspect
import math

import keras
import numpy as np
import pytest
from keras import ops

from kspike_reg.errors import InputError
from kspike_reg.neurons import LIF, surrogates
from kspike_reg.neurons.surrogates import spike
from oracles.backend import gradients, numpy_of, torch_arrays

pytestmark = torch_arrays

# Distances to the threshold, none of them at a kink of a surrogate; the second row does not mirror the first.
DISTANCES = np.array([[-1.7, -0.45, -0.02, 0.0], [0.003, 0.3, 0.62, 2.5]], "float32")


def logistic(x):
    return 1 / (1 + np.exp(-x))


# name: (default scale, derivative(x, scale)), from the literature, in float64.
CLOSED_FORMS = {
    "atan": (2.0, lambda x, k: (k / 2) / (1 + (math.pi / 2 * k * x) ** 2)),
    "fast_sigmoid": (25.0, lambda x, k: 1 / (1 + k * np.abs(x)) ** 2),
    "sigmoid": (4.0, lambda x, k: k * logistic(k * x) * (1 - logistic(k * x))),
    "triangle": (1.0, lambda x, k: k * np.maximum(0, 1 - k * np.abs(x))),
    "boxcar": (1.0, lambda x, k: np.where(np.abs(x) < 0.5 / k, k, 0.0)),
    "straight_through": (1.0, lambda x, k: np.full_like(x, k)),
}


@pytest.fixture
def own_registry(monkeypatch):
    """Restore the registry after the test."""
    monkeypatch.setattr(surrogates, "_REGISTRY", dict(surrogates._REGISTRY))


def backward(values, **options):
    """The gradient of sum(w * spike(x)) at `values`, divided by the unequal w: the derivative used in training."""
    x = keras.Variable(values)
    upstream = np.arange(1.0, values.size + 1).reshape(values.shape).astype(values.dtype)
    (gradient,) = gradients(lambda: ops.sum(ops.multiply(spike(x.value, **options), upstream)), [x])
    return gradient / upstream


def test_a_spike_is_exactly_zero_or_one():
    """H(0) = 1 (equation 6), on both sides of zero and at the smallest numbers of the format."""
    tiny = np.finfo("float32").tiny
    x = np.array([-2.0, -1e-7, -tiny, -0.0, 0.0, tiny, 1e-7, 3.0], "float32")
    spikes = numpy_of(spike(x))
    assert spikes.dtype == np.float32
    assert spikes.tolist() == [0, 0, 0, 1, 1, 1, 1, 1]


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32"])
@pytest.mark.parametrize("name", CLOSED_FORMS)
def test_every_surrogate_fires_alike_in_every_precision(name, dtype):
    x = ops.cast(ops.convert_to_tensor(DISTANCES), dtype)
    spikes = spike(x, name)
    assert keras.backend.standardize_dtype(spikes.dtype) == dtype
    assert numpy_of(ops.cast(spikes, "float32")).tolist() == [[0, 0, 0, 1], [1, 1, 1, 1]]


def test_the_closed_forms_cover_every_registered_surrogate():
    assert len(surrogates.names()) >= 6
    assert set(surrogates.names()) == set(CLOSED_FORMS)


@pytest.mark.parametrize("scale", [None, 0.7, 3.0])
@pytest.mark.parametrize("name", CLOSED_FORMS)
def test_the_backward_derivative_is_the_closed_form(name, scale):
    default, closed_form = CLOSED_FORMS[name]
    expected = closed_form(DISTANCES.astype("float64"), default if scale is None else scale)
    assert np.any(expected > 0)
    # Six float32 operations on numbers of order one; 1 - s loses digits if the logistic is close to one.
    np.testing.assert_allclose(backward(DISTANCES, surrogate=name, scale=scale), expected, rtol=1e-5, atol=1e-6)
    # The closed form alone, without a spike.
    np.testing.assert_allclose(numpy_of(surrogates.derivative(DISTANCES, name, scale)), expected, rtol=1e-5, atol=1e-6)


def test_the_default_is_equation_9():
    """phi'(x) = 1 / (1 + (pi x)^2)."""
    expected = 1 / (1 + (math.pi * DISTANCES.astype("float64")) ** 2)
    np.testing.assert_allclose(backward(DISTANCES), expected, rtol=1e-5)


@pytest.mark.parametrize("name", CLOSED_FORMS)
def test_the_scale_changes_the_derivative(name):
    default, _ = CLOSED_FORMS[name]
    same = backward(DISTANCES, surrogate=name, scale=default)
    np.testing.assert_allclose(same, backward(DISTANCES, surrogate=name), rtol=1e-6)
    assert not np.allclose(same, backward(DISTANCES, surrogate=name, scale=1.5 * default))


@pytest.mark.parametrize("scale", [0.5, 1.0, 4.0])
@pytest.mark.parametrize("name", ["triangle", "boxcar"])
def test_the_hat_and_the_window_have_area_one(name, scale):
    """The sum over midpoints of a fine grid; at a jump the midpoint rule is off by at most one cell, 8e-4 times 4."""
    edges = np.linspace(-4, 4, 10001)
    middles = ((edges[1:] + edges[:-1]) / 2).astype("float32")
    area = numpy_of(surrogates.derivative(middles, name, scale)).astype("float64").sum() * (edges[1] - edges[0])
    assert area == pytest.approx(1.0, abs=5e-3)


def test_a_surrogate_of_a_user_trains_a_layer(own_registry):
    """One step, one neuron: L = S, dL/dw = phi'(w x - threshold) x with w = 0.5, x = 2, threshold = 0.9."""

    @surrogates.register("gaussian")
    def gaussian(x, scale=2.0):
        return ops.exp(-ops.square(scale * x))

    assert surrogates.names()[-1] == "gaussian"
    inputs = np.full((1, 1, 1), 2.0, "float32")
    for scale, expected in ((None, 2 * math.exp(-((2.0 * 0.1) ** 2))), (7.0, 2 * math.exp(-((7.0 * 0.1) ** 2)))):
        layer = LIF(1, surrogate="gaussian", surrogate_scale=scale, kernel_initializer=0.5, threshold_initializer=0.9)
        layer.build((1, 1, 1))
        (gradient,) = gradients(lambda layer=layer: ops.sum(layer(inputs)), [layer.cell.kernel])
        np.testing.assert_allclose(gradient, [[expected]], rtol=1e-5)  # a few float32 operations


def test_a_registered_function_stays_a_function(own_registry):
    @surrogates.register("own")
    def own(x, scale=1.0):
        return x * scale

    assert own(3.0) == 3.0


def test_an_unknown_surrogate_is_refused_with_the_choices():
    for refused in (lambda: spike(DISTANCES, "arctan"), lambda: surrogates.derivative(DISTANCES, "arctan")):
        with pytest.raises(InputError, match=r"unknown surrogate 'arctan': choose one of atan, .*boxcar") as error:
            refused()
        assert "register" in str(error.value)


@pytest.mark.parametrize("scale", [0, 0.0, -1.0, math.inf, math.nan])
def test_a_scale_must_be_positive_and_finite(scale):
    with pytest.raises(InputError, match=r"'atan': expected a finite scale > 0, received scale="):
        spike(DISTANCES, "atan", scale)


def test_a_name_can_be_registered_only_once(own_registry):
    with pytest.raises(InputError, match="'atan' is registered already; choose another name"):
        surrogates.register("atan")(lambda x, scale=1.0: x)
    assert numpy_of(surrogates.derivative(DISTANCES, "atan"))[0, 3] == 1.0


def test_a_surrogate_needs_a_scale_with_a_default(own_registry):
    def narrow(x, width=1.0):
        return x

    def bare(x, scale):
        return x

    for function in (narrow, bare):
        with pytest.raises(InputError) as error:
            surrogates.register("new")(function)
        received = f"{function.__name__}{inspect.signature(function)}"
        assert str(error.value) == f"surrogate 'new': expected a function of (x, scale=default), received {received}"
    assert "new" not in surrogates.names()
