"""From a NIR graph to a Keras network."""

import json
import re

import keras
import numpy as np
from keras import ops

from kspike_reg.bridges.extras import needed
from kspike_reg.bridges.nir.exporting import matrix_of
from kspike_reg.bridges.nir.neurons import ROUNDING, neurons_from
from kspike_reg.bridges.nir.parameters import STEP
from kspike_reg.bridges.nir.wiring import wiring_of
from kspike_reg.errors import InputError
from kspike_reg.network.physical import PhysicalModel, Standardise
from kspike_reg.neurons import PopulationMean

__all__ = ["from_nir"]

MODELS = {model.__name__: model for model in (keras.Model, PhysicalModel)}
FIXED = {layer.__name__: layer for layer in (Standardise, PopulationMean)}


def from_nir(graph, *, dt=None):
    """The Keras network of a NIR graph.

    What `to_nir` wrote comes back as the same layers with the same weights and predicts the same numbers, bit for bit
    where weights are in single precision. Other tools' graphs are taken by NIR's equations, one step of Euler's
    method a step: LIF and IF nodes become `LIF` layers that reset to zero, with a feedback through `nir.Linear` or
    `nir.Affine` `RLIF` layers; LI and I nodes `LeakyIntegrator` layers, and with a `nir.Threshold` behind them LIF or
    RLIF layers without a reset. Where our metadata contradict the numbers of their nodes, the numbers win.

    Args:
        graph: a `nir.NIRGraph`, as `to_nir` or `nir.read` gives it.
        dt: seconds that stand for one step; None takes the graph's metadata, or 1e-4 s where they tell none.

    Returns:
        An uncompiled `keras.Model` (`scaling.PhysicalModel` where it was one) from (batch, time, features); several
        inputs and outputs are lists, in their order at export.

    Raises:
        InputError: no sound graph, a node that our layers cannot express, or the package nir is missing.
    """
    nir = needed("nir", "nir", "from_nir")
    wiring = wiring_of(graph)
    described = _carried(graph, "the graph").get("model", {})
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


def _carried(node, who):
    """What our exporter has put into a node's metadata, JSON unpacked; empty for other tools' nodes."""
    carried = (node.metadata or {}).get("kspike_reg", {})
    try:
        carried = {key: json.loads(value) if isinstance(value, str) else value for key, value in carried.items()}
        carried.get("layer", {}).get("config", {}).get("name")
    except (AttributeError, json.JSONDecodeError) as error:
        raise InputError(f"from_nir: the kspike_reg metadata of {who} are damaged ({error}); remove them") from error
    return carried


def _in_order(tensors, names):
    """The tensors, in the order of export where the names still are the same."""
    if names is not None and sorted(names) == sorted(tensors):
        return [tensors[name] for name in names]
    return list(tensors.values())


class _Reader:
    """The Keras tensors so far, by the node that gives them."""

    def __init__(self, nir, wiring, dt):
        self.nir, self.wiring, self.dt = nir, wiring, dt
        self.values, self.inputs, self.outputs, self.names = {}, {}, {}, set()
        self.carried = {name: _carried(node, repr(name)) for name, node in wiring.nodes.items()}
        # A neuron's only source, if it is a matrix that nothing else hears and that is no layer by itself, is its
        # projection.
        self.projections = {
            name: source
            for name in wiring.feedback
            if len(wiring.heard[name]) == 1
            for source in wiring.heard[name]
            if isinstance(wiring.nodes[source], (nir.Linear, nir.Affine))
            and wiring.hearers(source) == [name]
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

    def read(self, name):
        """Add what a node gives, unless it is read as a part of neurons."""
        node = self.wiring.nodes[name]
        if name in self.parts:
            return
        if type(node) not in self.readers:
            known = ", ".join(kind.__name__ for kind in self.readers)
            raise InputError(
                f"from_nir: cannot express the node {name!r} of type {type(node).__name__}; the nodes that go: "
                f"{known}, and Threshold behind LI or I"
            )
        self.readers[type(node)](name, node)

    def _config(self, name):
        return self.carried[name].get("layer", {}).get("config", {})

    def _layer(self, name, kind, **settled):
        """A layer of the class `kind`, by the configuration that its node carries; what the numbers settle counts."""
        config = self._config(name) if self.carried[name].get("layer", {}).get("class") == kind.__name__ else {}
        try:
            return kind.from_config(config | settled | {"name": self._unused(self._label(name))})
        except (KeyError, TypeError, ValueError, ImportError) as error:
            raise InputError(
                f"from_nir: the kspike_reg metadata of {name!r} describe no layer ({type(error).__name__}: {error}); "
                "remove them to read the node by NIR's equations alone"
            ) from error

    def _label(self, name):
        return str(self._config(name).get("name") or re.sub(r"\W", "_", name.rpartition("/")[0] or name))

    def _unused(self, name):
        count, unused = 1, name
        while unused in self.names:
            count += 1
            unused = f"{name}_{count}"
        self.names.add(unused)
        return unused

    def _heard(self, name):
        """The sum of what a node hears."""
        sources = [self.values[source] for source in self.wiring.heard[name]]
        if not sources:
            raise InputError(f"from_nir: the node {name!r} hears nothing; expected an edge into it")
        return sources[0] if len(sources) == 1 else keras.layers.Add(name=self._unused("sum"))(sources)

    def _input(self, name, node):
        shape = np.ravel(node.input_type["input"])
        if shape.size != 1:
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
        self.outputs[name] = self._heard(name)

    def _dense(self, name, node):
        weight = np.diag(node.scale) if isinstance(node, self.nir.Scale) else np.asarray(node.weight)
        bias = getattr(node, "bias", None)
        if weight.ndim != 2:
            raise InputError(f"from_nir: expected a matrix as the weight of {name!r}, received shape {weight.shape}")
        layer = self._fixed(name, weight, bias)
        if layer is not None:
            self.values[name] = layer(self._heard(name))
            return
        layer = self._layer(name, keras.layers.Dense, units=len(weight), use_bias=bias is not None)
        self.values[name] = layer(self._heard(name))
        _assign(layer, kernel=weight.T, bias=bias)

    def _fixed(self, name, weight, bias):
        """The layer without weights that a node carries, if its numbers are those of the node."""
        kind = FIXED.get(self.carried[name].get("layer", {}).get("class"))
        if kind is None:
            return None
        layer = self._layer(name, kind)
        if _same(matrix_of(layer, weight.shape[1]), (weight, bias)):
            return layer
        self.names.discard(layer.name)
        return None

    def _neurons(self, name, node):
        wiring, projection, fires = self.wiring, self.projections.get(name), self.wiring.thresholds.get(name)
        membrane_heard = any(other != fires for other in wiring.hearers(name))
        if fires is not None and membrane_heard and wiring.hearers(fires):
            raise InputError(
                f"from_nir: others hear both the membrane {name!r} and its spikes {fires!r}; a layer of ours gives one "
                "of them"
            )
        kind, settled, weights = neurons_from(
            f"from_nir: the node {name!r}",
            node,
            wiring.nodes.get(projection),
            [wiring.nodes[each] for each in wiring.feedback[name]],
            wiring.nodes.get(fires),
            membrane_heard,
            self.carried[name],
            self.dt,
        )
        described = self.carried[name].get("layer")
        if described is None:
            settled["return_sequences"] = True
        elif described.get("class") != kind.__name__:
            raise InputError(
                f"from_nir: the metadata of {name!r} tell of a {described.get('class')}, its nodes and edges of a "
                f"{kind.__name__}; remove the metadata kspike_reg to read it by NIR's equations alone"
            )
        layer = self._layer(name, kind, **settled)
        self.values[name] = layer(self._heard(projection or name))
        self.values[fires] = self.values[name]
        _assign(layer.cell, **weights)


def _same(ours, theirs):
    return all(
        (a is None) == (b is None)
        and (a is None or (a.shape == np.shape(b) and np.allclose(a, b, rtol=ROUNDING, atol=0)))
        for a, b in zip(ours, theirs, strict=True)
    )


def _assign(owner, **weights):
    """Set weights by their names, in their own precision."""
    for name, value in weights.items():
        if value is not None:
            weight = getattr(owner, name)
            dtype = "float64" if weight.dtype == "float64" else "float32"
            value = value(dtype) if callable(value) else np.asarray(value, dtype)
            weight.assign(ops.cast(value, weight.dtype))
