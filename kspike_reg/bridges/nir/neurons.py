"""Our neurons as NIR nodes, and back."""

from collections.abc import Callable, Sequence
from functools import partial
from types import ModuleType
from typing import Any

import keras
import numpy as np
from keras import ops
from numpy.typing import NDArray

from kspike_reg.bridges.nir.parameters import decay_in, gain_of, parameters_of, square, threshold_in
from kspike_reg.errors import InputError
from kspike_reg.neurons import LIF, RLIF, LeakyIntegrator
from kspike_reg.neurons.cell import NeuronCell

__all__ = ["neurons_from", "nodes_of", "numbers_of", "require_finite", "unsaid"]

# Largest rounding error of a decay from time constants in single precision, with a margin: a decay of zero may come out
# this far below zero.
ROUNDING = 1e-6

RESETS_UNSAID = {"subtract": "resets by subtracting its threshold one step later", "none": "has no reset"}


def unsaid(cell: NeuronCell | None) -> list[str]:
    """What NIR's LIF node cannot express of a cell of ours, a list of remarks; none for other layers.

    A reset to zero one step late is NIR's reset at once, as far as spikes go: nothing leaks from zero.
    """
    if cell is None or not cell.fires:
        return []
    reset = [RESETS_UNSAID[cell.reset]] if cell.reset in RESETS_UNSAID else []
    membrane = ["emits its membrane before the reset"] if cell.output_state == "membrane" else []
    return reset + membrane


def numbers_of(weight: Any) -> NDArray:
    """A Keras weight as an array in single or double precision, which all readers support."""
    array = ops.convert_to_numpy(weight)
    return array if array.dtype == np.float64 else array.astype(np.float32)


def require_finite(place: str, *arrays: NDArray | None) -> None:
    """Raise InputError if an array is not finite; None counts as finite.

    Args:
        place: caller and layer, named in the message.
        *arrays: numbers of any shape, or None.

    Raises:
        InputError: NaN or infinity.
    """
    if not all(np.all(np.isfinite(array)) for array in arrays if array is not None):
        raise InputError(f"{place} holds NaN or infinity; train it again, or load an earlier state")


def nodes_of(
    nir: ModuleType,
    place: str,
    layer: keras.layers.Layer,
    dt: float,
    form: str,
    metadata: Callable[..., dict[str, Any]],
) -> tuple[NDArray, NDArray | None, Any]:
    """A LIF, RLIF or LeakyIntegrator layer as its projection and its neurons.

    Args:
        nir: the package.
        place: caller and layer, named in messages.
        layer: the layer.
        dt, form: see `exporting.to_nir`.
        metadata: a function that returns the metadata of the neurons, from arrays, by name, that they should contain.

    Returns:
        Weight (units, features) and bias (units,), or None, of the projection, and a node or a subgraph.

    Raises:
        InputError: numbers that NIR cannot express, or not in this form.
    """
    cell = layer.cell
    decay = numbers_of(cell.decay)
    threshold = numbers_of(cell.threshold) if cell.fires else None
    recurrent = numbers_of(cell.recurrent_kernel) if cell.feeds_back else None
    require_finite(place, decay, threshold, recurrent)
    numbers = parameters_of(place, decay, threshold, dt, form)
    unscaled = np.all(numbers.scale == 1)

    def scaled(weights):
        # Without a scale the weights keep their precision.
        return weights if unscaled else weights * numbers.scale

    core = _core(nir, place, cell, form, numbers, threshold, partial(metadata, decay=decay, unit=numbers.unit))
    feedback = {}
    if recurrent is not None:
        feedback["recurrent"] = scaled(recurrent if recurrent.ndim == 2 else np.diag(recurrent)).T
    if "spikes" in core and cell.reset == "subtract":
        feedback["reset"] = -np.diag(scaled(threshold))
    alone = len(core) == 1 and not feedback
    neurons = next(iter(core.values())) if alone else _loop(nir, core, feedback, cell)
    return scaled(numbers_of(cell.kernel)).T, scaled(numbers_of(cell.bias)) if cell.use_bias else None, neurons


def _core(nir, place, cell, form, numbers, threshold, metadata):
    """The nodes of neurons without their feedback, by name, in the order in which a step runs them."""
    leak = {"tau": numbers.tau, "r": numbers.r, "v_leak": np.zeros_like(numbers.tau)}
    if threshold is None:
        return {"integrator": nir.LI(**leak, metadata=metadata())}
    if form == "exact" and not cell.feeds_back and (cell.reset, cell.output_state) == ("none", "membrane"):
        # Nothing receives its spikes, so it is an integrator. The metadata keep the threshold for `from_nir`.
        return {"integrator": nir.LI(**leak, metadata=metadata(threshold=threshold))}
    if form == "exact" and unsaid(cell):
        if cell.reset == "zero":
            raise InputError(
                f"{place} emits a membrane that is reset to zero, for which NIR has no primitives; choose another form"
            )
        membrane = nir.LI(**leak, metadata=metadata())
        return {"membrane": membrane, "spikes": nir.Threshold(threshold=numbers.v_threshold)}
    firing = {"v_threshold": numbers.v_threshold, "v_reset": np.zeros_like(numbers.v_threshold)}
    return {"lif": nir.LIF(**leak, **firing, metadata=metadata())}


def _loop(nir, core, feedback, cell):
    """A subgraph of neurons that receive their own last spikes: input - core - output, and back by the feedback."""
    first, last = next(iter(core)), list(core)[-1]
    width = np.array([cell.units])
    nodes = {"input": nir.Input(width), **core, "output": nir.Output(width)}
    edges = [("input", first)] + [(first, last)] * (first != last)
    for name, weight in feedback.items():
        nodes[name] = nir.Linear(weight=weight)
        edges += [(last, name), (name, first)]
    # The edge to the output comes last: NIRTorch's older reader, which Norse uses, returns the node that it ran last.
    return nir.NIRGraph(nodes, [*edges, (first if cell.output_state == "membrane" else last, "output")])


def neurons_from(
    place: str,
    node: Any,
    projection: Any,
    feedback: Sequence[Any],
    threshold: Any,
    membrane_is_used: bool,
    carried: dict[str, Any],
    dt: float,
) -> tuple[type[keras.layers.Layer], dict[str, Any], dict[str, Any]]:
    """A layer of ours for neurons in a NIR graph.

    Args:
        place: caller and node, named in messages.
        node: a `nir.LIF`, `IF`, `LI` or `I`.
        projection: the `nir.Affine` or `Linear` that drives these neurons alone, or None.
        feedback: the `nir.Affine` or `Linear` nodes that feed back their own last spikes.
        threshold: the `nir.Threshold` after integrators that fire, or None.
        membrane_is_used: whether other nodes than the threshold receive the membrane of those integrators.
        carried: the metadata of our exporter, see `nodes_of`; empty for other tools' nodes.
        dt: seconds of a step.

    Returns:
        The layer's class, the options that follow from the numbers, and the weights of the cell by name; `threshold` as
        a function of its precision.

    Raises:
        InputError: neurons that our layers cannot express.
    """
    for name in ("unit", "decay", "threshold"):
        if name in carried and carried[name].shape != node.r.shape:
            raise InputError(
                f"{place} has {node.r.size} neurons, and its metadata a {name} for {carried[name].size}; remove the "
                "metadata kspike_reg to read it by NIR's equations alone"
            )
    unit = carried.get("unit", np.ones_like(node.r))
    decay, gain, offset = _leak(place, node, carried.get("decay"), dt)

    def ours(weights):
        """Weights in the file's unit, neurons on the last axis, in our own."""
        return weights * (gain * unit)

    kernel = square(place, np.ones(node.r.shape)) if projection is None else np.asarray(projection.weight).T
    biases = [ours(each.bias) for each in (*feedback, projection) if getattr(each, "bias", None) is not None]
    if np.any(offset):
        biases.append(offset * unit)
    options = {"units": len(node.r), "use_bias": bool(biases)}
    weights = {"kernel": ours(kernel), "bias": sum(biases) if biases else None, "decay": decay}
    if threshold is None and not hasattr(node, "v_threshold"):
        if "threshold" not in carried:
            return LeakyIntegrator, options, weights
        weights["threshold"] = carried["threshold"]
        return LIF, options | {"reset": "none", "output": "membrane"}, weights
    described = carried.get("layer", {}).get("config", {})
    v_threshold, firing = _firing(place, node, threshold, membrane_is_used, described)
    options |= firing
    weights["threshold"] = lambda dtype: threshold_in(v_threshold, unit, dtype)
    matrices = [ours(np.asarray(each.weight).T) for each in feedback]
    if threshold is not None and options["reset"] == "subtract":
        matrices = _without_reset(place, matrices, -np.diag(v_threshold * unit))
    if not matrices:
        return LIF, options, weights
    options["recurrence"], weights["recurrent_kernel"] = _recurrence(sum(matrices), described)
    return RLIF, options, weights


def _firing(place, node, threshold, membrane_is_used, described):
    """NIR's threshold of neurons that fire, (units,), and the options of our layer that follow from how they do."""
    if threshold is None:
        v_threshold = node.v_threshold
        options = {"reset": described.get("reset", "zero"), "output": described.get("output", "spikes")}
        if np.any(node.v_reset != 0):
            raise InputError(
                f"{place} resets to v_reset={node.v_reset[node.v_reset != 0][0]}; expected 0: our neurons reset to "
                "zero, by subtraction or not at all"
            )
    else:
        v_threshold = threshold.threshold
        options = {"reset": described.get("reset", "none"), "output": "membrane" if membrane_is_used else "spikes"}
    if np.any(v_threshold <= 0):
        raise InputError(f"{place} has a threshold of {v_threshold.min()}; expected thresholds > 0")
    return v_threshold, options


def _recurrence(kernel, described):
    """The option and the weight of a recurrence: one to one if the metadata say so and the numbers allow it."""
    diagonal = np.diag(kernel)
    if described.get("recurrence") == "one_to_one" and not np.any(kernel - np.diag(diagonal)):
        return "one_to_one", diagonal
    return "dense", kernel


def _leak(place, node, carried, dt):
    """Decay, gain of the input and constant current of neurons, each (units,), in the file's unit."""
    if not hasattr(node, "tau"):
        return np.ones_like(node.r), dt * node.r, np.zeros_like(node.r)
    if np.any(node.tau <= 0):
        raise InputError(f"{place} has a time constant tau={node.tau.min()}; expected time constants > 0")
    decay = decay_in(node.tau, dt, carried)
    if np.any(decay < -ROUNDING):
        raise InputError(
            f"{place} has a time constant of {node.tau.min()} s, shorter than the step of {dt} s; choose a smaller dt"
        )
    return np.maximum(decay, 0), gain_of(node.tau, node.r, dt), dt / node.tau * node.v_leak


def _without_reset(place, matrices, reset):
    """The feedback without the matrix that subtracts the threshold."""
    rest = [each for each in matrices if not np.allclose(each, reset, rtol=ROUNDING, atol=0)]
    if len(rest) == len(matrices):
        raise InputError(
            f"{place} resets by subtraction according to its metadata, but no feedback subtracts its threshold; remove "
            "the metadata kspike_reg to read it by NIR's equations alone"
        )
    return rest
