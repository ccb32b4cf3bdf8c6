"""Ramberg-Osgood plasticity: the error against width, for each kind of network and each readout."""

from collections.abc import Mapping, Sequence
from typing import Any

from kspike_reg import plotting
from kspike_reg.experiments.case import Case
from kspike_reg.experiments.studies.measures import error_of
from kspike_reg.experiments.studies.study import Fields, Figures, Study
from kspike_reg.network.kinds import SPIKING
from kspike_reg.neurons.registry import OUTPUTS

__all__ = ["STUDY", "cases_of", "figures_of"]

BASELINES = ("rnn", "lstm")


def cases_of(finished: Mapping[str, Any], quick: bool) -> dict[str, Fields]:
    """Every kind of spiking network with each readout, and the baselines, at each width; see `Study`."""
    widths = (8, 16) if quick else (16, 32, 64, 128)
    networks = {f"{kind}_{readout}": {"kind": kind, "readout": readout} for kind in SPIKING for readout in OUTPUTS}
    networks |= {kind: {"kind": kind} for kind in BASELINES}
    return {f"{name}_{units}_units": fields | {"units": units} for name, fields in networks.items() for units in widths}


def figures_of(cases: Sequence[Case]) -> Figures:
    """The error against width, a line for each kind of network and readout."""
    widths = sorted({case.configuration.units for case in cases})
    lines = {}
    for case in cases:
        units = case.configuration.units
        lines.setdefault(case.name.removesuffix(f"_{units}_units").replace("_", ", "), {})[units] = error_of(case)
    errors = {name: [by_width[width] for width in widths] for name, by_width in lines.items()}
    return {"error_against_width": plotting.error_lines(widths, errors, "neurons in each hidden layer")}


STUDY = Study(
    title="Ramberg-Osgood plasticity: the error against width, for each kind of network and each readout",
    cases=cases_of,
    papers={"task": "ramberg-osgood", "timesteps": 20, "population": 32, "epochs": 5000},
    modern={"epochs": 60},
    quick={"epochs": 3, "training_paths": 256},
    figures=figures_of,
    recipe="modern",
)
