"""Kernel of spiking LSTM neurons (see `neurons.slstm`).

States: [spikes, membrane, carry]. Parameters: [threshold]. Options: as in `lif`. Residuals of a step: the membrane,
the carry, and the gates i, f, g, o after their activations.
"""

from kspike_reg.neurons.engines.cpu.functions import flushed, sigmoid, tanh
from kspike_reg.neurons.engines.cpu.kernels import (
    Kernel,
    advances,
    firing_options,
    restores,
    reverses,
    widest_registers,
)

__all__ = ["KERNEL"]


@advances
def advance(rows, currents, states, parameters, options, residuals):
    widest_registers()
    units = states.shape[2]
    subtracts, clears = options[0], options[1]
    one = parameters.dtype.type(1)
    for r in range(rows):
        # Each gate has a loop of its own on one array, so that the compiler vectorises over neurons.
        for n in range(2 * units):
            residuals[r, 2 * units + n] = sigmoid(currents[r, n])
        for n in range(2 * units, 3 * units):
            residuals[r, 2 * units + n] = tanh(currents[r, n])
        for n in range(3 * units, 4 * units):
            residuals[r, 2 * units + n] = sigmoid(currents[r, n])
        for n in range(units):
            input_gate, forget_gate = residuals[r, 2 * units + n], residuals[r, 3 * units + n]
            states[2, r, n] = flushed(forget_gate * states[2, r, n] + input_gate * residuals[r, 4 * units + n])
        for n in range(units):
            residuals[r, units + n] = states[2, r, n]
        for n in range(units):
            currents[r, n] = tanh(states[2, r, n])
        for n in range(units):
            spike, threshold = states[0, r, n], parameters[0, n]
            membrane = residuals[r, 5 * units + n] * currents[r, n]
            membrane = membrane * (one - clears * spike)
            membrane = flushed(membrane - threshold * spike if subtracts else membrane)
            states[0, r, n] = membrane >= threshold
            states[1, r, n] = membrane
            residuals[r, n] = membrane


@restores
def restore(rows, residuals, parameters, states):
    units = states.shape[2]
    for r in range(rows):
        for n in range(units):
            states[0, r, n] = residuals[r, n] >= parameters[0, n]
            states[1, r, n] = residuals[r, n]
            states[2, r, n] = residuals[r, units + n]


@reverses
def reverse(
    rows, residuals, previous, parameters, options, derivatives, states_gradient, currents_gradient, parameters_gradient
):
    units = previous.shape[2]
    subtracts, clears, attached = options[0], options[1], options[2]
    zero, one = parameters.dtype.type(0), parameters.dtype.type(1)
    for r in range(rows):
        for n in range(units):
            currents_gradient[r, n] = tanh(residuals[r, units + n])
        for n in range(units):
            spike, threshold = previous[0, r, n], parameters[0, n]
            output_gate, tanh_carry = residuals[r, 5 * units + n], currents_gradient[r, n]
            through_spike = derivatives[r, n] * states_gradient[0, r, n]
            gradient = flushed(states_gradient[1, r, n] + through_spike)
            reset = (threshold if subtracts else zero) + (output_gate * tanh_carry if clears else zero)
            parameters_gradient[0, n] -= through_spike + (spike * gradient if subtracts else zero)
            states_gradient[0, r, n] = -reset * gradient if attached else zero
            gradient = gradient * (one - clears * spike)
            currents_gradient[r, 3 * units + n] = gradient * tanh_carry * output_gate * (1 - output_gate)
            states_gradient[2, r, n] = flushed(
                states_gradient[2, r, n] + gradient * output_gate * (1 - tanh_carry * tanh_carry)
            )
            states_gradient[1, r, n] = 0
        for n in range(units):
            gradient, input_gate = states_gradient[2, r, n], residuals[r, 2 * units + n]
            candidate = residuals[r, 4 * units + n]
            currents_gradient[r, n] = gradient * candidate * input_gate * (1 - input_gate)
            currents_gradient[r, 2 * units + n] = gradient * input_gate * (1 - candidate * candidate)
        for n in range(units):
            gradient, forget_gate = states_gradient[2, r, n], residuals[r, 3 * units + n]
            currents_gradient[r, units + n] = gradient * previous[2, r, n] * forget_gate * (1 - forget_gate)
            states_gradient[2, r, n] = gradient * forget_gate


KERNEL = Kernel(advance, restore, reverse, columns=6, feedback=1, options=firing_options)
