"""Leaky integrators: states [membrane], parameters [decay] (see `neurons.leaky`)."""

from kspike_reg.neurons.engines.cpu.functions import flushed
from kspike_reg.neurons.engines.cpu.kernels import Kernel, advances, restores, reverses

__all__ = ["KERNEL"]


@advances
def advance(rows, incoming, states, parameters, options, kept):
    for r in range(rows):
        for n in range(states.shape[2]):
            membrane = flushed(parameters[0, n] * states[0, r, n] + incoming[r, n])
            states[0, r, n] = membrane
            kept[r, n] = membrane


@restores
def restore(rows, kept, parameters, states):
    for r in range(rows):
        for n in range(states.shape[2]):
            states[0, r, n] = kept[r, n]


@reverses
def reverse(rows, kept, previous, parameters, options, slopes, gradients, incoming, sums):
    for r in range(rows):
        for n in range(previous.shape[2]):
            gradient = flushed(gradients[0, r, n])
            incoming[r, n] = gradient
            gradients[0, r, n] = parameters[0, n] * gradient
            sums[0, n] += gradient * previous[0, r, n]


KERNEL = Kernel(advance, restore, reverse)
