"""NIR files made to read other files, to run code, to exhaust memory or never to end, and every node type of NIR."""

import json
import math
import time

import keras
import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

from bridges.nir_networks import network
from kspike_reg import InputError
from kspike_reg.bridges.nir.files import from_nir, read_nir, to_nir, write_nir
from kspike_reg.neurons import LIF

nir = pytest.importorskip("nir", reason="the extra nir is not installed")
h5py = pytest.importorskip("h5py", reason="a dependency of nir")

WEIGHT = "node/nodes/first_input/weight"


@pytest.fixture
def file(tmp_path):
    """A sound NIR file."""
    write_nir(network(LIF), tmp_path / "model.nir")
    read_nir(tmp_path / "model.nir")
    return tmp_path / "model.nir"


def replaced(opened, make):
    """Put another array in the place of a weight, of the same shape and dtype."""
    shape, dtype = opened[WEIGHT].shape, opened[WEIGHT].dtype
    del opened[WEIGHT]
    make(shape, dtype)


def external_storage(opened, folder):
    """The numbers are the bytes of a file of the user."""
    (folder / "secret").write_bytes(bytes(range(48)))
    replaced(
        opened, lambda shape, dtype: opened.create_dataset(WEIGHT, shape, dtype, external=[(folder / "secret", 0, 48)])
    )


def external_link(opened, folder):
    with h5py.File(folder / "other.h5", "w") as other:
        other["secret"] = np.zeros((5, 2), "float32")
    replaced(opened, lambda *_: opened.__setitem__(WEIGHT, h5py.ExternalLink("other.h5", "/secret")))


def external_group(opened, folder):
    opened["node/nodes/more"] = h5py.ExternalLink("model.nir", "/node")


def virtual(opened, folder):
    with h5py.File(folder / "other.h5", "w") as other:
        other["secret"] = np.zeros((5, 2), "float32")

    def make(shape, dtype):
        layout = h5py.VirtualLayout(shape, dtype)
        layout[:] = h5py.VirtualSource(folder / "other.h5", "secret", shape=shape)
        opened.create_virtual_dataset(WEIGHT, layout)

    replaced(opened, make)


def soft_link(opened, folder):
    replaced(opened, lambda *_: opened.__setitem__(WEIGHT, h5py.SoftLink("/node/nodes/second_input/weight")))


def soft_cycle(opened, folder):
    opened["node/nodes/first/loop"] = h5py.SoftLink("/node")


def inside_itself(opened, folder):
    opened["node/nodes/again"] = opened["node"]


def root_inside(opened, folder):
    opened["node/nodes/again"] = opened["/"]


def doubled(opened, folder):
    """Thirty groups, each of which holds the next one twice: a billion ways through the file."""
    group = opened["node/metadata"]
    for _ in range(30):
        inner = group.create_group("a")
        group["b"] = inner
        group = inner


def deep(opened, folder):
    opened.create_group("node/metadata/" + "/".join("a" * 5000))


def never_written(opened, folder):
    """Chunks that were never stored: a terabyte of fill values from a file of a few kilobytes."""
    replaced(opened, lambda shape, dtype: opened.create_dataset(WEIGHT, (2**20, 2**18), "f4", chunks=(2**10, 2**8)))


def one_chunk(opened, folder):
    replaced(opened, lambda shape, dtype: opened.create_dataset(WEIGHT, (2**20, 2**18), "f4", chunks=(2**10, 2**8)))
    opened[WEIGHT][0, 0] = 1


def contiguous(opened, folder):
    replaced(opened, lambda shape, dtype: opened.create_dataset(WEIGHT, (2**20, 2**18), "f4"))


def references(opened, folder):
    replaced(opened, lambda shape, dtype: opened.create_dataset(WEIGHT, data=opened["node"].ref, dtype=h5py.ref_dtype))


def objects(opened, folder):
    """Arrays of arrays, which h5py reads as Python objects."""
    replaced(opened, lambda shape, dtype: opened.create_dataset(WEIGHT, shape, h5py.vlen_dtype("f4")))


def records(opened, folder):
    replaced(opened, lambda shape, dtype: opened.create_dataset(WEIGHT, data=np.zeros(shape, [("a", "f4")])))


def a_type(opened, folder):
    opened["node/nodes/kind"] = np.dtype("f8")


CRAFTED = {
    external_storage: "lies in another file",
    external_link: "is a link to another place or file",
    external_group: "is a link to another place or file",
    virtual: "lies in another file",
    soft_link: "is a link to another place or file",
    soft_cycle: "is a link to another place or file",
    inside_itself: "a second name of another object",
    root_inside: "a second name of another object",
    doubled: "a second name of another object",
    deep: "nested more than 64 deep",
    never_written: r"claims the shape \(1048576, 262144\), 1.1 TB, and holds 0 bytes",
    one_chunk: r"claims the shape \(1048576, 262144\), 1.1 TB, and holds 1.05 MB",
    contiguous: "claims the shape .* and holds 0 bytes",
    references: "expected numbers or text",
    objects: "expected numbers or text",
    records: "expected numbers or text",
    a_type: "neither a group nor an array",
}


@pytest.mark.attack("Security", "NIR files that use more of HDF5 than NIR does")
@pytest.mark.parametrize("craft", CRAFTED, ids=lambda craft: craft.__name__)
def test_crafted_files_are_refused_at_once(file, craft):
    with h5py.File(file, "a") as opened:
        craft(opened, file.parent)
    start = time.perf_counter()
    with pytest.raises(InputError, match=rf"model\.nir: .*{CRAFTED[craft]}"):
        read_nir(file)
    assert time.perf_counter() - start < 5  # a second at most; without the check, no end, or a killed process


@pytest.mark.attack("Security", "NIR files that ask for more memory than there is")
def test_more_than_the_memory_is_refused_before_it_is_asked_for(file, monkeypatch):
    """Arrays that a file holds, when there is little memory; matrices that NIR writes as their diagonals."""
    size = 500_000_000
    monkeypatch.setattr("kspike_reg.archives.memory", lambda: 1000)
    with pytest.raises(InputError, match=r"model\.nir: the network needs .* there are 1 kB"):
        read_nir(file)
    monkeypatch.setattr("kspike_reg.archives.memory", lambda: 10 * size)
    wide = np.broadcast_to(np.float32(1), 2_000_000)
    ends = {"in": nir.Input(np.array(wide.shape)), "out": nir.Output(np.array(wide.shape))}
    lif = nir.LIF(tau=wide, r=wide, v_leak=0 * wide, v_threshold=wide)
    for node in (nir.Scale(scale=wide), lif):
        with pytest.raises(InputError, match=r"the node 'wide', as a matrix, needs .* TB of memory"):
            from_nir(nir.NIRGraph({**ends, "wide": node}, [("in", "wide"), ("wide", "out")]))


@pytest.mark.attack("Security", "graphs that are their own subgraphs")
def test_a_graph_inside_itself_is_refused():
    graph = to_nir(network(LIF))
    graph.nodes["again"] = graph
    with pytest.raises(InputError, match="the subgraph 'again' is inside itself"):
        from_nir(graph)


CODE = {"class_name": "__lambda__", "config": {"value": "4wEAAAAAAAAA"}}
FUNCTION = {"module": "os", "class_name": "function", "config": "system", "registered_name": "function"}
CLASS = {"module": "subprocess", "class_name": "Popen", "config": {"args": ["touch", "owned"]}}


@pytest.mark.attack("Security", "code in the metadata of NIR files")
@pytest.mark.parametrize("option", ["kernel_initializer", "kernel_constraint", "activation", "dtype"])
@pytest.mark.parametrize("object_", [CODE, FUNCTION, CLASS], ids=["lambda", "function", "class"])
def test_metadata_run_no_code(file, monkeypatch, option, object_):
    monkeypatch.chdir(file.parent)
    described = json.dumps({"class": "Dense", "config": {"name": "dense", "units": 3, option: object_}})
    weight = np.arange(6.0).reshape(3, 2)
    ends = {"in": nir.Input(np.array([2])), "out": nir.Output(np.array([3]))}
    node = nir.Linear(weight=weight, metadata={"kspike_reg": {"layer": described}})
    nir.write(file, nir.NIRGraph({**ends, "n": node}, [("in", "n"), ("n", "out")]))
    with pytest.raises(InputError, match="the kspike_reg metadata of 'n'"):
        read_nir(file)
    assert {found.name for found in file.parent.iterdir()} == {"model.nir"}


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.floats()
    | st.sampled_from(["LIF", "Dense", "", "/", "a"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["class", "config", "name", "units", "dtype", "batch_shape"]), inner, max_size=3
        )
    ),
    max_leaves=6,
)
ARRAYS = st.sampled_from(
    [
        np.ones(5),
        np.ones(3),
        np.full(5, np.nan),
        np.ones((5, 1)),
        np.array(1.0),
        np.array(["a"] * 5),
        np.arange(5),
        "[",
        1,
    ]
)


@pytest.mark.attack("Security", "metadata of NIR files drawn at random")
def test_damaged_metadata_are_refused_or_ignored(record_property):
    """Whatever stands in one place of the metadata, the answer is a model or an InputError."""

    @given(data=st.data())
    def check(data):
        graph = DRAWN
        name = data.draw(st.sampled_from([None, *graph.nodes]))
        node = graph if name is None else graph.nodes[name]
        kept = node.metadata
        key = data.draw(st.sampled_from(["model", "layer", "decay", "unit", "threshold"]))
        value = data.draw(ARRAYS if key in ("decay", "unit", "threshold") else JSON)
        if key in kept.get("kspike_reg", {}) and data.draw(st.booleans()):  # one value inside
            whole = json.loads(kept["kspike_reg"][key]) if isinstance(kept["kspike_reg"][key], str) else {}
            inside = whole.get("config", whole)
            if inside:
                inside[data.draw(st.sampled_from(sorted(inside)))] = (
                    value if not isinstance(value, np.ndarray) else None
                )
                value = whole
        packed = value if isinstance(value, np.ndarray) else json.dumps(value)
        node.metadata = {**kept, "kspike_reg": {**kept.get("kspike_reg", {}), key: packed}}
        try:
            assert isinstance(from_nir(graph), keras.Model)
        except InputError:
            pass
        finally:
            node.metadata = kept

    check()
    record_property("times", settings.default.max_examples)


def test_deeply_nested_metadata_are_refused():
    graph = to_nir(network(LIF))
    graph.metadata["kspike_reg"]["model"] = "[" * 100_000
    with pytest.raises(InputError, match="metadata of the graph are damaged"):
        from_nir(graph)


DRAWN = to_nir(network(LIF))
ONES = np.ones(4)
NEURONS = {"tau": 4e-4 * ONES, "r": ONES, "v_leak": 0 * ONES}
CUBA = {"tau_syn": ONES, "tau_mem": ONES, "r": ONES, "v_leak": 0 * ONES}
CONVOLUTION = {"stride": 1, "padding": 0, "dilation": 1, "groups": 1, "bias": np.ones(2)}
POOL = {"kernel_size": np.array([2, 2]), "stride": np.array([2, 2]), "padding": np.array([0, 0])}

# Every node of NIR by a function that makes one on four features: what our layers express, and what they do not.
OURS = {
    "Affine": lambda: nir.Affine(weight=np.eye(4), bias=ONES),
    "Linear": lambda: nir.Linear(weight=np.eye(4)),
    "Scale": lambda: nir.Scale(scale=3 * ONES),
    "LIF": lambda: nir.LIF(**NEURONS, v_threshold=ONES),
    "LI": lambda: nir.LI(**NEURONS),
    "IF": lambda: nir.IF(r=ONES, v_threshold=ONES),
    "I": lambda: nir.I(r=ONES),
}
OTHERS = {
    "CubaLI": lambda: nir.CubaLI(**CUBA),
    "CubaLIF": lambda: nir.CubaLIF(**CUBA, v_threshold=ONES),
    "Conv1d": lambda: nir.Conv1d(input_shape=None, weight=np.ones((2, 1, 3)), **CONVOLUTION),
    "Conv2d": lambda: nir.Conv2d(input_shape=None, weight=np.ones((2, 1, 3, 3)), **CONVOLUTION),
    "SumPool2d": lambda: nir.SumPool2d(**POOL),
    "AvgPool2d": lambda: nir.AvgPool2d(**POOL),
    "Flatten": lambda: nir.Flatten(input_type={"input": None}, start_dim=0),
    "Delay": lambda: nir.Delay(delay=ONES),
}


def test_every_node_type_of_nir_is_in_a_table():
    """Input, Output and NIRGraph are in every graph; test_nir_import has Threshold."""
    types = {name for name, kind in vars(nir.ir).items() if isinstance(kind, type) and issubclass(kind, nir.ir.NIRNode)}
    assert types - {"NIRNode"} == {*OURS, *OTHERS, "Input", "Output", "NIRGraph", "Threshold"}


def around(node, place, shape=(4,)):
    """A graph of one node, alone or in a subgraph or in a cycle, and the node's name."""

    def ends(first, last):
        return {first: nir.Input(np.array(shape)), last: nir.Output(np.array(shape))}

    name = "odd"
    if place == "subgraph":
        inner = ends("input", "output") | {"odd": node}
        node, name = nir.NIRGraph(inner, [("input", "odd"), ("odd", "output")], type_check=False), "odd/odd"
    edges = [("in", "odd"), ("odd", "out")] + [("odd", "odd")] * (place == "cycle")
    return nir.NIRGraph(ends("in", "out") | {"odd": node}, edges, type_check=False), name


@pytest.mark.attack("Peers' suites", "node types of NIR that our layers express")
@pytest.mark.parametrize("place", ["alone", "subgraph"])
@pytest.mark.parametrize("kind", OURS)
def test_node_types_that_our_layers_express_are_read(kind, place):
    assert from_nir(around(OURS[kind](), place)[0]).output_shape == (None, None, 4)


@pytest.mark.attack("Peers' suites", "node types of NIR that our layers do not express")
@pytest.mark.parametrize("shape", [(4,), (2, 7, 7)], ids=["features", "image"])
@pytest.mark.parametrize("place", ["alone", "subgraph", "cycle", "file"])
@pytest.mark.parametrize("kind", OTHERS)
def test_other_node_types_are_refused_by_name_whatever_else_is_wrong(tmp_path, kind, place, shape):
    node = OTHERS[kind]()
    graph, name = around(node, place, shape)
    if place == "file":
        if kind in ("Conv1d", "Conv2d"):  # nir cannot write what has no shape yet
            node.input_shape = math.prod(shape) if kind == "Conv1d" else (7, 7)
        if kind == "Flatten":
            node.input_type = {"input": np.array(shape)}
        nir.write(tmp_path / "model.nir", graph)
    with pytest.raises(InputError, match=f"from_nir: cannot express the node '{name}' of type {kind}: it"):
        read_nir(tmp_path / "model.nir") if place == "file" else from_nir(graph)
