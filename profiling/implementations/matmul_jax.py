"""The matrix products of a network in JAX, without anything else, for the forward and the backward pass.

No product can be left out or folded: all arrays are arguments and all results are returned. A recurrent product waits
for the one before it, as in a recurrence, although it does not use its result.
"""

from collections.abc import Callable, Sequence

import jax
import numpy as np
from jax import numpy as jnp

from implementations.cases import SEED, Case, layers_of


def arrays(case: Case) -> list[list[jax.Array]]:
    """Factors of the matrix products of each layer.

    Returns:
        For each layer: inputs, kernel, gradients of the currents; for a recurrent layer also the states of all steps
        and the recurrent kernel.
    """
    random = np.random.default_rng(SEED)

    def normal(*shape: int) -> jax.Array:
        return jnp.asarray(random.normal(size=shape).astype("float32"))

    arguments = []
    for layer in layers_of(case):
        rows = case.batch * case.steps
        of_layer = [normal(rows, layer.inputs), normal(layer.inputs, layer.columns), normal(rows, layer.columns)]
        if layer.states:
            of_layer += [normal(case.steps, case.batch, layer.states), normal(layer.states, layer.columns)]
        arguments.append(of_layer)
    return arguments


def looped(rows: jax.Array, kernel: jax.Array) -> jax.Array:
    """rows[t] @ kernel in a scan, one step after the other."""
    return jax.lax.scan(lambda nothing, row: (nothing, row @ kernel), None, rows)[1]


def unrolled(rows: jax.Array, kernel: jax.Array) -> list[jax.Array]:
    """rows[t] @ kernel as one operation per step, each waiting for the one before."""
    results = []
    for row in rows:
        if results:
            row, results[-1] = jax.lax.optimization_barrier((row, results[-1]))
        results.append(row @ kernel)
    return results


def functions(case: Case, recurrent_matmul: Callable) -> dict[str, Callable[[], object]]:
    """Training and inference, each as a function without arguments.

    Args:
        case: the sizes.
        recurrent_matmul: `looped` or `unrolled`, how to run the recurrent products of all steps.
    """

    def forward(layers: Sequence) -> list:
        results = []
        for inputs, kernel, _, *recurrent in layers:
            results.append(inputs @ kernel)
            if recurrent:
                results.append(recurrent_matmul(*recurrent))
        return results

    def backward(layers: Sequence) -> list:
        results = []
        for number, (inputs, kernel, gradients, *recurrent) in reversed(list(enumerate(layers))):
            if recurrent:
                states, recurrent_kernel = recurrent
                by_step = gradients.reshape(*states.shape[:2], recurrent_kernel.shape[1])
                results.append(recurrent_matmul(by_step, recurrent_kernel.T))
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


FORMS = {"2-D matmul, steps unrolled": unrolled, "2-D matmul, steps in a loop": looped}
