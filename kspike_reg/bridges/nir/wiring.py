"""Reading a NIR graph: subgraphs unfolded, recurrences found, nodes in an order of running."""

import copy
from dataclasses import dataclass, field

import numpy as np

from kspike_reg.bridges.extras import needed
from kspike_reg.errors import InputError

__all__ = ["Wiring", "wiring_of"]


@dataclass
class Wiring:
    """A flat graph without recurrences.

    Attributes:
        nodes: NIR nodes by name, those of subgraphs as "subgraph/node".
        heard: for each node the names of those that it hears the sum of, recurrences left out.
        feedback: for neurons the names of the `nir.Linear` or `nir.Affine` through which they hear their own last
            spikes.
        thresholds: for leaky integrators that fire the name of their `nir.Threshold`.
        order: all names but those of the feedback, each after those that it hears.
    """

    nodes: dict
    heard: dict
    feedback: dict = field(default_factory=dict)
    thresholds: dict = field(default_factory=dict)
    order: list = field(default_factory=list)

    def hearers(self, name):
        return [other for other in self.order if name in self.heard[other]]


def wiring_of(graph):
    """Read a graph.

    Args:
        graph: a `nir.NIRGraph`.

    Raises:
        InputError: it is none, its types or edges do not fit, it holds NaN, or a cycle that is no recurrence.
    """
    nir = needed("nir", "nir", "from_nir")
    if not isinstance(graph, nir.NIRGraph):
        raise InputError(
            f"from_nir: expected a nir.NIRGraph, received {type(graph).__name__}; read a file with nir.read"
        )
    nodes, edges, relays = _unfold(nir, graph)
    _check_types(graph)
    nodes = {name: _checked(name, node) for name, node in nodes.items()}
    heard = {name: [] for name in nodes}
    for source, name in edges:
        heard[name].append(source)
    wiring = Wiring(
        {name: node for name, node in nodes.items() if name not in relays},
        {name: _without_relays(name, heard, relays, ()) for name in nodes if name not in relays},
    )
    _find_feedback(nir, wiring)
    _put_in_order(wiring)
    return wiring


def _check_types(graph):
    """Let nir check that nodes exist and shapes fit; it raises what it happens on."""
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
        wrong = "no real numbers" if array.dtype.kind not in "fiu" else "NaN or infinity"
        if wrong == "no real numbers" or not np.all(np.isfinite(array)):
            raise InputError(f"from_nir: the node {name!r} holds {wrong} in {key}; expected finite numbers")
        setattr(node, key, array)
    bias = getattr(node, "bias", None)
    if bias is not None and bias.shape != node.weight.shape[:1]:
        raise InputError(
            f"from_nir: the node {name!r} has a weight of shape {node.weight.shape} and a bias of shape {bias.shape}; "
            f"expected {node.weight.shape[:1]}"
        )
    return node


def _unfold(nir, graph, place=""):
    """Nodes, edges and the names of the inputs and outputs of subgraphs, which only relay."""
    nodes, edges, relays, entrances, exits = {}, [], set(), {}, {}
    for name, node in graph.nodes.items():
        full = f"{place}{name}"
        if not isinstance(node, nir.NIRGraph):
            nodes[full] = node
            continue
        inner, inner_edges, inner_relays = _unfold(nir, node, f"{full}/")
        doors = [
            [key for key, value in node.nodes.items() if isinstance(value, kind)] for kind in (nir.Input, nir.Output)
        ]
        if [len(keys) for keys in doors] != [1, 1]:
            raise InputError(
                f"from_nir: the subgraph {full!r} has {len(doors[0])} inputs and {len(doors[1])} outputs; expected one "
                "of each"
            )
        entrances[name], exits[name] = (f"{full}/{keys[0]}" for keys in doors)
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
        edges.append((exits.get(source, f"{place}{source}"), entrances.get(target, f"{place}{target}")))
    return nodes, edges, relays


def _without_relays(name, heard, relays, seen):
    """What a node hears, looking through what only relays."""
    if name in seen:
        raise InputError(f"from_nir: the subgraph around {name!r} hears itself and holds no neurons")
    sources = []
    for source in heard[name]:
        sources += _without_relays(source, heard, relays, (*seen, name)) if source in relays else [source]
    return sources


def _find_feedback(nir, wiring):
    """Take recurrences out of what is heard: neurons that hear their own spikes through a matrix of their own."""
    hearers = {name: [] for name in wiring.nodes}
    for name, sources in wiring.heard.items():
        for source in sources:
            hearers[source].append(name)
    for name, node in wiring.nodes.items():
        if isinstance(node, (nir.LIF, nir.IF)):
            fires = name
        elif isinstance(node, (nir.LI, nir.I)):
            fires = next(
                (
                    other
                    for other in hearers[name]
                    if isinstance(wiring.nodes[other], nir.Threshold) and wiring.heard[other] == [name]
                ),
                None,
            )
            if fires is not None:
                wiring.thresholds[name] = fires
        else:
            continue
        wiring.feedback[name] = [
            source
            for source in wiring.heard[name]
            if isinstance(wiring.nodes[source], (nir.Linear, nir.Affine))
            and wiring.heard[source] == [fires]
            and hearers[source] == [name]
        ]
        wiring.heard[name] = [source for source in wiring.heard[name] if source not in wiring.feedback[name]]


def _put_in_order(wiring):
    waiting = [name for name in wiring.nodes if not any(name in names for names in wiring.feedback.values())]
    done = set()
    while waiting:
        ready = [name for name in waiting if done.issuperset(wiring.heard[name])]
        if not ready:
            raise InputError(
                f"from_nir: the nodes {', '.join(map(repr, waiting))} lie on a cycle, or behind one, that is no "
                "recurrence of ours; a layer may hear its own spikes through one nir.Linear or nir.Affine of its own"
            )
        wiring.order += ready
        done.update(ready)
        waiting = [name for name in waiting if name not in done]
