"""From a NIR graph to a Keras network."""

import re
from types import ModuleType
from typing import Any

import keras
import numpy as np
from keras import ops

from kspike_reg.bridges.extras import needed
from kspike_reg.bridges.nir.exporting import STEPLESS, matrix_of
from kspike_reg.bridges.nir.metadata import carried_by
from kspike_reg.bridges.nir.neurons import ROUNDING, neurons_from
from kspike_reg.bridges.nir.parameters import STEP, square
from kspike_reg.bridges.nir.wiring import Wiring, wiring_of
from kspike_reg.errors import InputError
from kspike_reg.network.physical import PhysicalModel, Standardise
from kspike_reg.neurons import PopulationMean

__all__ = ["from_nir"]

MODELS = {model.__name__: model for model in (keras.Model, PhysicalModel)}
FIXED = {layer.__name__: layer for layer in (Standardise, PopulationMean)}


def from_nir(graph: Any, *, dt: float | None = None) -> keras.Model:
    """The Keras network of a NIR graph.

    A graph of `to_nir` becomes the same layers with the same weights and predicts the same numbers, bit for bit where
    weights are in single precision. Graphs of other tools follow NIR's equations, with one Euler step per step of the
    network: LIF and IF nodes become `LIF` layers that reset to zero, or `RLIF` layers if their spikes return through a
    `nir.Linear` or `nir.Affine`. LI and I nodes become `LeakyIntegrator` layers, or LIF or RLIF layers without a reset
    if a `nir.Threshold` follows them. If our metadata contradict the numbers of their nodes, the numbers count.

    Args:
        graph: a `nir.NIRGraph`, as `to_nir` or `nir.read` returns it.
        dt: seconds that stand for one step; None takes the graph's metadata, or 1e-4 s where they contain none.

    Returns:
        An uncompiled `keras.Model` (`network.PhysicalModel` where it was one) from (batch, time, features); several
        inputs and outputs are lists, in their order at export.

    Raises:
        InputError: a graph that is not sound, a node that our layers cannot express, or the package nir is missing.
    """
    nir = needed("nir", "nir", "from_nir")
    wiring = wiring_of(graph)
    described = carried_by(graph, "the graph").get("model", {})
    reader = _Reader(nir, wiring, _step(graph, dt))
    for name in wiring.order:
        reader.read(name)
    if not reader.inputs or not reader.outputs:
        raise InputError(
            f"from_nir: the graph has {len(reader.inputs)} nir.Input and {len(reader.outputs)} nir.Output nodes; "
            "expected one of each at least"
        )
    inputs = _in_order(reader.inputs, described.get("inputs"))
    outputs = _in_order(reader.outputs, described.get("outputs"))
    return MODELS.get(described.get("model"), keras.Model)(
        inputs if len(inputs) > 1 else inputs[0],
        outputs if len(outputs) > 1 else outputs[0],
        name=described.get("name", "from_nir"),
    )


def _step(graph, dt):
    dt = (graph.metadata or {}).get("dt", STEP) if dt is None else dt
    if np.ndim(dt) or np.asarray(dt).dtype.kind not in "fiu" or not 0 < dt < np.inf:
        raise InputError(f"from_nir: expected dt, the seconds of a step, to be a finite number > 0, received {dt!r}")
    return float(dt)


def _in_order(tensors, names):
    """The tensors, in the order of export where the names still are the same."""
    if names is not None and sorted(names) == sorted(tensors):
        return [tensors[name] for name in names]
    return list(tensors.values())


class _Reader:
    """Builds the layers node by node; `values` has the Keras tensors so far, by the node that emits them."""

    def __init__(self, nir: ModuleType, wiring: Wiring, dt: float) -> None:
        self.nir, self.wiring, self.dt = nir, wiring, dt
        self.values, self.inputs, self.outputs, self.names = {}, {}, {}, set()
        self.carried = {name: carried_by(node, repr(name)) for name, node in wiring.nodes.items()}
        # The only input of neurons is their projection if it is a matrix, has no other consumer and was no layer of its
        # own at export.
        self.projections = {
            name: source
            for name in wiring.feedback
            if len(wiring.inputs[name]) == 1
            for source in wiring.inputs[name]
            if isinstance(wiring.nodes[source], (nir.Linear, nir.Affine))
            and wiring.consumers(source) == [name]
            and "layer" not in self.carried[source]
        }
        self.parts = {*self.projections.values(), *wiring.thresholds.values()}
        self.readers = {
            nir.Input: self._input,
            nir.Output: self._output,
            nir.Linear: self._dense,
            nir.Affine: self._dense,
            nir.Scale: self._dense,
            nir.LIF: self._neurons,
            nir.IF: self._neurons,
            nir.LI: self._neurons,
            nir.I: self._neurons,
        }

    def read(self, name: str) -> None:
        """Add the layer of a node, unless the node is read as a part of neurons."""
        node = self.wiring.nodes[name]
        if name in self.parts:
            return
        if isinstance(node, self.nir.Threshold):
            raise InputError(
                f"from_nir: cannot express the node {name!r} of type Threshold; expected a Threshold that alone "
                "follows LI or I"
            )
        try:
            self.readers[type(node)](name, node)
        except InputError:
            raise
        except Exception as error:  # Keras raises errors of many classes on a damaged configuration
            if "layer" not in self.carried[name]:
                raise
            raise InputError(
                f"from_nir: the kspike_reg metadata of {name!r} describe no layer ({type(error).__name__}: {error}); "
                "remove them to read the node by NIR's equations alone"
            ) from error

    def _config(self, name):
        return self.carried[name].get("layer", {}).get("config", {})

    def _layer(self, name, kind, **options):
        """A layer of the class `kind` by the configuration in its node's metadata; the given options override it."""
        config = self._config(name) if self.carried[name].get("layer", {}).get("class") == kind.__name__ else {}
        wrong = [option for option in STEPLESS if config.get(option)]
        if wrong:
            raise InputError(
                f"from_nir: the kspike_reg metadata of {name!r} set {wrong[0]}, which no NIR graph expresses"
            )
        return kind.from_config(config | options | {"name": self._unused(self._label(name))})

    def _label(self, name):
        return str(self._config(name).get("name") or re.sub(r"\W", "_", name.rpartition("/")[0] or name))

    def _unused(self, name):
        count, unused = 1, name
        while unused in self.names:
            count += 1
            unused = f"{name}_{count}"
        self.names.add(unused)
        return unused

    def _input_of(self, name):
        """The sum of a node's inputs."""
        sources = [self.values[source] for source in self.wiring.inputs[name]]
        if not sources:
            raise InputError(f"from_nir: the node {name!r} has no input; expected an edge into it")
        return sources[0] if len(sources) == 1 else keras.layers.Add(name=self._unused("sum"))(sources)

    def _input(self, name, node):
        shape = np.ravel(node.input_type["input"])
        if shape.size != 1 or shape.dtype.kind not in "iu" or shape[0] < 1:
            raise InputError(
                f"from_nir: expected one axis, the features, for the input {name!r}, received shape {shape}"
            )
        config = self._config(name)
        steps = (*(config.get("batch_shape") or (None, None)), None)[:2]
        tensor = keras.Input(
            batch_shape=(*steps, int(shape[0])), dtype=config.get("dtype"), name=self._unused(self._label(name))
        )
        self.values[name] = self.inputs[name] = tensor

    def _output(self, name, node):
        self.outputs[name] = self._input_of(name)

    def _dense(self, name, node):
        scale = getattr(node, "scale", None)
        weight = node.weight if scale is None else square(f"from_nir: the node {name!r}", scale)
        bias = getattr(node, "bias", None)
        if weight.ndim != 2:
            raise InputError(f"from_nir: expected a matrix as the weight of {name!r}, received shape {weight.shape}")
        layer = self._fixed(name, weight, bias)
        if layer is not None:
            self.values[name] = layer(self._input_of(name))
            return
        layer = self._layer(name, keras.layers.Dense, units=len(weight), use_bias=bias is not None)
        self.values[name] = layer(self._input_of(name))
        _assign(layer, kernel=weight.T, bias=bias)

    def _fixed(self, name, weight, bias):
        """The layer without weights in the metadata of a node, if its numbers are those of the node; None otherwise."""
        kind = FIXED.get(self.carried[name].get("layer", {}).get("class"))
        if kind is None:
            return None
        layer = self._layer(name, kind)
        if _same(matrix_of(layer, weight.shape[1]), (weight, bias)):
            return layer
        self.names.discard(layer.name)
        return None

    def _neurons(self, name, node):
        wiring, projection, spikes = self.wiring, self.projections.get(name), self.wiring.thresholds.get(name)
        membrane_is_used = any(other != spikes for other in wiring.consumers(name))
        if spikes is not None and membrane_is_used and wiring.consumers(spikes):
            raise InputError(
                f"from_nir: other nodes receive both the membrane {name!r} and its spikes {spikes!r}; a layer of ours "
                "emits one of them"
            )
        kind, options, weights = neurons_from(
            f"from_nir: the node {name!r}",
            node,
            wiring.nodes.get(projection),
            [wiring.nodes[each] for each in wiring.feedback[name]],
            wiring.nodes.get(spikes),
            membrane_is_used,
            self.carried[name],
            self.dt,
        )
        described = self.carried[name].get("layer")
        if described is None:
            options["return_sequences"] = True
        elif described.get("class") != kind.__name__:
            raise InputError(
                f"from_nir: the metadata of {name!r} describe a layer of class {described.get('class')}, its nodes and "
                f"edges one of class {kind.__name__}; remove the metadata kspike_reg to read it by NIR's equations "
                "alone"
            )
        layer = self._layer(name, kind, **options)
        self.values[name] = layer(self._input_of(projection or name))
        self.values[spikes] = self.values[name]
        _assign(layer.cell, **weights)


def _same(ours, theirs):
    return all(
        (a is None) == (b is None)
        and (a is None or (a.shape == np.shape(b) and np.allclose(a, b, rtol=ROUNDING, atol=0)))
        for a, b in zip(ours, theirs, strict=True)
    )


def _assign(owner, **weights):
    """Set weights by their names, in the precision of each."""
    for name, value in weights.items():
        if value is not None:
            weight = getattr(owner, name)
            dtype = "float64" if weight.dtype == "float64" else "float32"
            value = value(dtype) if callable(value) else np.asarray(value, dtype)
            weight.assign(ops.cast(value, weight.dtype))
