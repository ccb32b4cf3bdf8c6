"""Leaky integrate-and-fire neurons, recurrent ones too: states [spikes, membrane] (see `neurons.lif`, `neurons.rlif`).

Parameters: threshold, decay. Options: whether a spike subtracts the
threshold, whether it clears the membrane, whether gradients pass through the reset; each 0 or 1, so that one formula
serves all and gives the bits of `lif_step`.
"""

from kspike_reg.neurons.compiled.functions import flushed
from kspike_reg.neurons.compiled.kernels import Kernel, advances, restores, reverses

__all__ = ["KERNEL"]


@advances
def advance(rows, incoming, states, parameters, options, kept):
    thresholds, decays = parameters[0].ravel(), parameters[1].ravel()
    spikes, membranes = states[0].ravel(), states[1].ravel()
    currents, kept_membranes = incoming.ravel(), kept.ravel()
    subtracts, clears = options[0], options[1]
    for i in range(rows * states.shape[2]):
        spike = spikes[i]
        membrane = decays[i] * (membranes[i] - clears * spike * membranes[i]) + currents[i]
        membrane = flushed(membrane - thresholds[i] * (subtracts * spike))
        spikes[i] = membrane >= thresholds[i]
        membranes[i] = membrane
        kept_membranes[i] = membrane


@restores
def restore(rows, kept, parameters, states):
    thresholds, kept_membranes = parameters[0].ravel(), kept.ravel()
    spikes, membranes = states[0].ravel(), states[1].ravel()
    for i in range(rows * states.shape[2]):
        membranes[i] = kept_membranes[i]
        spikes[i] = kept_membranes[i] >= thresholds[i]


@reverses
def reverse(rows, kept, previous, parameters, options, slopes, gradients, incoming, sums):
    thresholds, decays = parameters[0].ravel(), parameters[1].ravel()
    spikes, membranes = previous[0].ravel(), previous[1].ravel()
    of_spikes, of_membranes = gradients[0].ravel(), gradients[1].ravel()
    of_thresholds, of_decays = sums[0].ravel(), sums[1].ravel()
    derivatives, of_currents = slopes.ravel(), incoming.ravel()
    subtracts, clears, attached = options[0], options[1], options[2]
    for i in range(rows * previous.shape[2]):
        spike, membrane, decay = spikes[i], membranes[i], decays[i]
        by_spike = derivatives[i] * of_spikes[i]
        gradient = flushed(of_membranes[i] + by_spike)
        of_currents[i] = gradient
        of_membranes[i] = (decay - clears * spike * decay) * gradient
        if attached:
            of_spikes[i] = -(subtracts * thresholds[i] + clears * decay * membrane) * gradient
        else:
            of_spikes[i] = 0
        of_thresholds[i] -= by_spike + subtracts * spike * gradient
        of_decays[i] += (membrane - clears * spike * membrane) * gradient


KERNEL = Kernel(advance, restore, reverse)
