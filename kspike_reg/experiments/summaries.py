"""What a study of many cases comes to: small tables, rows as dictionaries."""

import numpy as np

from kspike_reg.experiments.figures import chosen, error_of
from kspike_reg.experiments.memoryless import memoryless_error

__all__ = ["of_cyclic", "of_recipe"]


def of_cyclic(cases):
    """Each kind at its best learning rate: mean and spread over the seeds; and the guess without memory."""
    kinds = {}
    for case in chosen(cases):
        kinds.setdefault(case.configuration.kind, []).append(case)
    rows = []
    for kind, seeds in kinds.items():
        errors = [error_of(case, metric="root_mean_squared_error") for case in seeds]
        row = {
            "network": kind,
            "units": seeds[0].configuration.units,
            "parameters": seeds[0].metrics["test"]["parameters"],
            "learning rate": seeds[0].configuration.learning_rate,
            "seeds": len(seeds),
        }
        row |= {
            "RMSE / deviations": float(np.mean(errors)),
            "its deviation over the seeds": float(np.std(errors, ddof=1)),
        }
        row["mean relative error, eq. 14"] = float(np.mean([error_of(case) for case in seeds]))
        row["minutes each"] = float(np.mean([case.metrics["training"]["seconds"] for case in seeds]) / 60)
        rows.append(row)
    training, _, test = cases[0].configuration.load_data()
    floor = dict.fromkeys(rows[0], "") | {"network": "a guess without memory"}
    return [*rows, floor | {"RMSE / deviations": memoryless_error(training, test)}]


def of_recipe(cases):
    """Each setting by kind: its errors on validation data, and how many times those of the modern recipe they are."""
    settings = {}
    for case in cases:
        kind = case.configuration.kind
        name, _, _ = case.name.removeprefix(f"{kind}_").partition("_seed_")
        settings.setdefault((kind, name), []).append(case)

    def mean(kind, name, measure):
        return float(np.mean([measure(case) for case in settings[kind, name]]))

    measures = {
        "eq. 14, all steps": lambda case: error_of(case, "validation"),
        "eq. 14, last step": lambda case: error_of(case, "validation", "last"),
    }
    rows = []
    for kind, name in settings:
        row = {"neurons": kind, "setting": name.replace("_", " "), "seeds": len(settings[kind, name])}
        for label, measure in measures.items():
            row[label] = mean(kind, name, measure)
            row[f"{label}, times the modern"] = mean(kind, name, measure) / mean(kind, "modern", measure)
        row["spikes per neuron and step"] = mean(
            kind, name, lambda case: np.mean(list(case.metrics["test"]["spike_rates"].values()))
        )
        row["before training"] = mean(
            kind, name, lambda case: np.mean(list(case.metrics["untrained"]["spike_rates"].values()))
        )
        row["minutes"] = mean(kind, name, lambda case: case.metrics["training"]["seconds"] / 60)
        rows.append(row)
    return rows
