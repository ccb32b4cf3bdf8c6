"""The matrix products of a network in TensorFlow, without anything else, for the forward and the backward pass.

No product can be left out or folded: all tensors are arguments and all results are returned. A recurrent product waits
for the one before it, as in a recurrence, although it does not use its result.
"""

from collections.abc import Callable, Sequence

import numpy as np
import tensorflow as tf

from implementations.cases import SEED, Case, layers_of


def tensors(case: Case) -> list[list[tf.Tensor]]:
    """Factors of the matrix products of each layer.

    Returns:
        For each layer: inputs, kernel, gradients of the currents; for a recurrent layer also the states of all steps
        and the recurrent kernel.
    """
    random = np.random.default_rng(SEED)

    def normal(*shape: int) -> tf.Tensor:
        return tf.constant(random.normal(size=shape).astype("float32"))

    arguments = []
    for layer in layers_of(case):
        rows = case.batch * case.steps
        of_layer = [normal(rows, layer.inputs), normal(layer.inputs, layer.columns), normal(rows, layer.columns)]
        if layer.states:
            of_layer += [normal(case.steps, case.batch, layer.states), normal(layer.states, layer.columns)]
        arguments.append(of_layer)
    return arguments


def unrolled(rows: tf.Tensor, kernel: tf.Tensor, transposed: bool) -> list[tf.Tensor]:
    """rows[t] @ kernel as one operation per step, each waiting for the one before."""
    results, before = [], []
    for row in tf.unstack(rows):
        with tf.control_dependencies(before):
            results.append(tf.matmul(row, kernel, transpose_b=transposed))
        before = results[-1:]
    return results


def looped(rows: tf.Tensor, kernel: tf.Tensor, transposed: bool) -> tf.Tensor:
    """rows[t] @ kernel in a loop of the graph, into one array."""
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


def functions(case: Case, recurrent_matmul: Callable) -> dict[str, Callable[[], object]]:
    """Training and inference, each as a function without arguments.

    Args:
        case: the sizes.
        recurrent_matmul: `unrolled` or `looped`, how to run the recurrent products of all steps.
    """

    def forward(layers: Sequence) -> list:
        results = []
        for inputs, kernel, _, *recurrent in layers:
            results.append(tf.matmul(inputs, kernel))
            if recurrent:
                results.append(recurrent_matmul(*recurrent, transposed=False))
        return results

    def backward(layers: Sequence) -> list:
        results = []
        for number, (inputs, kernel, gradients, *recurrent) in reversed(list(enumerate(layers))):
            if recurrent:
                states, recurrent_kernel = recurrent
                by_step = tf.reshape(gradients, (*states.shape[:2], recurrent_kernel.shape[1]))
                results.append(recurrent_matmul(by_step, recurrent_kernel, transposed=True))
                results.append(tf.matmul(tf.reshape(states, (-1, states.shape[2])), gradients, transpose_a=True))
            results.append(tf.matmul(inputs, gradients, transpose_a=True))
            if number:
                results.append(tf.matmul(gradients, kernel, transpose_b=True))
        return results

    arguments = tensors(case)
    run_forward = tf.function(forward)
    run_both = tf.function(lambda layers: (forward(layers), backward(layers)))
    return {"training": lambda: run_both(arguments), "inference": lambda: run_forward(arguments)}


FORMS = {"2-D matmul, steps unrolled": unrolled, "2-D matmul, steps in a loop": looped}
