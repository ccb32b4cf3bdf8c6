"""Placing layers on the chip's cores, within the limits of a core, as the blocks of NengoLoihi's emulator."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from kspike_reg.bridges.loihi.integers import THRESHOLD_UNIT, VOLTAGE_LIMIT, LayerIntegers
from kspike_reg.errors import InputError

__all__ = ["LIMITS", "Chip", "build_chip", "place"]

# The limits of a core, and the cores of a chip (nengo_loihi/block.py and hardware/validate.py; Davies et al., 2018).
# The emulator checks few of them.
LIMITS = {
    "compartments": 1024,
    "decays": 32,
    "thresholds": 16,
    "input_axons": 4096,
    "output_axons": 4096,
    "synapse_bits": 2**20,
}
CORES = 128


@dataclass(frozen=True, eq=False)
class Chip:
    """A network on the emulator.

    Attributes:
        model: a `nengo_loihi.builder.Model` with a block for each core.
        blocks: by layer, pairs of a block and the numbers of the layer's neurons on it, in the order of the block.
        probes: by layer and then by quantity, "spiked", "voltage", "current", a probe over all its blocks.
        synapses: by layer, pairs of a source layer and a synapse on one of its blocks.
        usage: for each core a dictionary: its layer, and how much of each of `LIMITS` it uses.
    """

    model: Any
    blocks: dict[str, list[tuple[Any, np.ndarray]]]
    probes: dict[str, dict[str, Any]]
    synapses: dict[str, list[tuple[str, Any]]]
    usage: tuple[dict[str, Any], ...]


def place(integers: LayerIntegers) -> list[np.ndarray]:
    """Distribute a layer's neurons to cores.

    A core has few different decays and thresholds, while every neuron has learned its own. Cores are filled with
    neurons in the order of their decays; a core is full when one more neuron would exceed one of its limits.

    Args:
        integers: the `LayerIntegers`.

    Returns:
        A list of arrays of neuron numbers, one for each core.
    """
    fan_ins = [np.shape(mantissas) for mantissas, _ in integers.kernels.values()]
    cores, core = [], []
    for neuron in np.lexsort((integers.threshold, integers.decay)):
        longer = [*core, neuron]
        full = (
            len(longer) > LIMITS["compartments"]
            or np.unique(integers.decay[longer]).size > LIMITS["decays"]
            or np.unique(integers.threshold[longer]).size > LIMITS["thresholds"]
            or sum(_bits(shape, len(longer)) for shape in fan_ins) > LIMITS["synapse_bits"]
        )
        if full and core:
            cores.append(np.array(core))
            longer = [neuron]
        core = longer
    return [*cores, np.array(core)]


def _bits(shape, neurons):
    """Memory of a projection on one core, from the shape of its kernel and the number of target neurons there."""
    from nengo_loihi.block import SynapseConfig

    # As NengoLoihi stores weights: eight bits each, up to 64 of them together.
    storage = SynapseConfig(compression=3, fanout_type=1, n_synapses=63, weight_bits=7)
    axons, weights = (neurons, 1) if len(shape) == 1 else (shape[0], neurons)
    return axons * storage.bits_per_axon(weights)


def build_chip(layers: Mapping[str, LayerIntegers], caller: str) -> Chip:
    """Build the blocks, axons, synapses and probes of all layers.

    Args:
        layers: the `LayerIntegers` of every layer on the chip, by name.
        caller: named in the message.

    Returns:
        The `Chip`.

    Raises:
        InputError: a layer that does not fit.
    """
    from nengo_loihi.builder import Model
    from nengo_loihi.probe import LoihiProbe

    model = Model()
    blocks = {name: [(_block(each, part), part) for part in place(each)] for name, each in layers.items()}
    synapses = {
        name: [(source, synapse) for source in each.kernels for synapse in _connect(blocks, source, each)]
        for name, each in layers.items()
    }
    probes = {}
    for name, parts in blocks.items():
        for block, _ in parts:
            model.add_block(block)
        targets = [block for block, _ in parts]
        probes[name] = {key: LoihiProbe(targets, key=key) for key in ("spiked", "voltage", "current")}
        for probe in probes[name].values():
            model.add_probe(probe)
    usage = tuple({"layer": name} | _usage(block) for name, parts in blocks.items() for block, _ in parts)
    for core in usage:
        for what, limit in LIMITS.items():
            if core[what] > limit:
                raise InputError(
                    f"{caller}: the layer {core['layer']!r} does not fit Loihi: {core[what]} {what.replace('_', ' ')} "
                    f"on a core, which has {limit}; make it, or the layers before or after it, smaller"
                )
    if len(usage) > CORES:
        raise InputError(
            f"{caller}: the network takes {len(usage)} cores, a chip has {CORES}; make it smaller, or let its neurons "
            "share decays (learn_decay=False), of which a core has 32"
        )
    return Chip(model, blocks, probes, synapses, usage)


def _block(integers, neurons):
    from nengo_loihi.block import LoihiBlock

    block = LoihiBlock(len(neurons), label=integers.name)
    compartment = block.compartment
    ones = np.ones(len(neurons), dtype=np.int32)
    # The current is the sum of this step's weights alone: the chip adds one to this decay.
    compartment.decay_u = 4095 * ones
    compartment.decay_v = integers.decay[neurons].astype(np.int32)
    compartment.vth = (THRESHOLD_UNIT * integers.threshold[neurons]).astype(np.int32)
    compartment.bias = 0 * ones  # written at run time
    # A refractory delay of one step is none: the neuron may fire at the next.
    compartment.refract_delay = ones
    compartment.vmin, compartment.vmax = -VOLTAGE_LIMIT, VOLTAGE_LIMIT
    compartment.scale_u = compartment.scale_v = False
    compartment.noise_exp = 1
    return block


def _connect(blocks, source, integers):
    """Synapses on every block of a layer, each with axons from every block of its source layer."""
    from nengo_loihi.block import Axon, Synapse
    from scipy import sparse

    mantissas, exponent = integers.kernels[source]
    weights = integers.weights(source)
    one_to_one = mantissas.ndim == 1
    synapses = []
    for block, neurons in blocks[integers.name]:
        # One to one, the axons are the core's own neurons; else all neurons of the source.
        senders = neurons if one_to_one else np.arange(len(weights))
        if one_to_one:
            own = np.arange(len(neurons))
            matrix = sparse.csr_matrix((weights[neurons], (own, own)))  # stores weights of zero too
        else:
            matrix = weights[:, neurons]
        synapse = Synapse(len(senders), label=f"{source} to {integers.name}")
        synapse.set_weights(matrix.astype(np.float32))
        # The weights are integers already; the emulator's own conversion starts from real numbers.
        synapse.weights = [row.astype(np.int32) for row in synapse.weights]
        synapse.format(weight_exp=exponent)
        block.add_synapse(synapse)
        synapses.append(synapse)
        axon_of = {neuron: number for number, neuron in enumerate(senders)}
        for sender, sent in blocks[source]:
            axons = np.array([axon_of.get(neuron, -1) for neuron in sent])
            if not np.any(axons >= 0):
                continue
            axon = Axon(int(np.sum(axons >= 0)))
            axon.target = synapse
            axon.set_compartment_axon_map(axons)
            sender.add_axon(axon)
    return synapses


def _usage(block):
    used = {name: used for name, (used, _) in block.utilization().items()}
    compartment = block.compartment
    return {
        "compartments": used["compartments"],
        "decays": int(np.unique(compartment.decay_v).size),
        "thresholds": int(np.unique(compartment.vth).size),
        "input_axons": used["in-axons"],
        "output_axons": used["out-axons"],
        "synapse_bits": used["synapses"],
    }
