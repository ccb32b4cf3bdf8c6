"""The corrections of the counts in the paper, each computed again from the spikes, neuron by neuron."""

import itertools

import keras
import numpy as np
import pytest

from kspike_reg import InputError, build
from kspike_reg.energy import ModelEnergy, profile
from kspike_reg.experiments.studies import table_one
from kspike_reg.experiments.studies.corrections import corrections
from kspike_reg.neurons import RLIF
from oracles.backend import torch_arrays
from oracles.networks import grid
from oracles.synapses import (
    DAVIES,
    FEATURES,
    HALF,
    KINDS,
    LENGTHS,
    LOIHI,
    PAPERS,
    PATHS,
    PJ,
    POPULATION,
    READOUTS,
    SINGLE,
    UNITS,
    Counted,
    Networks,
    close,
    joules_on,
)  # fmt: skip
from oracles.weights import assign, draw_on_a_grid

pytestmark = torch_arrays

ACTIVITIES = {"first": 0.875, "second": 0.25, "decoding": 0.375, "population": 1.5}


@pytest.fixture(scope="module")
def networks():
    return Networks()


def chain_by_hand(kind, counted):
    """Pairs of joules for one path, of the spiking and of the dense network, in the order of the corrections."""
    steps = LENGTHS.sum() / PATHS
    gates = 4 if kind == "slstm" else 1
    papers = {
        "first": FEATURES * gates * UNITS,
        "second": (gates * UNITS) * (gates * UNITS),
        "decoding": gates * UNITS * UNITS,
        "population": UNITS * POPULATION,
    }
    inputs = {each["layer"]: each["share"] for each in counted.of(kind="input")}
    once, all_papers = counted.connections * PAPERS, sum(papers.values()) * PAPERS
    in_hertz = sum(number * ACTIVITIES[layer] for layer, number in papers.items()) * 1e-3 * 27.1 * PJ * steps
    as_events = sum(number * inputs[layer] for layer, number in papers.items()) * 27.1 * PJ * steps
    by_input = sum(each["connections"] * inputs[each["layer"]] for each in counted.synapses) * 27.1 * PJ * steps
    by_source = sum(each["connections"] * each["share"] for each in counted.synapses) * 27.1 * PJ * steps
    split = (counted.operations(True) * 27.1 * PJ + counted.operations(False) * PAPERS) / PATHS
    updates = (counted.firing_updates + counted.other_updates) * 81 * PJ / PATHS
    plain = (counted.biases + counted.mean) * 0.9 * PJ / PATHS
    cmos = (counted.operations(True) * 0.9 + counted.operations(False) * 4.6) * PJ / PATHS + plain
    return [
        (in_hertz, all_papers),
        (as_events, all_papers),
        (by_input, once),
        (by_source, once),
        (by_source, once * steps),
        (split, once * steps),
        (split + updates, once * steps),
        (joules_on(LOIHI, counted, HALF), counted.connections * steps * HALF),
        (joules_on(DAVIES, counted, HALF), counted.connections * steps * HALF),
        (joules_on(LOIHI, counted, SINGLE), counted.connections * steps * SINGLE),
        (cmos, counted.connections * steps * 4.6 * PJ + plain),
    ]


@READOUTS
@KINDS
def test_every_correction_by_hand(networks, kind, readout):
    model, inputs, report = networks(kind, readout)
    names = {"first": f"{kind}_1", "second": f"{kind}_2"}
    found = corrections(report, {names.get(name, name): rate for name, rate in ACTIVITIES.items()})
    expected = chain_by_hand(kind, Counted(kind, readout, model, inputs))
    assert len(found) == len(expected)
    for correction, (spiking, dense) in zip(found, expected, strict=True):
        assert correction.spiking == close(spiking), correction.what
        assert correction.dense == close(dense), correction.what
        assert correction.factor == close(dense / spiking), correction.what
    assert len({correction.what for correction in found}) == len(found)
    # There are recurrent synapses, gates and real values to correct.
    moved = [one.spiking != pytest.approx(other.spiking, rel=1e-3) for one, other in itertools.pairwise(found)]
    assert moved[:3] == [True, kind != "lif", kind != "lif"]


@KINDS
def test_the_chain_ends_at_the_energy_of_the_report(networks, kind):
    """The energy of the profiler on Loihi and on the V100, which computes the real-valued products."""
    _, _, report = networks(kind, "membrane")
    rates = dict.fromkeys((layer.name for layer in report.layers), 0.5)
    ends = {each.what: each for each in corrections(report, rates)}
    row = ends["a multiply-accumulate is two operations"]
    assert report.multiply_accumulates > 0
    on_loihi = report.energy("loihi").total + report.multiply_accumulates * HALF
    assert row.spiking == close(on_loihi / PATHS)
    weighted = sum(each.dense_operations for layer in report.layers for each in layer.projections if each.weighted)
    assert row.dense == close(weighted * HALF / PATHS)


def test_the_papers_gates_are_those_of_its_table():
    """Four gates on both sides: the connections of the paper's LSTM, from an SLSTM of the same widths."""
    model = build("slstm", units=256, population=64)
    report = profile(model, grid(2, 3, 1))
    widths = table_one.network(table_one.LSTM)
    expected = [ModelEnergy(widths).layer_stats[widths.get_layer(name)]["connections"] for name in table_one.LSTM]
    assert expected == [1024, 1_048_576, 1_048_576, 262_144, 16_384]
    names = [layer.name for layer in report.layers if layer.neurons]
    assert names == ["slstm_1", "slstm_2", "slstm_3", "decoding", "population"]
    # An activity of one in a single layer gives the connections of this layer.
    for name, connections in zip(names, expected, strict=True):
        first, *_ = corrections(report, dict.fromkeys(names, 0.0) | {name: 1.0})
        assert first.spiking == close(connections * 1e-3 * 3 * 27.1 * PJ)
        assert first.dense == close(5704.0896e-9)


def test_the_papers_dense_network_is_a_lif_one():
    """256 units, as in the upper half of Table I: 65536 connections between layers, and 511.80 nJ."""
    report = profile(build("lif", units=256, population=64), grid(2, 3, 1))
    first, second, third, *_ = corrections(report, dict.fromkeys([layer.name for layer in report.layers], 1))
    connections = 256 + 3 * 65_536 + 16_384
    assert first.dense == second.dense == third.dense == close(connections * PAPERS)
    assert first.spiking == close(connections * 1e-3 * 3 * 27.1 * PJ)


def test_a_layer_used_twice_counts_twice():
    """In the connections on the GPU, the events on Loihi and the updates."""
    layer = RLIF(UNITS, return_sequences=True, name="twice")
    left, right = (keras.Input((None, FEATURES), name=name) for name in ("left", "right"))
    once = keras.Model(left, layer(left))
    both = keras.Model([left, right], [layer(left), layer(right)])
    same = keras.Model(left, [layer(left), layer(left)])
    assign(layer.cell, draw_on_a_grid(layer.cell, FEATURES, 1))
    inputs = grid(3, 5, FEATURES), grid(3, 5, FEATURES, seed=8)
    singles = [corrections(profile(once, array), {"twice": 0.5}) for array in inputs]
    for correction, one, other in zip(corrections(profile(both, list(inputs)), {"twice": 0.5}), *singles, strict=True):
        assert correction.spiking == close(one.spiking + other.spiking), correction.what
        assert correction.dense == close(one.dense + other.dense), correction.what
    for correction, one in zip(corrections(profile(same, inputs[0]), {"twice": 0.5}), singles[0], strict=True):
        assert (correction.spiking, correction.dense) == (close(2 * one.spiking), close(2 * one.dense)), correction.what
    assert singles[0][3].spiking != close(singles[1][3].spiking)


def test_the_error_names_a_missing_activity(networks):
    _, _, report = networks("rlif", "membrane")
    rates = {"rlif_1": 0.5, "decoding": 0.5, "population": 0.5}
    with pytest.raises(InputError, match="activity for every layer with synapses; 'rlif_2' has none"):
        corrections(report, rates)


def test_activities_are_mean_absolute_values():
    """Of the input of each layer: real values for the first, spikes for the second."""
    model = build("lif", units=3, population=2, depth=2, seed=4)
    inputs = np.random.default_rng(1).normal(size=(4, 5, 1)).astype("float32")
    found = table_one.activities_of(model, inputs)
    assert found["lif_1"] == pytest.approx(np.abs(inputs).mean(), rel=1e-6)  # single precision
    report = profile(model, inputs)
    assert found["lif_2"] == pytest.approx(float(report["lif_1"].spikes_per_neuron_and_step), rel=1e-6)
    assert 0 < found["lif_2"] < 1
