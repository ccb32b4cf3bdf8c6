"""Recorded studies: they confirm the findings of the paper, our recipe is better, and the records are complete."""

import json
from pathlib import Path

import pandas as pd
import pytest

from kspike_reg.experiments import STUDIES, Configuration, recipe
from kspike_reg.experiments.reproduce import cases_of
from kspike_reg.experiments.studies.cyclic import EQUAL_WIDTHS, LEARNING_RATES
from kspike_reg.experiments.studies.study import SEEDS

RECORDS = Path(__file__).parents[1] / "docs" / "studies"
NAMES = sorted(folder.name for folder in RECORDS.iterdir())


def record(name):
    return json.loads((RECORDS / name / "results.json").read_text())


def error(case, steps="all", metric="mean_relative_error", of="test", space="standardised"):
    return case[of]["errors"][space][metric][steps]


@pytest.mark.parametrize("name", NAMES)
def test_a_record_is_that_of_the_current_study(name):
    """The command runs the same cases with the same settings now."""
    results = record(name)
    finished = []
    while len(cases := cases_of(STUDIES[results["study"]], Path(), results["settings"], finished)) > len(finished):
        finished = [Recorded(case.name, results["cases"][case.name]) for case in cases]
    assert [case.name for case in cases] == list(results["cases"])
    for case in cases:
        recorded = results["cases"][case.name]["configuration"]
        recorded = {field: tuple(value) if isinstance(value, list) else value for field, value in recorded.items()}
        assert Configuration(**recorded) == case.configuration


class Recorded:
    def __init__(self, name, metrics):
        self.name, self.metrics = name, metrics


@pytest.mark.parametrize("name", NAMES)
def test_a_record_has_its_table_and_every_figure_of_its_report(name):
    folder = RECORDS / name
    report = (folder / "report.md").read_text()
    images = {file.name for file in folder.glob("*.png")}
    assert images
    assert all(f"]({image})" in report for image in images)
    assert report.count("](") == len(images)
    table = pd.read_csv(folder / "results.csv")
    for row, case in zip(table.to_dict("records"), record(name)["cases"].values(), strict=True):
        assert row["mean relative error, eq. 14, all"] == error(case)
    assert record(name)["command"] in report


def elasticity_errors(steps, metric="mean_relative_error"):
    cases = record("elasticity-paper")["cases"].values()
    return {case["configuration"]["timesteps"]: error(case, steps, metric) for case in cases}


def test_elasticity_few_steps_are_best_over_all_steps_and_a_hundred_worst():
    """Figure 7 of the paper, by the paper's recipe with 300 of its 2000 epochs: 2 steps are best instead of 5.

    The relative errors at 50 and 100 steps differ by 0.1 % only; the root mean square errors differ clearly.
    """
    relative = elasticity_errors("all")
    assert min(relative, key=relative.get) <= 5
    assert all(relative[100] > relative[steps] for steps in (2, 5, 10, 20))
    assert relative[100] > 0.99 * relative[50]
    squares = elasticity_errors("all", "root_mean_squared_error")
    assert max(squares, key=squares.get) == 100


def test_elasticity_many_steps_are_better_than_few_at_the_last_step():
    """Figure 8 of the paper, where 100 steps are best; after our shorter training 20 are best and 100 second."""
    last = elasticity_errors("last")
    assert sorted(last, key=last.get)[:2] == [20, 100]
    assert all(last[100] < last[steps] for steps in (2, 5, 10, 50))


def test_hardening_error_decreases_with_width():
    """Figures 15 and 16 of the paper: for each population the wider network has the smaller error."""
    cases = list(record("hardening-grid")["cases"].values())
    by_population = {}
    for case in cases:
        by_population.setdefault(case["configuration"]["population"], []).append(case)
    for group in by_population.values():
        ordered = sorted(group, key=lambda case: case["configuration"]["units"])
        assert error(ordered[-1]) < error(ordered[0])
        assert error(ordered[-1], "last") < error(ordered[0], "last")


def test_ramberg_osgood_is_better_than_in_the_paper():
    case = record("ramberg-osgood")["cases"]["rlif"]
    assert error(case) < 8.79e-2
    assert error(case, "last") < 8.02e-2


def test_elasticity_is_better_than_the_authors_network():
    """2.66e-2: their network with five steps at the paper's settings, run with snnTorch 1.0."""
    assert error(record("elasticity-modern")["cases"]["5_steps"]) < 2.66e-2


def test_hardening_both_networks_compared_with_the_paper():
    """Better, except the SLSTM at the last step (5 % above 4.05e-3) and its pointwise error; see docs/results.md."""
    cases = record("hardening-comparison")["cases"]
    assert f"{error(cases['slstm'], metric='mean_pointwise_relative_error'):.2e}" == "1.14e-01"
    assert error(cases["slstm"]) < 9.38e-2
    assert 4.05e-3 < error(cases["slstm"], "last") < 1.06 * 4.05e-3
    assert error(cases["lstm"]) < 4.86e-2
    assert error(cases["lstm"], "last") < 4.76e-3


def test_cyclic_networks_use_memory_and_all_kinds_were_tuned_alike():
    """A regressor without memory leaves 0.76 of the stress's standard deviation; ours leave less than a third of it."""
    cases = list(record("cyclic")["cases"].values())
    for kind in EQUAL_WIDTHS:
        of_kind = [case["configuration"] for case in cases if case["configuration"]["kind"] == kind]
        assert {(case["learning_rate"]) for case in of_kind} == set(LEARNING_RATES)
        assert {case["seed"] for case in of_kind} == set(SEEDS)
    parameters = {case["test"]["parameters"] for case in cases}
    assert max(parameters) / min(parameters) < 1.05
    seeds = [case for case in cases if case["configuration"]["kind"] == "slstm" and case["configuration"]["seed"] > 0]
    assert len(seeds) == len(SEEDS) - 1
    assert all(error(case, metric="root_mean_squared_error") < 0.76 / 3 for case in seeds)


def test_the_modern_recipe_has_less_error_for_the_same_computing():
    cases = record("recipe")["cases"]
    for kind in ("lif", "rlif", "slstm"):
        papers = cases[f"{kind}_paper"]
        for seed in range(3):
            modern = cases[f"{kind}_modern_seed_{seed}"]
            assert error(modern, of="validation") < 0.5 * error(papers, of="validation")
            same = ("epochs", "training_paths", "units", "population", "timesteps")
            assert all(modern["configuration"][field] == papers["configuration"][field] for field in same)
        assert recipe("modern", kind)["learning_rate"] == modern["configuration"]["learning_rate"]
