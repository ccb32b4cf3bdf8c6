"""Errors: models to export, graphs and files to read, options, and the package nir itself."""

import itertools
import sys

import keras
import numpy as np
import pytest

from bridges.nir_networks import network
from kspike_reg import InputError, build
from kspike_reg.bridges.nir.files import from_nir, read_nir, to_nir, write_nir
from kspike_reg.neurons import LIF, SLSTM, LIFCell


@pytest.fixture
def nir():
    return pytest.importorskip("nir", reason="the extra nir is not installed")


def refuses(*fragments):
    """A context that must raise an InputError with all of these fragments."""
    pattern = "(?s)" + "".join(f"(?=.*{fragment})" for fragment in fragments)
    return pytest.raises(InputError, match=pattern)


@pytest.mark.parametrize("call", [to_nir, from_nir, read_nir, lambda model: write_nir(model, "model.nir")])
def test_the_missing_package_is_named_with_its_extra(monkeypatch, call):
    monkeypatch.setitem(sys.modules, "nir", None)  # import then raises as if it were not installed
    with refuses(r"needs the package 'nir'", r"pip install 'kspike_reg\[nir\]'"):
        call(None)


def sequential(*layers, features=2):
    return keras.Sequential([keras.Input((None, features)), *layers])


def stateful():
    return keras.Sequential([keras.Input(batch_shape=(2, None, 2)), LIF(3, return_sequences=True, stateful=True)])


def with_state():
    start = keras.Input((None, 2))
    return keras.Model(start, LIF(3, return_state=True)(start))


def from_a_state():
    start, state = keras.Input((None, 2)), keras.Input((3,))
    return keras.Model([start, state], LIF(3)(start, initial_state=[state, state]))


def joined_in_time():
    start = keras.Input((5, 2))
    return keras.Model(start, keras.layers.Concatenate(axis=1)([start, start]))


def stretched():
    start = keras.Input((None, 2))
    return keras.Model(start, keras.layers.Add()([start, keras.layers.Dense(1)(start)]))


def broken(weight, value):
    model = network(LIF)
    variable = getattr(model.get_layer("second").cell, weight)
    variable.assign(np.full(variable.shape, value, "float32"))
    return model


class Own(keras.Model):
    def call(self, inputs):
        return inputs


class Subclass(LIF):
    pass


MODELS = {
    "slstm": (lambda: build("slstm", units=3, population=2), "'slstm_1' of type SLSTM", "multiplies two signals"),
    "nested slstm": (
        lambda: sequential(keras.Sequential([keras.Input((None, 2)), SLSTM(3, name="deep")], name="inner")),
        "'inner/deep' of type SLSTM",
    ),
    "lstm": (lambda: build("lstm", units=3, population=2), "'lstm_1' of type LSTM", "no primitive", "one of LIF"),
    "activation": (lambda: sequential(keras.layers.Dense(3, activation="relu", name="hidden")), "'hidden'", "'relu'"),
    "a subclass of ours": (lambda: sequential(Subclass(3)), "of type Subclass"),
    "a bare cell": (lambda: sequential(keras.layers.RNN(LIFCell(3))), "of type RNN"),
    "a mask": (lambda: sequential(keras.layers.Masking(), LIF(3)), "no primitive"),
    "backwards": (lambda: sequential(LIF(3, go_backwards=True)), "go_backwards=True"),
    "stateful": (stateful, "stateful=True"),
    "with state": (with_state, "return_state=True"),
    "from a state": (from_a_state, "expected inputs of shape"),
    "joined in time": (joined_in_time, "axis=-1"),
    "stretched": (stretched, "same width"),
    "flat": (lambda: keras.Sequential([keras.Input((2,)), keras.layers.Dense(3)]), "(batch, time, features)"),
    "unbuilt": (lambda: keras.Sequential([LIF(3)]), "to_nir", "built"),
    "its own call": (Own, "to_nir", "Own"),
    "no model": (lambda: np.ones(3), "to_nir", "ndarray"),
    "nan": (lambda: broken("kernel", np.nan), "'second", "NaN"),
    "infinite threshold": (lambda: broken("threshold", np.inf), "'second'", "NaN or infinity"),
    "threshold below zero": (lambda: broken("threshold", -1.0), "'second'", "thresholds > 0"),
    "decay above one": (lambda: broken("decay", 1.5), "'second'", "expected 0 to 1"),
}  # fmt: skip


@pytest.mark.parametrize("name", MODELS)
def test_models_that_nir_cannot_express_are_refused(nir, tmp_path, name):
    make, *fragments = MODELS[name]
    with refuses(*[fragment.replace("(", r"\(").replace(")", r"\)") for fragment in fragments]):
        write_nir(make(), tmp_path / "model.nir")
    assert not list(tmp_path.iterdir())


def test_a_zero_reset_has_no_membrane_in_the_exact_form(nir):
    with refuses("'second'", "reset to zero", "another form"):
        to_nir(network(LIF, reset="zero", output="membrane"), form="exact")


@pytest.mark.parametrize("dt", [0, -1e-3, np.nan, np.inf, "1e-4", True, None])
def test_a_step_is_a_time(nir, dt):
    with refuses("dt", "received"):
        to_nir(network(LIF), dt=dt)
    if dt is not None:  # None takes the graph's own
        with refuses("dt", "received"):
            from_nir(to_nir(network(LIF)), dt=dt)


def test_unknown_forms_are_refused(nir):
    with refuses("unknown form 'loihi'", "'trained', 'exact', 'unit_threshold', 'unit_resistance'"):
        to_nir(network(LIF), form="loihi")


def lif(nir, width=3, **changed):
    numbers = {"tau": 4e-4, "r": 4.0, "v_leak": 0.0, "v_threshold": 1.0, "v_reset": 0.0} | changed
    return nir.LIF(**{name: np.full(width, value) for name, value in numbers.items()})


def chained(nir, *middle, width=3, edges=(), check=True):
    nodes = {"in": nir.Input(np.array([width]))} | {f"n{number}": node for number, node in enumerate(middle)}
    nodes["out"] = nir.Output(np.array([width]))
    names = list(nodes)
    return nir.NIRGraph(nodes, [*itertools.pairwise(names), *edges], type_check=check)


def cuba(nir):
    ones = np.ones(3)
    return nir.CubaLIF(tau_syn=ones, tau_mem=ones, r=ones, v_leak=ones, v_threshold=ones)


def eye(nir, width=3):
    return nir.Linear(weight=np.eye(width))


def without(graph, name):
    del graph.nodes[name]
    return graph


def without_input(nir):
    graph = chained(nir, lif(nir), check=False)
    graph.edges.remove(("in", "n0"))
    return graph


def both_used(nir):
    integrators = nir.LI(tau=np.full(3, 1e-3), r=np.ones(3), v_leak=np.zeros(3))
    return chained(nir, integrators, nir.Threshold(threshold=np.ones(3)), eye(nir), edges=[("n0", "n2")])


def damaged(nir, **changed):
    graph = to_nir(network(LIF))
    graph.nodes["first"].metadata["kspike_reg"].update(changed)
    return graph


def feedback_against_metadata(nir):
    graph = to_nir(network(LIF))
    graph.nodes["back"] = nir.Linear(weight=np.eye(5))
    graph.edges += [("first", "back"), ("back", "first")]
    return graph


def reset_against_metadata(nir):
    graph = to_nir(network(LIF), form="exact")
    graph.nodes["first"].nodes["reset"].weight *= 2
    return graph


GRAPHS = {
    "no graph": (lambda nir: lif(nir), "expected a nir.NIRGraph", "LIF"),
    "a node that is not there": (lambda nir: without(chained(nir, lif(nir), eye(nir)), "n0"), "names 'n0'", "no node"),
    "another width": (lambda nir: chained(nir, eye(nir), lif(nir, 4), check=False), "not sound", "n1"),
    "nan": (lambda nir: chained(nir, lif(nir, r=np.nan)), "'n0'", "NaN or infinity in r"),
    "infinite": (lambda nir: chained(nir, nir.Linear(weight=np.full((3, 3), np.inf))), "infinity in weight"),
    "no input": (
        lambda nir: nir.NIRGraph({"n": eye(nir), "out": nir.Output(np.array([3]))}, [("n", "out")], type_check=False),
        "has no input",
    ),
    "no output": (
        lambda nir: nir.NIRGraph({"in": nir.Input(np.array([3])), "n": eye(nir)}, [("in", "n")], type_check=False),
        "0 nir.Output",
    ),
    "empty": (lambda nir: nir.NIRGraph({}, [], type_check=False), "0 nir.Input and 0 nir.Output"),
    "neurons without input": (without_input, "'n0' has no input"),
    "a cycle of matrices": (lambda nir: chained(nir, eye(nir), eye(nir), edges=[("n1", "n0")]), "'n0', 'n1'", "cycle"),
    "a cycle over two layers": (lambda nir: chained(nir, lif(nir), lif(nir), edges=[("n1", "n0")]), "cycle"),
    "a cycle without a matrix": (lambda nir: chained(nir, lif(nir), eye(nir), edges=[("n0", "n0")]), "cycle"),
    "integrators that feed back without a threshold": (
        lambda nir: chained(nir, nir.I(r=np.ones(3)), eye(nir), edges=[("n1", "n0")]), "cycle"
    ),
    "cuba": (lambda nir: chained(nir, cuba(nir)), "'n0' of type CubaLIF", "one of Input"),
    "flatten": (lambda nir: chained(nir, nir.Flatten({"input": np.array([3])}, 0, -1)), "of type Flatten"),
    "a lone threshold": (lambda nir: chained(nir, nir.Threshold(threshold=np.ones(3))), "Threshold", "follows LI"),
    "a threshold behind a sum": (
        lambda nir: chained(nir, nir.I(r=np.ones(3)), nir.Threshold(threshold=np.ones(3)), edges=[("in", "n1")]),
        "'n1' of type Threshold",
    ),
    "a bias of another width": (
        lambda nir: chained(nir, nir.Affine(weight=np.eye(3), bias=np.ones(2))), "'n0'", "bias of shape (2,)"
    ),
    "no numbers": (lambda nir: chained(nir, nir.Linear(weight=np.full((3, 3), "1"))), "no real numbers in weight"),
    "both used": (both_used, "'n0'", "'n1'", "one of them"),
    "reset to another value": (lambda nir: chained(nir, lif(nir, v_reset=0.3)), "'n0'", "v_reset=0.3"),
    "threshold of zero": (lambda nir: chained(nir, lif(nir, v_threshold=0.0)), "'n0'", "thresholds > 0"),
    "tau of zero": (lambda nir: chained(nir, lif(nir, tau=0.0)), "'n0'", "time constants > 0"),
    "tau below the step": (lambda nir: chained(nir, lif(nir, tau=5e-5)), "5e-05 s", "smaller dt"),
    "two axes": (
        lambda nir: nir.NIRGraph(
            {"in": nir.Input(np.array([2, 3])), "out": nir.Output(np.array([2, 3]))}, [("in", "out")]
        ),
        "one axis", "received shape",
    ),
    "several inputs of a subgraph": (
        lambda nir: chained(
            nir,
            nir.NIRGraph(
                {"a": nir.Input(np.array([3])), "b": nir.Input(np.array([3])), "o": nir.Output(np.array([3]))},
                [("a", "o"), ("b", "o")],
            ),
            check=False,
        ),
        "subgraph 'n0' has 2 inputs and 1 outputs",
    ),
    "metadata that are not JSON": (lambda nir: damaged(nir, layer="{"), "'first' are damaged", "remove them"),
    "metadata that are a list": (lambda nir: damaged(nir, layer="[1]"), "'first' are damaged"),
    "metadata with unknown options": (
        lambda nir: damaged(nir, layer='{"class": "LIF", "config": {"units": 5, "dilation": 2}}'),
        "'first' describe no layer", "dilation",
    ),
    "metadata of another class": (
        lambda nir: damaged(nir, layer='{"class": "RLIF", "config": {}}'),
        "metadata of 'first' describe a layer of class RLIF", "edges one of class LIF",
    ),
    "a feedback against the metadata": (
        feedback_against_metadata, "metadata of 'first' describe a layer of class LIF", "edges one of class RLIF"
    ),
    "a reset against the metadata": (reset_against_metadata, "no feedback subtracts its threshold"),
}  # fmt: skip


@pytest.mark.parametrize("name", GRAPHS)
def test_graphs_that_are_not_sound_or_not_ours_are_refused(nir, name):
    make, *fragments = GRAPHS[name]
    with refuses(*[fragment.replace("(", r"\(").replace(")", r"\)") for fragment in fragments]):
        from_nir(make(nir))


@pytest.mark.parametrize(
    ("content", "fragments"),
    [
        (None, ["there is no such file"]),
        (b"", ["cannot be read as a NIR file"]),
        (b"PK no HDF5 at all", ["cannot be read as a NIR file", "OSError"]),
    ],
)
def test_files_that_are_no_nir_files_are_refused(nir, tmp_path, content, fragments):
    file = tmp_path / "some.nir"
    if content is not None:
        file.write_bytes(content)
    with refuses(r"some\.nir", *fragments):
        read_nir(file)
    with refuses("there is no such file"):
        read_nir(tmp_path)


def test_hdf5_files_of_others_and_files_cut_short_are_refused(nir, tmp_path):
    h5py = pytest.importorskip("h5py")
    with h5py.File(tmp_path / "other.h5", "w") as file:
        file["numbers"] = [1.0, 2.0]
    with refuses("cannot be read as a NIR file", "KeyError"):
        read_nir(tmp_path / "other.h5")
    write_nir(network(LIF), tmp_path / "model.nir")
    whole = (tmp_path / "model.nir").read_bytes()
    (tmp_path / "model.nir").write_bytes(whole[: len(whole) // 2])
    with refuses("cannot be read as a NIR file"):
        read_nir(tmp_path / "model.nir")


def test_a_file_is_written_whole_or_not_at_all(nir, tmp_path, monkeypatch):
    file = tmp_path / "model.nir"
    write_nir(network(LIF), file)
    before = file.read_bytes()

    def stopped(place, graph):
        place.write_bytes(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(nir, "write", stopped)
    with refuses(r"model\.nir", "cannot be written", "No space left"):
        write_nir(network(LIF, seed=1), file)
    assert file.read_bytes() == before
    assert list(tmp_path.iterdir()) == [file]
    monkeypatch.undo()
    with refuses("cannot be written"):
        write_nir(network(LIF), tmp_path / "nowhere" / "model.nir")
