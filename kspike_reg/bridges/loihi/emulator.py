"""Running a network's spiking layers on NengoLoihi's emulator, path by path.

In each step of the chip the spikes of the last step arrive, then every compartment is updated. So each layer runs one
step behind the layer before it, as a pipeline, and a recurrent layer receives its own spikes of the last step, as in
the network. A chain of L layers takes T + L - 1 steps for a path of T; each layer's record is shifted back by its
delay. A layer's biases are zero until its input arrives, so that it starts from rest.

Real values enter through the bias registers: the host computes the currents of the layers that receive them and writes
the registers before each step, as the processors on the chip's edge can. So every spike of the network is fired on the
chip, and real numbers need no encoding into spikes.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from kspike_reg.bridges.loihi.cores import Chip
from kspike_reg.bridges.loihi.integers import DECAY_ONE, VOLTAGE_LIMIT, LayerIntegers, as_bias
from kspike_reg.errors import InputError

__all__ = ["ChipRecord", "run_chip"]


@dataclass(frozen=True, eq=False)
class ChipRecord:
    """One layer's activity on the chip, over all paths.

    Attributes:
        spikes: booleans (paths, time, units).
        membranes: before the reset, in the chip's integers, of the same shape.
        events: number of weights added to its compartments, by the source layer; its own name for the recurrence.
        clipped: number of currents from the host beyond the range of the bias register.
        saturated: number of membranes at the lower end of their register.
    """

    spikes: np.ndarray
    membranes: np.ndarray
    events: dict[str, int]
    clipped: int
    saturated: int


def run_chip(
    chip: Chip,
    layers: Mapping[str, LayerIntegers],
    delays: Mapping[str, int],
    currents: Mapping[str, np.ndarray],
    paths: int,
    time: int,
    done: Callable[[int], None],
) -> dict[str, ChipRecord]:
    """Run paths one after another, each from rest.

    Args:
        chip: the `Chip` to run on.
        layers: the `LayerIntegers` by name.
        delays: of each layer by name, in steps of the chip.
        currents: from the host, by the names of the layers that receive them, (paths, time, units), in the chip's
            units.
        paths, time: number of paths, and of their steps.
        done: called after each path with the number of paths that are done.

    Returns:
        The `ChipRecord` of each layer by its name.

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
        records[name] = ChipRecord(
            spikes=trace["spiked"],
            membranes=_before_reset(each, trace, biases[name]),
            events=events[name],
            clipped=clipped[name],
            saturated=int(np.sum(trace["voltage"] == -VOLTAGE_LIMIT)),
        )
    return records


def _run_path(chip, biases, delays, time, events):
    """The probes of each layer over one path, (time, units) each; adds to `events`."""
    from nengo.exceptions import SimulationError
    from nengo_loihi.emulator import EmulatorInterface

    steps = time + max(delays.values())
    # The emulator fills its integer arrays from NaN, which NumPy warns of.
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
                    f"Loihi: {error} at step {step}; the network's sums of weights exceed the chip's registers, so "
                    "train it with smaller weights or fewer neurons"
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
    """Columns by block, in the order of the layer's neurons."""
    ordered = np.empty_like(values)
    ordered[:, np.concatenate([neurons for _, neurons in parts])] = values
    return ordered


def _before_reset(integers, trace, biases):
    """The membrane of each neuron before a spike cleared it; the chip's probes show it after that."""
    before = np.zeros_like(trace["voltage"], dtype=np.int64)
    before[:, 1:] = trace["voltage"][:, :-1]
    leaked = np.sign(before) * (np.abs(before) * (DECAY_ONE - integers.decay) // DECAY_ONE)
    return np.where(trace["spiked"], leaked + trace["current"] + biases, trace["voltage"])
