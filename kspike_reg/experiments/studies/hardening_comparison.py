"""Isotropic hardening: SLSTM against LSTM (paper, figure 17)."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from kspike_reg import plotting
from kspike_reg.experiments.case import Case
from kspike_reg.experiments.studies.study import HARDENING, Fields, Figures, Study

__all__ = ["STUDY", "cases_of", "figures_of"]


def cases_of(finished: Mapping[str, Any], quick: bool) -> dict[str, Fields]:
    """A case for each of the two networks; see `Study`."""
    return {"slstm": {"kind": "slstm"}, "lstm": {"kind": "lstm"}}


def figures_of(cases: Sequence[Case]) -> Figures:
    """Reference curves, and the predictions of both networks for one path (figure 17)."""
    predictions = {case.name: case.prediction[0] for case in cases}
    test = cases[0].test
    by_amplitude = np.argsort(np.max(np.abs(test.inputs[..., 0]), axis=1))
    median = int(by_amplitude[len(test) // 2])
    return {
        "reference_curves": plotting.reference_curves(test.inputs[..., 0], test, "strain"),
        "single_path": plotting.compared_predictions(test, predictions, median),
    }


STUDY = Study(
    title="Isotropic hardening: SLSTM against LSTM",
    cases=cases_of,
    papers=HARDENING | {"units": 256, "population": 64, "epochs": 5000},
    modern={"epochs": 100, "training_paths": 3072, "last_step_weight": 10.0},
    quick={"epochs": 15, "batch_size": 64, "training_paths": 1024, "units": 32, "population": 32},
    reported={"slstm": (9.3832e-2, 4.0497e-3), "lstm": (4.8611e-2, 4.7569e-3)},
    figures=figures_of,
)
