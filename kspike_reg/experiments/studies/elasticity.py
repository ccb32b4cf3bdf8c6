"""Linear elasticity: the error against the number of steps (paper, figures 7 to 10)."""

from collections.abc import Mapping, Sequence
from typing import Any

from kspike_reg import plotting
from kspike_reg.experiments.case import Case
from kspike_reg.experiments.studies.measures import error_of
from kspike_reg.experiments.studies.study import Fields, Figures, Study

__all__ = ["STUDY", "cases_of", "figures_of"]

STEPS = (2, 5, 10, 20, 50, 100)


def cases_of(finished: Mapping[str, Any], quick: bool) -> dict[str, Fields]:
    """A case for each number of steps; see `Study`."""
    return {f"{steps}_steps": {"timesteps": steps} for steps in STEPS}


def figures_of(cases: Sequence[Case]) -> Figures:
    """The error against the number of steps (figures 7 and 8), some paths of few and of many steps (9 and 10)."""
    steps = [case.configuration.steps for case in cases]
    errors = {
        "all steps": [error_of(case) for case in cases],
        "last step": [error_of(case, steps="last") for case in cases],
    }
    few, many = cases[steps.index(5)], cases[steps.index(100)]
    return {
        "error_against_steps": plotting.error_lines(steps, errors, "number of steps"),
        "predictions_5_steps": plotting.path_predictions(few.test, few.prediction[0], count=2),
        "predictions_100_steps": plotting.path_predictions(many.test, many.prediction[0], count=2),
    }


STUDY = Study(
    title="Linear elasticity with LIF neurons: the error against the number of steps",
    cases=cases_of,
    papers={"task": "elasticity", "kind": "lif", "epochs": 2000},
    modern={},
    quick={"epochs": 40, "batch_size": 128, "training_paths": 512},
    figures=figures_of,
)
