"""Derivatives beyond the gradient of a loss: of higher order, in forward mode, under transforms, in exported graphs."""

import subprocess
import sys

import keras
import numpy as np
import pytest
from keras import ops

from kspike_reg import neurons
from kspike_reg.errors import InputError
from kspike_reg.neurons import INTEGRATORS, SLSTM, SPIKING
from oracles.backend import finite_differences, gradients, numpy_of, torch_arrays
from oracles.weights import assign, draw

# PyTorch 2.14 warns about a decorator of its own while it loads its transforms.
own_decorator = pytest.mark.filterwarnings("ignore:`torch.jit.script` is deprecated:FutureWarning")
pytestmark = [torch_arrays, own_decorator]

BACKEND = keras.backend.backend()
LAYERS = dict(SPIKING.items()) | dict(INTEGRATORS.items())
ENGINES = ("compiled", "unrolled", "loop") if BACKEND != "jax" else ("unrolled",)
FEATURES, UNITS = 2, 6

every_layer = pytest.mark.parametrize("kind", LAYERS)
on_tensorflow = pytest.mark.skipif(BACKEND != "tensorflow", reason="an interface of TensorFlow")
on_torch = pytest.mark.skipif(BACKEND != "torch", reason="an interface of PyTorch")

# Sums of some hundred products of numbers of order one to ten, relative to the largest of an array.
ROUNDING = 2e-5


@pytest.fixture(autouse=True)
def no_engine_stays_forced():
    yield
    neurons.set_engine(None)


def layer_of(kind, **options):
    """A layer whose loss depends on every weight, with known weights."""
    if kind in SPIKING:
        options = {"detach_reset": False} | options
    layer = LAYERS[kind](UNITS, return_sequences=True, **options)
    layer.build((None, None, FEATURES))
    assign(layer.cell, draw(layer.cell, FEATURES, seed=3))
    return layer


def paths(batch=5, time=7, seed=0):
    return np.random.default_rng(seed).normal(0.3, 1.0, (batch, time, FEATURES)).astype("float32")


def nested_gradients(layer, inputs, order):
    """Gradients of the weights of a loss that holds the gradient of a loss, and so on, `order` times in all."""
    if BACKEND == "tensorflow":
        import tensorflow as tf

        inputs, weights = tf.constant(inputs), [weight.value for weight in layer.trainable_weights]

        def penalty(order):
            if order == 0:
                return tf.reduce_sum(tf.square(layer(inputs) + 0.25))
            with tf.GradientTape() as tape:
                tape.watch(inputs)
                inner = penalty(order - 1)
            return tf.reduce_sum(tf.square(tape.gradient(inner, inputs)))

        with tf.GradientTape() as tape:
            outer = penalty(order - 1)
        found = tape.gradient(outer, weights, unconnected_gradients="zero")
    elif BACKEND == "torch":
        import torch

        inputs = torch.tensor(inputs, requires_grad=True)
        weights = [weight.value for weight in layer.trainable_weights]
        loss = torch.sum(torch.square(layer(inputs) + 0.25))
        for _ in range(order - 1):
            (slope,) = torch.autograd.grad(loss, [inputs], create_graph=True)
            loss = torch.sum(torch.square(slope))
        found = torch.autograd.grad(loss, weights, materialize_grads=True)
    else:
        import jax

        def loss(weights, inputs):
            with keras.StatelessScope(state_mapping=list(zip(layer.trainable_weights, weights, strict=True))):
                return ops.sum(ops.square(layer(inputs) + 0.25))

        for _ in range(order - 1):
            loss = (lambda of: lambda weights, inputs: ops.sum(ops.square(jax.grad(of, argnums=1)(weights, inputs))))(
                loss
            )
        found = jax.grad(loss)([weight.value for weight in layer.trainable_weights], inputs)
    return [numpy_of(slope) for slope in found]


def same(found, expected):
    assert len(found) == len(expected)
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_allclose(one, other, rtol=0, atol=ROUNDING * max(1.0, np.abs(other).max()))


@every_layer
@pytest.mark.parametrize("order", [2, 3])
@pytest.mark.attack("Derivatives", "second and third derivatives, on every engine")
def test_derivatives_of_higher_order_are_those_of_the_loop(kind, order):
    """On JAX, which has no compiled engine, they exist."""
    answers = []
    for engine in ENGINES:
        neurons.set_engine(engine)
        answers.append(nested_gradients(layer_of(kind), paths(), order))
    *others, expected = answers
    for found in others:
        same(found, expected)
    assert np.any(expected[0] != 0), "the kernel does not matter, so the test is vacuous"


@pytest.mark.attack("Derivatives", "second derivatives against central differences")
def test_second_derivatives_of_a_smooth_neuron_are_central_differences():
    """The membrane of an SLSTM that does not reset is a smooth function of inputs and weights."""
    layer = SLSTM(
        3,
        return_sequences=True,
        output="membrane",
        reset="none",
        dtype="float64" if BACKEND == "tensorflow" else "float32",
    )
    layer.build((None, None, FEATURES))
    assign(layer.cell, draw(layer.cell, FEATURES, seed=3))
    inputs = paths(2, 4).astype(layer.compute_dtype)
    found = nested_gradients(layer, inputs, 2)
    if BACKEND != "tensorflow":  # differences need double precision, which its Keras alone has in every operation
        pytest.skip("Keras computes in single precision on this backend")
    held = keras.Variable(inputs, dtype="float64")

    def penalty():
        (slope,) = gradients(lambda: ops.sum(ops.square(layer(held.value) + 0.25)), [held])
        return ops.sum(ops.square(ops.convert_to_tensor(slope)))

    for weight, slope in zip(layer.trainable_weights, found, strict=True):
        if weight.name == "threshold":
            np.testing.assert_array_equal(slope, 0)  # nothing is reset and no spike is read
            continue
        # The error of central differences: step**2 = 1e-10 times third derivatives of order ten, and 1e-16 / step.
        np.testing.assert_allclose(slope, finite_differences(penalty, weight, 1e-5), rtol=1e-6, atol=1e-8)


def along(layer, inputs, direction):
    """The derivative of the outputs along a direction of the inputs, by forward mode."""
    if BACKEND == "tensorflow":
        import tensorflow as tf

        inputs = tf.constant(inputs)
        with tf.autodiff.ForwardAccumulator(inputs, tf.constant(direction)) as accumulator:
            outputs = layer(inputs)
        return numpy_of(accumulator.jvp(outputs))
    if BACKEND == "torch":
        import torch
        import torch.autograd.forward_ad as forward_mode

        with forward_mode.dual_level():
            outputs = layer(forward_mode.make_dual(torch.tensor(inputs), torch.tensor(direction)))
            return numpy_of(forward_mode.unpack_dual(outputs).tangent.detach())
    import jax

    return numpy_of(jax.jvp(layer, (inputs,), (direction,))[1])


@every_layer
@pytest.mark.attack("Derivatives", "forward mode, on every engine")
def test_forward_mode_agrees_with_reverse_mode(kind):
    """For any direction and any weights of the outputs, both modes give the same number."""
    inputs, direction = paths(), paths(seed=4)
    generator = np.random.default_rng(2)
    factors = generator.normal(size=(5, 7, UNITS)).astype("float32")
    for engine in ENGINES:
        neurons.set_engine(engine)
        layer, held = layer_of(kind), keras.Variable(inputs)
        (slope,) = gradients(lambda: ops.sum(ops.convert_to_tensor(factors) * layer(held.value)), [held])  # noqa: B023 - called at once
        expected = np.sum(slope * direction)
        found = np.sum(factors * along(layer, inputs, direction))
        assert expected != 0
        np.testing.assert_allclose(found, expected, rtol=1e-4, err_msg=engine)


@on_tensorflow
@every_layer
@pytest.mark.attack("Derivatives", "forward mode inside a graph")
def test_forward_mode_inside_a_graph(kind):
    import tensorflow as tf

    direction = paths(seed=4)
    layer = layer_of(kind)

    @tf.function(autograph=False)
    def tangent(inputs):
        with tf.autodiff.ForwardAccumulator(inputs, tf.constant(direction)) as accumulator:
            outputs = layer(inputs)
        return accumulator.jvp(outputs)

    if kind in SPIKING:
        with pytest.raises(InputError, match=r"inside a tf.function cannot pass through spikes: open it outside"):
            tangent(tf.constant(paths()))
        return
    same([numpy_of(tangent(tf.constant(paths())))], [along(layer, paths(), direction)])


@on_tensorflow
@every_layer
@pytest.mark.attack("Derivatives", "forward mode around a graph")
def test_forward_mode_around_a_graph(kind):
    """Of the backend's engines; TensorFlow itself refuses the graph of the compiled one."""
    import tensorflow as tf

    direction = tf.constant(paths(seed=4))
    for engine in ("unrolled", "loop"):
        neurons.set_engine(engine)
        layer, inputs = layer_of(kind), tf.constant(paths())
        with tf.autodiff.ForwardAccumulator(inputs, direction) as accumulator:
            outputs = tf.function(lambda inputs, layer=layer: layer(inputs), autograph=False)(inputs)
        same([numpy_of(accumulator.jvp(outputs))], [along(layer, paths(), direction.numpy())])


@on_tensorflow
@every_layer
@pytest.mark.attack("Derivatives", "a gradient penalty in a training step")
def test_a_gradient_penalty_in_a_graph(kind):
    import tensorflow as tf

    answers = []
    for engine in ("compiled", "loop"):
        neurons.set_engine(engine)
        layer = layer_of(kind)

        @tf.function
        def step(inputs, layer=layer):
            with tf.GradientTape() as outer:
                with tf.GradientTape() as inner:
                    inner.watch(inputs)
                    loss = tf.reduce_sum(tf.square(layer(inputs, training=True) + 0.25))
                penalty = tf.reduce_sum(tf.square(inner.gradient(loss, inputs)))
            weights = [weight.value for weight in layer.trainable_weights]
            return outer.gradient(penalty, weights, unconnected_gradients="zero")

        answers.append([numpy_of(slope) for slope in step(tf.constant(paths()))])
    same(*answers)


@on_tensorflow
@every_layer
@pytest.mark.filterwarnings("ignore:.*PyFuncStateless.*")
@pytest.mark.attack("Derivatives", "jacobians and vectorised maps")
def test_jacobians_and_vectorised_maps(kind):
    import tensorflow as tf

    answers = []
    for engine in ("compiled", "loop"):
        neurons.set_engine(engine)
        layer, inputs = layer_of(kind), tf.constant(paths())
        with tf.GradientTape() as tape:
            tape.watch(inputs)
            outputs = tf.reduce_sum(tf.square(layer(inputs) + 0.25), axis=[0, 2])
        mapped = tf.vectorized_map(lambda path, layer=layer: layer(path[None])[0], inputs)
        answers.append([numpy_of(tape.jacobian(outputs, inputs)), numpy_of(mapped)])
    same(*answers)


@on_torch
@every_layer
@pytest.mark.attack("Derivatives", "the transforms of torch.func")
def test_the_transforms_of_torch_func(kind):
    import torch

    inputs = torch.tensor(paths())
    layer = layer_of(kind)

    def one(path):
        return layer(path[None])[0]

    jacobian = torch.func.jacrev(one)(inputs[0])
    torch.testing.assert_close(torch.func.jacfwd(one)(inputs[0]), jacobian, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(jacobian, torch.autograd.functional.jacobian(one, inputs[0]), rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(torch.func.vmap(one)(inputs), layer(inputs), rtol=1e-5, atol=1e-5)
    slopes = torch.func.vmap(torch.func.grad(lambda path: one(path).square().sum()))(inputs)
    for path, slope in zip(inputs, slopes, strict=True):
        expected = torch.autograd.functional.jacobian(lambda path: one(path).square().sum(), path)
        torch.testing.assert_close(slope, expected, rtol=1e-4, atol=1e-4)
    hessian = torch.func.hessian(lambda path: one(path).square().sum())(inputs[0])
    expected = torch.autograd.functional.hessian(lambda path: one(path).square().sum(), inputs[0])
    torch.testing.assert_close(hessian, expected, rtol=1e-4, atol=1e-4)


@pytest.mark.skipif(BACKEND != "jax", reason="an interface of JAX")
@every_layer
@pytest.mark.attack("Derivatives", "the transforms of JAX")
def test_the_transforms_of_jax(kind):
    import jax

    layer, inputs = layer_of(kind), paths()

    def one(path):
        return layer(path[None])[0]

    jacobian = jax.jacrev(one)(inputs[0])
    np.testing.assert_allclose(jax.jacfwd(one)(inputs[0]), jacobian, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(jax.vmap(one)(inputs), layer(inputs), atol=1e-5)


def model_of_all(time):
    """A model that holds every layer; all of them fire now and then."""
    inputs = hidden = keras.Input((time, FEATURES))
    for layer_class in LAYERS.values():
        layer = layer_class(UNITS, return_sequences=True)
        features, hidden = hidden.shape[-1], layer(hidden)
        assign(layer.cell, draw(layer.cell, features, seed=3))
    return keras.Model(inputs, keras.layers.Dense(3)(hidden))


SERVE = """
import sys, numpy as np, tensorflow as tf
with np.load(sys.argv[2]) as arrays:
    program = tf.saved_model.load(sys.argv[1])
    served = program.serve(arrays["inputs"])
    np.testing.assert_allclose(served, arrays["outputs"], atol=1e-6)
    print("served", served.shape)
"""


@on_tensorflow
@pytest.mark.parametrize("time", [7, None])
@pytest.mark.attack("Derivatives", "an exported model in a process without the package")
def test_an_exported_model_serves_in_another_process(tmp_path, time):
    model = model_of_all(time)
    outputs = model.predict(paths(), verbose=0)
    assert np.unique(outputs).size > 10
    model.export(tmp_path / "exported", verbose=False)
    np.savez(tmp_path / "arrays.npz", inputs=paths(), outputs=outputs)
    command = [sys.executable, "-c", SERVE, tmp_path / "exported", tmp_path / "arrays.npz"]
    served = subprocess.run(command, capture_output=True, text=True, check=False)
    assert served.stdout == "served (5, 7, 3)\n", served.stderr[-3000:]
    np.testing.assert_array_equal(model.predict(paths(), verbose=0), outputs)


@on_torch
@pytest.mark.attack("Derivatives", "an exported model in a process without the package")
def test_a_model_is_exported_by_torch():
    import torch

    model, inputs = model_of_all(7), torch.tensor(paths())
    program = torch.export.export(model, (inputs,))
    torch.testing.assert_close(program.module()(inputs), model(inputs), rtol=0, atol=1e-6)
