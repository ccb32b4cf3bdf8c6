"""Gradients and double precision with the same calls on TensorFlow, JAX and PyTorch."""

import contextlib

import keras
import numpy as np
import pytest
from keras import ops

# Keras 3 converts PyTorch tensors to NumPy arrays in a way that NumPy 2 warns about. Modules that do so have this mark.
torch_arrays = pytest.mark.filterwarnings(
    "ignore:__array__ implementation doesn't accept a copy keyword:DeprecationWarning"
)


def numpy_of(structure):
    """Replace tensors by NumPy arrays, also in lists and tuples."""
    if isinstance(structure, (list, tuple)):
        return [numpy_of(part) for part in structure]
    return ops.convert_to_numpy(structure)


def gradients(loss, variables):
    """The gradients of a loss by automatic differentiation.

    Args:
        loss: a function without arguments that computes a scalar from the variables.
        variables: Keras variables.

    Returns:
        One NumPy array for each variable, zeros where the loss does not depend on it.
    """
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        with tf.GradientTape() as tape:
            for variable in variables:
                tape.watch(variable.value)
            value = loss()
        found = tape.gradient(value, [variable.value for variable in variables])
    elif keras.backend.backend() == "jax":
        import jax

        def loss_of(values):
            with keras.StatelessScope(state_mapping=list(zip(variables, values, strict=True))):
                return loss()

        found = jax.grad(loss_of)([variable.value for variable in variables])
    else:
        import torch

        found = torch.autograd.grad(loss(), [variable.value for variable in variables], allow_unused=True)
    return [
        np.zeros(variable.shape) if gradient is None else numpy_of(gradient)
        for variable, gradient in zip(variables, found, strict=True)
    ]


def finite_differences(loss, variable, step):
    """The gradient of `loss` with respect to one variable by central differences, element by element."""
    start = numpy_of(variable).copy()
    slope = np.zeros_like(start)
    for index in np.ndindex(*start.shape):
        values = []
        for sign in (1, -1):
            moved = start.copy()
            moved[index] += sign * step
            variable.assign(moved)
            values.append(float(numpy_of(loss())))
        slope[index] = (values[0] - values[1]) / (2 * step)
    variable.assign(start)
    return slope


@contextlib.contextmanager
def double_precision():
    """Enable float64, which only JAX requires."""
    if keras.backend.backend() != "jax":
        yield
        return
    import jax

    before = jax.config.jax_enable_x64
    jax.config.update("jax_enable_x64", True)
    try:
        yield
    finally:
        jax.config.update("jax_enable_x64", before)
