"""Spiking LSTM neurons: states [spikes, membrane, carry], parameters [threshold] (see `neurons.slstm`).

Options as in `compiled.lif`. A step keeps membrane, carry and the gates i, f, g, o after their activations.
"""

from kspike_reg.neurons.engines.cpu.functions import flushed, sigmoid, tanh
from kspike_reg.neurons.engines.cpu.kernels import Kernel, advances, restores, reverses, widest_registers

__all__ = ["KERNEL"]


@advances
def advance(rows, incoming, states, parameters, options, kept):
    widest_registers()
    units = states.shape[2]
    subtracts, clears = options[0], options[1]
    for r in range(rows):
        # Gates in loops of their own, each on one array: so the compiler takes many neurons at once.
        for n in range(2 * units):
            kept[r, 2 * units + n] = sigmoid(incoming[r, n])
        for n in range(2 * units, 3 * units):
            kept[r, 2 * units + n] = tanh(incoming[r, n])
        for n in range(3 * units, 4 * units):
            kept[r, 2 * units + n] = sigmoid(incoming[r, n])
        for n in range(units):
            forget, entry, candidate = kept[r, 3 * units + n], kept[r, 2 * units + n], kept[r, 4 * units + n]
            states[2, r, n] = flushed(forget * states[2, r, n] + entry * candidate)
        for n in range(units):
            kept[r, units + n] = states[2, r, n]
        for n in range(units):
            incoming[r, n] = tanh(states[2, r, n])
        for n in range(units):
            spike, threshold = states[0, r, n], parameters[0, n]
            membrane = kept[r, 5 * units + n] * incoming[r, n]
            membrane = membrane - clears * spike * membrane
            membrane = flushed(membrane - threshold * (subtracts * spike))
            states[0, r, n] = membrane >= threshold
            states[1, r, n] = membrane
            kept[r, n] = membrane


@restores
def restore(rows, kept, parameters, states):
    units = states.shape[2]
    for r in range(rows):
        for n in range(units):
            states[0, r, n] = kept[r, n] >= parameters[0, n]
            states[1, r, n] = kept[r, n]
            states[2, r, n] = kept[r, units + n]


@reverses
def reverse(rows, kept, previous, parameters, options, slopes, gradients, incoming, sums):
    units = previous.shape[2]
    subtracts, clears, attached = options[0], options[1], options[2]
    for r in range(rows):
        for n in range(units):
            incoming[r, n] = tanh(kept[r, units + n])
        for n in range(units):
            spike, threshold = previous[0, r, n], parameters[0, n]
            output_gate, carried = kept[r, 5 * units + n], incoming[r, n]
            by_spike = slopes[r, n] * gradients[0, r, n]
            gradient = flushed(gradients[1, r, n] + by_spike)
            lowering = subtracts * threshold + clears * output_gate * carried
            sums[0, n] -= by_spike + subtracts * spike * gradient
            gradients[0, r, n] = -attached * lowering * gradient
            gradient = gradient - clears * spike * gradient
            incoming[r, 3 * units + n] = gradient * carried * output_gate * (1 - output_gate)
            gradients[2, r, n] = flushed(gradients[2, r, n] + gradient * output_gate * (1 - carried * carried))
            gradients[1, r, n] = 0
        for n in range(units):
            gradient, entry, candidate = gradients[2, r, n], kept[r, 2 * units + n], kept[r, 4 * units + n]
            incoming[r, n] = gradient * candidate * entry * (1 - entry)
            incoming[r, 2 * units + n] = gradient * entry * (1 - candidate * candidate)
        for n in range(units):
            gradient, forget = gradients[2, r, n], kept[r, 3 * units + n]
            incoming[r, units + n] = gradient * previous[2, r, n] * forget * (1 - forget)
            gradients[2, r, n] = gradient * forget


KERNEL = Kernel(advance, restore, reverse, columns=6, feedback=1)
