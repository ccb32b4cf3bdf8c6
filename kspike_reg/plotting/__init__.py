"""Figures: each function draws on matplotlib axes, new or given ones, and returns them.

Figures are made without pyplot, so they need no screen and leave no global state; a notebook shows `axes.figure`.
Colours are those of Okabe and Ito, which colour-blind readers can distinguish; lines differ in style too, for print.
Functions that draw one target take its index or name as `output`, and those that draw it over an input take that
input as `feature`.
"""

from kspike_reg.plotting.energy import break_even, energy_bars, pareto
from kspike_reg.plotting.errors import calibration, error_histogram, error_lines, sample_errors, seed_errors
from kspike_reg.plotting.losses import learning_curves, loss_curves
from kspike_reg.plotting.predictions import (
    compared_predictions,
    path_predictions,
    prediction_spread,
    reference_curves,
)
from kspike_reg.plotting.spikes import membrane_traces, spike_raster
from kspike_reg.plotting.style import COLOURS, save

__all__ = [
    "COLOURS",
    "break_even",
    "calibration",
    "compared_predictions",
    "energy_bars",
    "error_histogram",
    "error_lines",
    "learning_curves",
    "loss_curves",
    "membrane_traces",
    "pareto",
    "path_predictions",
    "prediction_spread",
    "reference_curves",
    "sample_errors",
    "save",
    "seed_errors",
    "spike_raster",
]
