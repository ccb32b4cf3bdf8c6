"""`python profiling/energy_table.py`: its tables are consistent and equal to the recorded ones."""

import csv
import itertools
import json
import math
import os
import subprocess
import sys
from pathlib import Path

import pytest
from matplotlib.image import imread

from kspike_reg.energy import DEVICES
from kspike_reg.network import BASELINES, SPIKING
from kspike_reg.network.saving import record_of, trained_networks

ROOT = Path(__file__).parents[2]
RESULTS = ROOT / "profiling" / "results"
TABLES = (
    "table_one_dense", "table_one_lstm", "corrections", "operations", "projections", "energies", "unpriced", "devices",
    "break_even", "networks", "widths",
)  # fmt: skip
FIRING = [name for name in trained_networks() if record_of(name)["configuration"]["kind"] in SPIKING]
# Other machines sum in another order, which may change one spike in ten thousand and all numbers that depend on it.
ANOTHER_MACHINE = 1e-3


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Folder with the results of one run of the script."""
    folder = tmp_path_factory.mktemp("energy") / "new"
    command = [sys.executable, "profiling/energy_table.py", "--out", str(folder)]
    environment = os.environ | {"PYTHONPATH": str(ROOT), "TF_CPP_MIN_LOG_LEVEL": "3", "KERAS_BACKEND": "tensorflow"}
    process = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert process.returncode == 0, process.stderr[-5000:]
    (folder.parent / "printed.txt").write_text(process.stdout, encoding="utf-8")
    return folder


@pytest.fixture(scope="module")
def content(folder):
    return json.loads((folder / "energy.json").read_text())


@pytest.fixture(scope="module")
def rows(content):
    """The rows of each table by the name of the table."""
    return {name: table["rows"] for name, table in content["tables"].items()}


def test_the_script_writes_every_table_and_figure_and_prints_the_tables(folder, content):
    figures = {"pareto.png", "break_even.png", *(f"layers_{name}.png" for name in trained_networks())}
    tables = {f"{name}.{suffix}" for name in TABLES for suffix in ("csv", "md", "tex")}
    assert {file.name for file in folder.iterdir()} == {"energy.json", *figures, *tables}
    assert list(content["tables"]) == list(TABLES)
    assert {network["network"] for network in content["networks"]} == set(trained_networks())
    printed = (folder.parent / "printed.txt").read_text()
    for name, table in content["tables"].items():
        markdown = (folder / f"{name}.md").read_text()
        assert f"\n{table['title']}\n\n{markdown}" in printed
        assert len(markdown.splitlines()) == 2 + len(table["rows"])
        assert (folder / f"{name}.tex").read_text().count(r"\\") == 1 + len(table["rows"])
        written = list(csv.DictReader((folder / f"{name}.csv").read_text().splitlines()))
        assert len(written) == len(table["rows"])
        for line, row in zip(written, table["rows"], strict=True):
            for column, cell in row.items():
                if isinstance(cell, (int, float)):
                    assert float(line[column]) == cell, (name, column)
                else:
                    assert line[column] == (cell or ""), (name, column)
    for figure in figures:
        assert imread(folder / figure).std() > 0.01


# ----------------------------------------------------------------------------------------------------------- Table I


@pytest.mark.parametrize(
    ("half", "layers", "total", "megabytes"),
    [
        ("dense", ["0.6144", "157.29", "157.29", "157.29", "39.32"], "511.80", "0.857"),
        ("lstm", ["2.458", "2516.6", "2516.6", "629.15", "39.32"], "5704.09", "9.520"),
    ],
)
def test_the_v100_columns_are_those_of_the_paper_to_the_last_digit(rows, half, layers, total, megabytes):
    *own, in_all, factor, memory = rows[f"table_one_{half}"]
    for row, printed in zip([*own, in_all], [*layers, total], strict=True):
        assert f"{row['V100']:.{len(printed.partition('.')[2])}f}" == printed
    assert f"{memory['V100']:.3f}" == megabytes
    assert factor["Loihi, our activity"] == pytest.approx(in_all["V100"] / in_all["Loihi, our activity"], rel=1e-12)


@pytest.mark.parametrize(("half", "network"), [("dense", "lif-elasticity"), ("lstm", "slstm-hardening")])
def test_the_loihi_columns_have_the_activity_of_our_networks(rows, half, network):
    """Rates of spikes that the profiler counted for the layers that receive only spikes."""
    kind, steps = network.split("-")[0], {"lif-elasticity": 5, "slstm-hardening": 100}[network]
    rates = {row["layer"]: row["spikes per neuron and step"] for row in rows["operations"] if row["network"] == network}
    table = rows[f"table_one_{half}"]
    for number in (1, 2):
        # The means are in single precision.
        assert table[number]["our activity"] == pytest.approx(rates[f"{kind}_{number}"], rel=1e-5)
    for row in table[:5]:
        assert row["our activity x steps"] == pytest.approx(steps * row["our activity"], rel=1e-12)
        joules = row["connections"] * 27.1e-3 * row["our activity"] * steps * 1e-3
        assert row["Loihi, our activity"] == pytest.approx(joules, rel=1e-12)


def test_no_figure_of_ours_is_typed_into_the_script():
    """The script contains only sizes and ranges of figures, unit prefixes and names."""
    text = (ROOT / "profiling" / "energy_table.py").read_text()
    for figure in ("0.6144", "157.2", "511.8", "2516", "5704", "0.857", "9.52", "27.1", "2.4"):
        assert figure not in text


# ------------------------------------------------------------------------------------------------------- corrections


def test_the_corrections_are_consistent(rows):
    """Each factor is a quotient, each change a quotient of factors, and the product of the changes the last factor."""
    by_network = {name: [row for row in rows["corrections"] if row["network"] == name] for name in FIRING}
    assert sum(map(len, by_network.values())) == len(rows["corrections"])
    for name, corrections in by_network.items():
        chain = [row for row in corrections if not row["counting"].startswith("instead")]
        instead = corrections[len(chain) :]
        assert (len(chain), len(instead)) == (8, 3)
        for row in corrections:
            assert row["times less"] == pytest.approx(row["dense / nJ"] / row["spiking / nJ"], rel=1e-12)
        assert chain[0]["moved by"] is None
        for before, after in itertools.pairwise(chain):
            assert after["moved by"] == pytest.approx(after["times less"] / before["times less"], rel=1e-12)
        moved = math.prod(row["moved by"] for row in chain[1:])
        assert chain[0]["times less"] * moved == pytest.approx(chain[-1]["times less"], rel=1e-9), name
        for row in instead:
            assert row["moved by"] == pytest.approx(row["times less"] / chain[-1]["times less"], rel=1e-12)


def test_the_last_correction_is_the_energy_of_the_tables(rows):
    """Loihi's column plus the multiply-accumulates on the V100; single precision costs 125 / 15.7 times as much."""
    for name in FIRING:
        total = {
            table: next(row for row in rows[table] if row["network"] == name and row["layer"] == "total")
            for table in ("energies", "operations")
        }
        corrections = {row["counting"]: row for row in rows["corrections"] if row["network"] == name}
        end = corrections["a multiply-accumulate is two operations"]
        on_gpu = total["operations"]["multiply-accumulates"] * 4.8e-3
        assert end["spiking / nJ"] == pytest.approx(total["energies"]["loihi / nJ"] + on_gpu, rel=1e-12)
        assert end["dense / nJ"] == pytest.approx(total["energies"]["v100_fp16 / nJ"], rel=1e-12)
        single = corrections["instead: the GPU in single precision"]
        assert single["dense / nJ"] / end["dense / nJ"] == pytest.approx(125 / 15.7, rel=1e-12)
        cmos = corrections["instead: both in 45 nm CMOS, single precision"]
        assert cmos["spiking / nJ"] == pytest.approx(total["energies"]["cmos45_fp32 / nJ"], rel=1e-12)
        energies = next(row for row in rows["networks"] if row["network"] == name)
        assert energies["Loihi and V100 / J"] == pytest.approx(end["spiking / nJ"] * 1e-9, rel=1e-12)
        assert energies["45 nm CMOS / J"] == pytest.approx(cmos["spiking / nJ"] * 1e-9, rel=1e-12)


def test_break_even_is_given_for_every_spiking_network_and_pair(rows):
    """At its rate, spiking on Loihi costs as much as dense on the V100; the operations come from the other table."""
    devices = [name for name in DEVICES if name != "v100_paper"]
    dense = [name for name in devices if not DEVICES[name].event_driven]
    for name in FIRING:
        found = {
            (row["spiking on"], row["dense, and real values, on"]): row
            for row in rows["break_even"]
            if row["network"] == name
        }
        assert len(found) == 4 * len(dense) + 2 == 22
        row = found["loihi", "v100_fp16"]
        totals = next(each for each in rows["operations"] if (each["network"], each["layer"]) == (name, "total"))
        corrections = {each["counting"]: each for each in rows["corrections"] if each["network"] == name}
        end = corrections["a multiply-accumulate is two operations"]
        by_spikes = totals["accumulates"] * 27.1e-3
        share = row["break-even spikes per neuron and step"] / row["this network's"]
        assert end["spiking / nJ"] + (share - 1) * by_spikes == pytest.approx(end["dense / nJ"], rel=1e-9)
        assert row["costs less here"] == ("yes" if end["times less"] > 1 else "no")
    assert {row["network"] for row in rows["break_even"]} == set(FIRING)


def test_the_errors_are_those_of_the_recorded_networks(rows):
    for row in rows["networks"]:
        errors = record_of(row["network"])["test"]["errors"]["standardised"]
        assert row["RMSE / deviations"] == errors["root_mean_squared_error"]["all"]
    assert [row["network"] for row in rows["networks"]] == list(trained_networks())


# ---------------------------------------------------------------------------------------------------- recorded results


def keys(row):
    return tuple(cell for cell in row.values() if isinstance(cell, str))


@pytest.mark.parametrize(
    "name", ["table_one_dense", "table_one_lstm", "corrections", "operations", "energies", "break_even", "networks"]
)
def test_the_recorded_tables_are_those_of_the_script(content, name):
    recorded = json.loads((RESULTS / "energy" / "energy.json").read_text())
    assert recorded["networks"] == content["networks"]
    table, again = recorded["tables"][name], content["tables"][name]
    assert table["title"] == again["title"]
    assert [keys(row) for row in table["rows"]] == [keys(row) for row in again["rows"]]
    for row, other in zip(table["rows"], again["rows"], strict=True):
        assert row.keys() == other.keys()
        for column, cell in row.items():
            assert other[column] == (
                pytest.approx(cell, rel=ANOTHER_MACHINE) if isinstance(cell, (int, float)) else cell
            ), (keys(row), column)


@pytest.mark.parametrize("name", TABLES)
def test_the_recorded_files_are_those_of_the_recorded_run(name):
    """The Markdown and LaTeX tables agree with energy.json."""
    recorded = json.loads((RESULTS / "energy" / "energy.json").read_text())["tables"][name]["rows"]
    written = list(csv.DictReader((RESULTS / "energy" / f"{name}.csv").read_text().splitlines()))
    for line, row in zip(written, recorded, strict=True):
        for column, cell in row.items():
            assert (float(line[column]) == cell) if isinstance(cell, (int, float)) else (line[column] == (cell or ""))


# ------------------------------------------------------------------------------------------------- the study of widths


WIDTHS = json.loads((RESULTS / "width_energy.json").read_text())


def test_the_table_of_widths_is_the_record(content, rows):
    assert rows["widths"] == WIDTHS["cases"]
    assert WIDTHS["command"] in content["tables"]["widths"]["title"]


def test_every_kind_and_readout_has_several_widths():
    assert WIDTHS["command"].startswith("kspike-reg reproduce width")
    found = {}
    for case in WIDTHS["cases"]:
        found.setdefault(case["network"], []).append(case["units"])
    assert {name.partition(",")[0] for name in found} >= {*SPIKING, "rnn", "lstm"}
    for kind in SPIKING:
        assert {f"{kind}, membrane", f"{kind}, spikes"} <= set(found)
    for name, widths in found.items():
        assert len(widths) >= 3, name
        assert widths == sorted(set(widths)), name
    assert len({tuple(widths) for widths in found.values()}) == 1, "networks of different widths are not compared"


@pytest.mark.parametrize("case", WIDTHS["cases"], ids=lambda case: f"{case['network']}, {case['units']}")
def test_a_case_of_the_widths(case):
    for column in ("units", "parameters", "eq. 14, all steps", "RMSE / deviations", "Loihi and V100 / J",
                   "45 nm CMOS / J", "multiply-accumulates"):  # fmt: skip
        assert 0 < case[column] < math.inf, column
    kind, _, readout = case["network"].partition(", ")
    rate = case["spikes per neuron and step"]
    if kind in BASELINES:
        assert case["accumulates"] == 0
        assert rate is None
        # The V100 needs 4.8 pJ for each multiply-accumulate and has no other price.
        assert case["Loihi and V100 / J"] == pytest.approx(case["multiply-accumulates"] * 4.8e-12, rel=1e-12)
    else:
        assert readout in ("membrane", "spikes")
        assert case["accumulates"] > 0
        assert 0 < rate < 1
        # Updates of neurons cost energy too.
        without_neurons = case["accumulates"] * 27.1e-12 + case["multiply-accumulates"] * 4.8e-12
        assert case["Loihi and V100 / J"] > without_neurons


@pytest.mark.parametrize("kind", SPIKING)
def test_a_readout_of_spikes_multiplies_less(kind):
    """The difference is the square of the units of the decoding layer at each of 20 steps."""
    cases = {(case["network"], case["units"]): case for case in WIDTHS["cases"]}
    for (name, units), case in cases.items():
        if name == f"{kind}, membrane":
            spikes = cases[f"{kind}, spikes", units]
            assert case["multiply-accumulates"] - spikes["multiply-accumulates"] == pytest.approx(
                20 * units**2, rel=1e-12
            )
