"""Loihi's arithmetic as plain Python loops over integers, one neuron after the other, independent of the package.

The order within a step, the leak's rounding towards zero and the strict comparison are those that NengoLoihi documents
for the chip. Steps are those of the network: a layer receives the spikes of the layer before it in the same step, and
its own spikes one step later.
"""

import numpy as np

FLOOR = -(2**23) + 1


def bias_register(current):
    """The nearest number that a mantissa of 12 bits and a sign can hold, with the least exponent up to 7 that does."""
    for exponent in range(8):
        if abs(current) <= 4095 * 2**exponent:
            return round(current / 2**exponent) * 2**exponent  # to even, as NumPy rounds
    return 4095 * 2**7 * (1 if current > 0 else -1)


def compartment(voltage, arrived, bias, decay, threshold):
    """One step: (fired, voltage before the reset, voltage after it)."""
    leaked = abs(voltage) * (4096 - decay) // 4096
    before = max((leaked if voltage >= 0 else -leaked) + arrived + bias, FLOOR)
    fired = before > 64 * threshold
    return fired, before, 0 if fired else before


def layer(inputs, biases, decay, threshold, recurrent=None):
    """Run one layer over one path.

    Args:
        inputs: pairs of spikes (time, rows) and integer weights (rows, units).
        biases: (time, units), integers.
        decay, threshold: (units,), integers.
        recurrent: integer weights (units, units), a diagonal matrix where the recurrence is one to one; or None.

    Returns:
        (spikes, membranes before the reset), (time, units) each.
    """
    time, units = biases.shape
    spikes, membranes = np.zeros((time, units), bool), np.zeros((time, units), int)
    voltage = [0] * units
    for step in range(time):
        for unit in range(units):
            arrived = 0
            for raster, weights in inputs:
                for row in range(weights.shape[0]):
                    if raster[step, row]:
                        arrived += int(weights[row, unit])
            if recurrent is not None and step > 0:
                for row in range(units):
                    if spikes[step - 1, row]:
                        arrived += int(recurrent[row, unit])
            spikes[step, unit], membranes[step, unit], voltage[unit] = compartment(
                voltage[unit], arrived, int(biases[step, unit]), int(decay[unit]), int(threshold[unit])
            )
    return spikes, membranes
