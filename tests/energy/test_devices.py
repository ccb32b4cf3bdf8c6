"""Energies by hand, devices from files, and the fields that every device must have."""

import json
import math
from importlib.metadata import distribution

import keras
import numpy as np
import pytest

from kspike_reg import InputError
from kspike_reg.energy import DEVICES, Device, profile, read_device
from kspike_reg.energy.devices import GRADES, TERMS
from kspike_reg.energy.report import EnergyReport, LayerCounts, Projection
from kspike_reg.neurons import LIF
from oracles.backend import torch_arrays

pytestmark = torch_arrays

CHIP = {
    "name": "chip",
    "event_driven": True,
    "prices": {"accumulate": 2e-12, "idle_update": 0.5e-12},
    "source": "a data sheet",
    "grade": "measured on silicon",
    "omits": "memory traffic",
}


@pytest.fixture(scope="module")
def report():
    """Two paths, ten steps in all; 3 real inputs into 4 neurons that fire 6 times, 5 times before the last step."""
    projections = (
        Projection("kernel", "inputs", False, True, fan_in=3, fan_out=4, steps=10, events=0),
        Projection("recurrent_kernel", "lif", True, True, fan_in=4, fan_out=4, steps=10, events=5),
    )
    layer = LayerCounts(
        name="lif", kind="RLIF", calls=1, steps=10, projections=projections, connections=28, neurons=4,
        bias_additions=40, spikes=6, active_updates=6, idle_updates=34, parameters=40, state=8, bits=32,
    )  # fmt: skip
    return EnergyReport(model="tiny", samples=2, steps=10, bits=32, layers=(layer,))


# 20 accumulates, 120 multiply-accumulates, 40 additions, 6 active and 34 idle updates, 6 spikes; a machine without
# events has 28 x 10 = 280 multiply-accumulates. In joules.
BY_HAND = {
    "loihi": 20 * 27.1e-12 + 40 * 81e-12,
    "loihi_davies2018": 20 * 23.6e-12 + 6 * 81e-12 + 34 * 52e-12 + 6 * 1.7e-12,
    "v100_paper": 280 * 2.4e-12,
    "v100_fp16": 280 * 4.8e-12,
    "v100_fp32": 280 * 600 / 15.7e12,
    "spinnaker": 20 * 13.3e-9 + 40 * 26e-9,
    "spinnaker2": 20 * 450e-12 + 40 * 2.19e-9,
    "cpu": (280 + 40) * 8.6e-9,
    "gpu": (280 + 40) * 0.3e-9,
    "arm": (280 + 40) * 0.9e-9,
    "cmos45_fp32": 20 * 0.9e-12 + 120 * 4.6e-12 + 40 * 0.9e-12,
    "cmos45_int8": 20 * 0.03e-12 + 120 * 0.23e-12 + 40 * 0.03e-12,
}


@pytest.mark.parametrize("name", DEVICES)
def test_joules_by_hand(report, name):
    """To the rounding of doubles."""
    table = report.energy(name)
    assert table.total == pytest.approx(BY_HAND[name], rel=1e-14)
    assert table.per_inference == pytest.approx(BY_HAND[name] / 2, rel=1e-14)
    assert table["lif"].total == table.total == pytest.approx(math.fsum(table.joules.values()), rel=1e-14)
    assert json.loads(json.dumps(table.to_dict()))["per_inference"] == table.per_inference


def test_operations_without_a_price_are_listed_not_counted_as_zero(report):
    table = report.energy("loihi")
    assert table.unpriced == {"multiply_accumulate": 120, "addition": 40, "spike": 6}
    assert set(table.joules).isdisjoint(table.unpriced)
    assert report.energy("loihi_davies2018").unpriced == {"multiply_accumulate": 120, "addition": 40}
    assert report.energy("loihi_davies2018").uncounted == ("hop_east_west", "hop_north_south")
    assert report.energy("v100_fp32").unpriced == {"addition": 40, "active_update": 6, "idle_update": 34}
    assert report.energy("cmos45_int8").unpriced == {"active_update": 6, "idle_update": 34, "spike": 6}


@pytest.mark.parametrize("name", DEVICES)
def test_every_device_states_the_source_of_its_figures(name):
    device = DEVICES[name]
    assert device.name == name
    assert device.grade in GRADES
    assert any(year in device.source for year in ("2014", "2016", "2018", "2019")) or "data sheet" in device.source
    assert len(device.omits) > 20
    assert all(term in TERMS and 0 < price < 1e-7 for term, price in device.prices.items())


def test_constants_are_those_of_keras_spiking():
    """Read from its source, since importing it would import TensorFlow on every backend."""
    text = distribution("keras-spiking").locate_file("keras_spiking/model_energy.py").read_text()
    for quoted in (
        "(23.6 + 3.5) * 1e-12",
        "81e-12",
        "8.6e-9",
        "0.3e-9",
        "0.9e-9",
        "13.3e-9",
        "26e-9",
        "450e-12",
        "2.19e-9",
    ):
        assert quoted in text
    assert DEVICES["loihi"].prices["accumulate"] == (23.6 + 3.5) * 1e-12
    for name in ("spinnaker", "spinnaker2", "cpu", "gpu", "arm", "loihi"):
        assert DEVICES[name].prices["active_update"] == DEVICES[name].prices["idle_update"]


def test_a_whole_network_by_hand():
    """One neuron, weight one, threshold one, no leak: it fires at two of three steps, where the input reaches one."""
    inputs = keras.Input((None, 1), name="inputs")
    layer = LIF(1, return_sequences=True, reset="zero", use_bias=False, name="lif", decay_initializer=0.0,
                kernel_initializer="ones", threshold_initializer=1.0)  # fmt: skip
    model = keras.Model(inputs, keras.layers.Dense(2, use_bias=False, name="reader")(layer(inputs)))
    table = profile(model, np.array([[[1.0], [0.5], [2.0]]])).energy("loihi_davies2018")
    assert table["lif"].joules["active_update"] == pytest.approx(162e-12, rel=1e-14)
    assert table["lif"].joules["idle_update"] == pytest.approx(52e-12, rel=1e-14)
    assert table["lif"].joules["spike"] == pytest.approx(3.4e-12, rel=1e-14)
    assert table["lif"].unpriced == {"multiply_accumulate": 3}
    assert table["reader"].total == pytest.approx(4 * 23.6e-12, rel=1e-14)
    assert table["reader"].unpriced == {}


def test_a_layer_that_the_report_does_not_have_is_refused(report):
    for layers in (report, report.energy("loihi")):
        with pytest.raises(InputError, match="there is no layer 'rlif'; choose one of lif"):
            layers["rlif"]


def test_a_report_goes_through_json(report):
    content = json.loads(json.dumps(report.to_dict()))
    assert content["totals"]["accumulates"] == 20
    assert content["layers"][0]["spikes_per_neuron_and_step"] == 6 / 40
    assert [each["dense_operations"] for each in content["layers"][0]["projections"]] == [120, 160]


# ------------------------------------------------------------------------------------------------- devices from files


def write(folder, content):
    file = folder / "chip.json"
    file.write_text(content if isinstance(content, str) else json.dumps(content))
    return file


def test_a_device_from_a_file(tmp_path, report):
    device = read_device(write(tmp_path, CHIP))
    assert report.energy(device).total == pytest.approx(20 * 2e-12 + 34 * 0.5e-12, rel=1e-14)
    assert device.to_dict() == CHIP
    shipped = DEVICES["loihi_davies2018"]
    assert read_device(write(tmp_path, shipped.to_dict())) == shipped


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"prices": {"idle_update": 1e-12}}, "price of accumulate is missing"),
        ({"prices": {"accumulate": 1e-12}, "event_driven": False}, "price of multiply_accumulate is missing"),
        ({"prices": {"accumulate": -1e-12}}, "accumulate in joules, finite, >= 0, received -1e-12"),
        ({"prices": {"accumulate": math.nan}}, "received nan"),
        ({"prices": {"accumulate": math.inf}}, "received inf"),
        ({"prices": {"accumulate": "2 pJ"}}, "received '2 pJ'"),
        ({"prices": {"accumulate": True}}, "received True"),
        ({"prices": {"accumulate": 1e-12, "synop": 1e-12}}, "unknown term 'synop'; choose among accumulate"),
        ({"prices": [1e-12]}, "joules by term"),
        ({"event_driven": "yes"}, "true or false"),
        ({"grade": "guessed"}, "unknown grade 'guessed'; choose one of 'measured on silicon'"),
        ({"source": " "}, "expected source to be a text"),
        ({"omits": None}, "expected omits to be a text"),
        ({"power": 3}, "unknown 'power'"),
    ],
)
def test_an_invalid_device_is_refused(tmp_path, change, complaint):
    with pytest.raises(InputError, match=r"chip\.json: ") as caught:
        read_device(write(tmp_path, CHIP | change))
    assert complaint in str(caught.value)


def test_a_file_that_is_no_device_is_refused(tmp_path):
    for content, complaint in (("{", "not a JSON file"), ("[1]", "one JSON object")):
        with pytest.raises(InputError, match=complaint):
            read_device(write(tmp_path, content))
    with pytest.raises(InputError, match="missing 'prices'"):
        read_device(write(tmp_path, {name: value for name, value in CHIP.items() if name != "prices"}))
    with pytest.raises(InputError, match="cannot be read"):
        read_device(tmp_path / "none.json")


def test_an_unknown_device_is_refused(report):
    with pytest.raises(InputError, match="unknown device 'loihi3'; choose one of loihi, "):
        report.energy("loihi3")
    with pytest.raises(InputError, match="unknown device 3"):
        report.energy(3)


def test_a_device_is_immutable():
    with pytest.raises(TypeError):
        Device(**CHIP).prices["accumulate"] = 0.0
