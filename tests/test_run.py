"""A run from its configuration to its files, on a task and on data of a user."""

import json
import shutil

import numpy as np
import pandas as pd
import pytest

from kspike_reg import (
    InputError,
    cli,
    datasets,
    evaluation,
    experiments,
    load,
    mechanics,
    metrics,
    plotting,
    training,
)
from kspike_reg.experiments import Configuration
from kspike_reg.tables import write_table
from kspike_reg.training import read_history

SMALL = {"kind": "rlif", "units": 6, "population": 4, "depth": 1, "epochs": 3, "batch_size": 256}


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    folder = tmp_path_factory.mktemp("elasticity") / "deep" / "run"
    configuration = Configuration(task="elasticity", timesteps=4, seed=6, **SMALL)
    return configuration, folder, experiments.run(configuration, folder)


def test_a_run_writes_its_files(finished):
    _, folder, report = finished
    assert sorted(file.name for file in folder.iterdir()) == [
        "card.md", "configuration.json", "history.csv", "loss.png", "metrics.json", "model.keras", "predictions.png"
    ]  # fmt: skip
    assert json.loads((folder / "metrics.json").read_text()) == report
    history = pd.read_csv(folder / "history.csv")
    assert history["epoch"].tolist() == [0, 1, 2]
    assert report["training"]["best_validation_loss"] == history["val_loss"].min()
    assert report["training"]["best_epoch"] == history["val_loss"].idxmin() + 1
    assert history["seconds"].is_monotonic_increasing
    assert report["training"]["seconds"] == history["seconds"].iloc[-1] > 0


def test_the_report_states_its_settings_and_versions(finished):
    configuration, _, report = finished
    assert report["configuration"]["seed"] == 6
    assert report["configuration"]["units"] == configuration.units
    assert set(report["environment"]["versions"]) >= {"python", "keras", "kspike_reg", "numpy"}
    assert report["environment"]["device"]
    strain = configuration.load_data()[0].inputs
    assert report["data"] == {
        "source": {"task": "elasticity", "family": "ramp", "maximum_strain": 1e-3, "youngs_modulus": 2.1e5},
        "inputs": ["strain"],
        "outputs": ["stress"],
        "range": {"strain": [strain.min(), strain.max()]},
        "units": {"stress": "MPa"},
        "paths": {"training": 1024, "validation": 1024, "test": 1024},
        "steps": {"shortest": 4, "longest": 4},
    }


def test_the_saved_model_has_the_reported_errors_in_physical_units(finished):
    configuration, folder, report = finished
    test = datasets.generate("elasticity", timesteps=4, seed=6)[2]
    assert np.array_equal(test.inputs, configuration.load_data()[2].inputs)
    assert evaluation.evaluate(load(folder / "model.keras"), test) == report["test"]


def test_the_report_has_the_errors_of_the_untrained_network(finished):
    _, _, report = finished
    untrained = report["untrained"]["errors"]["standardised"]["mean_relative_error"]["all"]
    assert report["test"]["errors"]["standardised"]["mean_relative_error"]["all"] < untrained
    assert 0.8 < untrained < 1.3  # an untrained network predicts about zero, so its relative error is about one


def test_a_finished_run_is_not_repeated(finished):
    configuration, folder, report = finished
    assert experiments.is_complete(folder)
    assert not experiments.is_complete(folder.parent)
    before = {file.name: file.stat().st_mtime_ns for file in folder.iterdir()}
    assert experiments.run(configuration, folder) == report
    assert {file.name: file.stat().st_mtime_ns for file in folder.iterdir()} == before


@pytest.fixture
def copied(finished, tmp_path):
    """A copy of the finished run."""
    configuration, folder, report = finished
    return configuration, shutil.copytree(folder, tmp_path / "run"), report


def damaged(content, how):
    half = len(content) // 2
    return {"empty": b"", "cut": content[:half], "zeros": content[:half] + bytes(len(content) - half)}[how]


@pytest.mark.attack("Files", "a finished run whose model or metrics are damaged")
@pytest.mark.parametrize("how", ["empty", "cut", "zeros"])
@pytest.mark.parametrize("name", ["model.keras", "metrics.json"])
def test_a_finished_run_with_a_damaged_file_is_not_believed(copied, name, how):
    configuration, folder, _ = copied
    content = damaged((folder / name).read_bytes(), how)
    (folder / name).write_bytes(content)
    assert not experiments.is_complete(folder)
    with pytest.raises(InputError, match=rf"/{name}: .*; (expected|remove) .*"):
        experiments.run(configuration, folder)
    assert (folder / name).read_bytes() == content
    assert not list(folder.glob(".*"))


@pytest.mark.attack("Files", "a power cut at the very end of a run")
def test_a_run_whose_files_are_damaged_while_it_has_a_snapshot_is_made_again(copied):
    """The snapshot of a run goes only after its model and metrics are on the disk."""
    configuration, folder, report = copied
    (folder / "metrics.json").unlink()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(training, "forget", lambda folder: None)  # as if killed before it
        experiments.run(configuration, folder)
        for name, how in (("model.keras", "zeros"), ("metrics.json", "cut")):
            (folder / name).write_bytes(damaged((folder / name).read_bytes(), how))
            with pytest.warns(training.ResumeWarning, match=rf"{name}: .*; made again from the snapshot"):
                again = experiments.run(configuration, folder)
            assert again["test"] == report["test"]
            assert again["training"]["epochs"] == report["training"]["epochs"]
    assert experiments.run(configuration, folder)["test"] == report["test"]
    assert sorted(file.name for file in folder.iterdir()) == [
        "card.md", "configuration.json", "history.csv", "loss.png", "metrics.json", "model.keras", "predictions.png"
    ]  # fmt: skip


def test_a_run_in_two_environments_lists_both_in_its_metrics_and_on_its_card(copied, monkeypatch):
    configuration, folder, report = copied
    assert "sessions" not in report["training"]
    assert "other environments" not in (folder / "card.md").read_text()
    assert report["environment"]["threads"] >= 1
    (folder / "metrics.json").unlink()
    other = report["environment"] | {"threads": 77, "versions": report["environment"]["versions"] | {"numpy": "0.5"}}
    with monkeypatch.context() as patch:
        patch.setattr(training, "forget", lambda folder: None)
        patch.setitem(experiments.run.__globals__, "environment", lambda: other)
        experiments.run(configuration, folder)
    (folder / "metrics.json").unlink()
    with pytest.warns(training.ResumeWarning, match=r"numpy 0\.5; it continues with threads \d+, numpy"):
        again = experiments.run(configuration, folder)
    assert again["environment"] == report["environment"]
    assert again["training"]["sessions"] == [{"epochs": [1, 3], "environment": other}]
    assert json.loads((folder / "metrics.json").read_text()) == again
    card = (folder / "card.md").read_text()
    assert "\n- epochs 1 to 3: python " in card
    assert "numpy 0.5; on CPU:0 (" in card
    assert ", 77 threads\n" in card


def test_the_same_configuration_gives_the_same_result(finished, tmp_path):
    configuration, folder, report = finished
    again = experiments.run(configuration, tmp_path / "again")
    assert again["test"] == report["test"]
    for ours, theirs in zip(
        load(tmp_path / "again" / "model.keras").get_weights(), load(folder / "model.keras").get_weights(), strict=True
    ):
        np.testing.assert_array_equal(ours, theirs)


def write_own_data(file, offset=0.0):
    """Two inputs, two outputs, paths of four to nine steps, and shuffled lines."""
    random = np.random.default_rng(8)
    rows = []
    for path in range(40):
        strain = 1e-3 * np.cumsum(random.normal(size=random.integers(4, 10)))
        for step, value in enumerate(strain):
            heat = 300 + 20 * np.sin(path)
            rows.append((f"bar {path}", step, value, heat, 2e5 * value + offset, value * heat))
    table = pd.DataFrame(rows, columns=["path", "step", "strain", "temperature", "stress", "work"])
    table.sample(frac=1, random_state=1).to_csv(file, index=False)


def own(file, **options):
    columns = {"inputs": ("strain", "temperature"), "outputs": ("stress", "work")}
    return Configuration(data=str(file), **columns, **{**SMALL, "kind": "lif"}, **options)


def test_data_of_a_user_with_paths_of_unequal_length(tmp_path):
    file = tmp_path / "bars.csv"
    write_own_data(file)
    report = experiments.run(own(file, early_stopping=2), tmp_path / "run")
    assert report["data"]["paths"] == {"training": 28, "validation": 6, "test": 6}
    assert report["data"]["steps"] == {"shortest": 4, "longest": 9}
    assert report["data"]["source"] == {"file": "bars.csv"}
    model = load(tmp_path / "run" / "model.keras")
    paths = datasets.read(file, model.get_layer("standardise").names, model.get_layer("restore").names)
    assert evaluation.predict(model, paths, outside="ignore").shape == (40, 9, 2)
    with np.errstate(all="raise"):
        errors = evaluation.evaluate(model, paths, outside="ignore")["errors"]["standardised"]
    assert errors["mean_relative_error"]["all"] < 2


def test_the_columns_of_path_and_step_may_have_other_names(tmp_path):
    write_own_data(tmp_path / "bars.csv")
    table = pd.read_csv(tmp_path / "bars.csv").rename(columns={"path": "specimen", "step": "second"})
    table.to_csv(tmp_path / "renamed.csv", index=False)
    columns = ["--path-column", "specimen", "--step-column", "second"]
    network = ["--units", "3", "--population", "2", "--depth", "1", "--epochs", "1"]
    data = ["--data", str(tmp_path / "renamed.csv"), "--inputs", "strain", "--outputs", "stress"]
    assert cli.main(["train", *data, *columns, *network, "--out", str(tmp_path / "run")]) == 0
    model, answer = str(tmp_path / "run" / "model.keras"), tmp_path / "answer.csv"
    assert (
        cli.main(["predict", model, "--input", str(tmp_path / "renamed.csv"), "--output", str(answer), *columns]) == 0
    )
    predicted = pd.read_csv(answer)
    assert list(predicted.columns) == ["specimen", "second", "stress"]
    both = table.merge(predicted, on=["specimen", "second"], validate="one_to_one")
    assert len(both) == len(table) == len(predicted)


def test_scaling_is_fitted_on_the_training_set_only(tmp_path):
    file = tmp_path / "bars.csv"
    write_own_data(file)
    configuration = own(file)
    experiments.run(configuration, tmp_path / "run")
    training, *_ = configuration.load_data()
    layer = load(tmp_path / "run" / "model.keras").get_layer("restore")
    stress = training.targets[training.mask][:, 0]
    # The same sums, in the same precision.
    np.testing.assert_allclose([layer.mean[0], layer.deviation[0]], [stress.mean(), stress.std()], rtol=1e-12)


def test_the_same_file_with_other_data_is_another_run(tmp_path):
    file = tmp_path / "bars.csv"
    write_own_data(file)
    experiments.run(own(file), tmp_path / "run")
    write_own_data(file, offset=1.0)
    with pytest.raises(InputError, match="another configuration, with data_sha256="):
        experiments.run(own(file), tmp_path / "run")


def test_a_folder_with_other_files_is_refused_and_not_changed(tmp_path):
    (tmp_path / "model.keras").write_text("precious")
    with pytest.raises(InputError, match=r"holds model\.keras but no record of a run"):
        experiments.run(Configuration(task="elasticity", **SMALL), tmp_path)
    assert [file.name for file in tmp_path.iterdir()] == ["model.keras"]
    (tmp_path / "configuration.json").write_text("not JSON")
    with pytest.raises(InputError, match="not the record of a run"):
        experiments.run(Configuration(task="elasticity", **SMALL), tmp_path)
    assert (tmp_path / "model.keras").read_text() == "precious"


def test_a_task_or_a_file_but_not_both():
    for options in ({}, {"task": "elasticity", "data": "bars.csv"}):
        with pytest.raises(InputError, match="either a task or a data file"):
            Configuration(**options)
    with pytest.raises(InputError, match="inputs means nothing for the task"):
        Configuration(task="elasticity", inputs=("strain",))
    with pytest.raises(InputError, match="timesteps means nothing for a data file"):
        Configuration(data="bars.csv", inputs=("strain",), outputs=("stress",), timesteps=7)
    with pytest.raises(InputError, match="an empty name"):
        experiments.run(Configuration(task="elasticity", **SMALL), "")
    with pytest.raises(InputError, match="name its columns"):
        Configuration(data="bars.csv", inputs=("strain",))


# ------------------------------------------------------------------------------ a task of several inputs and outputs

STIFFNESS = np.array([[2.8e5, 1.2e5, 1.2e5], [1.2e5, 2.8e5, 1.2e5], [1.2e5, 1.2e5, 2.8e5]])
STRESSES = ("stress_11", "stress_22", "stress_33")


def plane_strain(paths, *, timesteps=6, seed=0, maximum_strain=1e-3):
    """Two strains grow linearly to ends of either sign; the third strain is zero, but its stress is not."""
    ends = np.random.default_rng(seed).uniform(-maximum_strain, maximum_strain, (paths, 1, 3)) * [1.0, 0.5, 0.0]
    strain = ends * np.linspace(0.0, 1.0, timesteps)[:, None]
    return datasets.Paths(
        inputs=strain[..., :2],
        targets=mechanics.drive(mechanics.LinearElasticity(STIFFNESS), strain).stress,
        input_names=("strain_11", "strain_22"),
        target_names=STRESSES,
        units=dict.fromkeys(STRESSES, "MPa"),
        source={"task": "plane-strain", "maximum_strain": maximum_strain},
    )


@pytest.fixture(scope="module")
def plane(tmp_path_factory):
    """A run of two epochs on this task, and its results."""
    folder = tmp_path_factory.mktemp("plane")
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(datasets.TASKS, "plane-strain", datasets.Task(plane_strain, 6, (40, 9, 11)))
        configuration = Configuration(task="plane-strain", **(SMALL | {"epochs": 2, "population": 6}))
        report = experiments.run(configuration, folder)
        test = configuration.load_data()[2]
    return folder, report, test


def test_a_task_of_two_inputs_and_three_outputs_is_trained(plane):
    folder, report, test = plane
    assert report["training"]["epochs"] == 2
    assert report["data"]["inputs"] == ["strain_11", "strain_22"]
    assert report["data"]["outputs"] == list(STRESSES)
    assert list(report["data"]["range"]) == ["strain_11", "strain_22"]
    model = load(folder / "model.keras")
    assert (model.input_shape[-1], model.output_shape[-1]) == (2, 3)
    prediction = evaluation.predict(model, test, outside="ignore")
    assert prediction.shape == test.targets.shape == (11, 6, 3)
    physical = report["test"]["errors"]["physical"]["root_mean_squared_error"]["all"]
    # The network computes in single precision, and the metric sums in double precision.
    assert physical == pytest.approx(np.sqrt(np.mean((prediction - test.targets) ** 2)), rel=1e-6)
    for number, name in enumerate(STRESSES):
        alone = report["test"]["errors_by_output"][name]["physical"]["root_mean_squared_error"]["last"]
        error = (prediction - test.targets)[:, -1, number]
        assert alone == pytest.approx(np.sqrt(np.mean(error**2)), rel=1e-6)
    assert {file.name for file in folder.iterdir()} >= {"card.md", "loss.png", "metrics.json", "predictions.png"}


def test_the_card_of_several_quantities_names_each(plane):
    folder, report, _ = plane
    card = (folder / "card.md").read_text()
    for name, (low, high) in report["data"]["range"].items():
        assert f"- {name}, from {low:.6g} to {high:.6g}" in card
    for name in STRESSES:
        assert f"- {name} in MPa\n" in card
        alone = report["test"]["errors_by_output"][name]["physical"]["root_mean_squared_error"]
        assert f"| root mean squared error, {name} in MPa | {alone['all']:.3e} | {alone['last']:.3e} |" in card
    assert len({row for row in card.splitlines() if row.startswith("| root mean squared error, ")}) == 4


def test_every_plot_draws_every_output(plane):
    """Each function for each output: its label, and only the numbers of this output."""
    folder, _, test = plane
    model = load(folder / "model.keras")
    prediction, spread = evaluation.predict(model, test, outside="ignore", return_spread=True)
    records = evaluation.records(model, test.inputs)
    plotting.save(plotting.loss_curves(read_history(folder / "history.csv")), folder / "again.png")
    rows = plotting.path_predictions(test, prediction, feature="strain_22")
    assert [panel.get_ylabel() for panel in rows[:, 0]] == [f"{name} / MPa" for name in STRESSES]
    plotting.save(rows, folder / "rows.png")
    for output, name in enumerate(STRESSES):
        panels, band, raster = (
            plotting.compared_predictions(test, {"rlif": prediction}, 4, output=name, feature=1),
            plotting.prediction_spread(test, prediction, spread, 4, output=name, feature=1),
            plotting.spike_raster(records, test, 4, prediction, output=name, feature=1),
        )
        curves = plotting.reference_curves(test.inputs[..., 1], test, "strain_22", count=3, output=name)
        for axes in (panels[0], band[0], raster[-1], curves):
            assert axes.get_ylabel() == f"{name} / MPa"
        for panel in (panels[0], panels[1], band[0], raster[-1]):
            np.testing.assert_array_equal(panel.lines[0].get_ydata(), test.targets[4, :, output])
            np.testing.assert_array_equal(panel.lines[1].get_ydata(), prediction[4, :, output])
        for panel in (panels[1], band[1], raster[-1]):
            np.testing.assert_array_equal(panel.lines[0].get_xdata(), test.inputs[4, :, 1])
        error = (prediction - test.targets)[..., output]
        calibration = plotting.calibration(spread[..., output], error, "MPa", bins=5)
        for number, axes in enumerate((panels, band, raster, curves, calibration)):
            plotting.save(axes, folder / f"{name}_{number}.png")
    errors = {name: np.abs(prediction - test.targets)[..., output] for output, name in enumerate(STRESSES)}
    histogram = plotting.error_histogram(errors, "error / MPa")
    assert len(histogram.get_legend().get_texts()) == 3
    plotting.save(histogram, folder / "histogram.png")


def test_a_table_has_a_row_for_each_output(plane, tmp_path):
    folder, report, test = plane
    prediction = evaluation.predict(load(folder / "model.keras"), test, outside="ignore")
    errors = [metrics.root_mean_squared_error(test.targets[..., k], prediction[..., k]) for k in range(3)]
    write_table(pd.DataFrame({"output": STRESSES, "error / MPa": errors}), tmp_path, "errors")
    lines = (tmp_path / "errors.md").read_text().splitlines()
    assert [line.split("|")[1].strip() for line in lines[2:]] == list(STRESSES)
    pooled = np.sqrt(np.mean(np.square(errors)))
    assert pooled == pytest.approx(report["test"]["errors"]["physical"]["root_mean_squared_error"]["all"], rel=1e-6)


def test_a_population_for_other_outputs_is_refused_before_anything_is_written(tmp_path, monkeypatch):
    """The paper's 128 population neurons cannot average three outputs evenly; the error names a valid number."""
    monkeypatch.setitem(datasets.TASKS, "plane-strain", datasets.Task(plane_strain, 6, (40, 9, 11)))
    with pytest.raises(InputError, match=r"population of 128 neurons.* 3 outputs.*multiple of 3, 129"):
        experiments.run(Configuration(task="plane-strain"), tmp_path / "run")
    assert not (tmp_path / "run").exists()
