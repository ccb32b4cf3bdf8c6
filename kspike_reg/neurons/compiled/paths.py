"""Whole paths through one layer as a differentiable function of tensors, for TensorFlow and PyTorch on the CPU.

`Sequence` works on NumPy arrays that share the tensors' memory.
"""

from functools import partial

import keras

__all__ = ["run"]


def run(sequence, keep, currents, bias, recurrent, parameters, initial):
    """The outputs of a layer over whole paths, and its final states.

    Args:
        sequence: the layer's `Sequence`.
        keep: whether to keep what the way back needs; else it runs forward once more.
        currents: input currents without bias, (batch, steps, width).
        bias: (width,).
        recurrent: (units, width), or (0, width) where there are no recurrent weights.
        parameters: (number, units).
        initial: initial states, (number, batch, units).

    Returns:
        Outputs (batch, steps, units) and final states (number, batch, units). They may be differentiated once with
        respect to all tensors.
    """
    backends = {"tensorflow": _in_tensorflow, "torch": _in_torch}
    return backends[keras.backend.backend()](sequence, keep, currents, bias, recurrent, parameters, initial)


def _in_tensorflow(sequence, keep, *tensors):
    import tensorflow as tf

    def on_host(function, results, *arguments):
        return tf.numpy_function(function, arguments, [arguments[0].dtype] * results, stateful=False)

    @tf.custom_gradient
    def path(*tensors):
        outputs, states, kept = on_host(partial(sequence.forward, keep), 3, *tensors)
        currents, _, recurrent, parameters, initial = tensors
        outputs.set_shape([*currents.shape[:2], parameters.shape[1]])
        states.set_shape(initial.shape)

        def gradient(of_outputs, of_states):
            nonlocal kept
            if not keep:
                *_, kept = on_host(partial(sequence.forward, True), 3, *tensors)
            of_currents, *others, fed = on_host(
                sequence.backward, 5, kept, recurrent, parameters, initial, of_outputs, of_states
            )
            of_currents.set_shape(currents.shape)
            for of_tensor, tensor in zip(others, (tensors[1], parameters, initial), strict=True):
                of_tensor.set_shape(tensor.shape)
            of_bias, of_parameters, of_initial = others
            units, width = recurrent.shape
            if units:
                flat = tf.reshape(of_currents, (-1, width))
                of_recurrent = tf.matmul(tf.reshape(fed, (-1, units)), flat, transpose_a=True)
            else:
                of_recurrent = tf.zeros_like(recurrent)
            return of_currents, of_bias, of_recurrent, of_parameters, of_initial

        return (outputs, states), gradient

    return path(*(tf.convert_to_tensor(tensor) for tensor in tensors))


def _in_torch(sequence, keep, *tensors):
    import torch

    def on_host(function, *arguments):
        arrays = (argument.detach().contiguous().numpy() for argument in arguments)
        return tuple(torch.from_numpy(result) for result in function(*arrays))

    class Path(torch.autograd.Function):
        @staticmethod
        def forward(context, *tensors):
            outputs, states, kept = on_host(partial(sequence.forward, keep), *tensors)
            context.save_for_backward(*tensors, kept)
            return outputs, states

        @staticmethod
        @torch.autograd.function.once_differentiable
        def backward(context, of_outputs, of_states):
            *tensors, kept = context.saved_tensors
            _, _, recurrent, parameters, initial = tensors
            if not keep:
                *_, kept = on_host(partial(sequence.forward, True), *tensors)
            of_currents, of_bias, of_parameters, of_initial, fed = on_host(
                sequence.backward, kept, recurrent, parameters, initial, of_outputs, of_states
            )
            units, width = recurrent.shape
            of_recurrent = fed.reshape(-1, units).T @ of_currents.reshape(-1, width) if units else None
            return of_currents, of_bias, of_recurrent, of_parameters, of_initial

    return Path.apply(*(keras.ops.convert_to_tensor(tensor) for tensor in tensors))
