"""What a study found, written down: results.csv, results.json, the figures and report.md."""

from dataclasses import asdict

import numpy as np
import pandas as pd

from kspike_reg import plotting
from kspike_reg.experiments import figures
from kspike_reg.files import prepare_folder, replacing, write_json
from kspike_reg.metrics import rank_correlation
from kspike_reg.tables import markdown

__all__ = ["write_report"]

METRICS = {
    "mean relative error, eq. 14": ("standardised", "mean_relative_error"),
    "mean pointwise relative error": ("standardised", "mean_pointwise_relative_error"),
    "RMSE in standard deviations": ("standardised", "root_mean_squared_error"),
    "RMSE in MPa": ("physical", "root_mean_squared_error"),
}


def write_report(study, plan, folder, cases, settings):
    """Write the tables, figures and the report of finished cases into `folder`; the content of results.json."""
    prepare_folder(folder)
    results = {
        "study": study,
        "title": plan.title,
        "command": _command(study, settings),
        "settings": settings,
        "reported": {name: dict(zip(("all", "last"), errors, strict=True)) for name, errors in plan.reported.items()},
        "summary": plan.summary(cases),
        "environment": cases[0].metrics["environment"],
        "cases": {case.name: _result(case) for case in cases},
    }
    configurations = [asdict(case.configuration) for case in cases]
    differs = [name for name in configurations[0] if len({repr(other[name]) for other in configurations}) > 1]
    table = pd.DataFrame([_row(case, differs) for case in cases])
    with replacing(folder / "results.csv") as partial:
        table.to_csv(partial, index=False)
    drawn = figures.shared(cases) | plan.figures(cases)
    for name, axes in drawn.items():
        plotting.save(axes, folder / f"{name}.png")
    with replacing(folder / "report.md") as partial:
        partial.write_text(_text(plan, results, table, cases, list(drawn)), encoding="utf-8")
    write_json(folder / "results.json", results)
    return results


def _result(case):
    metrics = case.metrics
    kept = ("test", "validation", "untrained", "training", "data")
    return {"configuration": asdict(case.configuration), "deviations": case.configuration.changed(case.papers)} | {
        name: metrics[name] for name in kept
    }


def _row(case, differs):
    """One line of the table: what tells the case from the others, what it took, and its errors on the test set."""
    metrics = case.metrics
    row = {"case": case.name} | {name: getattr(case.configuration, name) for name in differs}
    row |= {"parameters": metrics["test"]["parameters"], "minutes": round(metrics["training"]["seconds"] / 60, 2)}
    for name, (space, metric) in METRICS.items():
        for steps in ("all", "last"):
            row[f"{name}, {steps}"] = metrics["test"]["errors"][space][metric][steps]
    errors = metrics["validation"]["errors"]["standardised"]
    row["validation: eq. 14, all"] = errors["mean_relative_error"]["all"]
    row["validation: RMSE, all"] = errors["root_mean_squared_error"]["all"]
    return row


def _command(study, settings):
    words = ["kspike-reg reproduce", study, "--recipe", settings["recipe"], *["--quick"] * settings["quick"]]
    for name, value in settings["changes"].items():
        words += [f"--{name.replace('_', '-')}", str(value)]
    return " ".join(words)


def _text(plan, results, table, cases, drawn):
    environment = results["environment"]
    versions = ", ".join(f"{name} {version}" for name, version in environment["versions"].items())
    parts = [
        f"# {plan.title}",
        f"Made by `{results['command']}`: {len(cases)} runs, "
        f"{sum(case.metrics['training']['seconds'] for case in cases) / 60:.0f} minutes of training in all, on "
        f"{environment['device']} ({environment['machine']}); {versions}; seeds "
        f"{', '.join(map(str, sorted({case.configuration.seed for case in cases})))}.",
        "Errors are those of the test set. Equation 14 is the mean over the paths of a ratio of norms, the pointwise "
        "error the mean of |error| / |reference| without step 0; both on standardised data. Single values of the "
        "reference may lie near zero, and then they rule the relative errors, of the last step above all; so the root "
        "mean square errors stand beside.",
    ]
    if plan.reported:
        parts += ["## Beside the paper", _beside_the_paper(plan, cases), _deviations(cases)]
    if results["summary"]:
        parts += ["## Summary", markdown(pd.DataFrame(results["summary"]))]
    parts += ["## Results", markdown(table)]
    parts += ["## Does the spread tell the error?", _calibration(cases)]
    parts += ["## Figures", *(f"![{name.replace('_', ' ')}]({name}.png)" for name in drawn)]
    return "\n\n".join(parts) + "\n"


def _calibration(cases):
    case = figures.best(cases)
    prediction, spread = case.prediction
    error = np.abs(prediction - case.test.targets)
    correlation = rank_correlation(spread, error)
    return (
        f"In the case {case.name} the voters of the population stand {spread.mean():.3g} MPa apart in the mean, where "
        f"the mean error is {error.mean():.3g} MPa; the rank correlation of the two over all steps is "
        f"{correlation:.2f}. One would tell the other at 1; at 0 it tells nothing. The voters are trained for their "
        "mean alone, nothing asks them to agree."
    )


def _beside_the_paper(plan, cases):
    rows = []
    for case in cases:
        if case.name in plan.reported:
            for steps, papers in zip(("all", "last"), plan.reported[case.name], strict=True):
                if papers is not None:
                    ours = {
                        name: case.metrics["test"]["errors"][space][metric][steps]
                        for name, (space, metric) in METRICS.items()
                    }
                    rows.append({"case": case.name, "steps": steps, "the paper": papers} | ours)
    if not rows:
        return "None of the cases for which the paper gives numbers was run."
    return (
        markdown(pd.DataFrame(rows))
        + "\n\nThe paper's numbers are mean relative errors; its text defines equation 14, the code published with it "
        "computes the pointwise error."
    )


def _deviations(cases):
    """Where the settings are not the paper's, with the cases that this holds for."""
    found = {}
    for case in cases:
        for name, (ours, papers) in case.configuration.changed(case.papers).items():
            found.setdefault((name, str(ours), str(papers)), []).append(case.name)
    if not found:
        return "All settings are the paper's."
    lines = [
        f"- {name}: {ours} in place of {papers}" + ("" if len(names) == len(cases) else f" ({', '.join(names)})")
        for (name, ours, papers), names in found.items()
    ]
    return "\n".join(["Settings that differ from the paper's:", "", *lines])
