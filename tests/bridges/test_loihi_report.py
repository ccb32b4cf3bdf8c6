"""The report on a network on Loihi, and the error where the emulator is missing."""

import json
import sys
from dataclasses import replace
from pathlib import Path

import keras
import numpy as np
import pytest

import kspike_reg
from kspike_reg import build, datasets, metrics
from kspike_reg.bridges.loihi import loihi_report, quantise, simulate_on_loihi
from kspike_reg.bridges.loihi.account import METRICS, LoihiLayer, LoihiReport
from kspike_reg.bridges.loihi.cores import LIMITS
from kspike_reg.errors import InputError
from kspike_reg.network.physical import scaling_of
from kspike_reg.network.saving import trained_networks

PATHS = 12


@pytest.fixture(scope="module")
def trained():
    return kspike_reg.load("lif-elasticity-loihi")


@pytest.fixture(scope="module")
def paths():
    return datasets.generate("elasticity", [PATHS], seed=21)[0]


@pytest.fixture(scope="module")
def report(trained, paths):
    pytest.importorskip("nengo_loihi", reason="nengo_loihi is not installed (extra loihi, with NumPy below 2)")
    return loihi_report(trained, paths)


def test_the_errors_are_those_of_the_three_predictions(report, trained, paths):
    run = simulate_on_loihi(trained, paths.inputs)
    predictions = {
        "float": trained.predict(paths.inputs, verbose=0),
        "quantised": quantise(trained).model.predict(paths.inputs, verbose=0),
        "emulator": run.outputs,
    }
    _, scaling = scaling_of(trained)
    for stage, prediction in predictions.items():
        pair = [scaling.standardise(values) for values in (paths.targets, prediction)]
        for steps in ("all", "last"):
            found = report.errors[stage]["standardised"]["mean_relative_error"][steps]
            # A compiled pass may sum in another order than one step by step.
            assert found == pytest.approx(metrics.mean_relative_error(*pair, steps), rel=1e-3)
        found = report.errors[stage]["physical"]["root_mean_squared_error"]["all"]
        assert found == pytest.approx(metrics.root_mean_squared_error(paths.targets, prediction), rel=1e-3)
    errors = [report.errors[stage]["standardised"]["mean_relative_error"]["all"] for stage in predictions]
    assert len(set(errors)) == 3
    assert report.ratio() == errors[2] / errors[0]


def test_the_counts_are_those_of_the_run(report, trained, paths):
    run = simulate_on_loihi(trained, paths.inputs)
    assert [layer.name for layer in report.layers] == ["lif_1", "lif_2", "lif_3"]
    assert report.host == ("standardise", "decoding", "population", "mean", "restore")
    assert (report.paths, report.time, report.chip_steps) == (PATHS, 5, 7)
    for layer in report.layers:
        spikes = run.spikes[layer.name]
        assert layer.spikes == spikes.sum()
        assert layer.spikes_per_neuron_and_step == pytest.approx(spikes.mean())
        assert layer.spikes_as_in_keras > 0.999
        assert layer.cores == sum(core["layer"] == layer.name for core in report.usage)
    first, second, third = report.layers
    assert first.events == {}
    # Dense: each spike reaches all 128 neurons of the next layer.
    assert (second.events, third.events) == ({"lif_1": 128 * first.spikes}, {"lif_2": 128 * second.spikes})
    assert report.events == 128 * (first.spikes + second.spikes)
    assert sum(core["compartments"] for core in report.usage) == 3 * 128


def test_it_is_written_as_json_and_as_markdown(report):
    content = json.loads(json.dumps(report.to_dict()))
    assert content["cores"] == report.cores == len(content["usage"])
    assert content["ratio"]["mean_relative_error"]["all"] == report.ratio()
    text = report.to_markdown()
    error = report.errors["emulator"]["standardised"]["mean_relative_error"]["all"]
    assert f"{error:.3e} | {report.ratio():.2f} |" in text
    lines = [line.count("|") for line in text.splitlines() if line.startswith("|")]
    assert sorted(set(lines)) == [4, 6, 7]
    assert f"| cores of the chip | {report.cores} | 128 |" in text
    assert f"What did not fit: thresholds raised to the chip's least: {report.layers[0].raised_thresholds} in" in text


def test_a_network_on_standardised_data_has_errors_in_its_own_units():
    pytest.importorskip("nengo_loihi", reason="nengo_loihi is not installed (extra loihi, with NumPy below 2)")
    model = build("rlif", features=2, outputs=3, units=7, population=6, depth=1, reset="zero", decay=0.5)
    generator = np.random.default_rng(1)
    inputs, targets = generator.normal(size=(4, 6, 2)), generator.normal(size=(4, 6, 3))
    targets[:, -1] = 0.0
    found = loihi_report(model, inputs, targets)
    assert list(found.errors["float"]) == ["own units"]
    own = found.errors["float"]["own units"]
    expected = metrics.mean_relative_error(targets, model.predict(inputs, verbose=0))
    assert own["mean_relative_error"]["all"] == pytest.approx(expected, rel=1e-4)
    assert own["mean_relative_error"]["last"] is None
    assert found.ratio(steps="last") is None
    assert "undefined" in found.to_markdown()
    assert "What did not fit: nothing." in found.to_markdown()
    assert set(found.layers[0].events) == {"rlif_1"}


def test_data_that_do_not_fit(trained, paths):
    pytest.importorskip("nengo_loihi", reason="nengo_loihi is not installed (extra loihi, with NumPy below 2)")
    with pytest.raises(InputError, match="no targets to compare with"):
        loihi_report(trained, paths.inputs)
    with pytest.raises(InputError, match=r"the model gives \(12, 5, 1\).*received \(12, 5, 2\)"):
        loihi_report(trained, paths.inputs, np.ones((PATHS, 5, 2)))
    lengths = np.full(PATHS, 5)
    lengths[3] = 4
    uneven = replace(paths, lengths=lengths)
    with pytest.raises(InputError, match="the paths differ in length"):
        loihi_report(trained, uneven)


def test_a_missing_emulator_is_named_with_its_extra(trained, paths, monkeypatch):
    monkeypatch.setitem(sys.modules, "nengo_loihi", None)
    for run in (simulate_on_loihi, loihi_report):
        with pytest.raises(InputError, match=r"nengo_loihi, cannot be loaded.*pip install 'kspike_reg\[loihi\]'"):
            run(trained, paths.inputs if run is simulate_on_loihi else paths)
    assert isinstance(quantise(trained).model, keras.Model)


@pytest.mark.parametrize("name", [name for name in trained_networks() if name.endswith("-loihi")])
def test_the_record_of_a_network_for_the_chip_is_complete_and_meets_the_goal(name):
    """On the whole test set, as profiling/loihi.py recorded it."""
    root = Path(__file__).parents[2]
    record = json.loads((root / "profiling" / "results" / "loihi.json").read_text())
    (found,) = [result for result in record["results"] if result["network"] == name]
    kept = json.loads((root / "models" / name / "metrics.json").read_text())
    assert found["training"] in (root / "models" / name / "card.md").read_text()
    errors = found["report"]["errors"]
    for metric, by_steps in kept["test"]["errors"]["standardised"].items():
        # Training and record may come from different machines, on which single spikes differ.
        assert errors["float"]["standardised"][metric] == pytest.approx(by_steps, rel=0.02)
    chip, trained = (errors[stage]["standardised"]["mean_relative_error"]["all"] for stage in ("emulator", "float"))
    assert chip <= 1.5 * trained
    assert found["met"]
    text = (root / "profiling" / "results" / "loihi.md").read_text()
    assert f"# {name}: " in text
    assert f"{trained:.3e} |" in text
    assert f"{chip:.3e} |" in text


@pytest.mark.attack("Names", "names of a model and its layers in the report on Loihi")
def test_names_stay_text_in_the_report():
    """Made by hand, so it needs no emulator."""
    name = "<script>a|b</script>\n# c"
    layer = LoihiLayer(name, "lif", 3, 7, 0.25, 1.0, {name: 5}, {name: 2}, 1, 1, 1, 2, 3, 4)
    errors = {
        stage: {"own units": {METRICS[0]: {"all": 0.5, "last": 0.25}}} for stage in ("float", "quantised", "emulator")
    }
    usage = ({"layer": name} | dict.fromkeys(LIMITS, 1),)
    text = LoihiReport(name, 2, 4, 5, errors, (layer,), (name,), usage).to_markdown()
    assert text.count("script") == 2 * 6
    assert "<script" not in text
    assert "\n# c" not in text
    assert {line.count("|") for line in text.splitlines()} == {0, 4, 6, 7}  # the ends of the cells of three tables
