"""Studies: their cases, their processes, continuing after a stop, and their files."""

import json
import signal
import subprocess
import sys
import time
from dataclasses import asdict

import pandas as pd
import pytest
from matplotlib.figure import Figure

from kspike_reg import InputError, build, cli, datasets, experiments
from kspike_reg.cli.options import settings_of
from kspike_reg.experiments import STUDIES, Configuration, recipe
from kspike_reg.experiments.card import training_command
from kspike_reg.experiments.memoryless import memoryless_error
from kspike_reg.experiments.reproduce import cases_of
from kspike_reg.experiments.run import recorded_configuration
from kspike_reg.experiments.studies.cyclic import EQUAL_WIDTHS, LEARNING_RATES
from kspike_reg.experiments.studies.study import SEEDS, Study
from kspike_reg.tables import text_of

TINY = {"task": "elasticity", "units": 4, "population": 2, "depth": 1, "epochs": 2, "timesteps": 3, "training_paths": 9}


def in_two_rounds(finished, quick):
    """Two kinds first, then the better one with another seed."""
    cases = {kind: {"kind": kind} for kind in ("lif", "dense")}
    if cases.keys() <= finished.keys():
        error = {kind: finished[kind]["validation"]["errors"]["physical"]["root_mean_squared_error"] for kind in cases}
        better = min(error, key=lambda kind: error[kind]["all"])
        cases["again"] = {"kind": better, "seed": 1}
    return cases


def one_figure(cases):
    axes = Figure().subplots()
    axes.plot([len(cases)])
    return {"own": axes}


@pytest.fixture(scope="module")
def study():
    """A minimal study, registered during these tests."""
    plan = Study(
        title="A tiny study",
        cases=in_two_rounds,
        papers=TINY | {"epochs": 5},
        modern={"epochs": 3},
        quick={"epochs": 2},
        figures=one_figure,
        reported={"lif": (0.5, None)},
    )
    STUDIES["tiny"] = plan
    yield plan
    del STUDIES["tiny"]


@pytest.fixture(scope="module")
def finished(study, tmp_path_factory):
    folder = tmp_path_factory.mktemp("study") / "deep"
    shown = []
    results = experiments.reproduce(
        "tiny", folder, recipe="modern", quick=True, workers=2, watch=lambda *progress: shown.append(progress), units=5
    )
    return folder, results, shown


def test_a_study_runs_all_its_cases_round_by_round(finished):
    _, results, shown = finished
    assert list(results["cases"]) == ["lif", "dense", "again"]
    again = results["cases"]["again"]["configuration"]
    errors = {
        name: results["cases"][name]["validation"]["errors"]["physical"]["root_mean_squared_error"]["all"]
        for name in ("lif", "dense")
    }
    assert (again["seed"], again["kind"]) == (1, min(errors, key=errors.get))
    shares, done, known = zip(*shown, strict=True)
    assert all(0 <= share <= 1 for share in shares)
    assert (done[-1], known[-1], set(known)) == (3, 3, {2, 3})


def test_later_settings_override_earlier_ones(finished):
    """In the order: paper, recipe, modern and quick settings of the study, user, subject of the case."""
    _, results, _ = finished
    configuration = results["cases"]["lif"]["configuration"]
    assert configuration["task"] == "elasticity"
    assert configuration["schedule"] == recipe("modern", "lif")["schedule"]
    assert (configuration["epochs"], configuration["units"], configuration["kind"]) == (2, 5, "lif")
    deviations = results["cases"]["lif"]["deviations"]
    assert deviations["units"] == (5, 4)
    assert deviations["epochs"] == (2, 5)
    assert "kind" not in deviations


def test_a_study_writes_tables_figures_and_a_report(finished):
    folder, results, _ = finished
    assert json.loads((folder / "results.json").read_text()) == json.loads(json.dumps(results))
    table = pd.read_csv(folder / "results.csv")
    assert table["case"].tolist() == ["lif", "dense", "again"]
    errors = results["cases"]["dense"]["test"]["errors"]["standardised"]
    assert table["mean relative error, eq. 14, last"][1] == errors["mean_relative_error"]["last"]
    assert {"own.png", "learning_curves.png", "predictions.png", "sample_errors.png", "calibration.png"} == {
        file.name for file in folder.glob("*.png")
    }
    report = (folder / "report.md").read_text()
    assert "kspike-reg reproduce tiny --recipe modern --quick --units 5" in report
    assert "- units: 5 instead of 4\n" in report
    compared = next(line for line in report.splitlines() if line.startswith("| lif | all |"))
    error = results["cases"]["lif"]["test"]["errors"]["standardised"]["mean_relative_error"]["all"]
    assert compared.split(" | ")[2:4] == ["0.5", f"{error:.3g}"]
    for image in folder.glob("*.png"):
        assert f"]({image.name})" in report


def test_a_finished_study_is_not_repeated(finished):
    folder, results, _ = finished
    before = {file: file.stat().st_mtime_ns for file in (folder / "cases").rglob("*.*")}
    again = experiments.reproduce("tiny", folder, recipe="modern", quick=True, units=5)
    assert again == results
    assert {file: file.stat().st_mtime_ns for file in (folder / "cases").rglob("*.*")} == before


def test_a_folder_of_other_settings_is_refused(finished):
    folder, _, _ = finished
    with pytest.raises(InputError, match=r"a run of another configuration, with .*units=5.* instead of .*units=6"):
        experiments.reproduce("tiny", folder, recipe="modern", quick=True, units=6)


def test_the_error_names_a_failed_case_after_the_others_are_done(study, tmp_path):
    broken = tmp_path / "cases" / "lif"
    broken.mkdir(parents=True)
    configuration = json.dumps(asdict(Configuration(**(TINY | {"epochs": 5}), kind="lif")))
    (broken / "configuration.json").write_text(configuration)
    (broken / "snapshot.npz").write_bytes(b"no snapshot")
    with pytest.raises(InputError, match=r"case lif ended with exit status 1: .*snapshot.npz: cannot be read"):
        experiments.reproduce("tiny", tmp_path)
    assert experiments.is_complete(tmp_path / "cases" / "dense")


def test_a_study_that_is_stopped_leaves_no_process_and_goes_on(tmp_path):
    """SIGINT (Ctrl-C) after a case has begun; the second call does not start again."""
    command = [sys.executable, "-m", "kspike_reg", "reproduce", "ramberg-osgood", "--quick", "--out", str(tmp_path)]
    command += ["--units", "3", "--population", "2", "--training-paths", "20", "--epochs", "160"]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.PIPE)
    history = tmp_path / "cases" / "rlif" / "history.csv"
    patience = time.monotonic() + 240  # other tests share the machine
    while not (history.exists() and history.read_bytes().count(b"\n") > 3):
        assert time.monotonic() < patience
        assert process.poll() is None
        time.sleep(0.1)
    process.send_signal(signal.SIGINT)
    _, messages = process.communicate(timeout=240)
    assert process.returncode == 130, messages
    stopped = history.read_bytes().splitlines()
    time.sleep(2)
    assert history.read_bytes().splitlines() == stopped  # no process trains any more
    assert len(stopped) < 160
    subprocess.run(command, check=True, capture_output=True)
    done = history.read_bytes().splitlines()
    assert len(done) == 1 + 160
    assert done[: len(stopped) - 1] == stopped[:-1]  # it may train the interrupted epoch again


def test_the_arguments_of_a_study_are_checked(tmp_path):
    with pytest.raises(InputError, match="unknown study 'plasticity'; choose one of elasticity"):
        experiments.reproduce("plasticity", tmp_path / "new")
    with pytest.raises(InputError, match="workers to be a positive integer, received workers=0"):
        experiments.reproduce("elasticity", tmp_path / "new", workers=0)
    with pytest.raises(InputError, match="unknown recipe 'best'; choose one of paper, modern"):
        experiments.reproduce("elasticity", tmp_path / "new", recipe="best")
    assert not (tmp_path / "new").exists()


PAPERS = {"recipe": "paper", "quick": False, "changes": {}}


def papers_cases(study, tmp_path):
    return {case.name: case.configuration for case in cases_of(STUDIES[study], tmp_path, PAPERS, [])}


def test_the_settings_of_the_paper_are_the_defaults(tmp_path):
    """According to the experiments in sections II to IV of the paper."""
    elasticity = papers_cases("elasticity", tmp_path)
    assert [case.steps for case in elasticity.values()] == [2, 5, 10, 20, 50, 100]
    for case in elasticity.values():
        assert (case.kind, case.units, case.sizes) == ("lif", 128, (1024, 1024, 1024))
        assert (case.epochs, case.batch_size) == (2000, 1024)
    (ramberg_osgood,) = papers_cases("ramberg-osgood", tmp_path).values()
    assert (ramberg_osgood.kind, ramberg_osgood.steps, ramberg_osgood.epochs) == ("rlif", 20, 5000)
    grid = papers_cases("hardening-grid", tmp_path)
    widths = [16, 32, 64, 128, 256]
    assert {(case.units, case.population) for case in grid.values()} == {(u, p) for u in widths for p in widths}
    comparison = papers_cases("hardening-comparison", tmp_path)
    assert [case.kind for case in comparison.values()] == ["slstm", "lstm"]
    for case, epochs in [(case, 500) for case in grid.values()] + [(case, 5000) for case in comparison.values()]:
        assert (case.epochs, case.steps, case.sizes) == (epochs, 100, (10240, 1024, 1024))
        assert (case.learning_rate, case.weight_decay, case.schedule, case.clipping) == (1e-3, 0.01, "constant", None)


def test_compared_networks_have_as_many_parameters():
    counts = {kind: build(kind, units=units, population=16).count_params() for kind, units in EQUAL_WIDTHS.items()}
    for kind, count in counts.items():
        assert count == pytest.approx(counts["slstm"], rel=0.05), kind


def test_the_cyclic_study_gives_all_kinds_the_same_rates_and_the_best_rate_five_seeds():
    first = STUDIES["cyclic"].cases({}, False)
    assert len(first) == len(EQUAL_WIDTHS) * len(LEARNING_RATES)

    def errors(rate):
        return {"validation": {"errors": {"standardised": {"root_mean_squared_error": {"all": rate}}}}}

    # The highest rate is the best for all kinds except the SLSTM.
    finished = {
        name: errors(case["learning_rate"] if case["kind"] == "slstm" else 1 / case["learning_rate"])
        for name, case in first.items()
    }
    cases = STUDIES["cyclic"].cases(finished, False)
    for kind in EQUAL_WIDTHS:
        best = min(LEARNING_RATES) if kind == "slstm" else max(LEARNING_RATES)
        seeds = [case["seed"] for case in cases.values() if (case["kind"], case["learning_rate"]) == (kind, best)]
        assert sorted(seeds) == list(SEEDS)
    assert len(cases) == len(first) + len(EQUAL_WIDTHS) * (len(SEEDS) - 1)


def test_the_study_of_the_recipe_changes_one_ingredient_at_a_time(tmp_path):
    settings = {"recipe": "modern", "quick": False, "changes": {}}
    cases = {case.name: case.configuration for case in cases_of(STUDIES["recipe"], tmp_path, settings, [])}
    for kind in ("lif", "rlif", "slstm"):
        modern = cases.pop(f"{kind}_modern_seed_0")
        papers = cases.pop(f"{kind}_paper")
        assert papers.changed(modern).keys() == recipe("modern", kind).keys() - {"epochs"}
        assert (papers.batch_size, papers.schedule, papers.threshold, papers.epochs) == (
            1024, "constant", None, modern.epochs
        )  # fmt: skip
        others = [case for name, case in cases.items() if name.startswith(f"{kind}_")]
        assert len(others) >= 12
        assert all(len(case.changed(modern)) == 1 for case in others)


def test_the_command_of_a_card_gives_the_same_configuration():
    configuration = Configuration(
        task="hardening", kind="slstm", family="cyclic", decay=(0.1,), threshold=(0.05, 0.15), warm_up=0.05, seed=3,
        clipping=1.0, schedule="cosine", loss_weighting="relative", learning_rate=3e-3, training_paths=77, epochs=5,
    )  # fmt: skip
    words = training_command(json.loads(json.dumps(asdict(configuration)))).split()
    options = cli.build_parser().parse_args([*words[1:-1], "runs"])
    assert Configuration(**settings_of(options)) == configuration


def training_parser():
    """The parser of `kspike-reg train`."""
    actions = cli.build_parser()._actions
    return next(action.choices["train"] for action in actions if hasattr(action.choices, "values"))


def test_every_field_of_a_configuration_is_an_option_of_the_command_line():
    (command,) = (
        action.choices["train"] for action in cli.build_parser()._actions if hasattr(action.choices, "values")
    )
    flags = {flag for action in command._actions for flag in action.option_strings}
    assert {f"--{name.replace('_', '-')}" for name in asdict(Configuration(task="elasticity"))} <= flags


def test_the_help_states_the_defaults_of_a_configuration():
    (command,) = (
        action.choices["train"] for action in cli.build_parser()._actions if hasattr(action.choices, "values")
    )
    defaults = asdict(Configuration(task="elasticity"))
    stated = {
        action.dest: action.help.rpartition("(default: ")[2].rstrip(")")
        for action in command._actions
        if "(default: " in (action.help or "") and action.dest in defaults
    }
    assert len(stated) > 15
    for name, default in stated.items():
        assert defaults[name] is None if default == "the paper's" else str(defaults[name]) == default, name


def test_a_run_records_its_configuration(tmp_path):
    configuration = Configuration(**TINY, readout_decay=(0.0, 1.0))
    experiments.run(configuration, tmp_path)
    assert recorded_configuration(tmp_path) == configuration
    card = (tmp_path / "card.md").read_text()
    metrics = json.loads((tmp_path / "metrics.json").read_text())
    low, high = metrics["data"]["range"]["strain"]
    training = configuration.load_data()[0].inputs
    assert (low, high) == (training.min(), training.max())
    assert f"- strain, from {low:.6g} to {high:.6g}" in card
    assert f"    {training_command(metrics['configuration'])}\n" in card


def test_memory_does_not_help_on_ramps_but_helps_on_cyclic_paths():
    """The stress of a ramp is a function of the strain; 0.02 allows for the distance to the nearest neighbours."""
    for task, family, low, high in (("elasticity", "ramp", 0, 0.02), ("hardening", "cyclic", 0.6, 0.9)):
        training, test, _ = datasets.generate(task, (1500, 300, 1), timesteps=12, family=family, seed=2)
        assert low <= memoryless_error(training, test) < high


def test_memory_needs_more_paths_than_neighbours():
    training, test, _ = datasets.generate("elasticity", (16, 3, 1), timesteps=4, seed=2)
    with pytest.raises(InputError, match="expected more than 16 training paths, received 16"):
        memoryless_error(training, test)


def test_the_command_line_runs_a_study(finished, capsys):
    folder, results, _ = finished
    words = ["reproduce", "tiny", "--recipe", "modern", "--quick", "--units", "5", "--out", str(folder)]
    assert cli.main(words) == 0
    printed = capsys.readouterr().out
    error = results["cases"]["lif"]["test"]["errors"]["standardised"]["mean_relative_error"]["all"]
    assert text_of(error) in printed
    assert "report.md" in printed
