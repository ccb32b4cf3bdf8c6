"""From a Keras network to a NIR graph."""

import json
import re
from collections.abc import Sequence
from importlib.metadata import version
from types import ModuleType
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from kspike_reg.bridges.extras import needed
from kspike_reg.bridges.nir.neurons import nodes_of, numbers_of, require_finite, unsaid
from kspike_reg.bridges.nir.parameters import FORMS, STEP
from kspike_reg.errors import InputError
from kspike_reg.network.graph import IDLE, graph_of
from kspike_reg.network.physical import PhysicalModel, Standardise, require_single
from kspike_reg.neurons.population import PopulationMean
from kspike_reg.neurons.registry import INTEGRATORS, SPIKING, kind_of_layer

__all__ = ["STEPLESS", "matrix_of", "to_nir"]

# Options of recurrent layers that say more than what happens in one step.
STEPLESS = ("go_backwards", "stateful", "return_state")


def to_nir(model: keras.Model, *, dt: float = STEP, form: str = "trained") -> Any:
    """The NIR graph of a trained network, with all that `from_nir` needs to restore the same network.

    A layer of ours becomes its projection, a `nir.Affine` (`nir.Linear` without a bias), and its neurons: `nir.LIF`,
    `nir.LI`, or for RLIF a subgraph in which the spikes return through a `nir.Linear`. Dense layers, scalings and
    population means become `nir.Affine` and `nir.Linear`; sums are several edges into one node. A `nir.LIF` cannot
    express the reset by subtraction and the membrane readout. The metadata describe them, in words in `unsaid` and in
    `kspike_reg` for `from_nir`; docs/nir.md says how other readers treat them.

    Args:
        model: a built functional or sequential model of LIF, RLIF, LeakyIntegrator, PopulationMean, Standardise,
            linear Dense, Add, Concatenate (of features) and layers that do nothing in prediction, nested to any depth;
            any number of inputs, (batch, time, features), and of outputs.
        dt: seconds that stand for one step, > 0; snnTorch reads every file with 1e-4.
        form: how to write neurons; `from_nir` reads all forms alike. "trained": thresholds and kernels as trained.
            "unit_threshold": all thresholds one, for readers that support one threshold per layer, such as snnTorch.
            "unit_resistance": r is 1, for readers that ignore r, such as Norse. "exact": neurons that `nir.LIF` cannot
            express as a leaky integrator (the membrane), a threshold and the feedback that resets, so that every reader
            that follows NIR's definitions computes the same.

    Returns:
        A `nir.NIRGraph` with all types; its metadata contain `dt`.

    Raises:
        InputError: a layer that NIR cannot express, or not in the exact form; a model that is not built or holds
            NaN; options that do not exist; or the package nir is missing.
    """
    nir = needed("nir", "nir", "to_nir")
    if isinstance(dt, bool) or not (isinstance(dt, (int, float)) and 0 < dt < np.inf):
        raise InputError(f"to_nir: expected dt, the seconds of a step, to be a finite number > 0, received {dt!r}")
    if form not in FORMS:
        raise InputError(f"to_nir: unknown form {form!r}; choose one of {', '.join(map(repr, FORMS))}")
    graph = graph_of(model, "to_nir")
    writer = _Writer(nir, float(dt), form)
    inputs = [writer.input(tensor) for tensor in graph.inputs]
    sources = {value: (name,) for value, name in enumerate(inputs)}
    widths = {value: tensor.shape[-1] for value, tensor in enumerate(graph.inputs)}
    for node in graph.nodes:
        exporter = _exporter_of(node)
        sources[node.outputs[0]] = exporter(writer, node, *[sources[value] for value in node.inputs])
        widths[node.outputs[0]] = node.output_tensors[0].shape[-1]
    several = len(graph.outputs) > 1
    outputs = [
        writer.output(f"{name}_output" if several else "output", sources[value], widths[value])
        for name, value in zip(graph.output_names, graph.outputs, strict=True)
    ]
    described = {
        "model": (PhysicalModel if isinstance(model, PhysicalModel) else keras.Model).__name__,
        "name": graph.name,
        "inputs": inputs,
        "outputs": outputs,
        "version": version("kspike_reg"),
    }
    remarks = [f"{node.name} {remark}" for node in graph.nodes for remark in unsaid(node.cell) if form != "exact"]
    metadata = {"dt": float(dt), "unsaid": "; ".join(remarks), "kspike_reg": {"model": json.dumps(described)}}
    return nir.NIRGraph(writer.nodes, writer.edges, metadata=metadata)


class _Writer:
    """The nodes and edges so far, and the options that apply to all of them."""

    def __init__(self, nir: ModuleType, dt: float, form: str) -> None:
        self.nir, self.dt, self.form = nir, dt, form
        self.nodes, self.edges = {}, []

    def add(self, name: str, node: Any, sources: Sequence[str] = ()) -> str:
        """Add a node that receives the sum of `sources`; its name, changed to one that readers accept."""
        # HDF5 reads a slash as a folder; PyTorch, which most readers are based on, allows no dots.
        name = unique = re.sub(r"\W", "_", name)
        count = 1
        while unique in self.nodes:
            count += 1
            unique = f"{name}_{count}"
        self.nodes[unique] = node
        self.edges += [(source, unique) for source in sources]
        return unique

    def linear(
        self, name: str, weight: NDArray, bias: NDArray | None, sources: Sequence[str], metadata: dict | None = None
    ) -> str:
        """A node W x + b with W of shape (outputs, inputs), and b of shape (outputs,) or None."""
        require_finite(f"to_nir: the layer {name!r}", weight, bias)
        kind, parts = (self.nir.Linear, {}) if bias is None else (self.nir.Affine, {"bias": bias})
        return self.add(name, kind(weight=weight, **parts, metadata=metadata or {}), sources)

    def relay(self, name: str, width: int, sources: Sequence[str]) -> str:
        """A node that emits the sum of its inputs."""
        return self.linear(name, np.eye(width, dtype="float32"), None, sources)

    def input(self, tensor: keras.KerasTensor) -> str:
        if len(tensor.shape) != 3 or tensor.shape[-1] is None:
            raise InputError(
                f"to_nir: expected inputs of shape (batch, time, features), received {tuple(tensor.shape)} for "
                f"{tensor.name!r}; a NIR graph describes one step in time"
            )
        layer = keras.layers.InputLayer(batch_shape=tensor.shape, dtype=tensor.dtype, name=tensor.name)
        return self.add(tensor.name, self.nir.Input(np.array(tensor.shape[-1:]), metadata=_carried(layer)))

    def output(self, name: str, sources: Sequence[str], width: int) -> str:
        if len(sources) > 1:  # readers sum the inputs of nodes that compute, not those of an output
            sources = (self.relay(f"{name}_sum", width, sources),)
        return self.add(name, self.nir.Output(np.array([width])), sources)


def _carried(layer, **arrays):
    """Metadata from which `from_nir` restores the layer; JSON, which every HDF5 file can hold."""
    described = json.dumps(
        {"class": type(layer).__name__, "config": layer.get_config()},
        default=lambda number: number.item(),  # options may be NumPy's numbers
    )
    return {"kspike_reg": {"layer": described, **arrays}}


def _neurons(writer, node, sources):
    for option in STEPLESS:
        if getattr(node.layer, option):
            raise _refused(node, f"no NIR graph can express {option}=True; set {option}=False")
    weight, bias, neurons = nodes_of(
        writer.nir,
        f"to_nir: the layer {node.name!r}",
        node.layer,
        writer.dt,
        writer.form,
        lambda **arrays: _carried(node.layer, **arrays),
    )
    return (writer.add(node.name, neurons, [writer.linear(f"{node.name}_input", weight, bias, sources)]),)


def _dense(writer, node, sources):
    layer = node.layer
    if layer.activation is not keras.activations.linear:
        raise _refused(node, f"NIR has no activation {keras.activations.serialize(layer.activation)!r}")
    bias = numbers_of(layer.bias) if layer.use_bias else None
    return (writer.linear(node.name, numbers_of(layer.kernel).T, bias, sources, _carried(layer)),)


def _fixed(writer, node, sources):
    weight, bias = matrix_of(node.layer, node.input_tensors[0].shape[-1])
    return (writer.linear(node.name, weight, bias, sources, _carried(node.layer)),)


def matrix_of(layer: keras.layers.Layer, width: int) -> tuple[NDArray, NDArray | None]:
    """Weight (outputs, inputs) and bias, or None, of a `Standardise` or `PopulationMean` layer on `width` inputs."""
    if isinstance(layer, PopulationMean):
        group = width // layer.outputs
        return np.kron(np.eye(layer.outputs), np.full((1, group), 1 / group)), None
    require_single(layer, "NIR")
    mean, deviation = np.array(layer.mean, "float64"), np.array(layer.deviation, "float64")
    return (np.diag(deviation), mean) if layer.invert else (np.diag(1 / deviation), -mean / deviation)


def _add(writer, node, *summands):
    width = node.output_tensors[0].shape[-1]
    if any(tensor.shape[-1] != width for tensor in node.input_tensors):
        raise _refused(node, "it stretches one of its summands; give all of them the same width")
    every = []
    for source in (source for sources in summands for source in sources):
        # An edge connects two nodes once: a second connection goes through an identity.
        every.append(writer.relay(f"{node.name}_again", width, [source]) if source in every else source)
    return tuple(every)


def _concatenate(writer, node, *joined):
    """Each part moved to its place by a matrix of ones and zeros, and summed."""
    shape = node.output_tensors[0].shape
    if node.layer.axis not in (-1, len(shape) - 1):
        raise _refused(node, f"it joins axis {node.layer.axis}; only features can be joined, axis=-1")
    ends = np.cumsum([tensor.shape[-1] for tensor in node.input_tensors])
    places = np.split(np.eye(shape[-1], dtype="float32"), ends[:-1])
    return tuple(
        writer.linear(f"{node.name}_part", place.T, None, sources)
        for place, sources in zip(places, joined, strict=True)
    )


def _idle(writer, node, sources):
    """A layer that does nothing in prediction."""
    return sources


# By the kind of a layer's neurons, and by the class of other layers.
NEURONS = ("lif", "rlif", "leaky_integrator")
EXPORTERS = {
    keras.layers.Dense: _dense,
    Standardise: _fixed,
    PopulationMean: _fixed,
    keras.layers.Add: _add,
    keras.layers.Concatenate: _concatenate,
    **dict.fromkeys(IDLE, _idle),
}
SEVERAL = (keras.layers.Add, keras.layers.Concatenate)


def _exporter_of(node):
    kind = type(node.layer)
    is_ours = kind_of_layer(kind) in NEURONS
    if not is_ours and kind not in EXPORTERS:
        why = "NIR has no primitive for it"
        if node.cell is not None and node.cell.projections > 1:
            why = "its gates multiply functions of its state, and no NIR primitive multiplies two signals"
        known = [(SPIKING | INTEGRATORS)[name] for name in NEURONS]
        raise _refused(node, f"{why}; expected one of {', '.join(layer.__name__ for layer in (*known, *EXPORTERS))}")
    if kind not in SEVERAL and len(node.inputs) != 1:
        raise _refused(node, "it is called with initial states as tensors; let the states start at zero")
    return _neurons if is_ours else EXPORTERS[kind]


def _refused(node, reason):
    return InputError(f"to_nir: cannot express the layer {node.name!r} of type {type(node.layer).__name__}: {reason}")
