"""Kernel of leaky integrate-and-fire neurons, with or without recurrent weights (see `neurons.lif`, `neurons.rlif`).

States: [spikes, membrane]. Parameters: [threshold, decay]. Options, each 0 or 1: whether a spike subtracts the
threshold, whether it clears the membrane, and whether gradients pass through the reset. One formula serves all options
and gives the bits of `lif_step`. No factor of zero stands for an option: membranes overflow to infinity, and zero times
infinity is NaN.
"""

from kspike_reg.neurons.engines.cpu.functions import flushed
from kspike_reg.neurons.engines.cpu.kernels import Kernel, advances, firing_options, restores, reverses

__all__ = ["KERNEL"]


@advances
def advance(rows, currents, states, parameters, options, residuals):
    subtracts, clears = options[0], options[1]
    one = parameters.dtype.type(1)
    for r in range(rows):
        for n in range(states.shape[2]):
            spike, threshold, decay = states[0, r, n], parameters[0, n], parameters[1, n]
            membrane = states[1, r, n]
            membrane = decay * (membrane * (one - clears * spike)) + currents[r, n]
            membrane = flushed(membrane - threshold * spike if subtracts else membrane)
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
    zero, one = parameters.dtype.type(0), parameters.dtype.type(1)
    for r in range(rows):
        for n in range(previous.shape[2]):
            spike, membrane = previous[0, r, n], previous[1, r, n]
            threshold, decay = parameters[0, n], parameters[1, n]
            through_spike = derivatives[r, n] * states_gradient[0, r, n]
            gradient = flushed(states_gradient[1, r, n] + through_spike)
            reset = (threshold if subtracts else zero) + (decay * membrane if clears else zero)
            currents_gradient[r, n] = gradient
            states_gradient[1, r, n] = decay * (one - clears * spike) * gradient
            states_gradient[0, r, n] = -reset * gradient if attached else zero
            parameters_gradient[0, n] -= through_spike + (spike * gradient if subtracts else zero)
            parameters_gradient[1, n] += membrane * (one - clears * spike) * gradient


KERNEL = Kernel(advance, restore, reverse, options=firing_options)
