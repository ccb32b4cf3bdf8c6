"""The matrix products of a network in TensorFlow, and nothing else: forward, and with both products backward.

Nothing can be left out or folded: all tensors are arguments and all results are returned. A recurrent product waits
for the one before it, as in a recurrence, though its result is not what the next one multiplies.
"""

import numpy as np
import tensorflow as tf

from contenders.cases import SEED, layers_of


def tensors(case):
    """For each layer the tensors that are multiplied: inputs, kernel, and gradients of its currents; if it is
    recurrent, states of all steps, recurrent kernel, and the gradients step by step.
    """
    random = np.random.default_rng(SEED)

    def normal(*shape):
        return tf.constant(random.normal(size=shape).astype("float32"))

    arguments = []
    for layer in layers_of(case):
        rows = case.batch * case.steps
        of_layer = [normal(rows, layer.inputs), normal(layer.inputs, layer.columns), normal(rows, layer.columns)]
        if layer.states:
            of_layer += [normal(case.steps, case.batch, layer.states), normal(layer.states, layer.columns)]
        arguments.append(of_layer)
    return arguments


def laid_out(rows, kernel, transposed):
    """rows[t] times the kernel, one step waiting for the other, as operations of their own."""
    results, before = [], []
    for row in tf.unstack(rows):
        with tf.control_dependencies(before):
            results.append(tf.matmul(row, kernel, transpose_b=transposed))
        before = results[-1:]
    return results


def looped(rows, kernel, transposed):
    """The same in a loop of the graph, into one array."""
    steps = rows.shape[0]
    columns = kernel.shape[0 if transposed else 1]
    results = tf.TensorArray(tf.float32, steps, element_shape=(rows.shape[1], columns))
    _, results = tf.while_loop(
        lambda step, results: step < steps,
        lambda step, results: (step + 1, results.write(step, tf.matmul(rows[step], kernel, transpose_b=transposed))),
        (0, results),
        parallel_iterations=1,
    )
    return results.stack()


def functions(case, steps_of):
    """Training and inference, each as a function without arguments.

    Args:
        case: the sizes.
        steps_of: how recurrent products of all steps are laid out, `laid_out` or `looped`.
    """

    def forward(layers):
        results = []
        for inputs, kernel, _, *recurrent in layers:
            results.append(tf.matmul(inputs, kernel))
            if recurrent:
                results.append(steps_of(*recurrent, transposed=False))
        return results

    def backward(layers):
        results = []
        for number, (inputs, kernel, gradients, *recurrent) in reversed(list(enumerate(layers))):
            if recurrent:
                states, recurrent_kernel = recurrent
                by_step = tf.reshape(gradients, (*states.shape[:2], recurrent_kernel.shape[1]))
                results.append(steps_of(by_step, recurrent_kernel, transposed=True))
                results.append(tf.matmul(tf.reshape(states, (-1, states.shape[2])), gradients, transpose_a=True))
            results.append(tf.matmul(inputs, gradients, transpose_a=True))
            if number:
                results.append(tf.matmul(gradients, kernel, transpose_b=True))
        return results

    arguments = tensors(case)
    run_forward = tf.function(forward)
    run_both = tf.function(lambda layers: (forward(layers), backward(layers)))
    return {"training": lambda: run_both(arguments), "inference": lambda: run_forward(arguments)}


FORMS = {"2-D products, steps laid out": laid_out, "2-D products, steps in a loop": looped}
