"""`kspike-reg export` and `kspike-reg evaluate --simulator`, through the command line's own entry."""

import json
import sys

import numpy as np
import pytest

import kspike_reg
from kspike_reg import cli, datasets

PATHS, STEPS = 5, 5


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """A CSV file of elasticity's paths."""
    paths = datasets.elasticity(PATHS, timesteps=STEPS, seed=3)
    file = tmp_path_factory.mktemp("data") / "paths.csv"
    datasets.write_csv(file, paths, np.concatenate([paths.inputs, paths.targets], axis=-1), ["strain", "stress"])
    return str(file)


def said(capsys, words, status=0):
    assert cli.main([str(word) for word in words]) == status
    captured = capsys.readouterr()
    return captured.out if status == 0 else captured.err


def test_a_nir_file_contains_the_network(tmp_path, capsys):
    pytest.importorskip("nir", reason="nir is not installed, see the extra nir")
    from kspike_reg.bridges import read_nir

    file = tmp_path / "network.nir"
    printed = said(capsys, ["export", "lif-elasticity", "--to", "nir", "--out", file])
    assert "lif_3 emits its membrane before the reset" in printed
    assert f"wrote {file}" in printed
    inputs = datasets.elasticity(PATHS, timesteps=STEPS, seed=3).inputs
    trained = kspike_reg.load("lif-elasticity").predict(inputs, verbose=0)
    np.testing.assert_array_equal(read_nir(file).predict(inputs, verbose=0), trained)
    assert said(capsys, ["export", "lif-elasticity", "--to", "nir", "--form", "exact", "--out", tmp_path / "x.nir"])


def test_a_nengo_script_and_its_weights(tmp_path, capsys):
    pytest.importorskip("nengo", reason="nengo is not installed, see the extra nengo")
    file = tmp_path / "network.py"
    printed = said(capsys, ["export", "rlif-ramberg-osgood", "--to", "nengo", "--out", file])
    assert {each.name for each in tmp_path.iterdir()} == {"network.py", "network.npz"}
    assert "network.npz" in printed
    assert "rlif_2" in file.read_text()


def test_files_that_exist_are_not_overwritten(tmp_path, capsys):
    for to, file, other in (
        ("nir", "a.nir", "a.nir"), ("nengo", "a.py", "a.npz"), ("loihi-report", "a.md", "a.json")
    ):  # fmt: skip
        (tmp_path / other).write_text("mine")
        words = ["export", "lif-elasticity", "--to", to, "--out", tmp_path / file]
        assert f"{tmp_path / other}: exists already" in said(capsys, words, status=2)
        assert (tmp_path / other).read_text() == "mine"
    assert len(list(tmp_path.iterdir())) == 3


def test_a_suffix_that_does_not_fit_is_refused(tmp_path, capsys):
    words = ["export", "lif-elasticity", "--to", "nengo", "--out", tmp_path / "a.nir"]
    assert "expected a name that ends in .py" in said(capsys, words, status=2)


def test_a_report_on_loihi_needs_data(tmp_path, capsys):
    words = ["export", "lif-elasticity-loihi", "--to", "loihi-report", "--out", tmp_path / "a.md"]
    assert "by --data" in said(capsys, words, status=2)
    assert not list(tmp_path.iterdir())


def test_a_report_on_loihi(tmp_path, capsys, data):
    pytest.importorskip("nengo_loihi", reason="nengo-loihi is not installed, see the extra loihi")
    file = tmp_path / "report.md"
    words = ["export", "lif-elasticity-loihi", "--to", "loihi-report", "--data", data, "--out", file]
    printed = said(capsys, words)
    assert file.read_text() in printed
    report = json.loads(file.with_suffix(".json").read_text())
    assert (report["paths"], report["time"]) == (PATHS, STEPS)


def test_slstm_cannot_be_exported_to_nir(tmp_path, capsys):
    pytest.importorskip("nir", reason="nir is not installed, see the extra nir")
    words = ["export", "slstm-hardening", "--to", "nir", "--out", tmp_path / "a.nir"]
    assert "cannot express the layer 'slstm_1'" in said(capsys, words, status=2)
    assert not list(tmp_path.iterdir())


def test_evaluating_on_nengo_prints_the_same_as_in_keras(capsys, data):
    """Spikes and their rates are equal; outputs agree to more digits than are printed."""
    pytest.importorskip("nengo", reason="nengo is not installed, see the extra nengo")
    here = said(capsys, ["evaluate", "lif-elasticity", "--data", data])
    there = said(capsys, ["evaluate", "lif-elasticity", "--data", data, "--simulator", "nengo"])
    assert "spikes per neuron and step" in here
    assert there == here


@pytest.mark.parametrize(
    ("package", "words", "extra"),
    [
        ("nengo", ["--simulator", "nengo"], "nengo"),
        ("nengo", ["--simulator", "nengo-dl"], "nengo"),
        ("nengo_loihi", ["--simulator", "loihi"], "loihi"),
    ],
)
def test_a_missing_simulator_is_named_with_its_extra(package, words, extra, capsys, data, monkeypatch):
    monkeypatch.setitem(sys.modules, package, None)
    assert f"kspike_reg[{extra}]" in said(
        capsys, ["evaluate", "lif-elasticity-loihi", "--data", data, *words], status=2
    )
