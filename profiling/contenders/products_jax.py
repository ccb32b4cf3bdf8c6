"""The matrix products of a network in JAX, and nothing else: forward, and with both products backward.

Nothing can be left out or folded: all arrays are arguments and all results are returned. A recurrent product waits for
the one before it, as in a recurrence, though its result is not what the next one multiplies.
"""

import jax
import numpy as np
from jax import numpy as jnp

from contenders.cases import SEED, layers_of


def arrays(case):
    """For each layer the arrays that are multiplied: inputs, kernel, and gradients of its currents; if it is
    recurrent, states of all steps and the recurrent kernel.
    """
    random = np.random.default_rng(SEED)

    def normal(*shape):
        return jnp.asarray(random.normal(size=shape).astype("float32"))

    arguments = []
    for layer in layers_of(case):
        rows = case.batch * case.steps
        of_layer = [normal(rows, layer.inputs), normal(layer.inputs, layer.columns), normal(rows, layer.columns)]
        if layer.states:
            of_layer += [normal(case.steps, case.batch, layer.states), normal(layer.states, layer.columns)]
        arguments.append(of_layer)
    return arguments


def scanned(rows, kernel):
    """rows[t] times the kernel, one step after the other."""
    return jax.lax.scan(lambda nothing, row: (nothing, row @ kernel), None, rows)[1]


def laid_out(rows, kernel):
    """The same as operations of their own, each waiting for the one before."""
    results = []
    for row in rows:
        if results:
            row, results[-1] = jax.lax.optimization_barrier((row, results[-1]))
        results.append(row @ kernel)
    return results


def functions(case, steps_of):
    """Training and inference, each as a function without arguments.

    Args:
        case: the sizes.
        steps_of: how recurrent products of all steps are laid out, `scanned` or `laid_out`.
    """

    def forward(layers):
        results = []
        for inputs, kernel, _, *recurrent in layers:
            results.append(inputs @ kernel)
            if recurrent:
                results.append(steps_of(*recurrent))
        return results

    def backward(layers):
        results = []
        for number, (inputs, kernel, gradients, *recurrent) in reversed(list(enumerate(layers))):
            if recurrent:
                states, recurrent_kernel = recurrent
                by_step = gradients.reshape(*states.shape[:2], recurrent_kernel.shape[1])
                results.append(steps_of(by_step, recurrent_kernel.T))
                results.append(states.reshape(-1, states.shape[2]).T @ gradients)
            results.append(inputs.T @ gradients)
            if number:
                results.append(gradients @ kernel.T)
        return results

    arguments = arrays(case)
    run_forward = jax.jit(forward)
    run_both = jax.jit(lambda layers: (forward(layers), backward(layers)))
    return {
        "training": lambda: jax.block_until_ready(run_both(arguments)),
        "inference": lambda: jax.block_until_ready(run_forward(arguments)),
    }


FORMS = {"2-D products, steps laid out": laid_out, "2-D products, steps in a loop": scanned}
