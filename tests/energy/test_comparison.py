"""Spiking beside dense: every figure again from the spikes themselves, neuron by neuron, and prices typed in joules.

Counts are exact; joules are sums of a dozen terms in double precision, equal to some 1e-15, so 1e-12 leaves no error
of counting through.
"""

import itertools
import math
from dataclasses import replace

import keras
import numpy as np
import pytest

from kspike_reg import InputError, build
from kspike_reg.energy import DEVICES, Device, ModelEnergy, comparison, profile
from kspike_reg.experiments.studies import table_one
from kspike_reg.neurons import LIF, RLIF
from oracles.backend import torch_arrays
from oracles.networks import fire, grid, put_on_the_grid
from oracles.weights import assign, draw_on_a_grid

pytestmark = torch_arrays

PATHS, TIME, FEATURES, UNITS, VOTERS, OUTPUTS = 5, 6, 2, 7, 6, 3
LENGTHS = np.array([6, 3, 6, 1, 4])
MASK = np.arange(TIME) < LENGTHS[:, None]
SIZES = {"features": FEATURES, "outputs": OUTPUTS, "units": UNITS, "population": VOTERS, "depth": 2}
ACTIVITIES = {"first": 0.875, "second": 0.25, "decoding": 0.375, "population": 1.5}

PJ = 1e-12
LOIHI = {"event": 27.1 * PJ, "fires": 81 * PJ, "idle": 81 * PJ, "spike": 0.0}
DAVIES = {"event": 23.6 * PJ, "fires": 81 * PJ, "idle": 52 * PJ, "spike": 1.7 * PJ}
# 300 W over 125 or 15.7 TFLOP/s, two operations for a multiply-accumulate; the paper takes one.
PAPERS, HALF, SINGLE = 2.4 * PJ, 4.8 * PJ, 600 / 15.7 * PJ


def close(joules):
    return pytest.approx(joules, rel=1e-12, abs=0)


@pytest.fixture(scope="module")
def networks():
    """For each kind and readout a network on the grid, its inputs and its report; compiled once."""
    found = {}

    def network(kind, readout):
        if (kind, readout) not in found:
            model = put_on_the_grid(build(kind, readout=readout, **SIZES))
            inputs = grid(PATHS, TIME, FEATURES)
            found[kind, readout] = model, inputs, profile(model, inputs, mask=MASK)
        return found[kind, readout]

    return network


KINDS = pytest.mark.parametrize("kind", ["lif", "rlif", "slstm"])
READOUTS = pytest.mark.parametrize("readout", ["membrane", "spikes"])


class Counted:
    """A network's synapses, one dictionary each, what they carried and its neurons' updates, by loops over neurons."""

    def __init__(self, kind, readout, model, inputs):
        spikes = []
        heard = inputs.astype("float64")
        for layer in ("1", "2"):
            heard, _ = fire(model.get_layer(f"{kind}_{layer}").cell, heard)
            spikes.append(heard)
        assert all(0 < each[MASK].sum() < each[MASK].size for each in spikes), (
            "a vacuous test: silent, or always firing"
        )
        gates = 4 if kind == "slstm" else 1
        self.synapses = []
        for layer, sources, driven in (("first", FEATURES, None), ("second", UNITS, spikes[0])):
            self.add(layer, "input", sources, gates * UNITS, driven)
            if kind != "lif":
                own = spikes[("first", "second").index(layer)]
                self.add(layer, "recurrent", UNITS, gates * UNITS, own if kind == "rlif" else None, last=False)
        self.add("decoding", "input", UNITS, UNITS, spikes[1] if readout == "spikes" else None)
        self.add("population", "input", UNITS, VOTERS, None)
        steps = LENGTHS.sum()
        self.spikes = sum(int(each[MASK].sum()) for each in spikes)
        self.firing_updates, self.other_updates = 2 * steps * UNITS, steps * (UNITS + VOTERS)
        self.biases = steps * (2 * gates * UNITS + UNITS + VOTERS)
        self.mean = steps * VOTERS

    def add(self, layer, kind, sources, fan_out, spikes, last=True):
        """Real values reach every synapse at every step, spikes where a neuron fires, all but the last fed back."""
        driving = 0
        for path, length in enumerate(LENGTHS):
            for step in range(length):
                for source in range(sources):
                    heard = last or step < length - 1
                    driving += spikes is None or (spikes[path, step, source] == 1.0 and heard)
        self.synapses.append(
            {"layer": layer, "kind": kind, "connections": sources * fan_out, "driving": driving}
            | {"share": driving / (sources * LENGTHS.sum()), "events": spikes is not None, "fan_out": fan_out}
        )

    def of(self, **wanted):
        return [each for each in self.synapses if all(each[name] == value for name, value in wanted.items())]

    def operations(self, events):
        return sum(each["driving"] * each["fan_out"] for each in self.of(events=events))

    @property
    def connections(self):
        return sum(each["connections"] for each in self.synapses)


def joules_on(chip, counted, product):
    """For one path, real-valued products done elsewhere for `product` joules each."""
    idle = counted.firing_updates - counted.spikes
    active = counted.spikes + counted.other_updates
    return (
        counted.operations(True) * chip["event"]
        + active * chip["fires"]
        + idle * chip["idle"]
        + counted.spikes * chip["spike"]
        + counted.operations(False) * product
    ) / PATHS


def chain_by_hand(kind, counted):
    """Pairs of joules for one path, the spiking network's and the dense one's, in the order of the corrections."""
    steps = LENGTHS.sum() / PATHS
    gates = 4 if kind == "slstm" else 1
    papers = {
        "first": FEATURES * gates * UNITS,
        "second": (gates * UNITS) * (gates * UNITS),
        "decoding": gates * UNITS * UNITS,
        "population": UNITS * VOTERS,
    }
    heard = {each["layer"]: each["share"] for each in counted.of(kind="input")}
    once, all_papers = counted.connections * PAPERS, sum(papers.values()) * PAPERS
    in_hertz = sum(number * ACTIVITIES[layer] for layer, number in papers.items()) * 1e-3 * 27.1 * PJ * steps
    as_events = sum(number * heard[layer] for layer, number in papers.items()) * 27.1 * PJ * steps
    by_input = sum(each["connections"] * heard[each["layer"]] for each in counted.synapses) * 27.1 * PJ * steps
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


# ------------------------------------------------------------------------------------------------------ corrections


@READOUTS
@KINDS
def test_every_correction_by_hand(networks, kind, readout):
    model, inputs, report = networks(kind, readout)
    names = {"first": f"{kind}_1", "second": f"{kind}_2"}
    found = comparison.corrections(report, {names.get(name, name): rate for name, rate in ACTIVITIES.items()})
    expected = chain_by_hand(kind, Counted(kind, readout, model, inputs))
    assert len(found) == len(expected)
    for correction, (spiking, dense) in zip(found, expected, strict=True):
        assert correction.spiking == close(spiking), correction.what
        assert correction.dense == close(dense), correction.what
        assert correction.factor == close(dense / spiking), correction.what
    assert len({correction.what for correction in found}) == len(found)
    # Recurrent synapses, gates and real values are all there to be corrected.
    moved = [one.spiking != pytest.approx(other.spiking, rel=1e-3) for one, other in itertools.pairwise(found)]
    assert moved[:3] == [True, kind != "lif", kind != "lif"]


@KINDS
def test_the_chain_ends_at_the_energy_of_the_report(networks, kind):
    """What the profiler says of Loihi, and of the V100, with the real-valued products there."""
    _, _, report = networks(kind, "membrane")
    rates = dict.fromkeys((layer.name for layer in report.layers), 0.5)
    ends = {each.what: each for each in comparison.corrections(report, rates)}
    row = ends["a multiply-accumulate is two operations"]
    assert report.multiply_accumulates > 0
    on_loihi = report.energy("loihi").total + report.multiply_accumulates * HALF
    assert row.spiking == close(on_loihi / PATHS)
    weighted = sum(each.dense_operations for layer in report.layers for each in layer.projections if each.weighted)
    assert row.dense == close(weighted * HALF / PATHS)


def test_the_papers_gates_are_those_of_its_table():
    """Four gates wide on both sides: the connections of the paper's LSTM, from an SLSTM of its widths."""
    model = build("slstm", units=256, population=64)
    report = profile(model, grid(2, 3, 1))
    widths = table_one.network(table_one.LSTM)
    expected = [ModelEnergy(widths).layer_stats[widths.get_layer(name)]["connections"] for name in table_one.LSTM]
    assert expected == [1024, 1_048_576, 1_048_576, 262_144, 16_384]
    names = [layer.name for layer in report.layers if layer.neurons]
    assert names == ["slstm_1", "slstm_2", "slstm_3", "decoding", "population"]
    # An activity of one in a single layer singles out its connections.
    for name, connections in zip(names, expected, strict=True):
        first, *_ = comparison.corrections(report, dict.fromkeys(names, 0.0) | {name: 1.0})
        assert first.spiking == close(connections * 1e-3 * 3 * 27.1 * PJ)
        assert first.dense == close(5704.0896e-9)


def test_the_papers_dense_network_is_a_lif_one():
    """256 units, as in Table I's upper half: 65536 connections between layers, and 511.80 nJ."""
    report = profile(build("lif", units=256, population=64), grid(2, 3, 1))
    first, second, third, *_ = comparison.corrections(report, dict.fromkeys([layer.name for layer in report.layers], 1))
    connections = 256 + 3 * 65_536 + 16_384
    assert first.dense == second.dense == third.dense == close(connections * PAPERS)
    assert first.spiking == close(connections * 1e-3 * 3 * 27.1 * PJ)


def test_a_layer_used_twice_counts_twice():
    """Its connections on the GPU, its events on Loihi, its updates."""
    layer = RLIF(UNITS, return_sequences=True, name="twice")
    left, right = (keras.Input((None, FEATURES), name=name) for name in ("left", "right"))
    once = keras.Model(left, layer(left))
    both = keras.Model([left, right], [layer(left), layer(right)])
    same = keras.Model(left, [layer(left), layer(left)])
    assign(layer.cell, draw_on_a_grid(layer.cell, FEATURES, 1))
    inputs = grid(3, 5, FEATURES), grid(3, 5, FEATURES, seed=8)
    singles = [comparison.corrections(profile(once, array), {"twice": 0.5}) for array in inputs]
    for correction, one, other in zip(
        comparison.corrections(profile(both, list(inputs)), {"twice": 0.5}), *singles, strict=True
    ):
        assert correction.spiking == close(one.spiking + other.spiking), correction.what
        assert correction.dense == close(one.dense + other.dense), correction.what
    for correction, one in zip(
        comparison.corrections(profile(same, inputs[0]), {"twice": 0.5}), singles[0], strict=True
    ):
        assert (correction.spiking, correction.dense) == (close(2 * one.spiking), close(2 * one.dense)), correction.what
    assert singles[0][3].spiking != close(singles[1][3].spiking)


def test_an_activity_that_is_missing_is_named(networks):
    _, _, report = networks("rlif", "membrane")
    rates = {"rlif_1": 0.5, "decoding": 0.5, "population": 0.5}
    with pytest.raises(InputError, match="activity for every layer with synapses; 'rlif_2' has none"):
        comparison.corrections(report, rates)


# ---------------------------------------------------------------------------------------- the same network, densely


@pytest.mark.parametrize(("kind", "baseline"), [("lif", "dense"), ("rlif", "rnn"), ("slstm", "lstm")])
def test_a_baseline_multiplies_what_its_spiking_network_connects(networks, kind, baseline):
    """Layer by layer, and in joules on every device that is not event-driven and has no price for neurons."""
    _, inputs, report = networks(kind, "membrane")
    conventional = profile(build(baseline, **SIZES), inputs, mask=MASK)
    assert conventional.accumulates == 0
    for number, layer in enumerate(conventional.layers):
        weighted = [each.dense_operations for each in report.layers[number].projections if each.weighted]
        assert sum(weighted) == layer.multiply_accumulates
    assert conventional.multiply_accumulates == report.dense_operations - report["mean"].dense_operations > 0
    for device in ("v100_paper", "v100_fp16", "v100_fp32"):
        joules = comparison.dense_energy(report, device)
        assert joules == close(conventional.energy(device).per_inference)
        assert joules == close(
            conventional.multiply_accumulates * DEVICES[device].prices["multiply_accumulate"] / PATHS
        )


def test_energies_in_use(networks):
    """Spiking: on Loihi, its products on the V100; others: on the V100; and both in one technology."""
    model, inputs, report = networks("rlif", "membrane")
    counted = Counted("rlif", "membrane", model, inputs)
    plain = counted.biases + counted.mean
    assert comparison.energies_in_use(report) == {
        "Loihi and V100 / J": close(joules_on(LOIHI, counted, HALF)),
        "45 nm CMOS / J": close(
            (counted.operations(True) * 0.9 + counted.operations(False) * 4.6 + plain * 0.9) * PJ / PATHS
        ),
    }
    rnn = profile(build("rnn", **SIZES), inputs, mask=MASK)
    products = counted.connections * LENGTHS.sum()
    assert comparison.energies_in_use(rnn) == {
        "Loihi and V100 / J": close(products * HALF / PATHS),
        "45 nm CMOS / J": close((products * 4.6 + (rnn.bias_additions + counted.mean) * 0.9) * PJ / PATHS),
    }


# ------------------------------------------------------------------------------------------------------- break-even


def at_rate(share, chip, counted, product):
    """Joules for one path if every neuron fired `share` times as often."""
    spikes = share * counted.spikes
    return (
        share * counted.operations(True) * chip["event"]
        + (spikes + counted.other_updates) * chip["fires"]
        + (counted.firing_updates - spikes) * chip["idle"]
        + spikes * chip["spike"]
        + counted.operations(False) * product
    ) / PATHS


@READOUTS
@KINDS
@pytest.mark.parametrize(
    ("chip", "device", "host", "product"),
    [(LOIHI, "loihi", "v100_fp16", HALF), (DAVIES, "loihi_davies2018", "v100_fp32", SINGLE)],
)
def test_at_the_break_even_rate_the_energies_are_equal(networks, kind, readout, chip, device, host, product):
    model, inputs, report = networks(kind, readout)
    counted = Counted(kind, readout, model, inputs)
    here = counted.spikes / counted.firing_updates
    assert comparison.mean_rate(report) == close(here)
    rate = comparison.break_even(report, device, host)
    dense = counted.connections * LENGTHS.sum() * product / PATHS
    # The rate is a difference over a difference: some digits cancel.
    assert at_rate(rate / here, chip, counted, product) == pytest.approx(dense, rel=1e-9)
    assert at_rate(0.9 * rate / here, chip, counted, product) != pytest.approx(dense, rel=1e-3)
    # And it tells which of the two costs less as they are.
    assert (comparison.spiking_energy(report, device, host) < dense) == (here < rate)


@KINDS
def test_energy_is_linear_in_the_rate(networks, kind):
    """From a silent network's energy through its own; rates in any shape."""
    _, _, report = networks(kind, "membrane")
    places = ("loihi", "v100_fp16")
    own, at_rest = (comparison.spiking_energy(each, *places) for each in (report, comparison.silenced(report)))
    rate = comparison.mean_rate(report)
    found = comparison.energy_at(report, [[0, rate], [3 * rate, rate / 2]], *places)
    wanted = [[at_rest, own], [3 * own - 2 * at_rest, (own + at_rest) / 2]]
    np.testing.assert_allclose(found, wanted, rtol=1e-12)  # sums of a few dozen doubles
    assert own > 1.001 * at_rest


def test_activities_are_mean_sizes():
    """Of what each layer hears: the input for the first, spikes for the second."""
    model = build("lif", units=3, population=2, depth=2, seed=4)
    inputs = np.random.default_rng(1).normal(size=(4, 5, 1)).astype("float32")
    found = comparison.activities_of(model, inputs)
    assert found["lif_1"] == pytest.approx(np.abs(inputs).mean(), rel=1e-6)  # single precision
    report = profile(model, inputs)
    assert found["lif_2"] == pytest.approx(float(report["lif_1"].spikes_per_neuron_and_step), rel=1e-6)
    assert 0 < found["lif_2"] < 1


def test_silenced_keeps_what_no_spike_drives(networks):
    _, _, report = networks("slstm", "spikes")
    quiet = comparison.silenced(report)
    assert quiet.accumulates == quiet.spikes == quiet["slstm_1"].active_updates == 0
    assert quiet["slstm_2"].idle_updates == LENGTHS.sum() * UNITS
    assert quiet["decoding"] == replace(
        report["decoding"],
        projections=tuple(replace(each, events=0) for each in report["decoding"].projections),
    )
    for name in ("multiply_accumulates", "additions", "neuron_updates", "dense_operations", "memory_bytes"):
        assert getattr(quiet, name) == getattr(report, name) > 0
    assert quiet["decoding"].spikes is None


def tiny(**prices):
    """One neuron that fires at steps 2 and 4 of 4, two neurons that hear it, and a chip with these prices in pJ.

    Weight 1/2, threshold 1, no leak: the membrane is 1/2, 1, (0 +) 1/2, 1.
    """
    inputs = keras.Input((None, 1), name="inputs")
    layer = LIF(1, use_bias=False, return_sequences=True, name="lif")
    model = keras.Model(inputs, keras.layers.Dense(2, use_bias=False, name="hears")(layer(inputs)))
    weights = {"kernel": np.full((1, 1), 0.5), "decay": np.ones(1), "threshold": np.ones(1)}
    assign(layer.cell, weights)
    joules = {term: price * PJ for term, price in prices.items()}
    return profile(model, np.ones((1, 4, 1))), Device("chip", True, joules, "by hand", "derived", "all the rest")


def test_joules_of_a_tiny_network_by_hand():
    """Two spikes to two neurons: 4 accumulates; 4 real inputs; updates: 2 of 4 active; densely 4 + 8 products.

    Accumulate 1, update 3 or 2, spike 5, product 10 on the host: at rest 4 * 10 + 4 * 2 = 48, as it is
    4 + 2 * 3 + 2 * 2 + 2 * 5 + 40 = 64, densely 120; the rate 1/2 may rise to 1/2 * 72 / 16 = 2.25.
    """
    report, chip = tiny(accumulate=1, active_update=3, idle_update=2, spike=5)
    assert (report.spikes, report.accumulates, report.multiply_accumulates) == (2, 4, 4)
    host = Device("host", False, {"multiply_accumulate": 10 * PJ}, "by hand", "derived", "all the rest")
    assert comparison.spiking_energy(comparison.silenced(report), chip, host) == close(48 * PJ)
    assert comparison.spiking_energy(report, chip, host) == close(64 * PJ)
    assert comparison.dense_energy(report, host) == close(120 * PJ)
    assert comparison.break_even(report, chip, host) == close(2.25)
    # A host that prices neurons does so whether it computes spikes or not.
    host = Device("host", False, {"multiply_accumulate": 10 * PJ, "active_update": 7 * PJ, "idle_update": 6 * PJ},
                  "by hand", "derived", "all the rest")  # fmt: skip
    assert comparison.dense_energy(report, host) == close((120 + 2 * 7 + 2 * 6) * PJ)
    # A device that prices products does them itself.
    chip = replace(chip, prices={**chip.prices, "multiply_accumulate": 20 * PJ})
    assert comparison.spiking_energy(report, chip, host) == close((64 + 40) * PJ)


def test_a_network_that_does_not_fire_has_no_break_even():
    silent = profile(build("lif", threshold=1e6, **SIZES), grid(PATHS, TIME, FEATURES))
    assert silent.spikes == 0
    with pytest.raises(InputError, match="'lif' does not fire on these data"):
        comparison.break_even(silent, "loihi", "v100_fp16")
    with pytest.raises(InputError, match="'dense' does not fire"):
        comparison.mean_rate(profile(build("dense", **SIZES), grid(PATHS, TIME, FEATURES)))


@pytest.mark.parametrize(("product", "expected"), [(10, math.inf), (0.1, -math.inf)])
def test_where_spikes_cost_nothing_no_rate_matters(product, expected):
    """Densely 12 products, spiking 4 and 4 updates of 2 pJ: less where a product costs more than 1 pJ, else never."""
    report, chip = tiny(accumulate=0, active_update=2, idle_update=2)
    host = Device("host", False, {"multiply_accumulate": product * PJ}, "by hand", "derived", "all the rest")
    assert comparison.break_even(report, chip, host) == expected


def test_a_network_whose_spikes_nobody_hears_breaks_even_at_every_rate_or_none():
    """One layer that hands on its membrane: on a chip where each update costs the same, firing is free."""
    model = put_on_the_grid(build("lif", **SIZES | {"depth": 1}))
    report = profile(model, grid(PATHS, TIME, FEATURES))
    assert report.spikes > 0
    assert report.accumulates == 0
    assert comparison.break_even(report, "loihi", "cpu") == math.inf
    assert comparison.break_even(report, "loihi", "v100_fp16") == -math.inf
