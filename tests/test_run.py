"""A run from its configuration to its files, on a task and on a user's own data."""

import json

import numpy as np
import pandas as pd
import pytest

from kspike_reg import InputError, cli, datasets, evaluation, experiments, load
from kspike_reg.experiments import Configuration

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


def test_the_report_says_how_it_came_about(finished):
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


def test_the_untrained_network_stands_beside(finished):
    _, _, report = finished
    untrained = report["untrained"]["errors"]["standardised"]["mean_relative_error"]["all"]
    assert report["test"]["errors"]["standardised"]["mean_relative_error"]["all"] < untrained
    assert 0.8 < untrained < 1.3  # a network that knows nothing says about zero, so its relative error is about one


def test_a_finished_run_is_not_repeated(finished):
    configuration, folder, report = finished
    assert experiments.is_complete(folder)
    assert not experiments.is_complete(folder.parent)
    before = {file.name: file.stat().st_mtime_ns for file in folder.iterdir()}
    assert experiments.run(configuration, folder) == report
    assert {file.name: file.stat().st_mtime_ns for file in folder.iterdir()} == before


def test_the_same_configuration_gives_the_same_result(finished, tmp_path):
    configuration, folder, report = finished
    again = experiments.run(configuration, tmp_path / "again")
    assert again["test"] == report["test"]
    for ours, theirs in zip(
        load(tmp_path / "again" / "model.keras").get_weights(), load(folder / "model.keras").get_weights(), strict=True
    ):
        np.testing.assert_array_equal(ours, theirs)


def write_own_data(file, offset=0.0):
    """Two inputs, two outputs, paths of four to nine steps, lines in disorder."""
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


def test_a_users_own_paths_of_unequal_length(tmp_path):
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


def test_path_and_step_may_have_names_of_their_own(tmp_path):
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


def test_scaling_is_fitted_on_the_training_set_alone(tmp_path):
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


def test_a_folder_of_other_things_is_left_alone(tmp_path):
    (tmp_path / "model.keras").write_text("precious")
    with pytest.raises(InputError, match=r"holds model\.keras but no record of a run"):
        experiments.run(Configuration(task="elasticity", **SMALL), tmp_path)
    assert [file.name for file in tmp_path.iterdir()] == ["model.keras"]
    (tmp_path / "configuration.json").write_text("not JSON")
    with pytest.raises(InputError, match="not the record of a run"):
        experiments.run(Configuration(task="elasticity", **SMALL), tmp_path)
    assert (tmp_path / "model.keras").read_text() == "precious"


def test_a_task_or_a_file_but_not_both():
    for given in ({}, {"task": "elasticity", "data": "bars.csv"}):
        with pytest.raises(InputError, match="either a task or a data file"):
            Configuration(**given)
    with pytest.raises(InputError, match="inputs means nothing for the task"):
        Configuration(task="elasticity", inputs=("strain",))
    with pytest.raises(InputError, match="timesteps means nothing for a data file"):
        Configuration(data="bars.csv", inputs=("strain",), outputs=("stress",), timesteps=7)
    with pytest.raises(InputError, match="an empty name"):
        experiments.run(Configuration(task="elasticity", **SMALL), "")
    with pytest.raises(InputError, match="name its columns"):
        Configuration(data="bars.csv", inputs=("strain",))
