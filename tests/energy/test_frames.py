"""Tables of a report of the profiler for one path, and the files of a report."""

import csv
import json
from fractions import Fraction

import numpy as np
import pytest
from matplotlib.image import imread

from kspike_reg import InputError, build
from kspike_reg.datasets import Standardiser
from kspike_reg.energy import DEVICES, Device, comparison, frames, profile
from kspike_reg.energy.output import draw_layers, write_report
from kspike_reg.network.physical import in_physical_units
from kspike_reg.tables import markdown
from oracles.backend import torch_arrays
from oracles.networks import grid, put_on_the_grid

pytestmark = torch_arrays

# Seven paths, so that an average is not a whole number and one path is not mistaken for all paths.
PATHS, TIME, FEATURES, UNITS, POPULATION = 7, 6, 2, 5, 4
LENGTHS = np.array([6, 3, 6, 1, 4, 2, 5])
SHOWN = ("loihi", "loihi_davies2018", "v100_fp16", "cmos45_fp32")
COUNTS = {
    "accumulates": "accumulates",
    "multiply-accumulates": "multiply_accumulates",
    "additions": "additions",
    "active updates": "active_updates",
    "idle updates": "idle_updates",
}
COUNTED = ("accumulate", "multiply_accumulate", "addition", "active_update", "idle_update", "spike")


@pytest.fixture(scope="module")
def report():
    model = put_on_the_grid(build("rlif", features=FEATURES, outputs=2, units=UNITS, population=POPULATION, depth=2))
    found = profile(model, grid(PATHS, TIME, FEATURES), mask=np.arange(TIME) < LENGTHS[:, None])
    assert found.accumulates % PATHS, "the averages are whole numbers, so the test is vacuous"
    return found


@pytest.fixture(scope="module")
def conventional():
    return profile(build("gru", features=FEATURES, units=UNITS, population=POPULATION, depth=1), grid(2, 3, FEATURES))


def test_operations_are_those_of_one_path_and_add_up(report):
    table = frames.operation_frame(report)
    assert table["layer"].tolist() == ["rlif_1", "rlif_2", "decoding", "population", "mean", "total"]
    *rows, total = table.to_dict("records")
    for row, layer in zip(rows, report.layers, strict=True):
        for column, count in COUNTS.items():
            assert Fraction(getattr(layer, count), PATHS) == pytest.approx(Fraction(row[column]), rel=1e-15)
        assert (row["neurons"], row["connections"], row["memory / B"]) == (
            layer.neurons, layer.connections, layer.memory_bytes
        )  # fmt: skip
    for column, count in COUNTS.items():
        assert total[column] == getattr(report, count) / PATHS
        assert total[column] == pytest.approx(sum(row[column] for row in rows), rel=1e-12)
    for column in ("neurons", "connections", "memory / B"):
        assert total[column] == sum(row[column] for row in rows)
    assert total["connections"] == 2 * 5 + 25 + 25 + 25 + 25 + 20 + 4
    assert total["neurons"] == 5 + 5 + 5 + 4


def test_only_layers_that_can_fire_have_a_rate(report, conventional):
    rates = frames.operation_frame(report)["spikes per neuron and step"].tolist()
    expected = [report[name].spikes / (LENGTHS.sum() * UNITS) for name in ("rlif_1", "rlif_2")]
    assert rates == [*(pytest.approx(rate, rel=1e-15) for rate in expected), None, None, None, None]
    assert 0 < expected[0] != expected[1] > 0
    assert set(frames.operation_frame(conventional)["spikes per neuron and step"]) == {None}


def test_projections_add_up_to_their_layers(report):
    table = frames.projection_frame(report)
    assert [tuple(row) for row in table[["layer", "weights", "source", "carries", "fan-in", "fan-out"]].to_numpy()] == [
        ("rlif_1", "kernel", "inputs", "real values", 2, 5),
        ("rlif_1", "recurrent_kernel", "rlif_1", "spikes", 5, 5),
        ("rlif_2", "kernel", "rlif_1", "spikes", 5, 5),
        ("rlif_2", "recurrent_kernel", "rlif_2", "spikes", 5, 5),
        ("decoding", "kernel", "rlif_2", "real values", 5, 5),
        ("population", "kernel", "decoding", "real values", 5, 4),
        ("mean", "mean", "population", "real values", 4, 1),
    ]
    operations = frames.operation_frame(report).set_index("layer")
    for column in ("accumulates", "multiply-accumulates"):
        sums = table.groupby("layer")[column].sum()
        for layer, value in sums.items():
            assert value == pytest.approx(operations.loc[layer, column], rel=1e-12), (layer, column)
    by_events = table["events"] * table["fan-out"]
    np.testing.assert_allclose(by_events.astype(float), table["accumulates"].astype(float), rtol=1e-15)
    assert table["accumulates"].sum() * PATHS == pytest.approx(report.accumulates, rel=1e-12)
    # Biases are not synapses.
    biases = LENGTHS.sum() * (3 * UNITS + POPULATION) / PATHS
    assert table["additions"].sum() + biases == pytest.approx(report.additions / PATHS, rel=1e-12)


def test_energies_are_nanojoules_for_one_path_and_add_up(report):
    table = frames.energy_frame(report, SHOWN)
    assert list(table.columns) == ["layer", *(f"{name} / nJ" for name in SHOWN)]
    *rows, total = table.to_dict("records")
    assert total["layer"] == "total"
    for name in SHOWN:
        column = f"{name} / nJ"
        assert total[column] == pytest.approx(report.energy(name).total / PATHS * 1e9, rel=1e-12)
        assert total[column] == pytest.approx(sum(row[column] or 0 for row in rows), rel=1e-12)
    # By hand: RLIF 2 on Loihi, 27.1 pJ for each event and 81 pJ for each update.
    joules = report["rlif_2"].accumulates * 27.1e-12 + LENGTHS.sum() * UNITS * 81e-12
    assert rows[1]["loihi / nJ"] == pytest.approx(joules / PATHS * 1e9, rel=1e-12)


def test_energies_without_a_price_are_missing_not_zero(report):
    """The mean needs only additions, for which Loihi and the V100 have no price; 45 nm CMOS has none for updates."""
    table = frames.energy_frame(report, SHOWN).set_index("layer")
    assert table.loc["mean"].tolist()[:3] == [None, None, None]
    assert table.loc["mean", "cmos45_fp32 / nJ"] == pytest.approx(
        LENGTHS.sum() * POPULATION * 0.9e-3 / PATHS, rel=1e-12
    )
    assert not table.drop(index="mean").isna().any(axis=None)


def test_energies_with_a_price_of_zero_are_zero(report):
    free = Device("free", True, {"accumulate": 0.0}, "by hand", "derived", "all")
    all_free = Device("all_free", True, dict.fromkeys(COUNTED, 0.0), "by hand", "derived", "all")
    table = frames.energy_frame(report, [free, all_free])
    # The first has prices for all operations of no layer, the second for those of every layer.
    assert table["free / nJ"].tolist() == [None] * 5 + [0.0]
    assert table["all_free / nJ"].tolist() == [0.0] * 6


def test_unpriced_operations_are_listed_with_their_counts(report):
    table = frames.unpriced_frame(report, SHOWN)
    assert list(table.columns) == ["device", "operation", "for one path"]
    rows = {(device, term): count for device, term, count in table.itertuples(index=False, name=None)}
    assert len(rows) == len(table)
    steps = LENGTHS.sum()
    products = steps * (FEATURES * UNITS + UNITS * UNITS + UNITS * POPULATION) / PATHS
    additions = steps * (3 * UNITS + POPULATION + POPULATION) / PATHS
    active = (report.spikes + steps * (UNITS + POPULATION)) / PATHS
    idle = (2 * steps * UNITS - report.spikes) / PATHS
    spikes = report.spikes / PATHS
    assert rows == {
        ("loihi", "multiply_accumulate"): pytest.approx(products, rel=1e-12),
        ("loihi", "addition"): pytest.approx(additions, rel=1e-12),
        ("loihi", "spike"): pytest.approx(spikes, rel=1e-12),
        ("loihi_davies2018", "multiply_accumulate"): pytest.approx(products, rel=1e-12),
        ("loihi_davies2018", "addition"): pytest.approx(additions, rel=1e-12),
        ("loihi_davies2018", "hop_east_west"): "not counted",
        ("loihi_davies2018", "hop_north_south"): "not counted",
        ("v100_fp16", "addition"): pytest.approx(additions, rel=1e-12),
        ("v100_fp16", "active_update"): pytest.approx(active, rel=1e-12),
        ("v100_fp16", "idle_update"): pytest.approx(idle, rel=1e-12),
        ("cmos45_fp32", "active_update"): pytest.approx(active, rel=1e-12),
        ("cmos45_fp32", "idle_update"): pytest.approx(idle, rel=1e-12),
        ("cmos45_fp32", "spike"): pytest.approx(spikes, rel=1e-12),
    }


def test_the_table_is_empty_if_all_operations_have_prices(report):
    everything = Device("all", True, dict.fromkeys(COUNTED, 1e-12), "by hand", "derived", "nothing")
    table = frames.unpriced_frame(report, [everything])
    assert list(table.columns) == ["device", "operation", "for one path"]
    assert table.empty


def test_break_even_pairs_and_verdicts(report):
    """Event-driven devices with products are compared with themselves, others with all that are not event-driven."""
    table = frames.break_even_frame(report)
    pairs = list(zip(table["spiking on"], table["dense, and real values, on"], strict=True))
    hosts = ("v100_paper", "v100_fp16", "v100_fp32", "cpu", "gpu", "arm")
    assert set(pairs) == {
        *((chip, host) for chip in ("loihi", "loihi_davies2018", "spinnaker", "spinnaker2") for host in hosts),
        ("cmos45_fp32", "cmos45_fp32"), ("cmos45_int8", "cmos45_int8"),
    }  # fmt: skip
    assert len(set(pairs)) == len(pairs)
    here = comparison.mean_rate(report)
    verdicts = set()
    for row in table.to_dict("records"):
        chip, host = row["spiking on"], row["dense, and real values, on"]
        rate = row["break-even spikes per neuron and step"]
        assert rate == comparison.break_even(report, chip, host)
        assert row["this network's"] == here
        dense = comparison.dense_energy(report, host)
        at_rest = comparison.spiking_energy(comparison.silenced(report), chip, host)
        here_joules = comparison.spiking_energy(report, chip, host)
        # Energy is linear in the rate: the energy if every neuron fired at every step.
        at_one = at_rest + (here_joules - at_rest) / here
        expected = "never" if dense <= at_rest else "always" if at_one <= dense else "below it"
        assert row["spiking costs less"] == expected, (chip, host)
        assert row["costs less here"] == ("yes" if here_joules < dense else "no"), (chip, host)
        verdicts.add(expected)
    assert verdicts == {"never", "always", "below it"}, "some verdicts do not occur, so the test is vacuous"


def test_devices_show_their_prices_in_picojoules_and_their_sources():
    table = frames.device_frame(["v100_fp16", DEVICES["loihi_davies2018"]])
    assert table["device"].tolist() == ["v100_fp16", "loihi_davies2018"]
    assert table["prices"].tolist() == [
        "multiply_accumulate 4.8 pJ",
        "accumulate 23.6 pJ, active_update 81 pJ, idle_update 52 pJ, spike 1.7 pJ, hop_east_west 3 pJ, "
        "hop_north_south 4 pJ",
    ]
    assert table["evidence"].tolist() == ["peak-power division", "simulated before silicon"]
    assert table["source"].tolist() == [DEVICES[name].source for name in table["device"]]


def test_all_tables(report, conventional):
    """A network that cannot fire has no break-even rates."""
    names = ["operations", "projections", "energies", "unpriced"]
    found = frames.tables_of(report, SHOWN)
    assert list(found) == [*names, "break_even"]
    assert found["operations"][0] == "Operations for one path, mean of 7"
    assert found["break_even"][1]["dense, and real values, on"].tolist() == ["v100_fp16", "v100_fp16", "cmos45_fp32"]
    assert list(frames.tables_of(conventional, SHOWN)) == names


def test_scaling_runs_on_the_host_and_is_not_shown(report):
    network = build("lif", features=1, units=UNITS, population=POPULATION, depth=1)
    model = in_physical_units(network, Standardiser((0.0,), (2.0,), ("e",)), Standardiser((0.0,), (1.0,), ("s",)))
    found = profile(model, grid(2, 3, 1))
    assert "standardise" in [layer.name for layer in found.layers]
    for table in (frames.operation_frame(found), frames.energy_frame(found, ["loihi"])):
        assert table["layer"].tolist() == ["lif_1", "decoding", "population", "mean", "total"]


# --------------------------------------------------------------------------------------------- the files of a report


def test_the_bars_are_the_joules_of_one_path(report):
    """In microjoules, with a mark where a device receives real values and has no price for them."""
    axes = draw_layers(report, ["loihi", "cmos45_fp32"])
    names = [label.get_text() for label in axes.get_xticklabels()]
    for bars, name in zip(axes.containers, ("loihi", "cmos45_fp32"), strict=True):
        table = report.energy(name)
        for layer, bar in zip(names, bars, strict=True):
            joules = table[layer].total / report.samples
            assert bar.get_height() == pytest.approx(joules * 1e6, rel=1e-12) or (
                joules == 0 and np.isnan(bar.get_height())
            )
    marked = sum("multiply_accumulate" in layer.unpriced for layer in report.energy("loihi").layers)
    assert marked > 0
    assert [text.get_text() for text in axes.texts] == ["+"] * marked


def test_the_files_of_a_report(report, tmp_path):
    write_report(report, SHOWN, tmp_path / "new" / "folder")
    folder = tmp_path / "new" / "folder"
    tables = frames.tables_of(report, SHOWN)
    assert {file.name for file in folder.iterdir()} == {
        "energy.json", "layers.png", *(f"{name}.{suffix}" for name in tables for suffix in ("csv", "md", "tex"))
    }  # fmt: skip
    content = json.loads((folder / "energy.json").read_text())
    assert content == json.loads(
        json.dumps({"counts": report.to_dict(), "energies": [report.energy(name).to_dict() for name in SHOWN]})
    )
    for name, (_, table) in tables.items():
        assert (folder / f"{name}.csv").read_text() == table.to_csv(index=False)
        assert (folder / f"{name}.md").read_text() == markdown(table) + "\n"
    *_, total = csv.DictReader((folder / "energies.csv").read_text().splitlines())
    assert float(total["loihi / nJ"]) == report.energy("loihi").per_inference / 1e-9
    assert imread(folder / "layers.png").shape[2] in (3, 4)


def test_a_report_of_devices_from_files(report, tmp_path):
    chip = Device("chip", True, {"accumulate": 2e-12}, "by hand", "derived", "all the rest")
    write_report(report, ["loihi", chip], tmp_path)
    energies = json.loads((tmp_path / "energy.json").read_text())["energies"]
    assert [each["device"]["name"] for each in energies] == ["loihi", "chip"]
    assert energies[1]["total"] == pytest.approx(report.accumulates * 2e-12, rel=1e-12)


def test_a_report_does_not_replace_a_file(report, tmp_path):
    (tmp_path / "taken").write_text("old")
    with pytest.raises(InputError, match="taken: cannot be used as a folder"):
        write_report(report, SHOWN, tmp_path / "taken")
    assert (tmp_path / "taken").read_text() == "old"
