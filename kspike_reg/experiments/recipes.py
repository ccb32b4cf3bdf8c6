"""Training recipes: the fields of a configuration that each one sets. The study `recipe` measures each ingredient."""

from typing import Any

from kspike_reg.errors import InputError

__all__ = ["RECIPES", "recipe"]

MODERN = {
    "epochs": 200,
    "batch_size": 64,
    "learning_rate": 1e-2,
    "schedule": "cosine",
    "warm_up": 0.05,
    "clipping": 1.0,
}
# Memories of every length, in the neurons and in the readout.
INTEGRATING = MODERN | {"decay": (0.0, 1.0), "readout_decay": (0.0, 1.0)}

# By name of the recipe and kind of neurons; "" is for kinds without an entry of their own.
RECIPES: dict[str, dict[str, dict[str, Any]]] = {
    "paper": {"": {}},
    "modern": {
        "": MODERN | {"learning_rate": 5e-3},
        "lif": INTEGRATING,
        "rlif": INTEGRATING,
        # An SLSTM's membrane is small at first: thresholds drawn from [0, 1), as in the paper, silence most neurons.
        # Its memory is in the cell, and a slow readout only blurs it.
        "slstm": MODERN | {"threshold": (0.05, 0.15), "readout_decay": (0.0, 0.1)},
    },
}


def recipe(name: str, kind: str) -> dict[str, Any]:
    """The fields of a `Configuration` that a recipe sets for networks of a kind.

    Args:
        name: a name in `RECIPES`.
        kind: a kind of neurons, see `kspike_reg.build`.

    Returns:
        A dictionary from field to value; empty for the paper's recipe, whose values are the defaults.

    Raises:
        InputError: an unknown recipe.
    """
    if name not in RECIPES:
        raise InputError(f"unknown recipe {name!r}; choose one of {', '.join(RECIPES)}")
    return RECIPES[name].get(kind, RECIPES[name][""])
