"""Isotropic hardening: the error against width and population (paper, figures 14 to 16)."""

from collections.abc import Mapping, Sequence
from typing import Any

from kspike_reg import plotting
from kspike_reg.experiments.case import Case
from kspike_reg.experiments.studies.measures import error_of
from kspike_reg.experiments.studies.study import HARDENING, Fields, Figures, Study

__all__ = ["STUDY", "cases_of", "figures_of"]


def cases_of(finished: Mapping[str, Any], quick: bool) -> dict[str, Fields]:
    """A case for each width and population; see `Study`."""
    widths = (8, 16, 32) if quick else (16, 32, 64, 128, 256)
    populations = (8, 32) if quick else widths
    # Recorded results and resumable runs have these names.
    return {
        f"{units}_units_{population}_voters": {"units": units, "population": population}
        for units in widths
        for population in populations
    }


def figures_of(cases: Sequence[Case]) -> Figures:
    """Reference curves (figure 14), and the error against width for each population (figures 15 and 16)."""
    widths = sorted({case.configuration.units for case in cases})
    populations = sorted({case.configuration.population for case in cases})
    by_size = {(case.configuration.units, case.configuration.population): case for case in cases}
    test = cases[0].test
    figures = {"reference_curves": plotting.reference_curves(test.inputs[..., 0], test, "strain")}
    for steps in ("last", "all"):
        lines = {
            f"{population} population neurons": [error_of(by_size[width, population], steps=steps) for width in widths]
            for population in populations
        }
        axes = plotting.error_lines(widths, lines, "neurons in each hidden layer")
        axes.set_title("last step" if steps == "last" else "all steps")
        figures[f"error_against_width_{steps}"] = axes
    return figures


STUDY = Study(
    title="Isotropic hardening with SLSTM neurons: the error against width and population",
    cases=cases_of,
    papers=HARDENING | {"epochs": 500},
    modern={"epochs": 60, "training_paths": 2048},
    quick={"epochs": 10, "batch_size": 64, "training_paths": 1024},
    reported={"256_units_64_voters": (5.2445e-2, None), "256_units_32_voters": (None, 2.8729e-3)},
    figures=figures_of,
)
