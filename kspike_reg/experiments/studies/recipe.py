"""The effect of each ingredient of the modern recipe, with equal numbers of epochs."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from kspike_reg import plotting
from kspike_reg.experiments.case import Case
from kspike_reg.experiments.configuration import Configuration
from kspike_reg.experiments.recipes import recipe
from kspike_reg.experiments.studies.measures import error_of, mean_over, minutes_of
from kspike_reg.experiments.studies.study import SEEDS, Fields, Figures, Rows, Study

__all__ = ["STUDY", "cases_of", "figures_of", "summary_of"]

# Small enough to be trained many times.
SMALL = {
    "lif": {"task": "elasticity", "epochs": 60},
    "rlif": {"task": "ramberg-osgood", "epochs": 20},
    "slstm": {"task": "hardening", "training_paths": 1024, "units": 32, "population": 32, "epochs": 12},
}
# Settings other than those of the modern recipe and of the paper.
ALTERNATIVES = {
    "half_the_learning_rate": lambda modern: {"learning_rate": modern["learning_rate"] / 2},
    "twice_the_learning_rate": lambda modern: {"learning_rate": modern["learning_rate"] * 2},
    "batches_of_32": lambda modern: {"batch_size": 32},
    "batches_of_256": lambda modern: {"batch_size": 256},
    "no_weight_decay": lambda modern: {"weight_decay": 0.0},
    "loss_relative": lambda modern: {"loss_weighting": "relative"},
    "loss_last_step_10": lambda modern: {"last_step_weight": 10.0},
}


def cases_of(finished: Mapping[str, Any], quick: bool) -> dict[str, Fields]:
    """The paper's recipe, the modern one with three seeds, the modern one with one ingredient changed at a time."""
    cases = {}
    for kind, fields in SMALL.items():
        fields = fields | {"kind": kind}
        modern = recipe("modern", kind) | fields
        # Written out, since the recipe of the study sets the fields that a case leaves out.
        papers = {name: getattr(Configuration, name) for name in modern}
        cases[f"{kind}_paper"] = papers | fields
        cases |= {f"{kind}_modern_seed_{seed}": modern | {"seed": seed} for seed in SEEDS[:3]}
        for name in recipe("modern", kind).keys() - {"epochs"}:
            cases[f"{kind}_papers_{name}"] = modern | {name: getattr(Configuration, name)}
        cases |= {f"{kind}_{name}": modern | change(modern) for name, change in ALTERNATIVES.items()}
    return {name: cases[name] | ({"epochs": 2} if quick else {}) for name in sorted(cases)}


def by_setting(cases: Sequence[Case]) -> dict[str, dict[str, list[Case]]]:
    """The cases by the kind of neurons and the setting, those of its seeds together."""
    settings = {}
    for case in cases:
        kind = case.configuration.kind
        name, _, _ = case.name.removeprefix(f"{kind}_").partition("_seed_")
        settings.setdefault(kind, {}).setdefault(name.replace("_", " "), []).append(case)
    return settings


def figures_of(cases: Sequence[Case]) -> Figures:
    """The error of each setting on validation data, a figure for each kind of neurons."""
    figures = {}
    for kind, settings in by_setting(cases).items():
        errors = {name: [error_of(case, "validation") for case in seeds] for name, seeds in settings.items()}
        label = "mean relative error on validation data (eq. 14, standardised)"
        figures[f"ingredients_{kind}"] = plotting.seed_errors(errors, label, {"modern": np.mean(errors["modern"])})
    return figures


def summary_of(cases: Sequence[Case]) -> Rows:
    """Each setting by kind: its errors on validation data, and their ratios to those of the modern recipe."""
    measures = {
        "eq. 14, all steps": lambda case: error_of(case, "validation"),
        "eq. 14, last step": lambda case: error_of(case, "validation", "last"),
    }
    rows = []
    for kind, settings in by_setting(cases).items():
        for name, seeds in settings.items():
            row = {"neurons": kind, "setting": name, "seeds": len(seeds)}
            for label, measure in measures.items():
                row[label] = mean_over(seeds, measure)
                row[f"{label}, times the modern"] = row[label] / mean_over(settings["modern"], measure)
            row["spikes per neuron and step"] = mean_over(seeds, lambda case: _spike_rate(case, "test"))
            row["before training"] = mean_over(seeds, lambda case: _spike_rate(case, "untrained"))
            row["minutes"] = mean_over(seeds, minutes_of)
            rows.append(row)
    return rows


def _spike_rate(case: Case, data: str) -> float:
    return np.mean(list(case.metrics[data]["spike_rates"].values()))


STUDY = Study(
    title="The effect of each ingredient of the modern recipe at equal computing cost",
    cases=cases_of,
    papers={},
    modern={},
    quick={},
    figures=figures_of,
    summary=summary_of,
    recipe="modern",
)
