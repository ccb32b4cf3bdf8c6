"""The step function with a derivative of choice, for reverse and forward mode of every backend, to any order.

`keras.ops.custom_gradient` knows the reverse mode only on JAX, and none of the transforms of `torch.func`.
"""

from collections.abc import Callable
from functools import cache
from typing import Any

import keras

from kspike_reg.errors import InputError
from kspike_reg.typing import Tensor

__all__ = ["heaviside"]


def heaviside(x: Tensor, derivative: Callable[[Tensor], Tensor]) -> Tensor:
    """One where `x >= 0`, zero elsewhere.

    Args:
        x: a float tensor of any shape.
        derivative: function(x) that returns what stands for the derivative, a tensor like `x`.

    Returns:
        A tensor like `x`.

    Raises:
        InputError: forward mode inside a graph of TensorFlow.
    """
    return {"tensorflow": _in_tensorflow, "jax": _in_jax, "torch": _in_torch}[keras.backend.backend()](x, derivative)


def _in_tensorflow(x, derivative):
    import tensorflow as tf
    from tensorflow.python.eager.forwardprop_util import pack_tangents

    # In a graph, TensorFlow takes the forward derivative of every custom gradient for zero.
    if not tf.executing_eagerly() and pack_tangents([x]).tangents:
        raise InputError(
            "tf.autodiff.ForwardAccumulator inside a tf.function cannot pass through spikes: "
            "open it outside of the tf.function, or use tf.GradientTape"
        )

    @tf.custom_gradient
    def fire(x):
        return tf.cast(x >= 0, x.dtype), lambda upstream: upstream * derivative(x)

    return fire(x)


def _in_jax(x, derivative):
    import jax

    @jax.custom_jvp
    def fire(x):
        return (x >= 0).astype(x.dtype)

    fire.defjvps(lambda tangent, value, x: tangent * derivative(x))
    return fire(x)


def _in_torch(x, derivative):
    return _torch_function().apply(x, derivative)


@cache
def _torch_function() -> Any:
    import torch

    class Heaviside(torch.autograd.Function):
        generate_vmap_rule = True

        @staticmethod
        def forward(x, derivative):
            return (x >= 0).to(x.dtype)

        @staticmethod
        def setup_context(context, inputs, output):
            x, context.derivative = inputs
            context.save_for_backward(x)
            context.save_for_forward(x)

        @staticmethod
        def backward(context, upstream):
            (x,) = context.saved_tensors
            return upstream * context.derivative(x), None

        @staticmethod
        def jvp(context, tangent, _):
            (x,) = context.saved_tensors
            return tangent * context.derivative(x)

    return Heaviside
