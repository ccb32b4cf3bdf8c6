"""Running a network on Nengo, NengoDL or the Loihi emulator, recorded as in Keras: `simulate`."""

from collections.abc import Callable
from typing import Any

import keras
import numpy as np

from kspike_reg.bridges.extras import needed
from kspike_reg.bridges.nengo.network import Layout, to_nengo
from kspike_reg.bridges.targets import SIMULATORS
from kspike_reg.errors import InputError, require_whole
from kspike_reg.network.inputs import checked_inputs
from kspike_reg.network.probes import Recording

__all__ = ["SIMULATORS", "Simulation", "simulate"]

# The earlier name of the class that a simulator returns.
Simulation = Recording


def simulate(
    model_or_network: Any,
    inputs: Any,
    simulator: str = "nengo",
    batch_size: int = 256,
    progress: bool | None = None,
) -> Recording:
    """Run a network on a simulator, path by path from rest, in single precision.

    Args:
        model_or_network: a `keras.Model`, or a network that `to_nengo` made of one.
        inputs: shape (n, T, features), in the units that the model takes; or `datasets.Paths`; for a model with
            several inputs a list of arrays, or a dictionary by the names of the inputs.
        simulator: "nengo", "nengo-dl" (in a process of its own) or "loihi" (the emulator; it takes a Keras model and
            quantises it).
        batch_size: paths that NengoDL runs at a time; plain Nengo runs one after the other.
        progress: whether to show a progress bar on standard error during runs of more than a few seconds; None shows
            it if standard error is a terminal.

    Returns:
        A `network.probes.Recording`, as `evaluation.records` returns it from Keras; values beyond the length of a
        padded path have no meaning.

    Raises:
        InputError: an unknown simulator, or one that is not installed, data that do not fit, steps that a Masking
            layer would skip, or a model that `to_nengo` refuses.
        RuntimeError: NengoDL failed, or its process died; the message contains the reason.
    """
    if simulator not in SIMULATORS:
        raise InputError(f"simulate: unknown simulator {simulator!r}; choose one of {', '.join(map(repr, SIMULATORS))}")
    require_whole("simulate", batch_size=batch_size)
    return SIMULATORS[simulator](model_or_network, inputs, batch_size, progress)


def on_nengo(model_or_network: Any, inputs: Any, _batch_size: int, progress: bool | None) -> Recording:
    """`simulate` on plain Nengo."""
    needed("nengo", "nengo", "simulate")
    from kspike_reg.bridges.nengo.run import run

    return _run(run, model_or_network, inputs, progress)


def on_nengo_dl(model_or_network: Any, inputs: Any, batch_size: int, progress: bool | None) -> Recording:
    """`simulate` on NengoDL."""
    needed("nengo", "nengo", "simulate")
    from kspike_reg.bridges.nengo.dl_process import run

    return _run(run, model_or_network, inputs, progress, batch_size=batch_size)


def on_loihi(model: keras.Model, inputs: Any, _batch_size: int, progress: bool | None) -> Recording:
    """`simulate` on the Loihi emulator."""
    if not isinstance(model, keras.Model):
        raise InputError(
            f"simulate: the Loihi emulator takes a keras.Model, whose weights it quantises, received "
            f"{type(model).__name__}"
        )
    from kspike_reg.bridges.loihi import simulate_on_loihi

    return simulate_on_loihi(model, inputs, progress=progress)


def _run(
    run: Callable[..., dict[Any, np.ndarray]], model_or_network: Any, inputs: Any, progress: bool | None, **options: Any
) -> Recording:
    """The recording of a run by `run`, which takes a network, data (n, T, width) by input node, and probes."""
    network = to_nengo(model_or_network) if isinstance(model_or_network, keras.Model) else model_or_network
    layout = getattr(network, "layout", None)
    if not isinstance(layout, Layout):
        raise InputError(
            f"simulate: expected a keras.Model, or a network that kspike_reg.bridges.to_nengo made of one, received "
            f"{network!r}"
        )
    data = _data(layout, inputs)
    probes = [port.end for port in layout.outputs]
    probes += [probe for states in layout.states.values() for probe in states.values()]
    probes += [probe for probe, _ in layout.masking.values()]
    records = run(network, data, list(dict.fromkeys(probes)), progress, **options)
    for name, (probe, value) in layout.masking.items():
        _refuse_padding(name, records[probe], value)
    outputs = [_shaped(port, records[port.end]) for port in layout.outputs]
    return Recording(
        outputs=outputs[0] if len(outputs) == 1 else outputs,
        states={
            node: {name: records[probe] for name, probe in states.items()} for node, states in layout.states.items()
        },
        thresholds=layout.thresholds,
    )


def _data(layout, inputs):
    """Data (n, T, width) by input node; an input without a time axis is the same at every step."""
    arrays = checked_inputs(layout.inputs, inputs, "simulate")
    steps = {array.shape[1] for array in arrays if array.ndim == 3} or {1}
    if len(steps) > 1:
        raise InputError(f"simulate: expected paths of one length in all inputs, received {sorted(steps)} steps")
    data = {}
    for port, array in zip(layout.inputs, arrays, strict=True):
        array = array.astype("float32")
        if array.ndim == 2:
            array = np.repeat(array[:, None], *steps, axis=1)
        data[port.end] = array
    return data


def _refuse_padding(name, values, mask_value):
    padding = np.all(values == mask_value, axis=-1)
    if padding.any():
        path, step = np.argwhere(padding)[0]
        raise InputError(
            f"simulate: the layer {name!r} would skip step {step} of path {path}, which simulators cannot do; give "
            "paths of one length at a time, without padding"
        )


def _shaped(port, record):
    """A record (n, T, features) in the shape of that output in Keras: the last step if the output has no time axis."""
    return record if len(port.shape) == 3 else record[:, -1]
