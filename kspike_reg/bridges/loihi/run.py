"""Running a network with its spiking layers on Loihi's emulator and the other layers on the host."""

import warnings
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np

from kspike_reg.bridges.loihi.cores import build_chip
from kspike_reg.bridges.loihi.emulator import ChipRecord, run_chip
from kspike_reg.bridges.loihi.integers import integers_of
from kspike_reg.bridges.loihi.layers import plan_of
from kspike_reg.bridges.progress import ProgressBar
from kspike_reg.errors import InputError
from kspike_reg.network.inputs import checked_inputs
from kspike_reg.network.probes import Recording

__all__ = ["LoihiRun", "simulate_on_loihi"]


@dataclass(frozen=True, eq=False)
class LoihiRun(Recording):
    """A run on the emulator: a `Recording` in the steps of Keras, and the chip's integers and cores.

    Membranes are those before the reset, in the network's units; thresholds are those that the chip stores.

    Attributes:
        records: by layer, the `emulator.ChipRecord`, in the chip's integers.
        usage: for each core its layer and how much it uses of each of `cores.LIMITS`.
        steps: of the chip for each path.
    """

    records: dict[str, ChipRecord]
    usage: tuple[dict[str, Any], ...]
    steps: int


def simulate_on_loihi(model: keras.Model, inputs: Any, progress: bool | None = None) -> LoihiRun:
    """Run a network with its spiking layers on NengoLoihi's emulator.

    The spiking layers are quantised as by `quantise` and run as integers. The host computes the rest in Keras: the
    layers before them, the products of their kernels with real values, which go into the chip's bias registers step by
    step, and the layers after them, which receive spikes or membranes. The chip's probes show membranes after the
    reset; the host computes those before the reset from the currents, which it probes too.

    Args:
        model: a functional or sequential `keras.Model` with spiking layers LIF or RLIF of reset="zero".
        inputs: (paths, time, features), in the units that the model takes, or `datasets.Paths`; for several inputs a
            list of arrays, or a dictionary by the names of the inputs.
        progress: whether to show a progress bar on standard error during runs of more than a few seconds; None shows
            it if standard error is a terminal.

    Returns:
        A `LoihiRun`; values beyond the length of a padded path have no meaning.

    Raises:
        InputError: NengoLoihi is missing; a model that the chip cannot run or hold; inputs that do not fit the model.
    """
    caller = "simulate_on_loihi"
    plan = plan_of(model, caller)
    integers = {layer.name: integers_of(layer, plan, caller) for layer in plan.layers}
    arrays = checked_inputs(plan.graph.inputs, inputs, caller)
    require_emulator(caller)
    chip = build_chip(integers, caller)
    values = {value: keras.ops.convert_to_tensor(array) for value, array in enumerate(arrays)}
    plan.run_host(values)
    currents = _currents(plan, integers, values, caller)
    paths, time = next(iter(currents.values())).shape[:2]
    delays = {layer.name: layer.delay for layer in plan.layers}
    with ProgressBar("Loihi's emulator", paths, progress) as bar:
        records = run_chip(chip, integers, delays, currents, paths, time, bar.done)
    precision = keras.config.floatx()
    states = {
        name: {
            "spikes": record.spikes.astype(precision),
            "membrane": (record.membranes / integers[name].scale).astype(precision),
        }
        for name, record in records.items()
    }
    for layer in plan.layers:
        emitted = states[layer.name][layer.cell.output_state]
        emitted = emitted if layer.node.layer.return_sequences else emitted[:, -1]
        values[layer.node.outputs[0]] = keras.ops.convert_to_tensor(emitted)
    plan.run_host(values)
    outputs = [keras.ops.convert_to_numpy(values[value]) for value in plan.graph.outputs]
    return LoihiRun(
        outputs=outputs[0] if len(outputs) == 1 else outputs,
        states=states,
        thresholds={name: each.real_threshold.astype(precision) for name, each in integers.items()},
        records=records,
        usage=chip.usage,
        steps=time + max(delays.values()),
    )


def require_emulator(caller: str) -> None:
    """Import NengoLoihi, or raise an error that says what to install.

    Raises:
        InputError: it is missing, or does not load.
    """
    try:
        with warnings.catch_warnings():
            # It warns if Nengo is newer than the version that it was tested with.
            warnings.simplefilter("ignore")
            import nengo_loihi  # noqa: F401
    except Exception as error:  # with NumPy 2 it raises errors of several classes
        raise InputError(
            f"{caller}: the emulator of Loihi, nengo_loihi, cannot be loaded ({type(error).__name__}: {error}); "
            "pip install 'kspike_reg[loihi]', in an environment of its own, since it needs NumPy below 2"
        ) from error


def _currents(plan, integers, values, caller):
    """The host's currents into the layers that receive real values, by name, in the chip's units."""
    currents = {
        layer.name: _current(layer, values) * integers[layer.name].scale
        for layer in plan.layers
        if integers[layer.name].bias is None
    }
    lengths = {name: current.shape[:2] for name, current in currents.items()}
    if len(set(lengths.values())) > 1:
        raise InputError(f"{caller}: expected as many steps in all inputs of spiking layers, received {lengths}")
    return currents


def _current(layer, values):
    """The host's currents into a layer, (paths, time, units): its kernel's products with real values, and the bias."""
    kernel, bias = layer.weight("kernel"), layer.weight("bias")
    current = 0.0 if bias is None else bias
    for source, rows in layer.rows():
        if source.layer is None:
            real = np.asarray(keras.ops.convert_to_numpy(values[source.value]), dtype=np.float64)
            current = current + real @ kernel[rows]
    return current
