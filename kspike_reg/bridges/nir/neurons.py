"""Our neurons as NIR nodes, and back."""

import numpy as np
from keras import ops

from kspike_reg.bridges.nir.parameters import decay_in, gain_of, parameters_of, threshold_in
from kspike_reg.errors import InputError
from kspike_reg.neurons import LIF, RLIF, LeakyIntegrator
from kspike_reg.neurons.cell import NeuronCell

__all__ = ["neurons_from", "nodes_of", "numbers_of", "require_finite", "unsaid"]

# Time constants in single precision put a decay of zero this far below it at most, and to spare.
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


def numbers_of(weight):
    """A weight as an array of the precisions that readers know."""
    array = ops.convert_to_numpy(weight)
    return array if array.dtype == np.float64 else array.astype(np.float32)


def require_finite(who, *arrays):
    """Raise InputError where one of the arrays, or None, is not finite."""
    if not all(np.all(np.isfinite(array)) for array in arrays if array is not None):
        raise InputError(f"{who} holds NaN or infinity; train it again, or load an earlier state")


def nodes_of(nir, who, layer, dt, form, metadata):
    """A LIF, RLIF or LeakyIntegrator layer as its projection and its neurons.

    Args:
        nir: the package.
        who: whose numbers they are, for messages.
        layer: the layer.
        dt, form: see `nir_export.to_nir`.
        metadata: a function that gives the metadata of the neurons from arrays to carry.

    Returns:
        Weight (units, features) and bias (units,), or None, of the projection, and a node or a subgraph.

    Raises:
        InputError: numbers that NIR cannot express, or not in this form.
    """
    cell = layer.cell
    decay = numbers_of(cell.decay)
    threshold = numbers_of(cell.threshold) if cell.fires else None
    recurrent = numbers_of(cell.recurrent_kernel) if cell.feeds_back else None
    require_finite(who, decay, threshold, recurrent)
    numbers = parameters_of(who, decay, threshold, dt, form)
    unscaled = np.all(numbers.scale == 1)  # then weights keep their precision

    def scaled(weights):
        return weights if unscaled else weights * numbers.scale

    leak = {"tau": numbers.tau, "r": numbers.r, "v_leak": np.zeros_like(numbers.tau)}
    carried = {"decay": decay, "unit": numbers.unit}
    feedback = {}
    if recurrent is not None:
        feedback["recurrent"] = scaled(recurrent if recurrent.ndim == 2 else np.diag(recurrent)).T
    if threshold is None:
        core = {"integrator": nir.LI(**leak, metadata=metadata(**carried))}
    elif form == "exact" and not feedback and (cell.reset, cell.output_state) == ("none", "membrane"):
        # Nothing receives its spikes: it is an integrator. The file keeps the threshold for a time when it fires again.
        core = {"integrator": nir.LI(**leak, metadata=metadata(**carried, threshold=threshold))}
    elif form == "exact" and unsaid(cell):
        if cell.reset == "zero":
            raise InputError(
                f"{who} hands on a membrane that is reset to zero, for which NIR has no primitives; choose another form"
            )
        core = {
            "membrane": nir.LI(**leak, metadata=metadata(**carried)),
            "spikes": nir.Threshold(threshold=numbers.v_threshold),
        }
        if cell.reset == "subtract":
            feedback["reset"] = -np.diag(scaled(threshold))
    else:
        firing = {"v_threshold": numbers.v_threshold, "v_reset": np.zeros_like(numbers.v_threshold)}
        core = {"lif": nir.LIF(**leak, **firing, metadata=metadata(**carried))}
    alone = len(core) == 1 and not feedback
    neurons = next(iter(core.values())) if alone else _loop(nir, core, feedback, cell)
    return scaled(numbers_of(cell.kernel)).T, scaled(numbers_of(cell.bias)) if cell.use_bias else None, neurons


def _loop(nir, core, feedback, cell):
    """A subgraph of neurons that hear their own last spikes: input - core - output, and back through the feedback."""
    first, last = next(iter(core)), list(core)[-1]
    width = np.array([cell.units])
    nodes = {"input": nir.Input(width), **core, "output": nir.Output(width)}
    edges = [("input", first)] + [(first, last)] * (first != last)
    for name, weight in feedback.items():
        nodes[name] = nir.Linear(weight=weight)
        edges += [(last, name), (name, first)]
    # The way out comes last: NIRTorch's older reader, on which Norse's stands, gives what it has run last.
    return nir.NIRGraph(nodes, [*edges, (first if cell.output_state == "membrane" else last, "output")])


def neurons_from(who, node, projection, feedback, threshold, membrane_heard, carried, dt):
    """A layer of ours for neurons in a NIR graph.

    Args:
        who: which node, for messages.
        node: a `nir.LIF`, `IF`, `LI` or `I`.
        projection: the `nir.Affine` or `Linear` that is theirs alone, or None.
        feedback: the `nir.Affine` or `Linear` nodes through which they hear their own last spikes.
        threshold: the `nir.Threshold` behind integrators that fire, or None.
        membrane_heard: whether others hear those integrators themselves.
        carried: the metadata of our exporter, see `nodes_of`; empty for other tools' nodes.
        dt: seconds of a step.

    Returns:
        The class, the options that the numbers settle, and the weights of the cell by name; `threshold` as a function
        of its precision.

    Raises:
        InputError: neurons that our layers cannot express.
    """
    unit = np.asarray(carried.get("unit", np.ones_like(node.r)))
    decay, gain, offset = _leak(who, node, carried.get("decay"), dt)

    def ours(weights):
        """Weights in the file's unit, neurons on the last axis, in our own."""
        return weights * (gain * unit)

    kernel = np.eye(len(node.r)) if projection is None else np.asarray(projection.weight).T
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
    if threshold is None:
        v_threshold = node.v_threshold
        options |= {"reset": described.get("reset", "zero"), "output": described.get("output", "spikes")}
        if np.any(node.v_reset != 0):
            raise InputError(
                f"{who} resets to v_reset={node.v_reset[node.v_reset != 0][0]}; expected 0: our neurons reset to zero, "
                "by subtraction or not at all"
            )
    else:
        v_threshold = threshold.threshold
        options |= {"reset": described.get("reset", "none"), "output": "membrane" if membrane_heard else "spikes"}
    if np.any(v_threshold <= 0):
        raise InputError(f"{who} has a threshold of {v_threshold.min()}; expected thresholds > 0")
    weights["threshold"] = lambda dtype: threshold_in(v_threshold, unit, dtype)
    matrices = [ours(np.asarray(each.weight).T) for each in feedback]
    if threshold is not None and options["reset"] == "subtract":
        matrices = _without_reset(who, matrices, -np.diag(v_threshold * unit))
    if not matrices:
        return LIF, options, weights
    recurrent = sum(matrices)
    alone = described.get("recurrence") == "one_to_one" and not np.any(recurrent - np.diag(np.diag(recurrent)))
    options["recurrence"] = "one_to_one" if alone else "dense"
    weights["recurrent_kernel"] = np.diag(recurrent) if alone else recurrent
    return RLIF, options, weights


def _leak(who, node, carried, dt):
    """Decay, gain of the input and constant current of neurons, each (units,), in the file's unit."""
    if not hasattr(node, "tau"):
        return np.ones_like(node.r), dt * node.r, np.zeros_like(node.r)
    if np.any(node.tau <= 0):
        raise InputError(f"{who} has a time constant tau={node.tau.min()}; expected time constants > 0")
    decay = decay_in(node.tau, dt, carried)
    if np.any(decay < -ROUNDING):
        raise InputError(
            f"{who} has a time constant of {node.tau.min()} s, shorter than the step of {dt} s; choose a smaller dt"
        )
    return np.maximum(decay, 0), gain_of(node.tau, node.r, dt), dt / node.tau * node.v_leak


def _without_reset(who, matrices, reset):
    """The feedback but for the matrix that takes the threshold off."""
    rest = [each for each in matrices if not np.allclose(each, reset, rtol=ROUNDING, atol=0)]
    if len(rest) == len(matrices):
        raise InputError(
            f"{who} resets by subtraction by its metadata, and no feedback takes its threshold off; remove the "
            "metadata kspike_reg to read it by NIR's equations alone"
        )
    return rest
