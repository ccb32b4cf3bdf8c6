"""Leaky integrators: states [membrane], parameters [decay] (see `neurons.leaky`)."""

from kspike_reg.neurons.compiled.functions import flushed
from kspike_reg.neurons.compiled.kernels import Kernel, advances, restores, reverses

__all__ = ["KERNEL"]


@advances
def advance(rows, incoming, states, parameters, options, kept):
    decays, membranes = parameters[0].ravel(), states[0].ravel()
    currents, kept_membranes = incoming.ravel(), kept.ravel()
    for i in range(rows * states.shape[2]):
        membrane = flushed(decays[i] * membranes[i] + currents[i])
        membranes[i] = membrane
        kept_membranes[i] = membrane


@restores
def restore(rows, kept, parameters, states):
    membranes, kept_membranes = states[0].ravel(), kept.ravel()
    for i in range(rows * states.shape[2]):
        membranes[i] = kept_membranes[i]


@reverses
def reverse(rows, kept, previous, parameters, options, slopes, gradients, incoming, sums):
    decays, of_decays, membranes = parameters[0].ravel(), sums[0].ravel(), previous[0].ravel()
    of_membranes, of_currents = gradients[0].ravel(), incoming.ravel()
    for i in range(rows * previous.shape[2]):
        gradient = flushed(of_membranes[i])
        of_currents[i] = gradient
        of_membranes[i] = decays[i] * gradient
        of_decays[i] += gradient * membranes[i]


KERNEL = Kernel(advance, restore, reverse)
