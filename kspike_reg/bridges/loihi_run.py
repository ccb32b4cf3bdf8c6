"""Running a network with its spiking layers on Loihi's emulator and the rest on the host."""

import warnings
from dataclasses import dataclass

import keras
import numpy as np

from kspike_reg.bridges.loihi_cores import build_chip
from kspike_reg.bridges.loihi_emulator import run_chip
from kspike_reg.bridges.loihi_integers import integers_of
from kspike_reg.bridges.loihi_layers import plan_of
from kspike_reg.errors import InputError

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


def simulate_on_loihi(model, inputs, *, progress=None):
    """Run a network with its spiking layers on NengoLoihi's emulator.

    The spiking layers are quantised as `quantise` does it and run as integers. The host does the rest in Keras: what
    lies before them, the products of their kernels with real values, which go into the chip's bias registers step by
    step, and what lies after them, the readout of spikes or membranes. The chip shows membranes after the reset; the
    host puts back what a spike cleared, from the current that it reads too.

    Args:
        model: a functional or sequential `keras.Model` with spiking layers LIF or RLIF of reset="zero".
        inputs: (paths, time, features), in the units that the model takes; for several inputs a list of arrays, or a
            dictionary by the names of the inputs.
        progress: called after each path with the number of paths that are done.

    Returns:
        A `LoihiRun`.

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
    paths, time = arrays[0].shape[:2]
    currents = {
        layer.name: _current(layer, values) * integers[layer.name].scale
        for layer in plan.layers
        if integers[layer.name].bias is None
    }
    records = run_chip(chip, integers, delays, currents, paths, time, progress)
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
        graph: the model, as `kspike_reg.graph` reads it.
        inputs: an array, a list of arrays, or a dictionary by the names of the inputs.
        who: who asks, for the message.

    Raises:
        InputError: another number of inputs, other names or shapes, or numbers that are not finite.
    """
    names = [tensor.name for tensor in graph.inputs]
    if isinstance(inputs, dict):
        if set(inputs) != set(names):
            raise InputError(f"{who}: the model takes the inputs {names!r}, received {list(inputs)!r}")
        inputs = [inputs[name] for name in names]
    elif not isinstance(inputs, (list, tuple)):
        inputs = [inputs]
    if len(inputs) != len(names):
        raise InputError(
            f"{who}: the model takes {len(names)} inputs, {names!r}; received {len(inputs)}; give an array for each"
        )
    arrays = []
    for tensor, array in zip(graph.inputs, inputs, strict=True):
        try:
            array = np.asarray(array, dtype=keras.backend.standardize_dtype(tensor.dtype))
        except (TypeError, ValueError) as error:
            raise InputError(f"{who}: expected numbers for the input {tensor.name!r}, received {error}") from error
        shape = tensor.shape[1:]
        fits = array.ndim == len(tensor.shape) and 0 not in array.shape
        if not fits or any(size not in (None, found) for size, found in zip(shape, array.shape[1:], strict=True)):
            axes = [name if size is None else size for name, size in zip(("time", "features"), shape, strict=False)]
            raise InputError(
                f"{who}: expected the input {tensor.name!r} of shape ({', '.join(map(str, ['paths', *axes]))}), "
                f"received {array.shape}"
            )
        if not np.isfinite(array).all():
            raise InputError(
                f"{who}: the input {tensor.name!r} holds numbers that are not finite; leave such paths out"
            )
        arrays.append(array)
    if len({array.shape[:2] for array in arrays if array.ndim == 3}) > 1:
        raise InputError(
            f"{who}: expected as many paths and steps in every input, received {[array.shape for array in arrays]}"
        )
    return arrays
