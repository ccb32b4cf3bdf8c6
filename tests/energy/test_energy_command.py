"""`kspike-reg energy`: its output and its files; invalid arguments give an error of one line and change no file."""

import csv
import json

import pytest
from matplotlib.image import imread

from kspike_reg import build, datasets
from kspike_reg.cli import main
from kspike_reg.cli.commands.energy import DEFAULT_DEVICES as SHOWN
from kspike_reg.energy import DEVICES, profile, read_device
from kspike_reg.network import saving
from kspike_reg.network.physical import in_physical_units, scaling_of

# Inside the range of lif-elasticity; lengths 2, 5 and 3; lines out of order; and an unused column.
TABLE = """heat,path,step,strain
1,a,0,1e-4
2,a,1,9e-4
3,b,4,4e-4
4,b,0,0.0
5,b,1,2e-4
6,c,0,3e-4
7,b,2,6e-4
8,b,3,8e-4
9,c,1,7e-4
10,c,2,5e-4
"""
NETWORK = "lif-elasticity"
CHIP = {
    "name": "chip",
    "event_driven": True,
    "prices": {"accumulate": 2e-12, "idle_update": 1e-12},
    "source": "data sheet, 2024",
    "grade": "measured on silicon",
    "omits": "memory traffic",
}
TABLES = ("operations", "projections", "energies", "unpriced", "break_even")
FILES = {"energy.json", "layers.png", *(f"{name}.{suffix}" for name in TABLES for suffix in ("csv", "md", "tex"))}


def energy(*more, model=NETWORK, data="paths.csv"):
    return ["energy", model, "--data", data, *more]


@pytest.fixture(autouse=True)
def workspace(tmp_path, monkeypatch):
    """The current folder with valid data and a valid device; the screen is wide enough for any table."""
    (tmp_path / "paths.csv").write_text(TABLE, encoding="utf-8")
    (tmp_path / "chip.json").write_text(json.dumps(CHIP), encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")
    return tmp_path


@pytest.fixture(scope="module")
def network():
    return saving.load(NETWORK)


def tree(folder):
    """Every file below `folder` with its content and modification time, and every folder."""
    return {
        str(path.relative_to(folder)): (path.read_bytes(), path.stat().st_mtime_ns) if path.is_file() else None
        for path in folder.rglob("*")
    }


def counted(network, bits=32):
    return profile(network, datasets.read("paths.csv", ["strain"]), bits=bits)


# -------------------------------------------------------------------------------------------------------- valid input


def test_a_trained_network_by_its_name_on_paths_of_different_lengths(workspace, network, capfd):
    """Every file with the numbers of `profile`; the last two numbers by hand."""
    before = tree(workspace)
    assert main(energy("--out", "deep/er")) == 0
    captured = capfd.readouterr()
    assert captured.err == ""
    after = tree(workspace)
    assert {name: after.pop(name) for name in before} == before
    assert set(after) == {"deep", "deep/er", *(f"deep/er/{name}" for name in FILES)}
    assert "Operations for one path, mean of 3" in captured.out
    assert "wrote energy.json, the tables as .csv, .md and .tex, and layers.png in deep/er" in captured.out

    report = counted(network)
    content = json.loads((workspace / "deep/er/energy.json").read_text())
    expected = {"counts": report.to_dict(), "energies": [report.energy(name).to_dict() for name in SHOWN]}
    assert content == json.loads(json.dumps(expected))
    assert (content["counts"]["samples"], content["counts"]["steps"]) == (3, 2 + 5 + 3)
    assert content["counts"]["totals"]["accumulates"] == report.accumulates > 0
    # One strain to 128 neurons, two dense layers of 128 that receive membranes; ten steps.
    assert content["counts"]["totals"]["multiply_accumulates"] == 10 * (128 + 2 * 128 * 128)
    loihi = next(each for each in content["energies"] if each["device"]["name"] == "loihi")
    assert loihi["total"] == pytest.approx(report.accumulates * 27.1e-12 + 10 * 5 * 128 * 81e-12, rel=1e-12)

    *_, total = csv.DictReader((workspace / "deep/er/energies.csv").read_text().splitlines())
    assert list(total) == ["layer", *(f"{name} / nJ" for name in SHOWN)]
    for name in SHOWN:
        assert float(total[f"{name} / nJ"]) == pytest.approx(report.energy(name).per_inference * 1e9, rel=1e-12)
    assert imread(workspace / "deep/er/layers.png").std() > 0


def test_without_out_everything_is_printed_and_no_file_is_written(workspace, network, capfd):
    before = tree(workspace)
    assert main(energy()) == 0
    captured = capfd.readouterr()
    assert tree(workspace) == before
    assert "wrote" not in captured.out
    report = counted(network)
    rows = [line.split() for line in captured.out.splitlines()]
    spiking = f"{float(report['lif_2'].spikes_per_neuron_and_step):.3g}"
    assert any(row[:3] == ["lif_2", "128", "16384"] and spiking in row for row in rows)
    for title in ("By source", "Energy for one path", "What the devices do not price", "The spike rate below which"):
        assert title in captured.out
    assert "not counted" in captured.out
    assert "nan" not in captured.out.lower()
    assert "undefined" not in captured.out
    assert "…" not in captured.out, "a cell is cut off"


def test_a_narrow_screen_truncates_no_cell(monkeypatch, capfd):
    cells = []
    for width in ("40", "300"):
        monkeypatch.setenv("COLUMNS", width)
        assert main(energy()) == 0
        out = capfd.readouterr().out
        assert "…" not in out
        # Headers may wrap, rows may not.
        rows = [line.split() for line in out.splitlines()]
        cells.append([row for row in rows if row and row[0].startswith(("lif_", "population", "total", "cmos45"))])
    assert cells[0] == cells[1]
    assert len(cells[0]) > 15


def test_bits_change_only_the_footprint(workspace, network):
    assert main(energy("--bits", "12", "--out", "new")) == 0
    narrow = json.loads((workspace / "new/energy.json").read_text())
    wide, expected = counted(network), counted(network, bits=12)
    assert narrow["energies"] == json.loads(json.dumps([wide.energy(name).to_dict() for name in SHOWN]))
    assert narrow["counts"] == json.loads(json.dumps(expected.to_dict()))
    # 128 membranes and 128 spikes, and kernel, bias, decay and threshold.
    by_name = {layer["name"]: layer for layer in narrow["counts"]["layers"]}
    assert by_name["lif_1"]["state_bytes"] == 256 * 12 // 8
    assert by_name["lif_1"]["parameter_bytes"] == 4 * 128 * 12 // 8


def test_devices_of_the_package_and_of_a_file(workspace, network, capfd):
    options = ("--device", "spinnaker2", "cpu", "--device-file", "chip.json")
    assert main(energy(*options, "--out", "new")) == 0
    assert "chip / nJ" in capfd.readouterr().out
    content = json.loads((workspace / "new/energy.json").read_text())
    assert [each["device"]["name"] for each in content["energies"]] == ["spinnaker2", "cpu", "chip"]
    report = counted(network)
    assert content["energies"][2] == json.loads(json.dumps(report.energy(read_device("chip.json")).to_dict()))
    idle = sum(layer.idle_updates for layer in report.layers)
    assert content["energies"][2]["total"] == pytest.approx(report.accumulates * 2e-12 + idle * 1e-12, rel=1e-12)
    rows = list(csv.DictReader((workspace / "new/break_even.csv").read_text().splitlines()))
    assert [(row["spiking on"], row["dense, and real values, on"]) for row in rows] == [
        ("spinnaker2", "cpu"), ("chip", "cpu")
    ]  # fmt: skip
    unpriced = (workspace / "new/unpriced.csv").read_text()
    assert "chip,active_update," in unpriced
    assert "cpu,idle_update" not in unpriced


def test_columns_may_be_named_and_a_second_run_replaces_the_first(workspace, network):
    assert main(energy("--out", "new")) == 0
    renamed = TABLE.replace("path", "specimen").replace("step", "time").replace("strain", "eps").replace("9e-4", "8e-4")
    (workspace / "paths.csv").write_text(renamed, encoding="utf-8")
    before = (workspace / "new/energy.json").read_text()
    named = ("--path-column", "specimen", "--step-column", "time", "--inputs", "eps")
    assert main(energy("--out", "new", *named)) == 0
    after = (workspace / "new/energy.json").read_text()
    assert after != before
    assert {path.name for path in (workspace / "new").iterdir()} == FILES
    paths = datasets.read("paths.csv", ["eps"], path_column="specimen", step_column="time")
    assert json.loads(after)["counts"] == json.loads(json.dumps(profile(network, paths).to_dict()))


def test_a_baseline_has_no_break_even(workspace, capfd):
    assert main(energy("--out", "new", "--outside", "ignore", model="lstm-hardening")) == 0
    assert "spike rate below which" not in capfd.readouterr().out
    assert {path.name for path in (workspace / "new").iterdir()} == {
        name for name in FILES if not name.startswith("break_even")
    }


def test_a_network_whose_spikes_are_not_used(workspace, capfd):
    """One layer that emits its membrane: its spikes neither save nor cost energy on a chip."""
    network = build("lif", units=5, population=4, depth=1, threshold=0.01, decay=0.9)
    inputs = datasets.Standardiser((0.0,), (1e-4,), ("strain",))
    model = in_physical_units(network, inputs, datasets.Standardiser((0.0,), (1.0,), ("stress",)))
    saving.save(model, workspace / "one.keras")
    assert counted(model).spikes > 0
    assert counted(model).accumulates == 0
    capfd.readouterr()
    assert main(energy(model="one.keras")) == 0
    assert "always" in capfd.readouterr().out


def test_inputs_outside_the_range_give_a_warning_or_an_error(workspace, network, capfd):
    upper = scaling_of(network)[0].upper[0]
    beyond = TABLE.replace("9e-4", repr(2 * upper))
    (workspace / "paths.csv").write_text(beyond, encoding="utf-8")
    assert main(energy()) == 0
    captured = capfd.readouterr()
    (line,) = captured.err.splitlines()
    assert line.startswith("kspike-reg energy: warning: inputs outside the range that the network was trained on")
    assert f"strain reaches {2 * upper:g} in path 'a'" in line
    assert "Operations for one path" in captured.out
    assert main(energy("--outside", "ignore")) == 0
    assert capfd.readouterr().err == ""
    before = tree(workspace)
    assert main(energy("--outside", "raise", "--out", "new")) == 2
    captured = capfd.readouterr()
    assert len(captured.err.splitlines()) == 1
    assert captured.err.startswith("kspike-reg energy: error: inputs outside the range")
    assert captured.out == ""
    assert tree(workspace) == before


# ------------------------------------------------------------------------------------------------------ invalid input


def refused(arguments, workspace, capfd, *fragments):
    """Status 2, one line with the fragments on standard error, and nothing printed or written."""
    before = tree(workspace)
    capfd.readouterr()
    try:
        status = main(arguments)
    except SystemExit as stopped:  # raised by the parser
        status = stopped.code
    captured = capfd.readouterr()
    assert status == 2
    assert len(captured.err.splitlines()) == 1, captured.err
    assert captured.err.startswith("kspike-reg energy: error: ")
    for fragment in fragments:
        assert fragment in captured.err
    assert captured.out == ""
    assert tree(workspace) == before


WRONG_ARGUMENTS = {
    "no data": (["energy", NETWORK], "required: --data"),
    "no model": (["energy", "--data", "paths.csv"], "required: MODEL"),
    "unknown device": (energy("--device", "tpu"), "invalid choice: 'tpu'", "cmos45_int8"),
    "unknown network": (energy(model="lif-plasticity"), "no trained network 'lif-plasticity'", NETWORK),
    "absent model": (energy(model="absent.keras"), "absent.keras: there is no such file"),
    "absent data": (energy(data="absent.csv"), "absent.csv: cannot be read: No such file"),
    "other suffix": (energy(data="paths.txt"), "paths.txt: expected a file that ends in .csv or .npz"),
    "other column": (energy("--inputs", "strian"), "paths.csv", "no column 'strian'", "did you mean 'strain'?"),
    "too many columns": (energy("--inputs", "strain", "heat"), "(n, T, 1), received (3, 5, 2)"),
    "bits is a word": (energy("--bits", "many"), "invalid int value: 'many'"),
    "no bits": (energy("--bits", "0"), "expected bits to be a positive integer"),
    "absent device file": (energy("--device-file", "absent.json"), "absent.json: cannot be read"),
    "out is a file": (energy("--out", "chip.json"), "chip.json: cannot be used as a folder to write to"),
    "out lies in a file": (energy("--out", "chip.json/below"), "below: cannot be used as a folder to write to"),
    "one device twice": (energy("--device", "cpu", "loihi", "cpu"), "two devices are called 'cpu'"),
}


@pytest.mark.parametrize("out", [(), ("--out", "new")], ids=["shown", "written"])
@pytest.mark.parametrize("wrong", WRONG_ARGUMENTS)
def test_wrong_arguments_are_refused(workspace, capfd, wrong, out):
    arguments, *fragments = WRONG_ARGUMENTS[wrong]
    if "--out" in arguments and out:
        pytest.skip("has a folder of its own")
    refused([*arguments, *out], workspace, capfd, *fragments)


WRONG_TABLES = {
    "NaN": (TABLE.replace("9e-4", "NaN"), "line 3", "'strain' holds 'NaN'"),
    "a word": (TABLE.replace("9e-4", "much"), "line 3", "'strain' holds 'much'"),
    "column names": (TABLE.replace("strain", "eps"), "no column 'strain'"),
    "no lines": (TABLE.splitlines()[0], "no lines of data"),
    "empty": ("", "the file is empty"),
    "step twice": (TABLE.replace("a,1", "a,0"), "path 'a' has step 0 twice"),
    "beyond single precision": (TABLE.replace("9e-4", "1e39"), "expected finite numbers that fit float32"),
}


@pytest.mark.parametrize("wrong", WRONG_TABLES)
def test_wrong_data_are_refused(workspace, capfd, wrong):
    content, *fragments = WRONG_TABLES[wrong]
    (workspace / "wrong.csv").write_text(content, encoding="utf-8")
    refused(energy("--out", "new", data="wrong.csv"), workspace, capfd, *fragments)


WRONG_DEVICES = {
    "negative": (CHIP | {"prices": {"accumulate": -2e-12}}, "price of accumulate in joules, finite, >= 0", "-2e-12"),
    "missing price": (CHIP | {"prices": {"idle_update": 1e-12}}, "'chip': the price of accumulate is missing"),
    "missing field": ({name: CHIP[name] for name in CHIP if name != "grade"}, "fields missing 'grade'"),
    "unknown field": (CHIP | {"price": 3}, "fields unknown 'price'"),
    "unknown term": (CHIP | {"prices": {"acumulate": 1e-12}}, "unknown term 'acumulate'"),
    "unknown grade": (CHIP | {"grade": "guessed"}, "unknown grade 'guessed'"),
    "a word": (CHIP | {"prices": {"accumulate": "2 pJ"}}, "received '2 pJ'"),
    "NaN": ('{"name": "chip", "event_driven": true, "prices": {"accumulate": NaN}, "source": "s", '
            '"grade": "derived", "omits": "o"}', "finite, >= 0, received nan"),
    "a list": ([CHIP], "expected one JSON object"),
    "not JSON": ("name: chip\n", "not a JSON file"),
}  # fmt: skip


@pytest.mark.parametrize("wrong", WRONG_DEVICES)
def test_a_wrong_device_is_refused_with_its_file(workspace, capfd, wrong):
    content, *fragments = WRONG_DEVICES[wrong]
    text = content if isinstance(content, str) else json.dumps(content)
    (workspace / "wrong.json").write_text(text, encoding="utf-8")
    refused(
        energy("--device-file", "chip.json", "wrong.json", "--out", "new"), workspace, capfd, "wrong.json: ", *fragments
    )


def test_a_device_from_a_file_does_not_hide_one_of_the_package(workspace, capfd):
    (workspace / "loihi.json").write_text(json.dumps(CHIP | {"name": "loihi"}), encoding="utf-8")
    refused(energy("--device-file", "loihi.json", "--out", "new"), workspace, capfd, "two devices are called 'loihi'")
    assert main(energy("--device", "cpu", "--device-file", "loihi.json")) == 0


def test_a_refused_command_does_not_change_the_files_of_a_folder(workspace, capfd):
    assert main(energy("--out", "new")) == 0
    (workspace / "wrong.csv").write_text(TABLE.replace("9e-4", "NaN"), encoding="utf-8")
    refused(energy("--out", "new", data="wrong.csv"), workspace, capfd, "'NaN'")


def test_the_devices_in_the_help_exist():
    assert set(SHOWN) <= set(DEVICES)
    assert len(set(SHOWN)) == len(SHOWN)
