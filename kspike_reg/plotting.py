"""Pictures: each function draws on matplotlib axes, its own or given ones, and returns them.

Figures are made without pyplot, so that nothing pops up, leaks or depends on a screen. Colours are Okabe and Ito's,
told apart by colour-blind readers; lines differ in style too, for print.
"""

from itertools import cycle

import numpy as np
from matplotlib.figure import Figure

__all__ = ["loss_curves", "path_predictions"]

BLACK, ORANGE, SKY, GREEN, BLUE, VERMILION = "#000000", "#E69F00", "#56B4E9", "#009E73", "#0072B2", "#D55E00"
PATH_COLOURS = (BLUE, VERMILION, GREEN, ORANGE, SKY)


def loss_curves(history, axes=None):
    """Training and validation loss over the epochs, with the best epoch marked.

    Args:
        history: lists `epoch`, `loss` and `val_loss`, as `training.fit` returns them.
        axes: matplotlib axes to draw on; None makes a figure.
    """
    axes = Figure(figsize=(6, 4), layout="constrained").subplots() if axes is None else axes
    epochs = np.asarray(history["epoch"]) + 1
    best = int(np.nanargmin(history["val_loss"]))  # an epoch may have diverged
    axes.semilogy(epochs, history["loss"], color=BLUE, linewidth=1, label="training")
    axes.semilogy(epochs, history["val_loss"], color=VERMILION, linewidth=1, linestyle="--", label="validation")
    axes.plot(epochs[best], history["val_loss"][best], "o", color=BLACK, label=f"best, epoch {epochs[best]:.0f}")
    axes.set(xlabel="epoch", ylabel="mean squared error (standardised)", xlim=(1, max(2, epochs[-1])))
    axes.grid(alpha=0.3)
    axes.legend()
    return axes


def path_predictions(paths, prediction, count=5, axes=None):
    """Some paths' targets and what the network says: over the steps, and over the first input.

    Args:
        paths: `datasets.Paths` with targets.
        prediction: shape (n, T, outputs), in the units of the targets.
        count: number of paths, spread evenly over the range of the first target's largest value.
        axes: matplotlib axes, shape (outputs, 2), to draw on; None makes a figure.

    Returns:
        The axes, shape (outputs, 2).
    """
    outputs = len(paths.target_names)
    if axes is None:
        figure = Figure(figsize=(10, 4 * outputs), layout="constrained")
        axes = figure.subplots(outputs, 2, squeeze=False, sharey="row")
    by_size = np.argsort(np.max(np.abs(np.where(paths.mask, paths.targets[..., 0], 0)), axis=1))
    chosen = by_size[np.unique(np.linspace(0, len(paths) - 1, count).round().astype(int))]
    for row, name in enumerate(paths.target_names):
        for colour, path in zip(cycle(PATH_COLOURS), chosen, strict=False):
            steps = slice(0, paths.lengths[path])
            for column, across in enumerate((paths.steps[path, steps], paths.inputs[path, steps, 0])):
                axes[row, column].plot(across, paths.targets[path, steps, row], color=colour, linewidth=1)
                axes[row, column].plot(across, prediction[path, steps, row], "o--", color=colour, markersize=4)
        axes[row, 0].set(xlabel="step", ylabel=_label(name, paths.units))
        axes[row, 1].set(xlabel=_label(paths.input_names[0], paths.units))
        for panel in axes[row]:
            panel.grid(alpha=0.3)
    axes[0, 0].plot([], [], color=BLACK, linewidth=1, label="reference")
    axes[0, 0].plot([], [], "o--", color=BLACK, markersize=4, label="network")
    axes[0, 0].legend()
    return axes


def _label(name, units):
    return f"{name} / {units[name]}" if name in units else name
