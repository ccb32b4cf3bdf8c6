"""Known weights for a layer under test, drawn with NumPy so that they are the same on every backend."""

import numpy as np


def draw(cell, features, seed):
    """Random weights that make a cell fire now and then: a dictionary from weight name to float32 array.

    Args:
        cell: a built or unbuilt cell of `kspike_reg.neurons`.
        features: width of the inputs.
        seed: seed of NumPy's generator.
    """
    generator = np.random.default_rng(seed)
    units, columns = cell.units, cell.projections * cell.units
    gated = cell.projections == 4
    weights = {
        "kernel": generator.normal(0.0, 0.8, (features, columns)),
        "bias": generator.normal(0.1, 0.2, columns),
        "recurrent_kernel": generator.normal(0.0, 0.4, (units, columns)),
        "decay": generator.uniform(0.3, 0.95, units),
        # The absolute membrane of an SLSTM is below one, mostly far below.
        "threshold": generator.uniform(0.05, 0.25, units) if gated else generator.uniform(0.3, 1.0, units),
    }
    if getattr(cell, "recurrence", None) == "one_to_one":
        weights["recurrent_kernel"] = weights["recurrent_kernel"][0]
    return {name: values.astype("float32") for name, values in weights.items()}


def draw_on_a_grid(cell, features, seed):
    """Weights as `draw`, but multiples of 1/8 (decays of 1/4).

    With inputs of the same kind and over a few steps every product and sum is then exact in float32, for any order of
    summation and any fusion of operations: results that are equal in exact arithmetic are equal bit by bit.
    """
    weights = draw(cell, features, seed)
    generator = np.random.default_rng(seed)
    for name in ("kernel", "bias", "recurrent_kernel", "threshold"):
        weights[name] = np.round(8 * weights[name]) / 8
    weights["threshold"] = np.maximum(weights["threshold"], 0.125)
    weights["decay"] = generator.integers(1, 4, cell.units).astype("float32") / 4
    return weights


def assign(cell, weights):
    """Assign to a built cell the weights that it has; returns these weights."""
    used = {name: values for name, values in weights.items() if getattr(cell, name, None) is not None}
    assert {"kernel"} <= set(used), f"{cell.name} has no kernel; is it built?"
    for name, values in used.items():
        getattr(cell, name).assign(values)
    return used
