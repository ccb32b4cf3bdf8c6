"""The files of a study: results.csv, results.json, the figures and report.md."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from kspike_reg import plotting
from kspike_reg.escape import code_span, markdown_text, shell_words
from kspike_reg.experiments.case import Case
from kspike_reg.experiments.studies.measures import best
from kspike_reg.experiments.studies.study import Figures, Study
from kspike_reg.files import prepare_folder, replacing, write_json
from kspike_reg.metrics import rank_correlation
from kspike_reg.tables import markdown

__all__ = ["common_figures", "write_report"]

METRICS = {
    "mean relative error, eq. 14": ("standardised", "mean_relative_error"),
    "mean pointwise relative error": ("standardised", "mean_pointwise_relative_error"),
    "RMSE in standard deviations": ("standardised", "root_mean_squared_error"),
    "RMSE in MPa": ("physical", "root_mean_squared_error"),
}
STEPS = ("all", "last")


def write_report(
    name: str, study: Study, folder: Path, cases: Sequence[Case], settings: Mapping[str, Any]
) -> dict[str, Any]:
    """Write the tables, the figures and the report of finished cases.

    Args:
        name: of the study.
        study: the `Study`.
        folder: the folder for the files; it is created if it does not exist.
        cases: all cases of the study, finished.
        settings: "recipe", "quick" and "changes", as `reproduce` received them.

    Returns:
        The content of results.json.

    Raises:
        InputError: the folder cannot be written to.
    """
    prepare_folder(folder)
    results = {
        "study": name,
        "title": study.title,
        "command": _command(name, settings),
        "settings": settings,
        "reported": {case: dict(zip(STEPS, errors, strict=True)) for case, errors in study.reported.items()},
        "summary": study.summary(cases),
        "environment": cases[0].metrics["environment"],
        "cases": {case.name: _result(case, cases[0].metrics["environment"]) for case in cases},
    }
    configurations = [asdict(case.configuration) for case in cases]
    differing = [field for field in configurations[0] if len({repr(other[field]) for other in configurations}) > 1]
    table = pd.DataFrame([_row(case, differing) for case in cases])
    with replacing(folder / "results.csv") as partial:
        table.to_csv(partial, index=False)
    figures = common_figures(cases) | study.figures(cases)
    for file, axes in figures.items():
        plotting.save(axes, folder / f"{file}.png")
    with replacing(folder / "report.md") as partial:
        partial.write_text(_text(study, results, table, cases, list(figures)), encoding="utf-8")
    write_json(folder / "results.json", results)
    return results


def common_figures(cases: Sequence[Case]) -> Figures:
    """The figures of every study: the learning curves, and for its best case predictions, errors and calibration.

    Args:
        cases: finished cases.

    Returns:
        Axes by file name.
    """
    case = best(cases)
    prediction, spread = case.prediction
    test = case.test
    unit = test.units[test.target_names[0]]
    figures = {
        "learning_curves": plotting.learning_curves({case.name: case.history for case in cases[:20]}),
        "predictions": plotting.path_predictions(test, prediction),
        "sample_errors": plotting.sample_errors(case.path_errors),
        "calibration": plotting.calibration(spread, prediction - test.targets, unit),
    }
    for name in ("predictions", "sample_errors", "calibration"):
        np.ravel(figures[name])[0].set_title(f"case {case.name}", fontsize="small")
    return figures


def _result(case: Case, environment: Mapping[str, Any]) -> dict[str, Any]:
    """The entry of a case in results.json; with its environment if that is not the one of the study."""
    recorded = ["test", "validation", "untrained", "training", "data"]
    recorded += ["environment"] * (case.metrics["environment"] != environment)
    return {"configuration": asdict(case.configuration), "deviations": case.configuration.changed(case.papers)} | {
        name: case.metrics[name] for name in recorded
    }


def _row(case: Case, differing: Sequence[str]) -> dict[str, Any]:
    """The row of a case in results.csv: the fields in which cases differ, size, time, and errors on the test set."""
    metrics = case.metrics
    row = {"case": case.name} | {name: getattr(case.configuration, name) for name in differing}
    row |= {"parameters": metrics["test"]["parameters"], "minutes": round(metrics["training"]["seconds"] / 60, 2)}
    for name, (space, metric) in METRICS.items():
        for steps in STEPS:
            row[f"{name}, {steps}"] = metrics["test"]["errors"][space][metric][steps]
    errors = metrics["validation"]["errors"]["standardised"]
    row["validation: eq. 14, all"] = errors["mean_relative_error"]["all"]
    row["validation: RMSE, all"] = errors["root_mean_squared_error"]["all"]
    return row


def _command(name: str, settings: Mapping[str, Any]) -> str:
    """The command that repeats the study."""
    words = ["kspike-reg", "reproduce", name, "--recipe", settings["recipe"], *["--quick"] * settings["quick"]]
    for field, value in settings["changes"].items():
        words += [f"--{field.replace('_', '-')}", value]
    return shell_words(words)


def _text(
    study: Study, results: Mapping[str, Any], table: pd.DataFrame, cases: Sequence[Case], figures: Sequence[str]
) -> str:
    """The text of report.md."""
    environment = results["environment"]
    versions = ", ".join(f"{name} {version}" for name, version in environment["versions"].items())
    parts = [
        f"# {study.title}",
        f"Made by {code_span(results['command'])}: {len(cases)} runs, "
        f"{sum(case.metrics['training']['seconds'] for case in cases) / 60:.0f} minutes of training in total, on "
        f"{environment['device']} ({environment['machine']}); {versions}; seeds "
        f"{', '.join(map(str, sorted({case.configuration.seed for case in cases})))}.",
        *_other_environments(results["cases"]),
        "Errors are those on the test set. Equation 14 is the mean over the paths of a ratio of norms. The pointwise "
        "error is the mean of |error| / |reference| without step 0. Both use standardised data. Where single values "
        "of the reference are close to zero, they dominate the relative errors, above all at the last step; so the "
        "tables show the root mean square errors as well.",
    ]
    if study.reported:
        parts += ["## Comparison with the paper", _comparison_with_the_paper(study, cases), _deviations(cases)]
    if results["summary"]:
        parts += ["## Summary", markdown(pd.DataFrame(results["summary"]))]
    parts += ["## Results", markdown(table)]
    parts += ["## Does the spread indicate the error?", _calibration(cases)]
    parts += ["## Figures", *(f"![{name.replace('_', ' ')}]({name}.png)" for name in figures)]
    return "\n\n".join(parts) + "\n"


def _other_environments(cases: Mapping[str, Any]) -> list[str]:
    """Which cases did not run in the environment of the study alone."""
    others = [name for name, case in cases.items() if "environment" in case or "sessions" in case["training"]]
    if not others:
        return []
    return [f"These cases ran in other environments, at least in part: {', '.join(others)}; results.json lists them."]


def _calibration(cases: Sequence[Case]) -> str:
    """How the spread of the population is related to the error, for the best case."""
    case = best(cases)
    prediction, spread = case.prediction
    error = np.abs(prediction - case.test.targets)
    correlation = rank_correlation(spread, error)
    return (
        f"In the case {case.name} the standard deviation of the population neurons is {spread.mean():.3g} MPa on "
        f"average, and the error is {error.mean():.3g} MPa. The rank correlation of the two over all steps is "
        f"{correlation:.2f}. At 1 the spread would order the predictions by their error; at 0 it says nothing about "
        "the error. Only the mean of the population is trained; nothing makes its neurons agree."
    )


def _comparison_with_the_paper(study: Study, cases: Sequence[Case]) -> str:
    """A table of the paper's errors and ours."""
    rows = []
    for case in cases:
        if case.name in study.reported:
            for steps, papers in zip(STEPS, study.reported[case.name], strict=True):
                if papers is not None:
                    ours = {
                        name: case.metrics["test"]["errors"][space][metric][steps]
                        for name, (space, metric) in METRICS.items()
                    }
                    rows.append({"case": case.name, "steps": steps, "the paper": papers} | ours)
    if not rows:
        return "The paper gives no numbers for any of these cases."
    return (
        markdown(pd.DataFrame(rows))
        + "\n\nThe paper's numbers are mean relative errors. Its text defines equation 14; the code published with it "
        "computes the pointwise error."
    )


def _deviations(cases: Sequence[Case]) -> str:
    """The settings that are not the paper's, with the cases that have them."""
    found = {}
    for case in cases:
        for name, (ours, papers) in case.configuration.changed(case.papers).items():
            found.setdefault((name, str(ours), str(papers)), []).append(case.name)
    if not found:
        return "All settings are the paper's."
    lines = [
        f"- {name}: {markdown_text(ours)} instead of {markdown_text(papers)}"
        + ("" if len(names) == len(cases) else f" ({', '.join(names)})")
        for (name, ours, papers), names in found.items()
    ]
    return "\n".join(["Settings that differ from the paper's:", "", *lines])
