"""From a Keras model to a Nengo network: `to_nengo`.

Every layer that computes becomes one ensemble and one connection to it. A layer that only joins or adds values becomes
one Nengo node. Layers that act in training alone, such as Dropout, have no counterpart. All connections have
synapse=None, so that a step passes through the whole network without delay, as in Keras.
"""

from dataclasses import dataclass
from types import ModuleType
from typing import Any

import keras
import numpy as np

from kspike_reg.bridges.extras import needed
from kspike_reg.bridges.nengo.layers import CONVERSIONS, NEURONS, SEVERAL, array_of
from kspike_reg.errors import InputError
from kspike_reg.network.graph import Node, graph_of

__all__ = ["Layout", "Port", "to_nengo"]

# The states of our neurons that Nengo knows by other names.
STATES = {"spikes": "fired", "membrane": "voltage"}


@dataclass(frozen=True)
class Port:
    """An input or an output of the model.

    Attributes:
        name: as Keras has it.
        shape: as Keras has it, the batch first, None where a length is open: (None, None, 2).
        dtype: of its numbers, a name.
        end: the Nengo node of an input, the Nengo probe of an output.
    """

    name: str
    shape: tuple[int | None, ...]
    dtype: str
    end: Any


@dataclass(frozen=True)
class Layout:
    """The places of inputs, outputs and states in a network that `to_nengo` made; its attribute `layout`.

    Attributes:
        inputs, outputs: tuples of `Port`, in the order of the Keras model.
        states: probes by the name of a node of the Keras model and by that of a state of its neurons.
        thresholds: by the name of a node whose neurons fire, shape (units,).
        masking: pairs of a probe and the value that marks padding, by the name of each Masking layer.
    """

    inputs: tuple[Port, ...]
    outputs: tuple[Port, ...]
    states: dict[str, dict[str, Any]]
    thresholds: dict[str, np.ndarray]
    masking: dict[str, tuple[Any, float]]

    @property
    def spikes(self) -> dict[str, Any]:
        """Probes on the spikes by the name of a node."""
        return {name: probes["spikes"] for name, probes in self.states.items() if "spikes" in probes}

    @property
    def membranes(self) -> dict[str, Any]:
        """Probes on the membranes by the name of a node, leaky integrators included."""
        return {name: probes["membrane"] for name, probes in self.states.items() if "membrane" in probes}


def to_nengo(model: keras.Model) -> Any:
    """Convert a trained network to Nengo.

    Ensembles, connections and probes carry the names of the Keras layers; a layer that is called twice, as in
    "encoder/lif_1" and "encoder/lif_1@2", has an ensemble for each call. There is a Nengo node for each input, whose
    output, zeros, is to be replaced by your data (`kspike_reg.bridges.simulate` does it), a probe on each input and
    output, and probes on the states of all neurons: "lif_1.spikes", "lif_1.membrane". One Nengo time step is
    one step of the network, whatever dt is.

    Nengo computes in double precision unless told otherwise; `simulate` computes in single precision like Keras, as
    does `nengo.rc["precision"]["bits"] = "32"`.

    Args:
        model: a built functional or sequential `keras.Model` of any depth, with any number of inputs and outputs,
            nested models and layers called twice included: LIF, RLIF, SLSTM, LeakyIntegrator and their cells in
            `keras.layers.RNN`, Dense (linear, relu, sigmoid, tanh), TimeDistributed around it, PopulationMean,
            Standardise, Activation, Add, Subtract, Average, Concatenate, and layers that act in training alone. A
            Masking layer is treated as one that finds no padding.

    Returns:
        A `nengo.Network` with an attribute `layout`, the `Layout` of its inputs, outputs and probes.

    Raises:
        InputError: Nengo is not installed, a model that cannot be looked into, or a layer or a call of it that cannot
            be converted.
    """
    graph = graph_of(model, "to_nengo")
    nengo = needed("nengo", "nengo", "to_nengo")
    with nengo.Network(label=graph.name) as network:
        builder = _Builder(nengo)
        inputs = tuple(builder.input(tensor, value) for value, tensor in enumerate(graph.inputs))
        for node in graph.nodes:
            if not node.makes_mask:
                builder.add(node)
        names = zip(graph.outputs, graph.output_names, strict=True)
        outputs = tuple(builder.output(value, name) for value, name in names)
    network.layout = Layout(inputs, outputs, builder.states, builder.thresholds, builder.masking)
    return network


class _Builder:
    """Builds into the current network; `sources` has the Nengo object that emits each value of the graph."""

    def __init__(self, nengo: ModuleType) -> None:
        # Their module imports Nengo.
        from kspike_reg.bridges.nengo import neurons

        self.nengo, self.neurons = nengo, neurons
        self.sources, self.tensors, self.probes = {}, {}, {}
        self.states, self.thresholds, self.masking = {}, {}, {}

    def input(self, tensor: keras.KerasTensor, value: int) -> Port:
        if len(tensor.shape) not in (2, 3) or tensor.shape[-1] is None:
            raise InputError(
                f"to_nengo: the input {tensor.name!r} has the shape {tuple(tensor.shape)}; expected (batch, time, "
                "features) or (batch, features), with a known number of features"
            )
        node = self.nengo.Node(np.zeros(tensor.shape[-1]), label=tensor.name)
        self.sources[value], self.tensors[value] = node, tensor
        self.probe(node, tensor.name)
        return Port(tensor.name, tuple(tensor.shape), keras.backend.standardize_dtype(tensor.dtype), node)

    def output(self, value: int, name: str) -> Port:
        tensor, source = self.tensors[value], self.sources[value]
        probe = self.probe(source, name)
        return Port(name, tuple(tensor.shape), keras.backend.standardize_dtype(tensor.dtype), probe)

    def add(self, node: Node) -> None:
        layer = node.layer.cell if isinstance(node.layer, keras.layers.RNN) else node.layer
        build = CONVERSIONS.get(type(layer)) if node.cell is None else NEURONS.get(node.cell.kind)
        if build is None:
            known = sorted([*NEURONS, *(kind.__name__ for kind in CONVERSIONS)])
            raise InputError(
                f"to_nengo: cannot convert the layer {node.name!r} of class {type(layer).__name__}; expected one of "
                f"{', '.join(known)}"
            )
        self._check(node, layer)
        self.sources[node.outputs[0]] = build(self, node, layer)
        self.tensors[node.outputs[0]] = node.output_tensors[0]

    def ensemble(
        self, node: Node, units: int, neuron_type: Any, bias: np.ndarray | None = None, dimensions: int = 1
    ) -> Any:
        """An ensemble driven by its connections and its bias alone, without the random encoders of Nengo's default."""
        return self.nengo.Ensemble(
            units,
            dimensions,
            neuron_type=neuron_type,
            gain=np.ones(units),
            bias=np.zeros(units) if bias is None else bias,
            encoders=np.ones((units, dimensions)),
            eval_points=np.zeros((1, dimensions)),
            normalize_encoders=False,
            label=node.name,
        )

    def connect(self, node: Node, target: Any, transform: Any = None, value: int | None = None) -> None:
        """A connection without delay from an input of the node, the first one by default, labelled "lif_1.kernel"."""
        source = self.sources[node.inputs[0] if value is None else value]
        options = {} if transform is None else {"transform": transform}
        self.nengo.Connection(source, target, synapse=None, label=f"{node.name}.kernel", **options)

    def relay(self, node: Node, width: int) -> Any:
        """A Nengo node that emits the sum of its inputs."""
        return self.nengo.Node(size_in=width, label=node.name)

    def probe(self, source: Any, label: str, attribute: str | None = None) -> Any:
        """The probe of a source; each is made once."""
        key = (id(source), attribute)
        if key not in self.probes:
            self.probes[key] = self.nengo.Probe(source, attribute, label=label)
        return self.probes[key]

    def neurons_of(self, node: Node, ensemble: Any) -> Any:
        """The neurons of an ensemble as a source, with probes on their states."""
        self.states[node.name] = {
            name: self.probe(ensemble.neurons, f"{node.name}.{name}", STATES.get(name, name))
            for name in node.cell.state_names
        }
        if node.cell.fires:
            self.thresholds[node.name] = array_of(node.cell.threshold)
        return ensemble.neurons

    @staticmethod
    def _check(node, layer):
        """Refuse layers and calls that would not compute the same as in Keras."""
        place = f"to_nengo: the layer {node.name!r}"
        ranks = {len(tensor.shape) for tensor in (*node.input_tensors, *node.output_tensors[:1])}
        several = type(layer) in SEVERAL
        if not several and len(node.input_tensors) != 1:
            raise InputError(
                f"{place} is called with {len(node.input_tensors)} tensors; expected one: initial states and masks as "
                "tensors cannot be converted, so let the states start at zero"
            )
        if not ranks <= {2, 3} or (several and len(ranks) > 1):
            raise InputError(
                f"{place} takes inputs of shapes {[tuple(tensor.shape) for tensor in node.input_tensors]}; expected "
                "(batch, time, features) or (batch, features) for all of them"
            )
        for option in ("go_backwards", "stateful", "return_state"):
            if getattr(node.layer, option, False):
                raise InputError(f"{place} has {option}=True, which no simulator can do step by step; set it to False")
        precision = keras.backend.standardize_dtype(layer.compute_dtype)
        if precision != "float32":
            raise InputError(
                f"{place} computes in {precision}; expected float32, in which Nengo computes the same spikes; build "
                "the model under that policy and set its weights"
            )
        for weight in layer.weights:
            if weight.dtype.startswith("float") and not np.isfinite(array_of(weight)).all():
                raise InputError(f"{place}: its weight {weight.name!r} is not finite; check that training converged")
