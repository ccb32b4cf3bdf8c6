"""Running a network with its spiking layers on Loihi's emulator and the rest on the host."""

import warnings
from dataclasses import dataclass

import keras
import numpy as np

from kspike_reg.bridges.loihi.cores import build_chip
from kspike_reg.bridges.loihi.emulator import run_chip
from kspike_reg.bridges.loihi.integers import integers_of
from kspike_reg.bridges.loihi.layers import plan_of
from kspike_reg.bridges.progress import ProgressBar
from kspike_reg.errors import InputError
from kspike_reg.network.inputs import arrays_for, fitting, is_paths

__all__ = ["LoihiRun", "checked_inputs", "simulate_on_loihi"]


@dataclass(frozen=True, eq=False)
class LoihiRun:
    """What came out of the emulator, step for step as Keras has it.

    Attributes:
        outputs: as the model gives them, (paths, time, outputs); a list of arrays where it has several outputs.
        spikes: by layer, 0.0 or 1.0, (paths, time, units).
        membranes: by layer, before the reset, in the network's units, of the same shape.
        records: by layer, the `loihi_emulator.Record`, in the chip's integers.
        usage: for each core its layer and what it uses of each of `loihi_cores.LIMITS`.
        steps: of the chip for each path.
    """

    outputs: object
    spikes: dict
    membranes: dict
    records: dict
    usage: tuple
    steps: int


def simulate_on_loihi(model, inputs, progress=None):
    """Run a network with its spiking layers on NengoLoihi's emulator.

    The spiking layers are quantised as `quantise` does it and run as integers. The host does the rest in Keras: what
    lies before them, the products of their kernels with real values, which go into the chip's bias registers step by
    step, and what lies after them, the readout of spikes or membranes. The chip shows membranes after the reset; the
    host puts back what a spike cleared, from the current that it reads too.

    Args:
        model: a functional or sequential `keras.Model` with spiking layers LIF or RLIF of reset="zero".
        inputs: (paths, time, features), in the units that the model takes, or `datasets.Paths`; for several inputs a
            list of arrays, or a dictionary by the names of the inputs.
        progress: whether to show a progress bar on runs of more than a few seconds, on standard error; None does so
            where that is a terminal.

    Returns:
        A `LoihiRun`; what lies beyond the length of a path that is padded has no meaning.

    Raises:
        InputError: NengoLoihi is missing; a model that the chip cannot run or hold; inputs that do not fit the model.
    """
    who = "simulate_on_loihi"
    plan = plan_of(model, who)
    integers = {layer.name: integers_of(layer, plan, who) for layer in plan.layers}
    arrays = checked_inputs(plan.graph, inputs, who)
    require_emulator(who)
    chip = build_chip(integers, who)
    values = {slot: keras.ops.convert_to_tensor(array) for slot, array in enumerate(arrays)}
    plan.sweep(values)
    delays = {layer.name: layer.delay for layer in plan.layers}
    currents = {
        layer.name: _current(layer, values) * integers[layer.name].scale
        for layer in plan.layers
        if integers[layer.name].bias is None
    }
    lengths = {name: current.shape[:2] for name, current in currents.items()}
    if len(set(lengths.values())) > 1:
        raise InputError(f"{who}: expected as many steps in all that the spiking layers hear, received {lengths}")
    paths, time = next(iter(lengths.values()))
    with ProgressBar("Loihi's emulator", paths, progress) as bar:
        records = run_chip(chip, integers, delays, currents, paths, time, bar.done)
    spikes = {name: record.spikes.astype(keras.config.floatx()) for name, record in records.items()}
    membranes = {
        name: (record.membranes / integers[name].scale).astype(keras.config.floatx())
        for name, record in records.items()
    }
    for layer in plan.layers:
        given = (spikes if layer.cell.output == "spikes" else membranes)[layer.name]
        given = given if layer.use.layer.return_sequences else given[:, -1]
        values[layer.use.outputs[0]] = keras.ops.convert_to_tensor(given)
    plan.sweep(values)
    outputs = [keras.ops.convert_to_numpy(values[slot]) for slot in plan.graph.outputs]
    return LoihiRun(
        outputs=outputs[0] if len(outputs) == 1 else outputs,
        spikes=spikes,
        membranes=membranes,
        records=records,
        usage=chip.usage,
        steps=time + max(delays.values()),
    )


def require_emulator(who):
    """Import NengoLoihi, or say what to install.

    Raises:
        InputError: it is missing, or does not load.
    """
    try:
        with warnings.catch_warnings():
            # It names a newest version of Nengo that it was tested with; ours is newer.
            warnings.simplefilter("ignore")
            import nengo_loihi  # noqa: F401
    except Exception as error:  # with NumPy 2 it stumbles in ways of its own
        raise InputError(
            f"{who}: the emulator of Loihi, nengo_loihi, cannot be loaded ({type(error).__name__}: {error}); "
            "pip install 'kspike_reg[loihi]', in an environment of its own, since it wants NumPy below 2"
        ) from error


def _current(layer, values):
    """What the host sends a layer, (paths, time, units): its kernel's products with real values, and the bias."""
    kernel, bias = layer.weight("kernel"), layer.weight("bias")
    current = 0.0 if bias is None else bias
    for part, rows in layer.rows():
        if part.source is None:
            heard = np.asarray(keras.ops.convert_to_numpy(values[part.slot]), dtype=np.float64)
            current = current + heard @ kernel[rows]
    return current


def checked_inputs(graph, inputs, who):
    """The inputs as a list of arrays that fit the model, in its order and precision.

    Args:
        graph: the model, as `kspike_reg.network.graph` reads it.
        inputs: see `simulate_on_loihi`.
        who: who asks, for the message.

    Raises:
        InputError: see `kspike_reg.network.inputs`.
    """
    if is_paths(inputs):
        inputs = np.where(inputs.mask[..., None], inputs.inputs, 0)
    arrays = arrays_for(graph.inputs, inputs, who)
    return [fitting(port, array, who) for port, array in zip(graph.inputs, arrays, strict=True)]
