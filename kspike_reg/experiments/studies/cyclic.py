"""Cyclic hardening: SLSTM compared with RNN, GRU and LSTM that have about as many parameters."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from kspike_reg import plotting
from kspike_reg.experiments.case import Case
from kspike_reg.experiments.studies.measures import best, error_of, mean_over, minutes_of, validation_error
from kspike_reg.experiments.studies.study import HARDENING, SEEDS, Fields, Figures, Rows, Study

__all__ = ["EQUAL_WIDTHS", "LEARNING_RATES", "STUDY", "cases_of", "figures_of", "summary_of"]

# Widths at which networks of three hidden layers and 16 population neurons have about as many parameters as an SLSTM
# of 32.
EQUAL_WIDTHS = {"slstm": 32, "lstm": 32, "gru": 36, "rnn": 60}
LEARNING_RATES = (2e-3, 5e-3, 1e-2)


def cases_of(finished: Mapping[str, Any], quick: bool) -> dict[str, Fields]:
    """Every learning rate with the first seed; then the rate that is best on validation data with the others."""
    seeds = SEEDS[:2] if quick else SEEDS
    cases = {
        _name(kind, rate, seeds[0]): {"kind": kind, "units": units, "learning_rate": rate, "seed": seeds[0]}
        for kind, units in EQUAL_WIDTHS.items()
        for rate in LEARNING_RATES
    }
    if not cases.keys() <= finished.keys():
        return cases
    for kind, units in EQUAL_WIDTHS.items():
        error = {rate: validation_error(finished[_name(kind, rate, seeds[0])]) for rate in LEARNING_RATES}
        rate = min(error, key=error.get)
        for seed in seeds[1:]:
            cases[_name(kind, rate, seed)] = {"kind": kind, "units": units, "learning_rate": rate, "seed": seed}
    return cases


def _name(kind: str, rate: float, seed: int) -> str:
    return f"{kind}_rate_{rate:g}_seed_{seed}"


def chosen(cases: Sequence[Case]) -> dict[str, list[Case]]:
    """The cases of each kind at the learning rate that is best on validation data, by the kind."""
    first = min(case.configuration.seed for case in cases)
    groups = {}
    for kind in dict.fromkeys(case.configuration.kind for case in cases):
        of_kind = [case for case in cases if case.configuration.kind == kind]
        rate = best(case for case in of_kind if case.configuration.seed == first).configuration.learning_rate
        groups[kind] = [case for case in of_kind if case.configuration.learning_rate == rate]
    return groups


def figures_of(cases: Sequence[Case]) -> Figures:
    """Errors of all seeds and the floor without memory, reference curves, predictions of all networks for one path."""
    kinds = chosen(cases)
    errors = {
        kind: [error_of(case, metric="root_mean_squared_error") for case in seeds] for kind, seeds in kinds.items()
    }
    label = "root mean square error / standard deviations of the stress"
    # One seed, so that all kinds predict the same paths.
    seed = cases[0].configuration.seed
    first = [case for seeds in kinds.values() for case in seeds if case.configuration.seed == seed]
    predictions = {case.configuration.kind: case.prediction[0] for case in first}
    strain = first[0].test.inputs[..., 0]
    return {
        "errors": plotting.seed_errors(errors, label, {"without memory": cases[0].memoryless_error}),
        "reference_curves": plotting.reference_curves(strain, first[0].test, "strain", count=3),
        "single_path": plotting.compared_predictions(first[0].test, predictions, 0),
    }


def summary_of(cases: Sequence[Case]) -> Rows:
    """Each kind at its best learning rate: mean and deviation over the seeds; and the guess without memory."""
    rows = []
    for kind, seeds in chosen(cases).items():
        errors = [error_of(case, metric="root_mean_squared_error") for case in seeds]
        rows.append(
            {
                "network": kind,
                "units": seeds[0].configuration.units,
                "parameters": seeds[0].metrics["test"]["parameters"],
                "learning rate": seeds[0].configuration.learning_rate,
                "seeds": len(seeds),
                "RMSE / deviations": float(np.mean(errors)),
                "its deviation over the seeds": float(np.std(errors, ddof=1)),
                "mean relative error, eq. 14": mean_over(seeds, error_of),
                "minutes each": mean_over(seeds, minutes_of),
            }
        )
    floor = dict.fromkeys(rows[0], "") | {"network": "a guess without memory"}
    return [*rows, floor | {"RMSE / deviations": cases[0].memoryless_error}]


STUDY = Study(
    title="Cyclic hardening: SLSTM compared with RNN, GRU and LSTM that have as many parameters",
    cases=cases_of,
    papers=HARDENING | {"family": "cyclic", "timesteps": 50, "population": 16, "training_paths": 1024},
    modern={"epochs": 30},
    quick={"epochs": 3, "training_paths": 512},
    figures=figures_of,
    summary=summary_of,
    recipe="modern",
)
