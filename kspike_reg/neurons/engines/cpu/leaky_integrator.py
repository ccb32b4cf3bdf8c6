"""Kernel of leaky integrators: states [membrane], parameters [decay] (see `neurons.leaky`)."""

from kspike_reg.neurons.engines.cpu.functions import flushed
from kspike_reg.neurons.engines.cpu.kernels import Kernel, advances, restores, reverses

__all__ = ["KERNEL"]


@advances
def advance(rows, currents, states, parameters, options, residuals):
    for r in range(rows):
        for n in range(states.shape[2]):
            membrane = flushed(parameters[0, n] * states[0, r, n] + currents[r, n])
            states[0, r, n] = membrane
            residuals[r, n] = membrane


@restores
def restore(rows, residuals, parameters, states):
    for r in range(rows):
        for n in range(states.shape[2]):
            states[0, r, n] = residuals[r, n]


@reverses
def reverse(
    rows, residuals, previous, parameters, options, derivatives, states_gradient, currents_gradient, parameters_gradient
):
    for r in range(rows):
        for n in range(previous.shape[2]):
            gradient = flushed(states_gradient[0, r, n])
            currents_gradient[r, n] = gradient
            states_gradient[0, r, n] = parameters[0, n] * gradient
            parameters_gradient[0, n] += gradient * previous[0, r, n]


KERNEL = Kernel(advance, restore, reverse)
