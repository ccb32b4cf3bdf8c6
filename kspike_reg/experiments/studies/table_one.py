"""The paper's Table I, computed as the paper counts, beside what it prints.

The table's GPU figures are 2.4 pJ for each connection, one time step, nothing for neurons (the device `v100_paper`).
Its LSTM is counted as dense layers that are four gates wide on both sides, which no LSTM has: real ones of 256 units
have 263168, 524288 and 524288 synapses. Its Loihi figures are 27.1 pJ for each connection, times the mean size of the
layer's input, taken for a rate in Hz, times the time of all steps at 1 ms each.
"""

import keras
import pandas as pd

from kspike_reg.energy.keras_spiking.model_energy import ModelEnergy
from kspike_reg.errors import InputError

__all__ = ["DENSE", "LSTM", "PRINTED", "energies", "memory", "network", "table"]

# Width of each layer by the table's name for it; one input feature.
DENSE = {"FC1": 256, "FC2": 256, "FC3": 256, "FC4": 256, "FC5": 64}
LSTM = {"LSTM1": 4 * 256, "LSTM2": 4 * 256, "LSTM3": 4 * 256, "FC1": 256, "FC2": 64}

# As printed: nJ on Loihi and on the V100 by layer, in all, how many times less, and MB of synaptic memory.
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


def network(widths, features=1):
    """A Keras model of linear dense layers.

    Args:
        widths: width of each layer by its name, `DENSE` or `LSTM` for the paper's.
        features: inputs of the first layer.
    """
    x = inputs = keras.Input((features,), name="inputs")
    for name, width in widths.items():
        x = keras.layers.Dense(width, name=name)(x)
    return keras.Model(inputs, x)


def energies(model, device="v100_paper"):
    """Energy of each layer by its name, in joules for one forward pass of one time step, by `ModelEnergy`.

    Args:
        model: a Keras model that `ModelEnergy` takes.
        device: the name of a device that is not spiking; the table's by default.
    """
    energy = ModelEnergy(model)
    found = {layer.name: sum(energy.layer_energy(layer, device)) for layer in model.layers}
    return {name: joules for name, joules in found.items() if joules > 0}


def memory(model, bytes_per_parameter=4):
    """The table's synaptic memory in bytes: all parameters, biases too, in single precision."""
    return bytes_per_parameter * model.count_params()


def table(name, activities, steps):
    """One half of the table as printed, beside ours: the paper's layers with the activity of networks of ours.

    Args:
        name: "dense" or "LSTM".
        activities: the mean size of each of five layers' input, in their order.
        steps: steps of a path.

    Returns:
        A pandas table: a row for each layer, the total, the reduction factor, the memory.

    Raises:
        InputError: not as many activities as layers.
    """
    printed, model = PRINTED[name], network(WIDTHS[name])
    if len(activities) != len(printed["layers"]):
        raise InputError(f"table_one: expected {len(printed['layers'])} activities, received {len(activities)}")
    counted = ModelEnergy(model)
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
