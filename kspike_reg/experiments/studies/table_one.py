"""The paper's Table I, computed with the convention of the paper and compared with its printed figures.

The GPU figures of the table are 2.4 pJ for each connection and one time step, and nothing for neurons (the device
`v100_paper`). Its LSTM is counted as dense layers that are four gates wide on both sides. A real LSTM is not: three of
256 units have 263168, 524288 and 524288 synapses. Its Loihi figures are 27.1 pJ for each connection, times the mean
size of the layer's input, taken for a rate in Hz, times the duration of all steps at 1 ms each.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import keras
import pandas as pd
from numpy.typing import NDArray

from kspike_reg import energy
from kspike_reg.errors import InputError

__all__ = ["DENSE", "LSTM", "PRINTED", "activities_of", "energies", "memory", "network", "table"]

# Width of each layer by the table's name for it; one input feature.
DENSE = {"FC1": 256, "FC2": 256, "FC3": 256, "FC4": 256, "FC5": 64}
LSTM = {"LSTM1": 4 * 256, "LSTM2": 4 * 256, "LSTM3": 4 * 256, "FC1": 256, "FC2": 64}

# As printed: nJ on Loihi and on the V100 by layer, the totals, the reduction factor, and MB of synaptic memory.
PRINTED = {
    "dense": {
        "layers": {"FC1": (6.9e-2, 0.61), "FC2": (1.3, 160), "FC3": (1.3, 160), "FC4": (1.2, 160), "FC5": (0.3, 39)},
        "total": (4.25, 512),
        "factor": 120,
        "memory": 0.86,
    },
    "LSTM": {
        "layers": {
            "LSTM1": (0.28, 2.5), "LSTM2": (11, 2.5e3), "LSTM3": (10, 2.5e3), "FC1": (2.6, 630), "FC2": (0.21, 39)
        },
        "total": (24, 5.7e3),
        "factor": 238,
        "memory": 9.5,
    },
}  # fmt: skip
WIDTHS = {"dense": DENSE, "LSTM": LSTM}
NANO, DT = 1e-9, 1e-3


def network(widths: Mapping[str, int], features: int = 1) -> keras.Model:
    """Build a Keras model of linear dense layers.

    Args:
        widths: width of each layer by its name, `DENSE` or `LSTM` for the paper's.
        features: inputs of the first layer.

    Returns:
        The model; it takes one time step, shape (n, features).
    """
    x = inputs = keras.Input((features,), name="inputs")
    for name, width in widths.items():
        x = keras.layers.Dense(width, name=name)(x)
    return keras.Model(inputs, x)


def activities_of(model: keras.Model, inputs: NDArray[Any]) -> dict[str, float]:
    """The mean size of each layer's input, which the paper takes for a rate in Hz.

    Args:
        model: a `keras.Model` that `ModelEnergy` supports.
        inputs: shape (n, T, features), in the units of the model's inputs.

    Returns:
        The mean sizes by the name of the layer.

    Raises:
        InputError: `ModelEnergy` does not support the model or the inputs.
    """
    counted = energy.ModelEnergy(model, inputs, activity="hertz")
    return {layer.name: counted.rate(layer) for layer in counted.layer_stats}


def energies(model: keras.Model, device: str = "v100_paper") -> dict[str, float]:
    """Energy of each layer for one forward pass of one time step, by `ModelEnergy`.

    Args:
        model: a Keras model that `ModelEnergy` supports.
        device: the name of a device that is not spiking; the table's by default.

    Returns:
        Joules by the name of the layer, for the layers that use energy.
    """
    counted = energy.ModelEnergy(model)
    joules = {layer.name: sum(counted.layer_energy(layer, device)) for layer in counted.layer_stats}
    return {name: value for name, value in joules.items() if value > 0}


def memory(model: keras.Model, bytes_per_parameter: int = 4) -> int:
    """The synaptic memory of the table: all parameters, biases included, in single precision.

    Args:
        model: a Keras model.
        bytes_per_parameter: width of a number.

    Returns:
        Bytes.
    """
    return bytes_per_parameter * model.count_params()


def table(name: str, activities: Sequence[float], steps: int) -> pd.DataFrame:
    """One half of the table as printed, next to ours: the paper's layers with the activity of our networks.

    Args:
        name: "dense" or "LSTM".
        activities: the mean size of the input of each of the five layers, in their order.
        steps: steps of a path.

    Returns:
        A pandas table: a row for each layer, the total, the reduction factor, the memory.

    Raises:
        InputError: an unknown half, or a number of activities that is not that of the layers.
    """
    if name not in PRINTED:
        raise InputError(f"table_one: unknown half {name!r}; choose one of {', '.join(PRINTED)}")
    printed, model = PRINTED[name], network(WIDTHS[name])
    if len(activities) != len(printed["layers"]):
        raise InputError(
            f"table_one: expected {len(printed['layers'])} activities, received {len(activities)}; pass one for each "
            f"of {', '.join(printed['layers'])}"
        )
    counted = energy.ModelEnergy(model)
    v100, event = energies(model), counted.devices["loihi"]["energy_per_synop"]
    rows = []
    for (layer, (loihi, gpu)), activity in zip(printed["layers"].items(), activities, strict=True):
        connections = counted.layer_stats[model.get_layer(layer)]["connections"]
        each = connections * event * DT / NANO  # nJ for an activity of one in one step
        rows.append(
            {
                "layer": layer,
                "connections": connections,
                "V100, printed": gpu,
                "V100": v100[layer] / NANO,
                "Loihi, printed": loihi,
                "activity x steps behind it": loihi / each,
                "our activity": activity,
                "our activity x steps": activity * steps,
                "Loihi, our activity": each * activity * steps,
            }
        )
    ours = {column: sum(row[column] for row in rows) for column in ("V100", "Loihi, our activity")}
    total = {"layer": "total / nJ", "V100, printed": printed["total"][1], "Loihi, printed": printed["total"][0]} | ours
    factor = ours["V100"] / ours["Loihi, our activity"]
    reduction = {"layer": "times less", "Loihi, printed": printed["factor"], "Loihi, our activity": factor}
    megabytes = {"layer": "memory / MB", "V100, printed": printed["memory"], "V100": memory(model) / 1e6}
    shown = pd.DataFrame([*rows, total, reduction, megabytes], dtype=object)
    return shown.where(shown.notna(), None)
