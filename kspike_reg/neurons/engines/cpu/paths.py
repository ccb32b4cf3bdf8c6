"""One layer over whole paths as a differentiable function of tensors, for TensorFlow and PyTorch on the CPU.

`Sequence` works on NumPy arrays that share the memory of the tensors.
"""

from functools import partial
from typing import Any

import keras

from kspike_reg.neurons.engines.cpu.sequence import Sequence

__all__ = ["run"]


def run(
    sequence: Sequence,
    keep: bool,
    inputs: Any,
    kernel: Any,
    bias: Any,
    recurrent: Any,
    parameters: Any,
    initial: Any,
) -> tuple[Any, Any]:
    """The outputs of a layer over whole paths, and its final states.

    The results can be differentiated once, with respect to all tensors.

    Args:
        sequence: the layer's `Sequence`.
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
    return backends[keras.backend.backend()](sequence, keep, inputs, kernel, bias, recurrent, parameters, initial)


def _run_in_tensorflow(sequence, keep, *tensors):
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
        outputs, states, residuals = on_host(partial(sequence.forward, keep), tensors, shapes)

        def gradient(outputs_gradient, states_gradient):
            arguments = residuals, *tensors, outputs_gradient, states_gradient
            return on_host(sequence.backward, arguments, [tensor.shape for tensor in tensors])

        return (outputs, states), gradient

    return path(*(tf.convert_to_tensor(tensor) for tensor in tensors))


def _run_in_torch(sequence, keep, *tensors):
    import torch

    def on_host(function, *arguments):
        arrays = (argument.detach().contiguous().numpy() for argument in arguments)
        return tuple(torch.from_numpy(result) for result in function(*arrays))

    class Path(torch.autograd.Function):
        @staticmethod
        def forward(context, *tensors):
            outputs, states, residuals = on_host(partial(sequence.forward, keep), *tensors)
            context.save_for_backward(*tensors, residuals)
            return outputs, states

        @staticmethod
        @torch.autograd.function.once_differentiable
        def backward(context, outputs_gradient, states_gradient):
            *tensors, residuals = context.saved_tensors
            return on_host(sequence.backward, residuals, *tensors, outputs_gradient, states_gradient)

    return Path.apply(*(keras.ops.convert_to_tensor(tensor) for tensor in tensors))
