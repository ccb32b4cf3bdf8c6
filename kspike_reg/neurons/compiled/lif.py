"""Leaky integrate-and-fire neurons, recurrent ones too: states [spikes, membrane] (see `neurons.lif`, `neurons.rlif`).

Parameters: threshold, decay, and the weight of a neuron's own last spike. Options: whether a spike subtracts the
threshold, whether it clears the membrane, whether gradients pass through the reset; each 0 or 1, so that one formula
serves all and gives the bits of `lif_step`.
"""

from kspike_reg.neurons.compiled.functions import flushed
from kspike_reg.neurons.compiled.kernels import Kernel, advances, restores, reverses

__all__ = ["KERNEL"]


@advances
def advance(rows, incoming, states, parameters, options, kept):
    subtracts, clears = options[0], options[1]
    for r in range(rows):
        for n in range(states.shape[2]):
            threshold, decay, own = parameters[0, n], parameters[1, n], parameters[2, n]
            spike = states[0, r, n]
            current = incoming[r, n] + own * spike
            membrane = decay * (states[1, r, n] - clears * spike * states[1, r, n]) + current
            membrane = flushed(membrane - threshold * (subtracts * spike))
            states[0, r, n] = membrane >= threshold
            states[1, r, n] = membrane
            kept[r, n] = membrane


@restores
def restore(rows, kept, parameters, states):
    for r in range(rows):
        for n in range(states.shape[2]):
            states[0, r, n] = kept[r, n] >= parameters[0, n]
            states[1, r, n] = kept[r, n]


@reverses
def reverse(rows, kept, previous, parameters, options, slopes, gradients, incoming, sums):
    subtracts, clears, attached = options[0], options[1], options[2]
    for r in range(rows):
        for n in range(previous.shape[2]):
            threshold, decay, own = parameters[0, n], parameters[1, n], parameters[2, n]
            spike, membrane = previous[0, r, n], previous[1, r, n]
            remaining = membrane - clears * spike * membrane
            by_spike = slopes[r, n] * gradients[0, r, n]
            gradient = flushed(gradients[1, r, n] + by_spike)
            incoming[r, n] = gradient
            gradients[1, r, n] = (decay - clears * spike * decay) * gradient
            gradients[0, r, n] = (own - attached * (subtracts * threshold + clears * decay * membrane)) * gradient
            sums[0, n] -= by_spike + subtracts * spike * gradient
            sums[1, n] += remaining * gradient
            sums[2, n] += spike * gradient


KERNEL = Kernel(advance, restore, reverse)
