"""The registry of the studies, its imports, and the contributions of each study to its report."""

import importlib
import re
import subprocess
import sys
from pathlib import Path

import pytest

from kspike_reg import InputError, experiments
from kspike_reg.experiments import STUDIES
from kspike_reg.experiments.reproduce import cases_of
from kspike_reg.experiments.studies import measures
from kspike_reg.experiments.studies.study import Study
from kspike_reg.network.kinds import SPIKING
from kspike_reg.neurons.registry import OUTPUTS

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "kspike_reg" / "experiments" / "studies"
# Files that are not a study: shared code, or without training.
OTHERS = {"__init__", "study", "measures", "table_one", "corrections"}

# A new study needs only this file and one line in the registry.
NEW_STUDY = '''
"""Elasticity: the error against the depth."""

from kspike_reg import plotting
from kspike_reg.experiments.studies.measures import error_of
from kspike_reg.experiments.studies.study import Study


def cases_of(finished, quick):
    return {f"depth_{depth}": {"depth": depth} for depth in (1, 2)}


def figures_of(cases):
    depths = [case.configuration.depth for case in cases]
    errors = {"all steps": [error_of(case) for case in cases]}
    return {"error_against_depth": plotting.error_lines(depths, errors, "hidden layers")}


STUDY = Study(
    title="Linear elasticity: the error against the depth",
    cases=cases_of,
    papers={"task": "elasticity", "kind": "lif", "timesteps": 3, "units": 4, "population": 2},
    modern={},
    quick={"epochs": 2, "training_paths": 9},
    figures=figures_of,
)
'''


def printed(script):
    """The output of a process that imports kspike_reg like the command line, without Keras."""
    script = (
        "import sys; sys.argv = ['kspike-reg']\n"
        "heavy = {'keras', 'tensorflow', 'jax', 'torch', 'matplotlib', 'pandas'}\n" + script
    )
    process = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert process.returncode == 0, process.stderr
    return process.stdout.splitlines()


def test_the_names_of_the_studies_do_not_need_keras():
    """The test is not vacuous, since a study itself plots and loads networks."""
    names, before, after = printed(
        "from kspike_reg.experiments import STUDIES, RECIPES\n"
        "print(*STUDIES)\n"
        "print(*heavy & set(sys.modules))\n"
        "STUDIES['width']\n"
        "print(*heavy & set(sys.modules))"
    )
    assert names.split() == [*STUDIES]
    assert before == ""
    assert {"keras", "matplotlib"} <= set(after.split())


def test_run_and_reproduce_are_functions_for_any_order_of_imports():
    """Modules have the same names, and Python sets each as an attribute of the package on import."""
    (kinds,) = printed(
        "import kspike_reg.experiments.reproduce\n"
        "from kspike_reg import experiments\n"
        "from kspike_reg.experiments.run import claim\n"
        "print(*(type(getattr(experiments, name)).__name__ for name in ('run', 'reproduce')))"
    )
    assert kinds == "function function"


def test_every_public_name_exists():
    for name in experiments.__all__:
        assert getattr(experiments, name) is not None
    assert set(experiments.__all__) == set(experiments._HOMES) <= set(dir(experiments))


def test_each_study_is_one_file():
    """Each file is a study and is in the registry under its name."""
    files = {file.stem for file in FOLDER.glob("*.py")} - OTHERS
    assert {name.replace("-", "_") for name in STUDIES} == files
    for name in STUDIES:
        assert STUDIES.place_of(name) == f"kspike_reg.experiments.studies.{name.replace('-', '_')}:STUDY"


@pytest.mark.parametrize("name", [*STUDIES])
def test_a_study_is_complete(name, tmp_path):
    """Both forms have valid cases, and errors of the paper are only given for existing cases."""
    study = STUDIES[name]
    assert isinstance(study, Study)
    assert study.title
    cases = {
        quick: cases_of(study, tmp_path, {"recipe": study.recipe, "quick": quick, "changes": {}}, [])
        for quick in (False, True)
    }
    assert set(study.reported) <= {case.name for case in cases[False]}
    # The short form needs far less work; the study of the recipe saves least, with an eighth.
    assert 7 * sum(case.cost for case in cases[True]) < sum(case.cost for case in cases[False])
    assert all(re.fullmatch(r"[\w.]+", case.name) for case in cases[False]), "names must be valid names of folders"


def test_the_study_of_widths_has_every_spiking_kind_and_readout(monkeypatch):
    """The study also compares a neuron that is registered later."""
    monkeypatch.setitem(SPIKING, "later", object())
    cases = STUDIES["width"].cases({}, True)
    pairs = {(fields["kind"], fields.get("readout")) for fields in cases.values()}
    assert pairs == {(kind, readout) for kind in SPIKING for readout in OUTPUTS} | {("rnn", None), ("lstm", None)}
    assert len(cases) == 2 * len(pairs)
    assert ("later", "spikes") in pairs


def test_a_new_study_is_one_file_and_one_line(tmp_path, monkeypatch):
    (tmp_path / "depth_study.py").write_text(NEW_STUDY, encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setitem(STUDIES, "depth", "depth_study:STUDY")
    importlib.invalidate_caches()
    results = experiments.reproduce("depth", tmp_path / "run", quick=True, workers=2)
    assert list(results["cases"]) == ["depth_1", "depth_2"]
    assert (tmp_path / "run" / "error_against_depth.png").exists()
    assert "# Linear elasticity: the error against the depth\n" in (tmp_path / "run" / "report.md").read_text()
    monkeypatch.delitem(STUDIES, "depth")
    with pytest.raises(InputError, match="unknown study 'depth'"):
        experiments.reproduce("depth", tmp_path / "again")


# ------------------------------------------------------------------------------------------------- summaries by hand


class Finished:
    """A case with the parts of its metrics that summaries read."""

    def __init__(self, name, error, *, validation, seconds=60.0, rate=0.25, **fields):
        self.name = name
        self.configuration = type("Configuration", (), {"learning_rate": 1e-3, "seed": 0, "units": 8} | fields)
        self.memoryless_error = 0.75
        errors = {
            "mean_relative_error": {"all": error / 2, "last": None},
            "root_mean_squared_error": {"all": error, "last": 2 * error},
        }
        validating = {
            "mean_relative_error": {"all": validation / 2, "last": validation / 4},
            "root_mean_squared_error": {"all": validation, "last": 2 * validation},
        }
        self.metrics = {
            "test": {"errors": {"standardised": errors}, "parameters": 17, "spike_rates": {"a": rate, "b": 3 * rate}},
            "untrained": {"spike_rates": {"a": 0.0, "b": rate}},
            "validation": {"errors": {"standardised": validating}},
            "training": {"seconds": seconds},
        }


def test_measures_of_a_case():
    cases = [Finished("one", 0.3, validation=0.2, seconds=90.0), Finished("other", 0.1, validation=0.4, seconds=30.0)]
    assert measures.best(cases).name == "one"
    assert measures.error_of(cases[0]) == 0.15
    assert measures.error_of(cases[0], "validation", "last") == 0.05
    assert measures.error_of(cases[0], steps="last", metric="root_mean_squared_error") == 0.6
    assert measures.error_of(cases[0], steps="last") != measures.error_of(cases[0], steps="last"), "undefined: NaN"
    assert measures.mean_over(cases, measures.minutes_of) == pytest.approx(1.0, rel=1e-12)


def test_the_summary_of_the_cyclic_study_by_hand():
    """The second rate is better on validation data, although the first one is better on the test set."""
    cases = [
        Finished("slow", 0.1, validation=0.9, kind="rnn", learning_rate=0.01),
        Finished("first", 0.2, validation=0.5, kind="rnn", learning_rate=0.02, seconds=30.0),
        Finished("second", 0.6, validation=0.1, kind="rnn", learning_rate=0.02, seed=3, seconds=150.0),
    ]
    row, floor = STUDIES["cyclic"].summary(cases)
    assert (row["network"], row["units"], row["parameters"], row["learning rate"], row["seeds"]) == (
        "rnn", 8, 17, 0.02, 2
    )  # fmt: skip
    # Means of a few doubles.
    assert row["RMSE / deviations"] == pytest.approx(0.4, rel=1e-12)
    assert row["its deviation over the seeds"] == pytest.approx(0.4 / 2**0.5, rel=1e-12)
    assert row["mean relative error, eq. 14"] == pytest.approx(0.2, rel=1e-12)
    assert row["minutes each"] == pytest.approx(1.5, rel=1e-12)
    assert floor["RMSE / deviations"] == 0.75
    assert set(floor) == set(row)


def test_the_summary_of_the_recipe_by_hand():
    cases = [
        Finished("lif_modern_seed_0", 1.0, validation=0.2, kind="lif"),
        Finished("lif_modern_seed_1", 1.0, validation=0.6, kind="lif", seed=1, rate=0.05),
        Finished("lif_papers_warm_up", 1.0, validation=1.2, kind="lif", rate=0.1),
    ]
    modern, papers = STUDIES["recipe"].summary(cases)
    assert (modern["neurons"], modern["setting"], modern["seeds"]) == ("lif", "modern", 2)
    assert (papers["setting"], papers["seeds"]) == ("papers warm up", 1)
    assert modern["eq. 14, all steps"] == pytest.approx(0.2, rel=1e-12)
    assert papers["eq. 14, last step"] == pytest.approx(0.3, rel=1e-12)
    assert papers["eq. 14, all steps, times the modern"] == pytest.approx(3.0, rel=1e-12)
    # Rates of two layers: 0.25 and 0.75 with one seed, 0.05 and 0.15 with the other.
    assert modern["spikes per neuron and step"] == pytest.approx(0.3, rel=1e-12)
    assert papers["before training"] == pytest.approx(0.05, rel=1e-12)
