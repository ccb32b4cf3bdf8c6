"""`simulate`: recordings as from Keras, errors, missing packages, and a progress bar on long runs only."""

import importlib
import sys

import keras
import numpy as np
import pytest

import kspike_reg
from kspike_reg import InputError, bridges, datasets, evaluation, plotting
from kspike_reg.bridges import progress, simulate, to_nengo
from kspike_reg.bridges.extras import needed
from kspike_reg.network.probes import Recording
from oracles.backend import torch_arrays
from oracles.bridged import every_option, everything

pytestmark = torch_arrays
needs_nengo = pytest.mark.skipif(
    importlib.util.find_spec("nengo") is None, reason="needs pip install 'kspike_reg[nengo]'"
)
DATA = np.linspace(-1, 1, 24).reshape(2, 6, 2)
BROKEN = DATA.copy()
BROKEN[1, 2, 1] = np.nan


@pytest.fixture(scope="module")
def model():
    return kspike_reg.build("lif", features=2, units=3, population=2, depth=1)


def test_public_names_are_imported_on_first_use():
    assert {"to_nengo", "simulate", "to_nir", "from_nir"} <= set(dir(bridges))
    assert bridges.simulate is simulate
    with pytest.raises(AttributeError, match="no attribute 'to_tensorrt'"):
        bridges.to_tensorrt  # noqa: B018


@needs_nengo
@pytest.mark.parametrize("make", [every_option, everything])
def test_a_simulation_is_recorded_as_in_keras(make):
    """The same class, nodes, names of states, thresholds and spikes."""
    model = make()
    generator = np.random.default_rng(4)
    inputs = [generator.normal(0.3, 1.0, (3, 8, tensor.shape[-1])).astype("float32") for tensor in model.inputs]
    expected, found = evaluation.records(model, inputs), simulate(model, inputs)
    assert type(found) is type(expected) is Recording is bridges.Simulation
    assert list(found) == list(expected)
    assert [(name, list(states)) for name, states in found.states.items()] == [
        (name, list(states)) for name, states in expected.states.items()
    ]
    for name, record in expected.items():
        np.testing.assert_array_equal(found[name].spikes, record.spikes, err_msg=name)
        np.testing.assert_array_equal(found[name].thresholds, record.thresholds, err_msg=name)
        assert record.spikes.any(), f"a vacuous test: {name} never fires"
    # Float32 rounds sums of a few dozen numbers of order one, over some ten steps, in other orders than Keras.
    rounding = {"rtol": 1e-5, "atol": 1e-5}
    for name, states in expected.states.items():
        for state, values in states.items():
            np.testing.assert_allclose(found.states[name][state], values, err_msg=f"{name}.{state}", **rounding)
    pairs = zip(keras.tree.flatten(found.outputs), keras.tree.flatten(expected.outputs), strict=True)
    for output, reference in pairs:
        np.testing.assert_allclose(output, reference, **rounding)


@needs_nengo
def test_the_spikes_of_a_simulation_can_be_drawn():
    """A line for each spike of the path, in the panel of its layer."""
    paths = datasets.elasticity(3, timesteps=7, seed=2)
    run = simulate(kspike_reg.load("lif-elasticity"), paths)
    *rasters, below, curve = plotting.spike_raster(run, paths, 1, run.outputs)
    for panel, record in zip(rasters, run.values(), strict=True):
        (lines,) = panel.collections
        assert len(lines.get_segments()) == record.spikes[1].sum() > 0
    assert below.get_xlabel() == "step"
    np.testing.assert_array_equal(curve.lines[1].get_ydata(), run.outputs[1, :, 0])


@needs_nengo
@pytest.mark.parametrize(
    ("inputs", "complaint"),
    [
        (None, "simulate: no data"),
        (DATA[:0], "no data"),
        (DATA[..., :1], r"the input 'inputs' of shape \(n, T, 2\), received \(2, 6, 1\)"),
        (DATA[0], r"shape \(n, T, 2\), received \(6, 2\)"),
        (BROKEN, r"nan at \(1, 2, 1\)"),
        (DATA * 1e300, "fit float32"),
        (DATA.astype(str), "expected numbers"),
        ([DATA, DATA, DATA], r"received \(3, 2, 6, 2\)"),
        ({"strain": DATA}, r"takes the inputs \['inputs'\], received \['strain'\]"),
    ],
)
def test_bad_data_are_refused(model, inputs, complaint):
    with pytest.raises(InputError, match=complaint):
        simulate(model, inputs)


@needs_nengo
def test_inputs_that_do_not_fit_each_other():
    first, second = keras.Input((None, 2), name="a"), keras.Input((None, 2), name="b")
    model = keras.Model([first, second], keras.layers.Concatenate()([first, second]))
    with pytest.raises(InputError, match=r"as many paths in every input, received \[2, 1\]"):
        simulate(model, [DATA, DATA[:1]])
    with pytest.raises(InputError, match=r"paths of one length in all inputs, received \[3, 6\] steps"):
        simulate(model, [DATA, DATA[:, :3]])


@needs_nengo
def test_steps_that_a_masking_layer_would_skip_are_refused():
    inputs = keras.Input((None, 2))
    model = keras.Model(inputs, keras.layers.Dense(1)(keras.layers.Masking(7.0, name="mask")(inputs)))
    padded = DATA.copy()
    padded[1, 4:] = 7.0
    padded[0, 1, 0] = 7.0  # one of two features is not padding
    with pytest.raises(InputError, match="the layer 'mask' would skip step 4 of path 1"):
        simulate(model, padded)
    np.testing.assert_allclose(simulate(model, DATA).outputs, model.predict(DATA, verbose=0), atol=1e-6)


def test_an_unknown_simulator(model):
    with pytest.raises(InputError, match="unknown simulator 'brian'; choose one of 'nengo', 'nengo-dl', 'loihi'"):
        simulate(model, DATA, "brian")
    with pytest.raises(InputError, match="expected batch_size to be a positive integer"):
        simulate(model, DATA, batch_size=0)


@needs_nengo
def test_a_network_of_another_tool():
    import nengo

    with pytest.raises(InputError, match=r"or a network that kspike_reg\.bridges\.to_nengo made of one, received <Net"):
        simulate(nengo.Network(label="theirs"), DATA)
    with pytest.raises(InputError, match=r"the Loihi emulator takes a keras\.Model"):
        simulate(nengo.Network(), DATA, "loihi")


@pytest.mark.parametrize("simulator", ["nengo", "nengo-dl"])
def test_without_nengo_the_extra_is_named(model, monkeypatch, simulator):
    monkeypatch.setitem(sys.modules, "nengo", None)  # makes its import fail
    complaint = r"needs the package 'nengo', .*install it with pip install 'kspike_reg\[nengo\]'"
    with pytest.raises(InputError, match=f"^simulate: {complaint}"):
        simulate(model, DATA, simulator)
    with pytest.raises(InputError, match=f"^to_nengo: {complaint}"):
        to_nengo(model)


def test_an_installed_package_is_imported():
    assert needed("json", "any", "test") is sys.modules["json"]


@pytest.mark.parametrize(("patience", "show", "visible"), [(0.0, True, True), (60.0, True, False), (0.0, False, False)])
def test_a_progress_bar_on_long_runs_only(monkeypatch, capsys, patience, show, visible):
    monkeypatch.setattr(progress, "PATIENCE", patience)
    with progress.ProgressBar("Simulator", 4, show) as bar:
        for count in (1, 4):
            bar.done(count)
        assert (bar._bar is not None) == visible
    assert ("Simulator" in capsys.readouterr().err) == visible


def test_no_progress_bar_without_a_terminal(monkeypatch):
    monkeypatch.setattr(progress, "PATIENCE", 0.0)
    monkeypatch.setattr(sys.stderr, "isatty", lambda: False, raising=False)
    with progress.ProgressBar("Simulator", 4) as bar:
        bar.done(4)
        assert bar._bar is None
