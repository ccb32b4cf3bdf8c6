"""From a Keras model to a network in the idiom of Nengo: `to_nengo`.

Every layer that computes becomes one ensemble and one connection into it; what only joins or adds values becomes one
node; dropout and the like vanish. All connections have synapse=None, so that a step passes through the whole network
without delay, as in Keras.
"""

from dataclasses import dataclass

import keras
import numpy as np

from kspike_reg.bridges.extras import needed
from kspike_reg.bridges.nengo.layers import CONVERSIONS, SEVERAL, array_of
from kspike_reg.errors import InputError
from kspike_reg.network.graph import graph_of

__all__ = ["Layout", "Port", "to_nengo"]


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
    shape: tuple
    dtype: str
    end: object


@dataclass(frozen=True)
class Layout:
    """Where things are in a network that `to_nengo` made; its attribute `layout`.

    Attributes:
        inputs, outputs: tuples of `Port`, in the order of the Keras model.
        spikes, membranes: probes by the name of a layer's use; leaky integrators have a membrane alone.
        masking: pairs of a probe and the value that marks padding, for each Masking layer by name.
    """

    inputs: tuple
    outputs: tuple
    spikes: dict
    membranes: dict
    masking: dict


def to_nengo(model):
    """Convert a trained network to Nengo.

    Ensembles, connections and probes carry the names of the Keras layers; a layer that is used twice, as in
    "encoder/lif_1" and "encoder/lif_1@2", has an ensemble for each use. There is a node for each input, whose output,
    zeros, is to be replaced by your data (`kspike_reg.bridges.simulate` does it), a probe on each input and output,
    and probes on the spikes and membranes of every layer: "lif_1.spikes", "lif_1.membrane". One Nengo time step is
    one step of the network, whatever dt is.

    Nengo computes in double precision unless told otherwise; `simulate` computes in single precision like Keras, as
    does `nengo.rc["precision"]["bits"] = "32"`.

    Args:
        model: a built functional or sequential `keras.Model` of any depth, with any number of inputs and outputs,
            nested models and layers used twice included: LIF, RLIF, SLSTM, LeakyIntegrator and their cells in
            `keras.layers.RNN`, Dense (linear, relu, sigmoid, tanh), TimeDistributed around it, PopulationMean,
            Standardise, Activation, Add, Subtract, Average, Concatenate, and what acts in training alone. Masking is
            taken for a layer that finds no padding.

    Returns:
        A `nengo.Network` with an attribute `layout` (`Layout`) that tells where things are.

    Raises:
        InputError: Nengo is not installed, a model that cannot be looked into, or a layer that cannot be converted,
            or is used in a way that cannot.
    """
    graph = graph_of(model, "to_nengo")
    nengo = needed("nengo", "nengo", "to_nengo")
    with nengo.Network(label=graph.name) as network:
        builder = _Builder(nengo)
        inputs = tuple(builder.input(tensor, slot) for slot, tensor in enumerate(graph.inputs))
        for use in graph.uses:
            if not use.makes_mask:
                builder.add(use)
        names = zip(graph.outputs, graph.output_names, strict=True)
        outputs = tuple(builder.output(slot, name) for slot, name in names)
    network.layout = Layout(inputs, outputs, builder.spikes, builder.membranes, builder.masking)
    return network


class _Builder:
    """Builds into the network at hand; `sources` knows the Nengo object that gives the values of each slot."""

    def __init__(self, nengo):
        # Their module imports Nengo.
        from kspike_reg.bridges.nengo import neurons as nengo_neurons

        self.nengo, self.neurons = nengo, nengo_neurons
        self.sources, self.tensors, self.probes = {}, {}, {}
        self.spikes, self.membranes, self.masking = {}, {}, {}

    def input(self, tensor, slot):
        if len(tensor.shape) not in (2, 3) or tensor.shape[-1] is None:
            raise InputError(
                f"to_nengo: the input {tensor.name!r} has the shape {tuple(tensor.shape)}; expected (batch, time, "
                "features) or (batch, features), with a known number of features"
            )
        node = self.nengo.Node(np.zeros(tensor.shape[-1]), label=tensor.name)
        self.sources[slot], self.tensors[slot] = node, tensor
        self.probe(node, tensor.name)
        return Port(tensor.name, tuple(tensor.shape), keras.backend.standardize_dtype(tensor.dtype), node)

    def output(self, slot, name):
        tensor, source = self.tensors[slot], self.sources[slot]
        probe = self.probe(source, name)
        return Port(name, tuple(tensor.shape), keras.backend.standardize_dtype(tensor.dtype), probe)

    def add(self, use):
        layer = use.layer.cell if isinstance(use.layer, keras.layers.RNN) else use.layer
        if type(layer) not in CONVERSIONS:
            raise InputError(
                f"to_nengo: cannot convert the layer {use.name!r} of class {type(layer).__name__}; known are "
                f"{', '.join(sorted(kind.__name__ for kind in CONVERSIONS))}"
            )
        self._check(use, layer)
        self.sources[use.outputs[0]] = CONVERSIONS[type(layer)](self, use, layer)
        self.tensors[use.outputs[0]] = use.given[0]

    def ensemble(self, use, units, neuron_type, bias=None, dimensions=1):
        """An ensemble that hears only what connections bring; its encoders would have random directions otherwise."""
        return self.nengo.Ensemble(
            units,
            dimensions,
            neuron_type=neuron_type,
            gain=np.ones(units),
            bias=np.zeros(units) if bias is None else bias,
            encoders=np.ones((units, dimensions)),
            eval_points=np.zeros((1, dimensions)),
            normalize_encoders=False,
            label=use.name,
        )

    def connect(self, use, target, transform=None, slot=None):
        """A connection without delay from what the use hears, labelled "lif_1.kernel" by its target."""
        source = self.sources[use.inputs[0] if slot is None else slot]
        options = {} if transform is None else {"transform": transform}
        self.nengo.Connection(source, target, synapse=None, label=f"{use.name}.kernel", **options)

    def node(self, use, width):
        """A node that hands on the sum of what comes in."""
        return self.nengo.Node(size_in=width, label=use.name)

    def probe(self, source, label, attribute=None):
        """A probe; one that is there already serves again."""
        key = (id(source), attribute)
        if key not in self.probes:
            self.probes[key] = self.nengo.Probe(source, attribute, label=label)
        return self.probes[key]

    def neurons_of(self, use, ensemble, fires=True):
        """The neurons of an ensemble as a source, with probes on what happens in them."""
        if fires:
            self.spikes[use.name] = self.probe(ensemble.neurons, f"{use.name}.spikes", "fired")
        self.membranes[use.name] = self.probe(ensemble.neurons, f"{use.name}.membrane", "voltage")
        return ensemble.neurons

    @staticmethod
    def _check(use, layer):
        """Refuse what would be computed otherwise than in Keras."""
        who = f"to_nengo: the layer {use.name!r}"
        ranks = {len(tensor.shape) for tensor in (*use.heard, *use.given[:1])}
        several = type(layer) in SEVERAL
        if not several and len(use.heard) != 1:
            raise InputError(
                f"{who} is called with {len(use.heard)} tensors; expected one: initial states and masks as tensors "
                "cannot be converted, so let the states start at zero"
            )
        if not ranks <= {2, 3} or (several and len(ranks) > 1):
            raise InputError(
                f"{who} takes inputs of shapes {[tuple(tensor.shape) for tensor in use.heard]}; expected (batch, time, "
                "features) or (batch, features) for all of them"
            )
        for option in ("go_backwards", "stateful", "return_state"):
            if getattr(use.layer, option, False):
                raise InputError(f"{who} has {option}=True, which a simulator step by step cannot do; set it to False")
        precision = keras.backend.standardize_dtype(layer.compute_dtype)
        if precision != "float32":
            raise InputError(
                f"{who} computes in {precision}; expected float32, in which Nengo gives the same spikes; build the "
                "model under that policy and set its weights"
            )
        for weight in layer.weights:
            if weight.dtype.startswith("float") and not np.isfinite(array_of(weight)).all():
                raise InputError(f"{who}: its weight {weight.name!r} is not finite; train it anew")
