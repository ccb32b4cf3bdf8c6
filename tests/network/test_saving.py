"""Trained networks by name: networks in a temporary folder, and those of the package."""

import json
import os
from pathlib import Path

import numpy as np
import pytest

import kspike_reg
from kspike_reg import InputError, build
from kspike_reg.cli import main
from kspike_reg.datasets import Standardiser
from kspike_reg.network import saving
from kspike_reg.network.physical import PhysicalModel, in_physical_units, scaling_of

MODELS = Path(__file__).parents[2] / "models"
NAMES = sorted(place.name for place in MODELS.iterdir() if place.is_dir() and place.name != "__pycache__")
LARGEST = 20e6  # bytes of all networks, since every clone and every installation contains them


@pytest.fixture
def shelf(tmp_path, monkeypatch):
    """Two trained networks, a folder without a model and another file instead of the networks of the package."""
    folder = tmp_path / "shelf"
    for name, units in (("lif-steel", 3), ("lif-copper", 5)):
        (folder / name).mkdir(parents=True)
        sides = (Standardiser((0.0,), (2.0,), ("strain",)), Standardiser((7.0,), (3.0,), ("stress",)))
        saving.save(
            in_physical_units(build("lif", units=units, population=2, depth=1), *sides), folder / name / "model.keras"
        )
    (folder / "empty").mkdir()
    (folder / "__init__.py").touch()
    monkeypatch.setattr(saving, "_shelf", lambda: folder)
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    return folder


def test_a_trained_network_is_loaded_by_its_name(shelf):
    assert saving.trained_networks() == ("lif-copper", "lif-steel")
    assert kspike_reg.load("lif-steel").layers[2].units == 3
    assert kspike_reg.load("lif-copper").layers[2].units == 5


def test_a_file_of_that_name_takes_precedence_but_a_folder_does_not(shelf):
    os.mkdir("lif-steel")
    assert kspike_reg.load("lif-steel").layers[2].units == 3
    Path("lif-copper").write_text("no model", encoding="utf-8")
    with pytest.raises(InputError, match="lif-copper: not a Keras model"):
        kspike_reg.load("lif-copper")


@pytest.mark.parametrize("name", ["lif-stel", "empty", "__init__", "..", ""])
def test_an_unknown_name_is_refused_with_the_valid_names(shelf, name):
    with pytest.raises(InputError) as error:
        kspike_reg.load(name)
    expected = f"there is no trained network {name!r}; choose one of lif-copper, lif-steel, or give a .keras file"
    assert str(error.value) == expected


@pytest.mark.parametrize("name", ["models/lif-steel", "./lif-steel", "lif-steel.keras", "lif.steel"])
def test_a_name_with_a_folder_or_a_suffix_is_a_file(shelf, name):
    with pytest.raises(InputError, match="there is no such file; expected a model saved as"):
        kspike_reg.load(name)


def test_commands_accept_names(shelf, capfd):
    Path("paths.csv").write_text("path,step,strain,stress\na,0,0.0,1\na,1,1.5,4\nb,0,0,2\nb,1,-3,5\n", encoding="utf-8")
    assert main(["predict", "lif-steel", "--input", "paths.csv", "--output", "predicted.csv"]) == 0
    assert "wrote stress of 2 paths" in capfd.readouterr().out
    assert main(["evaluate", "lif-copper", "--data", "paths.csv"]) == 0
    capfd.readouterr()
    assert main(["evaluate", "lif-lead", "--data", "paths.csv"]) == 2
    assert "choose one of lif-copper, lif-steel" in capfd.readouterr().err


def test_the_error_states_that_no_network_is_installed(shelf, monkeypatch):
    monkeypatch.setattr(saving, "_shelf", lambda: shelf / "empty")
    assert saving.trained_networks() == ()
    with pytest.raises(InputError, match=r"choose one of \(none came along\), or give"):
        kspike_reg.load("lif-steel")


# ------------------------------------------------------------------------------------- the networks of the package


def test_the_package_finds_the_networks_of_the_repository():
    assert list(saving.trained_networks()) == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_a_network_of_the_package_is_complete_and_loads_by_its_name(name):
    files = {file.name for file in (MODELS / name).iterdir()}
    assert files == {"model.keras", "metrics.json", "card.md"}
    assert json.loads((MODELS / name / "metrics.json").read_text(encoding="utf-8"))["test"]["errors"]
    assert (MODELS / name / "card.md").read_text(encoding="utf-8").strip()
    model = kspike_reg.load(name)
    assert type(model) is PhysicalModel
    inputs, targets = scaling_of(model)
    assert inputs.lower is not None
    middle = np.broadcast_to(np.add(inputs.lower, inputs.upper) / 2, (2, model.input_shape[1] or 4, len(inputs.names)))
    prediction = model.predict(middle, outside="raise", verbose=0)
    assert prediction.shape == (*middle.shape[:2], len(targets.names))
    assert np.all(np.isfinite(prediction))


def test_the_networks_of_the_package_are_small():
    assert sum(file.stat().st_size for file in MODELS.rglob("*") if file.is_file()) < LARGEST
