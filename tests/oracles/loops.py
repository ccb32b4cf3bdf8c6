"""The paper's neurons as plain NumPy loops over time, independent of the package under test.

All functions accept paths of shape (batch, time, features) and compute in the precision of their arguments. `weights`
is a dictionary with Keras's names: kernel, bias, decay, threshold, recurrent_kernel. The states start at zero. The
functions return arrays of shape (batch, time, units).
"""

import numpy as np


def heaviside(distance):
    """Equation 6: one where the membrane is at or above the threshold."""
    return np.where(distance >= 0, 1.0, 0.0).astype(distance.dtype)


def leaky_integrator(inputs, weights):
    """Equation 11: U[t] = decay U[t-1] + W h[t] + b; returns U."""
    batch, time, _ = inputs.shape
    membrane = np.zeros((batch, weights["decay"].size), inputs.dtype)
    trace = []
    for step in range(time):
        membrane = weights["decay"] * membrane + inputs[:, step] @ weights["kernel"] + weights["bias"]
        trace.append(membrane)
    return np.stack(trace, axis=1)


def lif(inputs, weights, reset="subtract", recurrence=None):
    """Equations 6 and 7, and 19 with a recurrence ("dense" or "one_to_one"); returns S and U.

    It loops over the neurons, so that every term of the equation is a number.
    """
    kernel, bias, decay, threshold = (weights[name] for name in ("kernel", "bias", "decay", "threshold"))
    feedback = weights.get("recurrent_kernel")
    batch, time, features = inputs.shape
    units = decay.size
    spikes = np.zeros((batch, time, units), inputs.dtype)
    membranes = np.zeros((batch, time, units), inputs.dtype)
    for path in range(batch):
        for step in range(time):
            for unit in range(units):
                membrane = sum(inputs[path, step, source] * kernel[source, unit] for source in range(features))
                membrane = membrane + bias[unit]
                if step > 0:
                    fired = spikes[path, step - 1, unit]
                    last = membranes[path, step - 1, unit]
                    if reset == "zero" and fired:
                        last = 0.0
                    membrane = membrane + decay[unit] * last
                    if reset == "subtract" and fired:
                        membrane = membrane - threshold[unit]
                    if recurrence == "dense":
                        for source in range(units):
                            membrane = membrane + spikes[path, step - 1, source] * feedback[source, unit]
                    elif recurrence == "one_to_one":
                        membrane = membrane + fired * feedback[unit]
                membranes[path, step, unit] = membrane
                spikes[path, step, unit] = 1.0 if membrane >= threshold[unit] else 0.0
    return spikes, membranes


def logistic(x):
    return 1 / (1 + np.exp(-x))


def slstm(inputs, weights, reset="subtract"):
    """Equations 23 to 26; returns S, h (the membrane) and c. Each gate has its own block of columns: i, f, c, o."""
    threshold = weights["threshold"]
    units = threshold.size
    blocks = [slice(gate * units, (gate + 1) * units) for gate in range(4)]
    batch, time, _ = inputs.shape
    membrane = np.zeros((batch, units), inputs.dtype)
    spikes, carry = np.zeros_like(membrane), np.zeros_like(membrane)
    traces = [], [], []
    for step in range(time):
        gate_inputs = [
            inputs[:, step] @ weights["kernel"][:, block]
            + membrane @ weights["recurrent_kernel"][:, block]
            + weights["bias"][block]
            for block in blocks
        ]
        input_gate, forget_gate, output_gate = (logistic(gate_inputs[gate]) for gate in (0, 1, 3))
        carry = forget_gate * carry + input_gate * np.tanh(gate_inputs[2])
        membrane = output_gate * np.tanh(carry)
        if reset == "subtract":
            membrane = np.where(spikes == 1, membrane - threshold, membrane)
        elif reset == "zero":
            membrane = np.where(spikes == 1, 0.0, membrane)
        spikes = heaviside(membrane - threshold)
        for trace, values in zip(traces, (spikes, membrane, carry), strict=True):
            trace.append(values)
    return tuple(np.stack(trace, axis=1) for trace in traces)
