"""Spiking networks compared with dense ones: every figure computed again from the spikes, neuron by neuron."""

import math
from dataclasses import replace

import keras
import numpy as np
import pytest

from kspike_reg import InputError, build
from kspike_reg.energy import DEVICES, Device, comparison, profile
from kspike_reg.neurons import LIF
from oracles.backend import torch_arrays
from oracles.networks import grid, put_on_the_grid
from oracles.synapses import (
    DAVIES,
    FEATURES,
    HALF,
    KINDS,
    LENGTHS,
    LOIHI,
    MASK,
    PATHS,
    PJ,
    READOUTS,
    SINGLE,
    SIZES,
    TIME,
    UNITS,
    Counted,
    Networks,
    close,
    joules_on,
)  # fmt: skip
from oracles.weights import assign

pytestmark = torch_arrays


@pytest.fixture(scope="module")
def networks():
    return Networks()


# ------------------------------------------------------------------------------- the dense network of the same sizes


@pytest.mark.parametrize(("kind", "baseline"), [("lif", "dense"), ("rlif", "rnn"), ("slstm", "lstm")])
def test_a_baseline_multiplies_what_its_spiking_network_connects(networks, kind, baseline):
    """In each layer, and in joules on every device that is not event-driven and has no price for neurons."""
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
    """Spiking networks on Loihi with products on the V100, dense ones on the V100, and both in one technology."""
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
    # The rate is a quotient of differences, so some digits cancel.
    assert at_rate(rate / here, chip, counted, product) == pytest.approx(dense, rel=1e-9)
    assert at_rate(0.9 * rate / here, chip, counted, product) != pytest.approx(dense, rel=1e-3)
    # The comparison states which of the two costs less at the rate of the report.
    assert (comparison.spiking_energy(report, device, host) < dense) == (here < rate)


@KINDS
def test_energy_is_linear_in_the_rate(networks, kind):
    """The line goes through the energy of a silent network and the network's own; rates may have any shape."""
    _, _, report = networks(kind, "membrane")
    places = ("loihi", "v100_fp16")
    own, at_rest = (comparison.spiking_energy(each, *places) for each in (report, comparison.silenced(report)))
    rate = comparison.mean_rate(report)
    found = comparison.energy_at(report, [[0, rate], [3 * rate, rate / 2]], *places)
    expected = [[at_rest, own], [3 * own - 2 * at_rest, (own + at_rest) / 2]]
    np.testing.assert_allclose(found, expected, rtol=1e-12)  # sums of a few dozen doubles
    assert own > 1.001 * at_rest


def test_silenced_keeps_operations_that_are_not_driven_by_spikes(networks):
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
    """One neuron that fires at steps 2 and 4 of 4, two neurons that receive its spikes, and a chip; prices in pJ.

    Weight 1/2, threshold 1, no leak: the membrane is 1/2, 1, (0 +) 1/2, 1.
    """
    inputs = keras.Input((None, 1), name="inputs")
    layer = LIF(1, use_bias=False, return_sequences=True, name="lif")
    model = keras.Model(inputs, keras.layers.Dense(2, use_bias=False, name="reader")(layer(inputs)))
    weights = {"kernel": np.full((1, 1), 0.5), "decay": np.ones(1), "threshold": np.ones(1)}
    assign(layer.cell, weights)
    joules = {term: price * PJ for term, price in prices.items()}
    return profile(model, np.ones((1, 4, 1))), Device("chip", True, joules, "by hand", "derived", "all the rest")


def test_joules_of_a_tiny_network_by_hand():
    """Two spikes to two neurons: 4 accumulates; 4 real inputs; updates: 2 of 4 active; the dense one 4 + 8 products.

    Accumulate 1, update 3 or 2, spike 5, product 10 on the host. Silent: 4 * 10 + 4 * 2 = 48. At its own rate:
    4 + 2 * 3 + 2 * 2 + 2 * 5 + 40 = 64. Dense: 120. The rate 1/2 may rise to 1/2 * 72 / 16 = 2.25.
    """
    report, chip = tiny(accumulate=1, active_update=3, idle_update=2, spike=5)
    assert (report.spikes, report.accumulates, report.multiply_accumulates) == (2, 4, 4)
    host = Device("host", False, {"multiply_accumulate": 10 * PJ}, "by hand", "derived", "all the rest")
    assert comparison.spiking_energy(comparison.silenced(report), chip, host) == close(48 * PJ)
    assert comparison.spiking_energy(report, chip, host) == close(64 * PJ)
    assert comparison.dense_energy(report, host) == close(120 * PJ)
    assert comparison.break_even(report, chip, host) == close(2.25)
    # A host with prices for neurons applies them to spiking and to dense networks.
    host = Device("host", False, {"multiply_accumulate": 10 * PJ, "active_update": 7 * PJ, "idle_update": 6 * PJ},
                  "by hand", "derived", "all the rest")  # fmt: skip
    assert comparison.dense_energy(report, host) == close((120 + 2 * 7 + 2 * 6) * PJ)
    # A device with a price for products computes them itself.
    chip = replace(chip, prices={**chip.prices, "multiply_accumulate": 20 * PJ})
    assert comparison.spiking_energy(report, chip, host) == close((64 + 40) * PJ)


def test_a_host_without_a_price_for_products_is_refused():
    report, chip = tiny(accumulate=1)
    with pytest.raises(InputError, match="expected a host that prices multiply-accumulates, received 'loihi'"):
        comparison.spiking_energy(report, chip, "loihi")
    with pytest.raises(InputError, match="'loihi': the price of multiply_accumulate is missing"):
        comparison.dense_energy(report, "loihi")


def test_a_network_that_does_not_fire_has_no_break_even():
    silent = profile(build("lif", threshold=1e6, **SIZES), grid(PATHS, TIME, FEATURES))
    assert silent.spikes == 0
    with pytest.raises(InputError, match="'lif' does not fire on these data"):
        comparison.break_even(silent, "loihi", "v100_fp16")
    with pytest.raises(InputError, match="'dense' does not fire"):
        comparison.mean_rate(profile(build("dense", **SIZES), grid(PATHS, TIME, FEATURES)))


@pytest.mark.parametrize(("product", "expected"), [(10, math.inf), (0.1, -math.inf)])
def test_the_rate_does_not_matter_if_spikes_cost_nothing(product, expected):
    """Dense: 12 products. Spiking: 4, and 4 updates of 2 pJ, which is less if a product costs more than 1 pJ."""
    report, chip = tiny(accumulate=0, active_update=2, idle_update=2)
    host = Device("host", False, {"multiply_accumulate": product * PJ}, "by hand", "derived", "all the rest")
    assert comparison.break_even(report, chip, host) == expected


def test_a_network_whose_spikes_drive_no_synapses_breaks_even_at_every_rate_or_none():
    """One layer that emits its membrane: on a chip where each update costs the same, firing is free."""
    model = put_on_the_grid(build("lif", **SIZES | {"depth": 1}))
    report = profile(model, grid(PATHS, TIME, FEATURES))
    assert report.spikes > 0
    assert report.accumulates == 0
    assert comparison.break_even(report, "loihi", "cpu") == math.inf
    assert comparison.break_even(report, "loihi", "v100_fp16") == -math.inf
