"""Synaptic events compared with Nengo Loihi's emulator of the chip, if it is installed (extra loihi).

The test sends the spikes of a trained network through synapses of the emulator, which have the weights of the network
on the chip's grid. It counts each weight that the emulator adds to a compartment.
"""

import keras
import numpy as np
import pytest

import kspike_reg
from kspike_reg import datasets
from kspike_reg.energy import profile

pytest.importorskip("nengo_loihi", reason="nengo_loihi is not installed (extra loihi, with NumPy below 2)")

from nengo_loihi.block import Axon, LoihiBlock, Synapse
from nengo_loihi.builder import Model
from nengo_loihi.builder.discretize import discretize_model
from nengo_loihi.emulator import EmulatorInterface
from nengo_loihi.inputs import SpikeInput

PATHS = 6


def replay(raster, weights, steps):
    """Deliver the spikes of one path to a block of neurons on the emulator.

    Args:
        raster: spikes, shape (time, neurons).
        weights: shape (neurons, consumers); rounded to the chip's integers.
        steps: steps of the emulator; a spike arrives one step after it was sent.

    Returns:
        The number of weights that the emulator fetched to add them to a compartment, the sum of all that it added, and
        the chip's integers for the weights, shape (neurons, consumers).
    """
    neurons, consumers = weights.shape
    block = LoihiBlock(consumers)
    block.compartment.configure_nonspiking(vth=np.abs(weights).max())
    synapse = Synapse(neurons)
    synapse.set_weights(weights.astype("float32"))
    block.add_synapse(synapse)
    axon = Axon(neurons)
    axon.target = synapse
    source = SpikeInput(neurons)
    source.add_axon(axon)
    for step, spikes in enumerate(raster, start=1):
        source.add_spikes(step, np.flatnonzero(spikes))
    model = Model()
    model.add_block(block)
    model.add_input(source)
    discretize_model(model)

    fetched, added = [], 0
    fetch = synapse.axon_weights_indices

    def count(*args, **kwargs):
        row, compartments = fetch(*args, **kwargs)
        assert row.shape == compartments.shape
        fetched.append(row.size)
        return row, compartments

    synapse.axon_weights_indices = count
    # The emulator fills its integer arrays with NaN at first, and NumPy warns of it.
    with np.errstate(invalid="ignore"), EmulatorInterface(model, seed=0) as emulator:
        for _ in range(steps):
            emulator.step()
            added += int(emulator.compartment.input.sum(dtype=np.int64))
    return sum(fetched), added, np.concatenate(synapse.weights)


def records(model, inputs):
    """Spikes of each layer by its name, shape (paths, time, neurons)."""
    layers = kspike_reg.network.spiking_layers(model)
    outputs = keras.Model(model.input, [layer.output for layer in layers]).predict(inputs, verbose=0)
    found = {}
    for layer, output in zip(layers, keras.tree.flatten(outputs), strict=True):
        threshold = keras.ops.convert_to_numpy(layer.cell.threshold)
        found[layer.name] = output if layer.cell.output == "spikes" else (output >= threshold).astype("float32")
    return found


def projections(report, rasters):
    """Each spike-driven projection from a spiking layer, with the name of the layer that receives the spikes."""
    found = [
        (layer.name, projection)
        for layer in report.layers
        for projection in layer.projections
        if projection.event_driven and projection.source in rasters and projection.weighted
    ]
    assert found, "no projection is driven by spikes, so the test is vacuous"
    return found


@pytest.mark.parametrize(
    ("name", "task", "count"), [("lif-elasticity", "elasticity", 2), ("rlif-ramberg-osgood", "ramberg-osgood", 5)]
)
def test_the_emulator_delivers_as_many_synaptic_events_as_the_profile_counts(name, task, count):
    """Every spike-driven projection of a trained network, also recurrent ones, for each path and for all paths."""
    model = kspike_reg.load(name)
    (paths,) = datasets.generate(task, [PATHS], seed=5)
    rasters = records(model, paths.inputs)
    whole = profile(model, paths.inputs)
    assert len(projections(whole, rasters)) == count
    totals = dict.fromkeys((consumer, projection.name) for consumer, projection in projections(whole, rasters))
    for path in range(PATHS):
        for consumer, projection in projections(profile(model, paths.inputs[path : path + 1]), rasters):
            cell = model.get_layer(consumer).cell
            weights = keras.ops.convert_to_numpy(getattr(cell, projection.name))
            raster = rasters[projection.source][path]
            # A layer would receive its own spikes of the last step one step after the end.
            steps = len(raster) + (projection.source != consumer)
            events, added, integers = replay(raster, weights, steps)
            assert events == projection.accumulates > 0
            # The emulator added what it fetched: each spike adds its row of weights, summed over the consumers.
            arrived = raster[: steps - 1].sum(axis=0).astype(np.int64)
            assert added == (arrived @ integers).sum()
            totals[consumer, projection.name] = (totals[consumer, projection.name] or 0) + events
    for consumer, projection in projections(whole, rasters):
        assert totals[consumer, projection.name] == projection.accumulates


def test_one_spike_less_is_one_fan_out_less():
    """By hand: 4 neurons, 3 consumers, spikes of 2, 0, 1 and 4 neurons."""
    raster = np.array([[1, 0, 0, 1], [0, 0, 0, 0], [0, 1, 0, 0], [1, 1, 1, 1]], "float32")
    weights = np.random.default_rng(3).normal(size=(4, 3))
    assert replay(raster, weights, 5)[0] == (2 + 0 + 1 + 4) * 3
    assert replay(raster, weights, 4)[0] == (2 + 0 + 1) * 3, "the spikes of the last step have not arrived yet"
    raster[2, 1] = 0
    assert replay(raster, weights, 5)[0] == (2 + 0 + 0 + 4) * 3


def test_equal_weights_add_up_to_the_number_of_events():
    """Without our counter: if all weights are the same integer, the sum of the currents counts the events."""
    raster = (np.random.default_rng(8).random((7, 5)) < 0.4).astype("float32")
    events, added, integers = replay(raster, np.ones((5, 11)), 8)
    assert np.unique(integers).size == 1
    assert events == added / integers[0, 0] == raster.sum() * 11
