"""Reading a NIR graph: subgraphs unfolded, recurrences found, nodes in the order of execution."""

import copy
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from kspike_reg.bridges.extras import needed
from kspike_reg.errors import InputError

__all__ = ["Wiring", "wiring_of"]


@dataclass
class Wiring:
    """A flat graph without recurrences.

    Attributes:
        nodes: NIR nodes by name, those of subgraphs as "subgraph/node".
        inputs: for each node the names of the nodes whose outputs it receives, summed; without recurrences.
        feedback: for neurons the names of the `nir.Linear` or `nir.Affine` that feed back their own last spikes.
        thresholds: for leaky integrators that fire the name of their `nir.Threshold`.
        order: all names but those of the feedback, each after its inputs.
    """

    nodes: dict[str, Any]
    inputs: dict[str, list[str]]
    feedback: dict[str, list[str]] = field(default_factory=dict)
    thresholds: dict[str, str] = field(default_factory=dict)
    order: list[str] = field(default_factory=list)

    def consumers(self, name: str) -> list[str]:
        """The names of the nodes that receive the output of a node, without its feedback."""
        return [other for other in self.order if name in self.inputs[other]]


# Why our layers cannot express a node, by the name of its type.
REASONS = {
    **dict.fromkeys(
        ("CubaLI", "CubaLIF"), "its synapses filter their currents by a state of their own, which no neuron of ours has"
    ),
    **dict.fromkeys(
        ("Conv1d", "Conv2d", "SumPool2d", "AvgPool2d", "Flatten"),
        "it works on several axes, while our layers take one axis of features in each step",
    ),
    "Delay": "it holds values back for a time, while our layers pass them on in the same step",
}


def wiring_of(graph: Any) -> Wiring:
    """Read a graph.

    Args:
        graph: a `nir.NIRGraph`.

    Returns:
        Its `Wiring`.

    Raises:
        InputError: another object, a node that no layer of ours expresses, types or edges that do not fit, NaN, a
            subgraph inside itself, or a cycle that is not the recurrence of one layer.
    """
    nir = needed("nir", "nir", "from_nir")
    if not isinstance(graph, nir.NIRGraph):
        raise InputError(
            f"from_nir: expected a nir.NIRGraph, received {type(graph).__name__}; read a file with nir.read"
        )
    nodes, edges, relays = _unfold(nir, graph)
    for name, node in nodes.items():  # before nir infers the shapes of nodes, and fails at some that we do not have
        _require_expressible(nir, name, node)
    _check_types(graph)
    nodes = {name: _checked(name, node) for name, node in nodes.items()}
    inputs = {name: [] for name in nodes}
    for source, name in edges:
        inputs[name].append(source)
    wiring = Wiring(
        {name: node for name, node in nodes.items() if name not in relays},
        {name: list(_without_relays(name, inputs, relays, ())) for name in nodes if name not in relays},
    )
    _find_feedback(nir, wiring)
    _put_in_order(wiring)
    return wiring


def _require_expressible(nir, name, node):
    ours = (nir.Input, nir.Output, nir.Linear, nir.Affine, nir.Scale, nir.LIF, nir.IF, nir.LI, nir.I, nir.Threshold)
    if type(node) not in ours:
        kind = type(node).__name__
        raise InputError(
            f"from_nir: cannot express the node {name!r} of type {kind}: "
            f"{REASONS.get(kind, 'no layer of ours computes it')}; expected one of "
            f"{', '.join(known.__name__ for known in ours)}"
        )


def _check_types(graph):
    """Let nir check that nodes exist and shapes fit; it raises the error that it runs into."""
    try:
        graph.validate_structure()
        graph.check_types()
    except (ValueError, NotImplementedError, AttributeError, KeyError, IndexError) as error:
        raise InputError(f"from_nir: the graph is not sound: {str(error).strip() or type(error).__name__}") from error


def _checked(name, node):
    """The node with NumPy arrays in place of other tools' tensors, all of them finite."""
    node = copy.copy(node)
    for key, value in vars(node).items():
        if not hasattr(value, "__array__"):
            continue
        array = np.asarray(value)
        is_real = array.dtype.kind in "fiu"
        if not is_real or not np.all(np.isfinite(array)):
            wrong = "NaN or infinity" if is_real else "no real numbers"
            raise InputError(f"from_nir: the node {name!r} holds {wrong} in {key}; expected finite numbers")
        setattr(node, key, array)
    bias = getattr(node, "bias", None)
    if bias is not None and bias.shape != node.weight.shape[:1]:
        raise InputError(
            f"from_nir: the node {name!r} has a weight of shape {node.weight.shape} and a bias of shape {bias.shape}; "
            f"expected {node.weight.shape[:1]}"
        )
    return node


def _unfold(nir, graph, prefix="", around=()):
    """Nodes, edges and the names of the inputs and outputs of subgraphs, which only pass values on."""
    if any(graph is outer for outer in around):
        raise InputError(f"from_nir: the subgraph {prefix[:-1]!r} is inside itself; expected nodes that end")
    nodes, edges, relays, entrances, exits = {}, [], set(), {}, {}
    for name, node in graph.nodes.items():
        full = f"{prefix}{name}"
        if not isinstance(node, nir.NIRGraph):
            nodes[full] = node
            continue
        entrances[name], exits[name] = _ends(nir, node, full)
        inner, inner_edges, inner_relays = _unfold(nir, node, f"{full}/", (*around, graph))
        nodes |= inner
        edges += inner_edges
        relays |= inner_relays | {entrances[name], exits[name]}
    for source, target in graph.edges:
        for name in (source, target):
            if name not in graph.nodes:
                raise InputError(
                    f"from_nir: the edge {(source, target)!r} names {name!r}, which is no node of the graph; its nodes "
                    f"are {', '.join(map(repr, graph.nodes))}"
                )
        edges.append((exits.get(source, f"{prefix}{source}"), entrances.get(target, f"{prefix}{target}")))
    return nodes, edges, relays


def _ends(nir, subgraph, full):
    """Full names of the one input and the one output of a subgraph."""
    found = [
        [key for key, node in subgraph.nodes.items() if isinstance(node, kind)] for kind in (nir.Input, nir.Output)
    ]
    if [len(keys) for keys in found] != [1, 1]:
        raise InputError(
            f"from_nir: the subgraph {full!r} has {len(found[0])} inputs and {len(found[1])} outputs; expected one of "
            "each"
        )
    return [f"{full}/{keys[0]}" for keys in found]


def _without_relays(
    name: str, inputs: dict[str, list[str]], relays: Iterable[str], seen: tuple[str, ...]
) -> Iterator[str]:
    """The inputs of a node; those that only pass values on are replaced by their own inputs."""
    if name in seen:
        raise InputError(f"from_nir: the subgraph around {name!r} feeds back into itself and holds no neurons")
    for source in inputs[name]:
        if source in relays:
            yield from _without_relays(source, inputs, relays, (*seen, name))
        else:
            yield source


def _find_feedback(nir, wiring):
    """Take recurrences out of the inputs: neurons whose own spikes return through a matrix of their own."""
    consumers = {name: [] for name in wiring.nodes}
    for name, sources in wiring.inputs.items():
        for source in sources:
            consumers[source].append(name)
    for name, node in wiring.nodes.items():
        if isinstance(node, (nir.LIF, nir.IF)):
            spikes = name
        elif isinstance(node, (nir.LI, nir.I)):
            thresholds = [other for other in consumers[name] if isinstance(wiring.nodes[other], nir.Threshold)]
            spikes = next((other for other in thresholds if wiring.inputs[other] == [name]), None)
            if spikes is not None:
                wiring.thresholds[name] = spikes
        else:
            continue
        wiring.feedback[name] = [
            source
            for source in wiring.inputs[name]
            if isinstance(wiring.nodes[source], (nir.Linear, nir.Affine))
            and wiring.inputs[source] == [spikes]
            and consumers[source] == [name]
        ]
        wiring.inputs[name] = [source for source in wiring.inputs[name] if source not in wiring.feedback[name]]


def _put_in_order(wiring):
    waiting = [name for name in wiring.nodes if not any(name in names for names in wiring.feedback.values())]
    done = set()
    while waiting:
        ready = [name for name in waiting if done.issuperset(wiring.inputs[name])]
        if not ready:
            raise InputError(
                f"from_nir: the nodes {', '.join(map(repr, waiting))} are part of a cycle, or come after one, that is "
                "not the recurrence of one layer; its spikes may return to a layer through one nir.Linear or "
                "nir.Affine of its own"
            )
        wiring.order += ready
        done.update(ready)
        waiting = [name for name in waiting if name not in done]
