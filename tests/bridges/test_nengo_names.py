"""No name leaves its literal in an exported script, and every script runs."""

import ast
import builtins
import keyword
import runpy

import keras
import numpy as np
import pytest
from hypothesis import example, given, settings, strategies as st

from kspike_reg import InputError
from kspike_reg.bridges import export_nengo, to_nengo
from kspike_reg.neurons import LIF, LeakyIntegrator

nengo = pytest.importorskip("nengo", reason="needs pip install 'kspike_reg[nengo]'")

RUNS = 'x"""\nopen("owned", "w")\n"""'
NASTY = [
    "import", "for", "None", "match", "print", "dict", "nengo", "np", "model", "weights", "ensemble", "Path", "Rate",
    "SubtractLIF", "__file__", "__builtins__", "_", "1st", "Größe", "ﬁ", "x²", "\u210c", "电压", "x'); 1/0 or f('",
    "'", '"', "'''", '"""', RUNS, "\\", "\\'", "\n", "a\nb", "\r", "\x00", "\x0c", "\u2028", "\u202e", "\ufeff",
    "\ud800", "{label}", "{0}", "%s", "#", "# \n1/0", "f'{1/0}'", "\\N{DIGIT ONE}", "a.npy", "file", "../../etc", "a:2",
    "x" * 70_000,
]  # fmt: skip
# Fragments of Python, so that drawn names are code more often than by chance.
CODE = st.lists(st.sampled_from(["'", '"', "\\", "\n", "#", ")", "(", "{", "}", ";", "import os", "é", "a", "_", " "]))
names = st.one_of(st.sampled_from(NASTY), CODE.map("".join), st.text(max_size=8))


# In the suite 200, in the nightly form more.
CASES = max(200, settings.default.max_examples)


@pytest.fixture(scope="module")
def network():
    """A small network whose labels a test replaces: input, spikes, sum, integrators."""
    inputs = keras.Input((None, 2), name="inputs")
    x = LIF(3, return_sequences=True, name="first", threshold_initializer=0.25)(inputs)
    x = keras.layers.Add(name="sum")([x, keras.layers.Dense(3, name="around")(inputs)])
    model = keras.Model(inputs, LeakyIntegrator(2, return_sequences=True, name="second")(x), name="net")
    return to_nengo(model)


def relabelled(network, drawn):
    """Give the network, its nodes, ensembles, connections and probes the drawn labels, in turn."""
    things = [network, *network.nodes, *network.ensembles, *network.connections, *network.probes]
    for number, thing in enumerate(things):
        thing.label = drawn[number % len(drawn)]
    return things


def shape_of(script):
    """The syntax tree with texts blanked and variables numbered in the order of their first use."""
    tree, numbers = ast.parse(script.read_text(encoding="utf-8")), {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            node.value = ""
        elif isinstance(node, ast.Name):
            node.id = f"v{numbers.setdefault(node.id, len(numbers))}"
    return ast.dump(tree)


@pytest.mark.attack("Security", "names of models and layers in an exported script")
def test_the_script_is_the_same_for_every_name_but_for_texts(network, tmp_path, record_property):
    """Any statement that a name adds, ends or changes shows in the syntax tree; so does a weight that two share."""
    relabelled(network, ["harmless"])
    script, weights = export_nengo(network, tmp_path / "harmless.py")
    expected = shape_of(script)
    with np.load(weights) as arrays:
        count = len(arrays.files)

    @settings(max_examples=CASES)
    @example(drawn=["import", "for", "None"])
    @example(drawn=[RUNS])
    @given(drawn=st.lists(names, min_size=1, max_size=9))
    def check(drawn):
        relabelled(network, drawn)
        script, weights = export_nengo(network, tmp_path / "drawn.py")
        assert shape_of(script) == expected
        tree = ast.parse(script.read_text(encoding="utf-8"))
        assigned = [node.targets[0].id for node in ast.walk(tree) if isinstance(node, ast.Assign)]
        variables = [name for name in assigned if name not in ("weights", "units")]
        assert len(set(variables)) == len(variables) == len(network.nodes) + len(network.ensembles)
        for name in variables:
            assert name.isascii()
            assert name.isidentifier()
            assert not keyword.iskeyword(name)
            assert name not in {*dir(builtins), "model", "weights", "ensemble", "nengo", "np", "Path", "SubtractLIF"}
        with np.load(weights) as arrays:
            assert len(arrays.files) == count

    check()
    record_property("times", CASES)


@pytest.mark.attack("Security", "scripts of networks with hostile names, run")
@pytest.mark.parametrize("name", NASTY[:3] + NASTY[10:])
def test_scripts_run_whatever_the_names(network, tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    path = np.random.default_rng(3).normal(size=(4, 2))
    found = []
    for label in ("harmless", name):
        relabelled(network, [label])
        script, _ = export_nengo(network, tmp_path / "network.py")
        built = runpy.run_path(str(script))["model"]
        assert {thing.label for thing in (built, *built.all_objects)} == {label}
        built.nodes[0].output = nengo.processes.PresentInput(path, presentation_time=0.001)
        with nengo.Simulator(built, progress_bar=False) as simulator:
            simulator.run_steps(len(path), progress_bar=False)
        found.append(simulator.data[built.probes[-1]])
    np.testing.assert_array_equal(*found)
    assert {file.name for file in tmp_path.iterdir()} == {"network.py", "network.npz"}


@pytest.mark.attack("Security", "a model file with hostile names, exported by its layers")
def test_names_of_keras_layers_reach_the_script_as_labels(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    inputs = keras.Input((None, 2), name="for")
    x = LIF(3, return_sequences=True, name="import")(inputs)
    model = keras.Model(inputs, LeakyIntegrator(2, name=RUNS)(x), name=RUNS)
    model.save("model.keras")
    script, _ = export_nengo(keras.models.load_model("model.keras"), tmp_path / "network.py")
    built = runpy.run_path(str(script))["model"]
    assert built.label == RUNS
    assert [ensemble.label for ensemble in built.ensembles] == ["import", RUNS]
    assert [node.label for node in built.nodes] == ["for"]
    assert not (tmp_path / "owned").exists()


def test_the_name_of_the_file_is_no_part_of_the_script(tmp_path):
    inputs = keras.Input((None, 2))
    model = keras.Model(inputs, LeakyIntegrator(2)(inputs))
    script, _ = export_nengo(model, tmp_path / '""";1÷0;""".py')
    assert len(runpy.run_path(str(script))["model"].ensembles) == 1


def test_networks_that_to_nengo_did_not_make_are_refused(tmp_path):
    with nengo.Network() as network:
        nengo.Ensemble(3, 1)
    with pytest.raises(InputError, match=r"export_nengo: expected a keras.Model, or a network that .*to_nengo made"):
        export_nengo(network, tmp_path / "network.py")
    assert not list(tmp_path.iterdir())
