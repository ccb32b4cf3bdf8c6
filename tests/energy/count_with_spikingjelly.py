"""Print the synaptic events that SpikingJelly counts after a LIF layer; test_spikingjelly.py writes the network."""

import sys

import numpy as np
import torch
from spikingjelly.activation_based import neuron, op_counter

network = {name: torch.tensor(array) for name, array in np.load(sys.argv[1]).items()}


def linear(name):
    """A linear layer with the kernel and the bias of the network."""
    kernel, bias = network[f"{name}_kernel"], network[f"{name}_bias"]
    layer = torch.nn.Linear(*kernel.shape)
    layer.weight.copy_(kernel.T)
    layer.bias.copy_(bias)
    return layer


with torch.no_grad():
    first, second = linear("first"), linear("second")
    tau, threshold = 1 / (1 - network["decay"].item()), network["threshold"].item()
    lif = neuron.LIFNode(tau=tau, decay_input=False, v_threshold=threshold, v_reset=0.0, step_mode="m")
    counter = op_counter.SynOpCounter()
    with op_counter.DispatchCounterMode([counter]):
        second(lif(first(network["data"].swapaxes(0, 1))))
print(counter.get_total())
