"""Graphs of other tools: NIR's equations with one Euler step per step, compared with a plain reader of NIR."""

import itertools

import keras
import numpy as np
import pytest

from bridges.nir_networks import draw_on_a_grid, network, paths, paths_on_a_grid
from kspike_reg.bridges.nir.files import from_nir, read_nir, to_nir
from kspike_reg.neurons import LIF, RLIF, LeakyIntegrator
from oracles import nir_loop
from oracles.backend import numpy_of, torch_arrays

nir = pytest.importorskip("nir", reason="the extra nir is not installed")

pytestmark = torch_arrays

DT = 1e-3
# Single precision over a dozen steps on numbers of order one.
ROUNDING = 2e-5


def numbers(seed, width, low, high):
    return np.random.default_rng(seed).uniform(low, high, width)


def leak(width, seed=0, v_leak=0.0):
    """tau from one to ten steps, so decays from 0 to 0.9, and gains r dt / tau other than one."""
    return {
        "tau": numbers(seed, width, 1.0, 10.0) * DT,
        "r": numbers(seed + 1, width, 2.0, 6.0),
        "v_leak": np.full(width, v_leak),
    }


def affine(seed, outputs, inputs):
    generator = np.random.default_rng(seed)
    return nir.Affine(weight=generator.normal(0, 1, (outputs, inputs)), bias=generator.normal(0.2, 0.2, outputs))


def chain(*middle, width=2):
    """Input, nodes one after the other, output."""
    nodes = {f"{type(node).__name__.lower()}{number}": node for number, node in enumerate(middle)}
    last = middle[-1].output_type
    nodes = {"in": nir.Input(np.array([width])), **nodes, "out": nir.Output(next(iter(last.values())))}
    return nir.NIRGraph(nodes, list(itertools.pairwise(nodes)))


def loop(neurons, back):
    """Neurons with a feedback of their own spikes, as snnTorch and the NIR paper write them."""
    width = np.array([len(neurons.r)])
    return nir.NIRGraph(
        {"in": nir.Input(width), "neurons": neurons, "back": back, "out": nir.Output(width)},
        [("in", "neurons"), ("neurons", "back"), ("back", "neurons"), ("neurons", "out")],
    )


def flat_loop():
    """The same without a subgraph, with the edges in another order and a matrix before and after."""
    neurons = nir.LIF(**leak(4), v_threshold=numbers(3, 4, 0.3, 0.9))
    nodes = {
        "out": nir.Output(np.array([3])),
        "back": nir.Linear(weight=np.random.default_rng(5).normal(0, 0.6, (4, 4))),
        "decoder": affine(6, 3, 4),
        "neurons": neurons,
        "encoder": affine(7, 4, 2),
        "in": nir.Input(np.array([2])),
    }
    edges = [("decoder", "out"), ("back", "neurons"), ("neurons", "back"), ("neurons", "decoder")]
    return nir.NIRGraph(nodes, [*edges, ("encoder", "neurons"), ("in", "encoder")])


def firing_integrators():
    """A leaky integrator before a threshold, with a feedback of its own: spikes without any other reset."""
    nodes = {
        "in": nir.Input(np.array([2])),
        "encoder": affine(1, 3, 2),
        "membrane": nir.LI(**leak(3)),
        "fires": nir.Threshold(threshold=numbers(2, 3, 0.3, 0.6)),
        "back": nir.Affine(weight=-np.eye(3) + 0.1, bias=np.array([0.1, 0.0, -0.1])),
        "out": nir.Output(np.array([3])),
    }
    names = ["in", "encoder", "membrane", "fires", "out"]
    return nir.NIRGraph(nodes, [*itertools.pairwise(names), ("fires", "back"), ("back", "membrane")])


def two_branches():
    """A sum of two branches, one of which is scaled; neurons without a matrix of their own."""
    nodes = {
        "in": nir.Input(np.array([2])),
        "scale": nir.Scale(scale=np.array([0.5, -2.0])),
        "mixed": nir.Linear(weight=np.array([[0.0, 1.0], [1.0, 0.0]])),
        "neurons": nir.LIF(**leak(2), v_threshold=np.array([0.4, 0.7])),
        "out": nir.Output(np.array([2])),
    }
    edges = [("in", "scale"), ("in", "mixed"), ("scale", "neurons"), ("mixed", "neurons"), ("neurons", "out")]
    return nir.NIRGraph(nodes, edges)


GRAPHS = {
    "LIF": lambda: chain(affine(1, 4, 2), nir.LIF(**leak(4), v_threshold=numbers(2, 4, 0.3, 0.9))),
    "LIF with v_leak": lambda: chain(affine(1, 4, 2), nir.LIF(**leak(4, 0, -0.3), v_threshold=numbers(2, 4, 0.3, 0.9))),
    "LIF alone": lambda: chain(nir.LIF(**leak(2), v_threshold=np.array([0.3, 0.5]))),
    "LIF after Linear": lambda: chain(
        nir.Linear(weight=np.array([[1.0, 0.5], [-1.0, 2.0], [0.3, 0.9]])),
        nir.LIF(**leak(3), v_threshold=np.array([0.3, 0.5, 0.7])),
    ),
    "IF": lambda: chain(affine(1, 3, 2), nir.IF(r=np.array([400.0, 900, 1300]), v_threshold=np.array([1.0, 2, 3]))),
    "LI and I": lambda: chain(
        affine(1, 4, 2), nir.LI(**leak(4, 0, 0.4)), affine(2, 3, 4), nir.I(r=numbers(4, 3, 300, 900))
    ),
    "RLIF": lambda: chain(
        affine(1, 4, 2),
        loop(nir.LIF(**leak(4), v_threshold=numbers(2, 4, 0.3, 0.9)), affine(5, 4, 4)),
        affine(3, 2, 4),
    ),
    "recurrent IF": lambda: chain(
        affine(1, 3, 2),
        loop(
            nir.IF(r=np.array([400.0, 900, 1300]), v_threshold=np.array([1.0, 2, 3])),
            nir.Linear(weight=np.array([[-0.5, 0.7, 0.1], [0.2, -0.9, 0.3], [0.4, 0.6, -0.8]])),
        ),
    ),
    "nested": lambda: chain(
        chain(affine(1, 3, 2), chain(nir.LIF(**leak(3), v_threshold=numbers(2, 3, 0.3, 0.9)), width=3))
    ),
    "flat loop": flat_loop,
    "firing integrators": firing_integrators,
    "two branches": two_branches,
}  # fmt: skip


@pytest.mark.parametrize("name", GRAPHS)
def test_a_graph_without_our_metadata_follows_the_equations_of_nir(tmp_path, name):
    nir.write(tmp_path / "graph.nir", GRAPHS[name]())
    inputs = paths(time=11)
    model = read_nir(tmp_path / "graph.nir", dt=DT)
    expected = nir_loop.run(GRAPHS[name](), {"in": inputs}, DT)["out"]
    assert np.std(expected) > 0
    np.testing.assert_allclose(numpy_of(model(inputs)), expected, atol=ROUNDING * max(1, np.abs(expected).max()))


KINDS_READ = {
    "LIF": LIF,
    "RLIF": RLIF,
    "flat loop": RLIF,
    "recurrent IF": RLIF,
    "firing integrators": RLIF,
    "IF": LIF,
}


@pytest.mark.parametrize("name", KINDS_READ)
def test_neurons_become_our_layers(name):
    layers = from_nir(GRAPHS[name](), dt=DT).layers
    (neurons,) = (layer for layer in layers if hasattr(layer, "cell"))
    assert type(neurons) is KINDS_READ[name]
    assert neurons.cell.reset == ("none" if name == "firing integrators" else "zero")
    assert neurons.return_sequences


def test_integrators_become_leaky_integrators():
    model = from_nir(GRAPHS["LI and I"](), dt=DT)
    assert [type(layer) for layer in model.layers[1:]] == [LeakyIntegrator, LeakyIntegrator]
    np.testing.assert_array_equal(numpy_of(model.layers[2].cell.decay), [1, 1, 1])


def test_spikes_lie_above_the_threshold_as_nir_has_it():
    """A membrane of 0.5 does not pass a threshold of 0.5; the next number does."""
    neurons = nir.LIF(tau=np.array([DT]), r=np.array([1.0]), v_leak=np.zeros(1), v_threshold=np.array([0.5]))
    model = from_nir(chain(neurons, width=1), dt=DT)
    inputs = np.array([0.5, np.nextafter(np.float32(0.5), np.float32(1))], "float32").reshape(1, 2, 1)
    np.testing.assert_array_equal(numpy_of(model(inputs))[0, :, 0], [0, 1])


def test_the_step_is_the_graphs_own_or_the_callers_or_that_of_snntorch():
    def decay(metadata, dt=None):
        graph = chain(nir.LIF(tau=np.array([4e-3]), r=np.ones(1), v_leak=np.zeros(1), v_threshold=np.ones(1)), width=1)
        graph.metadata = metadata
        return float(numpy_of(from_nir(graph, dt=dt).layers[-1].cell.decay)[0])

    assert decay({}) == np.float32(1 - 1e-4 / 4e-3)
    assert decay({}, dt=1e-3) == 0.75
    assert decay({"dt": 2e-3}) == 0.5
    assert decay({"dt": 2e-3}, dt=1e-3) == 0.75


@pytest.mark.parametrize("recurrence", ["dense", "one_to_one"])
def test_the_exact_form_needs_no_metadata(recurrence):
    """Without them the reset by subtraction is read as a feedback. The grid makes all sums exact."""
    model = network(RLIF, draw_on_a_grid, recurrence=recurrence, output="membrane")
    graph = to_nir(model, form="exact")
    graph.metadata = {"dt": graph.metadata["dt"]}
    stripped(graph)
    back = from_nir(graph)
    assert back.layers[1].cell.reset == "none"
    assert back.layers[2].cell.output == "membrane"
    expected = numpy_of(model(paths_on_a_grid()))
    assert np.std(expected) > 0
    np.testing.assert_allclose(numpy_of(back(paths_on_a_grid())), expected, atol=1e-6)


def stripped(graph):
    for node in graph.nodes.values():
        if isinstance(node, nir.NIRGraph):
            stripped(node)
        else:
            node.metadata = {}


def test_without_metadata_a_reset_by_subtraction_is_lost_and_the_metadata_say_so():
    """Other readers run another network from the trained form, as docs/nir.md says."""
    model = network(LIF)
    graph = to_nir(model)
    assert "subtracting" in graph.metadata["unsaid"]
    graph.metadata = {}
    stripped(graph)
    back = from_nir(graph)
    assert back.layers[1].cell.reset == "zero"
    assert not np.array_equal(numpy_of(back(paths())), numpy_of(model(paths())))


class Tensor:
    """Another tool's array; Norse, for example, puts PyTorch's tensors into its graphs."""

    def __init__(self, values):
        self.values, self.shape = np.asarray(values), np.shape(values)

    def __array__(self, dtype=None, copy=None):
        return np.array(self.values, dtype)


def test_arrays_of_other_tools_are_read_and_not_changed():
    graph, same = GRAPHS["LIF"](), GRAPHS["LIF"]()
    weight = graph.nodes["affine0"].weight = Tensor(graph.nodes["affine0"].weight)
    np.testing.assert_array_equal(numpy_of(from_nir(graph, dt=DT)(paths())), numpy_of(from_nir(same, dt=DT)(paths())))
    assert graph.nodes["affine0"].weight is weight


def test_names_of_nodes_become_names_of_layers():
    names = [layer.name for layer in from_nir(GRAPHS["RLIF"](), dt=DT).layers]
    assert names == ["in", "nirgraph1", "affine2"]
    assert isinstance(from_nir(GRAPHS["two branches"](), dt=DT).layers[3], keras.layers.Add)
