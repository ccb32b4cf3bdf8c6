"""What a study of many cases comes to: small tables, rows as dictionaries."""

import numpy as np

from kspike_reg.experiments.figures import by_setting, chosen, error_of

__all__ = ["of_cyclic", "of_recipe"]


def of_cyclic(cases):
    """Each kind at its best learning rate: mean and spread over the seeds; and the guess without memory."""
    rows = []
    for kind, seeds in chosen(cases).items():
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
        row["mean relative error, eq. 14"] = _mean(error_of, seeds)
        row["minutes each"] = _mean(_minutes, seeds)
        rows.append(row)
    floor = dict.fromkeys(rows[0], "") | {"network": "a guess without memory"}
    return [*rows, floor | {"RMSE / deviations": cases[0].memoryless_error}]


def of_recipe(cases):
    """Each setting by kind: its errors on validation data, and how many times those of the modern recipe they are."""
    measures = {
        "eq. 14, all steps": lambda case: error_of(case, "validation"),
        "eq. 14, last step": lambda case: error_of(case, "validation", "last"),
    }
    rows = []
    for kind, settings in by_setting(cases).items():
        for name, seeds in settings.items():
            row = {"neurons": kind, "setting": name, "seeds": len(seeds)}
            for label, measure in measures.items():
                row[label] = _mean(measure, seeds)
                row[f"{label}, times the modern"] = row[label] / _mean(measure, settings["modern"])
            row["spikes per neuron and step"] = _mean(lambda case: _rate(case, "test"), seeds)
            row["before training"] = _mean(lambda case: _rate(case, "untrained"), seeds)
            row["minutes"] = _mean(_minutes, seeds)
            rows.append(row)
    return rows


def _mean(measure, cases):
    return float(np.mean([measure(case) for case in cases]))


def _rate(case, of):
    return np.mean(list(case.metrics[of]["spike_rates"].values()))


def _minutes(case):
    return case.metrics["training"]["seconds"] / 60
