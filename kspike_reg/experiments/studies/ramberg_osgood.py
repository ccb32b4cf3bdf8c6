"""Ramberg-Osgood plasticity with RLIF neurons (paper, figures 11 to 13)."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from kspike_reg import plotting
from kspike_reg.experiments.case import Case
from kspike_reg.experiments.studies.study import Fields, Figures, Study

__all__ = ["STUDY", "cases_of", "figures_of"]


def cases_of(finished: Mapping[str, Any], quick: bool) -> dict[str, Fields]:
    """A single case; see `Study`."""
    return {"rlif": {}}


def figures_of(cases: Sequence[Case]) -> Figures:
    """Reference curves (figure 11). Every report shows errors and predictions (figures 12 and 13)."""
    test = cases[0].test
    strain = np.broadcast_to(np.linspace(0, test.source["maximum_strain"], test.targets.shape[1]), test.steps.shape)
    return {"reference_curves": plotting.reference_curves(strain, test, "strain")}


STUDY = Study(
    title="Ramberg-Osgood plasticity with RLIF neurons",
    cases=cases_of,
    papers={"task": "ramberg-osgood", "kind": "rlif", "timesteps": 20, "epochs": 5000},
    modern={},
    quick={"epochs": 60, "batch_size": 128},
    reported={"rlif": (8.7934e-2, 8.0200e-2)},
    figures=figures_of,
)
