"""Kernel of leaky integrate-and-fire neurons, with or without recurrent weights (see `neurons.lif`, `neurons.rlif`).

States: [spikes, membrane]. Parameters: [threshold, decay]. Options, each 0 or 1: whether a spike subtracts the
threshold, whether it clears the membrane, and whether gradients pass through the reset. One formula serves all options
and gives the bits of `lif_step`.
"""

from kspike_reg.neurons.engines.cpu.functions import flushed
from kspike_reg.neurons.engines.cpu.kernels import Kernel, advances, firing_options, restores, reverses

__all__ = ["KERNEL"]


@advances
def advance(rows, currents, states, parameters, options, residuals):
    subtracts, clears = options[0], options[1]
    for r in range(rows):
        for n in range(states.shape[2]):
            spike, threshold, decay = states[0, r, n], parameters[0, n], parameters[1, n]
            membrane = states[1, r, n]
            membrane = decay * (membrane - clears * spike * membrane) + currents[r, n]
            membrane = flushed(membrane - threshold * (subtracts * spike))
            states[0, r, n] = membrane >= threshold
            states[1, r, n] = membrane
            residuals[r, n] = membrane


@restores
def restore(rows, residuals, parameters, states):
    for r in range(rows):
        for n in range(states.shape[2]):
            states[0, r, n] = residuals[r, n] >= parameters[0, n]
            states[1, r, n] = residuals[r, n]


@reverses
def reverse(
    rows, residuals, previous, parameters, options, derivatives, states_gradient, currents_gradient, parameters_gradient
):
    subtracts, clears, attached = options[0], options[1], options[2]
    for r in range(rows):
        for n in range(previous.shape[2]):
            spike, membrane = previous[0, r, n], previous[1, r, n]
            threshold, decay = parameters[0, n], parameters[1, n]
            through_spike = derivatives[r, n] * states_gradient[0, r, n]
            gradient = flushed(states_gradient[1, r, n] + through_spike)
            reset = subtracts * threshold + clears * decay * membrane
            currents_gradient[r, n] = gradient
            states_gradient[1, r, n] = (decay - clears * spike * decay) * gradient
            states_gradient[0, r, n] = -attached * reset * gradient
            parameters_gradient[0, n] -= through_spike + subtracts * spike * gradient
            parameters_gradient[1, n] += (membrane - clears * spike * membrane) * gradient


KERNEL = Kernel(advance, restore, reverse, options=firing_options)
