"""Leaky integrate-and-fire neurons, recurrent ones too: states [spikes, membrane] (see `neurons.lif`, `neurons.rlif`).

Parameters: threshold, decay. Options: whether a spike subtracts the
threshold, whether it clears the membrane, whether gradients pass through the reset; each 0 or 1, so that one formula
serves all and gives the bits of `lif_step`.
"""

from kspike_reg.neurons.engines.cpu.functions import flushed
from kspike_reg.neurons.engines.cpu.kernels import Kernel, advances, restores, reverses

__all__ = ["KERNEL"]


@advances
def advance(rows, incoming, states, parameters, options, kept):
    subtracts, clears = options[0], options[1]
    for r in range(rows):
        for n in range(states.shape[2]):
            spike, threshold, decay = states[0, r, n], parameters[0, n], parameters[1, n]
            membrane = states[1, r, n]
            membrane = decay * (membrane - clears * spike * membrane) + incoming[r, n]
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
            spike, membrane = previous[0, r, n], previous[1, r, n]
            threshold, decay = parameters[0, n], parameters[1, n]
            by_spike = slopes[r, n] * gradients[0, r, n]
            gradient = flushed(gradients[1, r, n] + by_spike)
            incoming[r, n] = gradient
            gradients[1, r, n] = (decay - clears * spike * decay) * gradient
            gradients[0, r, n] = -attached * (subtracts * threshold + clears * decay * membrane) * gradient
            sums[0, n] -= by_spike + subtracts * spike * gradient
            sums[1, n] += (membrane - clears * spike * membrane) * gradient


KERNEL = Kernel(advance, restore, reverse)
