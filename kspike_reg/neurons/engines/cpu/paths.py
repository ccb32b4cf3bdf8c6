"""One layer over whole paths as a differentiable function of tensors, for TensorFlow and PyTorch on the CPU.

`Sequence` works on NumPy arrays that share the memory of the tensors. It gives outputs and first derivatives in reverse
mode; the backend's operations give all others.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

import keras

from kspike_reg.neurons.engines.cpu.sequence import Sequence

__all__ = ["run"]

# Function of the tensors of `run`, from inputs to initial states, that returns the same by the backend's operations.
Operations = Callable[..., tuple[Any, Any]]


def run(
    sequence: Sequence,
    operations: Operations,
    keep: bool,
    inputs: Any,
    kernel: Any,
    bias: Any,
    recurrent: Any,
    parameters: Any,
    initial: Any,
) -> tuple[Any, Any]:
    """The outputs of a layer over whole paths, and its final states.

    The results can be differentiated with respect to all tensors, in reverse and in forward mode, to any order.

    Args:
        sequence: the layer's `Sequence`.
        operations: function(inputs, kernel, bias, recurrent, parameters, initial) that returns the same results by the
            backend's operations, for the derivatives that `sequence` lacks.
        keep: whether to save the residuals for the backward pass. Otherwise the backward pass recomputes them, a few
            paths at a time.
        inputs: (batch, steps, features).
        kernel: (features, width), or (0, width) if the inputs are currents, projected before.
        bias: (width,).
        recurrent: (units, width), (1, units) for one-to-one recurrence, or (0, width) for none.
        parameters: (number, units).
        initial: initial states, (number, batch, units).

    Returns:
        Outputs (batch, steps, units) and final states (number, batch, units).
    """
    backends = {"tensorflow": _run_in_tensorflow, "torch": _run_in_torch}
    return backends[keras.backend.backend()](
        sequence, operations, keep, inputs, kernel, bias, recurrent, parameters, initial
    )


def _run_in_tensorflow(sequence, operations, keep, *tensors):
    import tensorflow as tf
    from tensorflow.python.eager.forwardprop_util import pack_tangents

    tensors = [tf.convert_to_tensor(tensor) for tensor in tensors]  # reads variables
    if pack_tangents(tensors).tangents:  # forward mode, for which `tf.custom_gradient` has no rule
        return operations(*tensors)

    def on_host(function, arguments, shapes):
        results = tf.numpy_function(function, arguments, [arguments[0].dtype] * len(shapes), stateful=False)
        for result, shape in zip(results, shapes, strict=True):
            result.set_shape(shape)
        return results

    @tf.custom_gradient
    def path(*tensors):
        inputs, *_, parameters, initial = tensors
        shapes = ((*inputs.shape[:2], parameters.shape[1]), initial.shape, (None,) * 4)
        outputs, states, residuals = on_host(partial(sequence.forward, keep), tensors, shapes)

        @tf.custom_gradient
        def backward(*arguments):
            found = on_host(sequence.backward, (residuals, *arguments), [tensor.shape for tensor in tensors])
            return found, lambda *upstream: _second_in_tensorflow(operations, arguments, upstream)

        return (outputs, states), lambda *gradients: backward(*tensors, *gradients)

    return path(*tensors)


def _second_in_tensorflow(operations, arguments, upstream):
    """The backward pass of the backward pass.

    Args:
        operations: as in `run`.
        arguments: the tensors of `run`, and the gradients of outputs and final states.
        upstream: gradients of what the backward pass returns.
    """
    import tensorflow as tf

    *tensors, outputs_gradient, states_gradient = arguments
    zero = tf.UnconnectedGradients.ZERO
    with tf.GradientTape() as outer:
        outer.watch(arguments)
        with tf.GradientTape() as inner:
            inner.watch(tensors)
            found = operations(*tensors)
        first = inner.gradient(found, tensors, (outputs_gradient, states_gradient), unconnected_gradients=zero)
    return outer.gradient(first, arguments, upstream, unconnected_gradients=zero)


def _run_in_torch(sequence, operations, keep, *tensors):
    import torch

    def on_host(function, *arguments):
        arrays = (argument.detach().contiguous().numpy() for argument in arguments)
        return tuple(torch.from_numpy(result) for result in function(*arrays))

    class Path(torch.autograd.Function):
        @staticmethod
        def forward(context, *tensors):
            outputs, states, residuals = on_host(partial(sequence.forward, keep), *tensors)
            context.save_for_backward(*tensors, residuals)
            context.save_for_forward(*tensors)
            return outputs, states

        @staticmethod
        def backward(context, *gradients):
            *tensors, residuals = context.saved_tensors
            return Backward.apply(residuals, *tensors, *gradients)

        @staticmethod
        def jvp(context, *tangents):
            return _forward_mode_in_torch(operations, context.saved_tensors, tangents)

    class Backward(torch.autograd.Function):
        @staticmethod
        def forward(context, residuals, *arguments):
            context.save_for_backward(*arguments)
            return on_host(sequence.backward, residuals, *arguments)

        @staticmethod
        def backward(context, *upstream):
            return None, *_second_in_torch(operations, context.saved_tensors, upstream)

    return Path.apply(*(keras.ops.convert_to_tensor(tensor) for tensor in tensors))


def _inputs_of_a_graph(tensors):
    """The tensors as inputs of a new graph, whose derivatives do not pass through the history of one to another."""
    return [tensor.view_as(tensor) if tensor.requires_grad else tensor.detach().requires_grad_() for tensor in tensors]


def _second_in_torch(operations, arguments, upstream):
    """As `_second_in_tensorflow`."""
    import torch

    again = torch.is_grad_enabled()  # whether somebody asks for the next order
    with torch.enable_grad():
        arguments = _inputs_of_a_graph(arguments)
        *tensors, outputs_gradient, states_gradient = arguments
        found, gradients = operations(*tensors), (outputs_gradient, states_gradient)
        first = torch.autograd.grad(found, tensors, gradients, create_graph=True, materialize_grads=True)
    return torch.autograd.grad(first, arguments, upstream, create_graph=again, materialize_grads=True)


def _forward_mode_in_torch(operations, tensors, tangents):
    """The derivatives of the results in the direction of `tangents`; None stands for a tangent of zero.

    The backward pass is linear in the gradients that it takes, so its own backward pass is the forward mode.
    """
    import torch

    with torch.enable_grad():
        tensors = _inputs_of_a_graph(tensors)
        found = operations(*tensors)
        gradients = [torch.zeros_like(result, requires_grad=True) for result in found]
        first = torch.autograd.grad(found, tensors, gradients, create_graph=True, materialize_grads=True)
    moved = [index for index, tangent in enumerate(tangents) if tangent is not None]
    return torch.autograd.grad(
        [first[index] for index in moved], gradients, [tangents[index] for index in moved], materialize_grads=True
    )
