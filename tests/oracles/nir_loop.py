"""A plain reader of NIR graphs: the primitives as their documentation defines them, with one Euler step per step.

It is independent of the package under test and of metadata: it reads nodes and edges alone.
"""

import numpy as np


def run(graph, inputs, dt, dtype=np.float64):
    """Run a graph over whole paths.

    Args:
        graph: a nir.NIRGraph; nodes receive the sum of the edges into them, and an edge that closes a cycle carries
            the value of the last step, zero at first.
        inputs: by the name of the input, shape (batch, time, features).
        dt: seconds of a step.
        dtype: the precision of all numbers.

    Returns:
        By the name of every node, those of subgraphs as "subgraph/node", shape (batch, time, width).
    """
    nodes, edges = unfold(graph)
    inputs_of = {name: [source for source, target in edges if target == name] for name in nodes}
    order = order_of(inputs_of, nodes)
    batch, time, _ = next(iter(inputs.values())).shape
    state, last, traces = {}, {}, {name: [] for name in nodes}
    for step in range(time):
        values = {name: paths[:, step].astype(dtype) for name, paths in inputs.items()}
        for name in order:
            if name not in inputs:
                sources = [values[source] if source in values else last.get(source, 0.0) for source in inputs_of[name]]
                values[name] = advance(nodes[name], sum(sources), state, name, dt, dtype)
        for name in nodes:
            traces[name].append(np.broadcast_to(values[name], (batch, np.shape(values[name])[-1])))
        last = values
    return {name: np.stack(trace, axis=1) for name, trace in traces.items()}


def advance(node, current, state, name, dt, dtype):
    """The output of one node in one step."""
    kind = type(node).__name__
    number = {key: value.astype(dtype) for key, value in vars(node).items() if isinstance(value, np.ndarray)}
    if kind in ("Input", "Output"):
        return current
    if kind in ("Affine", "Linear"):
        return current @ number["weight"].T + number.get("bias", 0)
    if kind == "Scale":
        return current * number["scale"]
    if kind == "Threshold":
        return (current > number["threshold"]).astype(dtype)
    v = state.get(name, np.zeros_like(number["r"]))
    if kind in ("LI", "LIF"):  # tau dv/dt = v_leak - v + r I
        v = v + dt / number["tau"] * (number["v_leak"] - v + number["r"] * current)
    elif kind in ("I", "IF"):  # dv/dt = r I
        v = v + dt * number["r"] * current
    else:
        raise NotImplementedError(kind)
    if kind in ("LI", "I"):
        state[name] = v
        return v
    fired = v > number["v_threshold"]
    state[name] = np.where(fired, number["v_reset"], v)
    return fired.astype(dtype)


def unfold(graph, place=""):
    nodes, edges = {}, []
    ends = {}
    for name, node in graph.nodes.items():
        if type(node).__name__ != "NIRGraph":
            nodes[place + name] = node
            ends[name] = (place + name, place + name)
            continue
        inner, inner_edges = unfold(node, f"{place}{name}/")
        nodes |= inner
        edges += inner_edges
        by_type = {type(each).__name__: f"{place}{name}/{key}" for key, each in node.nodes.items()}
        ends[name] = (by_type["Input"], by_type["Output"])
    return nodes, edges + [(ends[source][1], ends[target][0]) for source, target in graph.edges]


def order_of(inputs_of, nodes):
    """Each node after its inputs; in a cycle neurons come first and receive the values of the last step."""
    order, waiting = [], list(nodes)
    while waiting:
        ready = [name for name in waiting if set(inputs_of[name]) <= set(order)]
        if not ready:
            ready = [
                name
                for name in waiting
                if type(nodes[name]).__name__ in ("LIF", "IF", "LI", "I")
                and any(source in order for source in inputs_of[name])
            ][:1]
        order += ready
        waiting = [name for name in waiting if name not in ready]
    return order
