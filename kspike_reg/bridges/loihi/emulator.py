"""Running a network's spiking layers on NengoLoihi's emulator, path by path.

Within one of the chip's steps the spikes of the step before arrive, then every compartment is updated. So a layer works
one step behind the layer that it hears, all of it one pipeline, and a recurrent layer hears its own last step, as in
the network. A chain of L layers takes T + L - 1 steps for a path of T; each layer's record is shifted back by its
delay. Until its input arrives a layer's biases are zero, so that it starts from rest.

Real values enter through the bias registers: the host computes the currents of the layers that hear them and writes
the registers before each step, as the processors on the chip's edge can. So every spike of the network is fired on the
chip, and no encoding of real numbers into spikes comes between.
"""

from dataclasses import dataclass

import numpy as np

from kspike_reg.bridges.loihi.integers import DECAY_ONE, VOLTAGE_LIMIT, as_bias
from kspike_reg.errors import InputError

__all__ = ["Record", "run_chip"]


@dataclass(frozen=True, eq=False)
class Record:
    """What one layer did, over all paths.

    Attributes:
        spikes: booleans (paths, time, units).
        membranes: before the reset, in the chip's integers, of the same shape.
        events: weights that were added to its compartments, by the source layer; its own name for the recurrence.
        clipped: currents from the host that were beyond the bias register.
        saturated: membranes that stood at the lower end of their register.
    """

    spikes: np.ndarray
    membranes: np.ndarray
    events: dict
    clipped: int
    saturated: int


def run_chip(chip, layers, delays, currents, paths, time, done):
    """Run paths one after another, each from rest.

    Args:
        chip: the `Chip` to run on.
        layers: the `LayerIntegers` by name.
        delays: of each layer by name, in steps of the chip.
        currents: by name what the host sends to the layers that hear it, (paths, time, units), in the chip's units.
        paths, time: how many paths, and their steps.
        done: called after each path with the number of paths that are done.

    Returns:
        The `Record` of each layer by its name.

    Raises:
        InputError: an accumulator of the chip overflowed.
    """
    biases, clipped = {}, {}
    for name, each in layers.items():
        if each.bias is None:
            biases[name], beyond = as_bias(currents[name])
            clipped[name] = int(beyond.sum())
        else:
            biases[name], clipped[name] = np.broadcast_to(each.bias, (paths, time, each.bias.size)), 0
    events = {name: dict.fromkeys(each.kernels, 0) for name, each in layers.items()}
    traces = []
    for path in range(paths):
        traces.append(_run_path(chip, {name: rows[path] for name, rows in biases.items()}, delays, time, events))
        done(path + 1)
    records = {}
    for name, each in layers.items():
        trace = {key: np.stack([of[name][key] for of in traces]) for key in traces[0][name]}
        records[name] = Record(
            spikes=trace["spiked"],
            membranes=_before_reset(each, trace, biases[name]),
            events=events[name],
            clipped=clipped[name],
            saturated=int(np.sum(trace["voltage"] == -VOLTAGE_LIMIT)),
        )
    return records


def _run_path(chip, biases, delays, time, events):
    """What the probes of each layer show over one path, (time, units) each; `events` are added to."""
    from nengo.exceptions import SimulationError
    from nengo_loihi.emulator import EmulatorInterface

    steps = time + max(delays.values())
    # The emulator starts its integer arrays from NaN, which NumPy warns of.
    with np.errstate(invalid="ignore"):
        emulator = EmulatorInterface(chip.model, seed=0)
    emulator.compartment.strict = True  # an overflow is an error, not a warning
    registers = np.zeros((steps, emulator.block_info.n_compartments), dtype=np.int32)
    for name, parts in chip.blocks.items():
        start = delays[name]
        for block, neurons in parts:
            registers[start : start + time, emulator.block_info.slices[block]] = biases[name][:, neurons]
    with emulator:
        for step in range(steps):
            emulator.compartment.bias[:] = registers[step]
            try:
                emulator.step()
            except SimulationError as error:
                raise InputError(
                    f"Loihi: {error} at step {step}; the network's sums of weights outgrow the chip's registers"
                ) from error
            for name, sources in chip.synapses.items():
                if delays[name] <= step < delays[name] + time:
                    for source, synapse in sources:
                        arrived = emulator.synapses.spikes_in[synapse]
                        events[name][source] += sum(synapse.weights[spike.axon_idx].size for spike in arrived)
        return {
            name: {
                key: _in_order(emulator.collect_probe_output(probe), chip.blocks[name])[delays[name] :][:time]
                for key, probe in probes.items()
            }
            for name, probes in chip.probes.items()
        }


def _in_order(values, parts):
    """Columns by block, put back in the order of the layer's neurons."""
    ordered = np.empty_like(values)
    ordered[:, np.concatenate([neurons for _, neurons in parts])] = values
    return ordered


def _before_reset(integers, trace, biases):
    """The membrane that each neuron had before a spike cleared it, from what was probed: the chip shows it after."""
    before = np.zeros_like(trace["voltage"], dtype=np.int64)
    before[:, 1:] = trace["voltage"][:, :-1]
    leaked = np.sign(before) * (np.abs(before) * (DECAY_ONE - integers.decay) // DECAY_ONE)
    return np.where(trace["spiked"], leaked + trace["current"] + biases, trace["voltage"])
