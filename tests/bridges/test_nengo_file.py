"""A network that is exported as a script computes the same as the network."""

import runpy

import numpy as np
import pytest

import kspike_reg
from kspike_reg import InputError
from kspike_reg.bridges import export_nengo, to_nengo
from oracles.backend import torch_arrays
from oracles.bridged import everything, records

nengo = pytest.importorskip("nengo", reason="needs pip install 'kspike_reg[nengo]'")
pytestmark = torch_arrays


def test_the_script_builds_the_same_network(tmp_path):
    """Two inputs, layers called twice, slices, signs: run by Nengo alone, in double precision."""
    model = everything()
    generator = np.random.default_rng(2)
    inputs = [generator.normal(0.3, 1.0, (1, 7, width)).astype("float32") for width in (2, 1)]
    outputs, spikes, membranes = records(model, *inputs)
    script, weights = export_nengo(model, tmp_path / "network.py")
    assert {file.name for file in tmp_path.iterdir()} == {script.name, weights.name} == {"network.py", "network.npz"}
    network = runpy.run_path(str(script))["model"]
    nodes = {node.label: node for node in network.nodes}
    for name, data in zip(("strain", "temperature"), inputs, strict=True):
        nodes[name].output = nengo.processes.PresentInput(data[0], presentation_time=0.001)
    with nengo.Simulator(network, progress_bar=False) as simulator:
        simulator.run_steps(7, progress_bar=False)
    found = {probe.label: simulator.data[probe] for probe in network.probes}
    for name, record in spikes.items():
        np.testing.assert_array_equal(found[f"{name}.spikes"], record[0], err_msg=name)
    for name, record in membranes.items():
        # Seven steps of float32 against float64.
        np.testing.assert_allclose(found[f"{name}.membrane"], record[0], atol=1e-5, err_msg=name)
    np.testing.assert_allclose(found["restore"], outputs[0][0], rtol=1e-5, atol=1e-5)
    assert [probe.label for probe in network.probes] == [probe.label for probe in to_nengo(model).probes]


def test_the_script_is_readable_and_its_weights_are_in_single_precision(tmp_path):
    model = kspike_reg.build("slstm", units=3, population=2, depth=1)
    script, weights = export_nengo(to_nengo(model), tmp_path / "my net.py")
    text = script.read_text()
    assert "from kspike_reg.bridges.nengo.neurons import LeakyIntegrator, SpikingLSTM" in text
    assert "inputs = nengo.Node(np.zeros(1), label='inputs')" in text
    assert "nengo.Connection(inputs, slstm_1, transform=weights['slstm_1.kernel'], synapse=None" in text
    assert "output='membrane'" in text
    with np.load(weights, allow_pickle=False) as arrays:
        np.testing.assert_array_equal(arrays["slstm_1.kernel"], np.asarray(model.layers[1].cell.kernel).T)
        assert arrays["slstm_1.kernel"].dtype == np.float32


def test_scripts_of_earlier_exports_still_run(tmp_path):
    """They import the neuron types from `bridges.nengo_neurons`, which is an alias."""
    from kspike_reg.bridges.nengo import neurons

    model = kspike_reg.build("slstm", features=2, units=3, population=4, depth=1, seed=2)
    script, _ = export_nengo(model, tmp_path / "network.py")
    earlier = script.read_text().replace("kspike_reg.bridges.nengo.neurons", "kspike_reg.bridges.nengo_neurons")
    assert earlier.count("from kspike_reg.bridges.nengo_neurons import LeakyIntegrator, SpikingLSTM\n") == 1
    path = np.random.default_rng(5).normal(size=(6, 2))
    found = []
    for text in (script.read_text(), earlier):
        script.write_text(text)
        network = runpy.run_path(str(script))["model"]
        network.nodes[0].output = nengo.processes.PresentInput(path, presentation_time=0.001)
        with nengo.Simulator(network, progress_bar=False) as simulator:
            simulator.run_steps(len(path), progress_bar=False)
        found.append(simulator.data[network.probes[-1]])
        assert {type(ensemble.neuron_type) for ensemble in network.ensembles} == {
            neurons.SpikingLSTM, neurons.LeakyIntegrator
        }  # fmt: skip
    assert np.ptp(found[0]) > 0
    np.testing.assert_array_equal(*found)


def test_the_alias_has_every_neuron_type():
    from kspike_reg.bridges import nengo_neurons
    from kspike_reg.bridges.nengo import neurons

    assert nengo_neurons.__all__ == neurons.__all__
    for name in neurons.__all__:
        assert getattr(nengo_neurons, name) is getattr(neurons, name)


def test_files_that_cannot_be_written_are_refused(tmp_path):
    model = kspike_reg.build("lif", units=3, population=2, depth=1)
    with pytest.raises(InputError, match=r"expected a file that ends in \.py, received '.*net\.nengo'"):
        export_nengo(model, tmp_path / "net.nengo")
    with pytest.raises(InputError, match="cannot be written"):
        export_nengo(model, tmp_path / "nowhere" / "net.py")
