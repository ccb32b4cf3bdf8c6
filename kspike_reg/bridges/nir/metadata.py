"""The metadata that our exporter writes into a NIR graph, read back; a file from elsewhere may hold anything there."""

import json
from typing import Any

import numpy as np

from kspike_reg.errors import InputError

__all__ = ["carried_by"]

# Classes of what is read, by the names that it is written under; a list has one for all of its elements.
FORM = {
    "model": {"model": str, "name": str, "inputs": [str], "outputs": [str]},
    "layer": {"class": str, "config": {"name": str, "dtype": (str, dict), "batch_shape": [int]}},
    **dict.fromkeys(("decay", "unit", "threshold"), np.ndarray),
}


def carried_by(node: Any, label: str) -> dict[str, Any]:
    """The metadata of a node or a graph that our exporter wrote, JSON unpacked.

    Args:
        node: a `nir.NIRNode`.
        label: names it in messages.

    Returns:
        Values by name, see `FORM`; empty for other tools' nodes.

    Raises:
        InputError: they are no JSON, or of another form.
    """
    carried = (node.metadata or {}).get("kspike_reg", {})
    try:
        carried = {key: json.loads(value) if isinstance(value, str) else value for key, value in carried.items()}
        wrong = [key for key, form in FORM.items() if key in carried and not _has_form(carried[key], form)]
        if wrong:
            raise ValueError(f"unexpected {wrong[0]}")
    except (AttributeError, ValueError, RecursionError) as error:
        raise InputError(f"from_nir: the kspike_reg metadata of {label} are damaged ({error}); remove them") from error
    return carried


def _has_form(value, form):
    """Whether a value is of a form as in `FORM`; keys may be missing, and texts, numbers and lists may be null."""
    if form is np.ndarray:
        return isinstance(value, form) and value.ndim == 1 and value.dtype.kind == "f" and np.isfinite(value).all()
    if isinstance(form, dict):
        return isinstance(value, dict) and all(_has_form(value[key], form[key]) for key in form.keys() & value.keys())
    if value is None:
        return True
    if isinstance(form, list):
        return isinstance(value, list) and all(_has_form(each, form[0]) for each in value)
    return isinstance(value, form) and not isinstance(value, bool)
