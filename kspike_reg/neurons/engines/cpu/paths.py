"""Whole paths through one layer as a differentiable function of tensors, for TensorFlow and PyTorch on the CPU.

`Sequence` works on NumPy arrays that share the tensors' memory.
"""

from functools import partial

import keras

__all__ = ["run"]


def run(sequence, keep, inputs, kernel, bias, recurrent, parameters, initial):
    """The outputs of a layer over whole paths, and its final states.

    Args:
        sequence: the layer's `Sequence`.
        keep: whether to keep what the way back needs; else that runs forward once more, a few paths at a time.
        inputs: (batch, steps, features).
        kernel: (features, width), or (0, width) where the inputs are currents, weighed already.
        bias: (width,).
        recurrent: (units, width), or (0, width) where there are no recurrent weights.
        parameters: (number, units).
        initial: initial states, (number, batch, units).

    Returns:
        Outputs (batch, steps, units) and final states (number, batch, units). They may be differentiated once with
        respect to all tensors.
    """
    backends = {"tensorflow": _in_tensorflow, "torch": _in_torch}
    return backends[keras.backend.backend()](sequence, keep, inputs, kernel, bias, recurrent, parameters, initial)


def _in_tensorflow(sequence, keep, *tensors):
    import tensorflow as tf

    def on_host(function, arguments, shapes):
        results = tf.numpy_function(function, arguments, [arguments[0].dtype] * len(shapes), stateful=False)
        for result, shape in zip(results, shapes, strict=True):
            result.set_shape(shape)
        return results

    @tf.custom_gradient
    def path(*tensors):
        inputs, *_, parameters, initial = tensors
        shapes = ((*inputs.shape[:2], parameters.shape[1]), initial.shape, (None,) * 4)
        outputs, states, kept = on_host(partial(sequence.forward, keep), tensors, shapes)

        def gradient(of_outputs, of_states):
            shapes_of_gradients = [tensor.shape for tensor in tensors]
            return on_host(sequence.backward, (kept, *tensors, of_outputs, of_states), shapes_of_gradients)

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
            return on_host(sequence.backward, kept, *tensors, of_outputs, of_states)

    return Path.apply(*(keras.ops.convert_to_tensor(tensor) for tensor in tensors))
