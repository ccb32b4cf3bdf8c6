"""What networks say of paths, beside the reference."""

from itertools import cycle

import numpy as np
from matplotlib.collections import PolyCollection
from matplotlib.ticker import MaxNLocator

from kspike_reg.plotting.style import BLACK, COLOURS, LINES, VERMILION, Picture, label_of, own_axes, spread_out, styles

__all__ = ["compared_predictions", "path_predictions", "prediction_spread", "reference_curves"]

# A light vermilion: grey enough in print to tell the lines upon it.
BAND = "#F6CFB5"


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
        figure = Picture((10, 4 * outputs))
        axes = figure.subplots(outputs, 2, squeeze=False, sharey="row")
    for row, name in enumerate(paths.target_names):
        for colour, path in zip(cycle(COLOURS), spread_out(paths, count), strict=False):
            steps = slice(0, paths.lengths[path])
            for column, across in enumerate((paths.steps[path, steps], paths.inputs[path, steps, 0])):
                axes[row, column].plot(across, paths.targets[path, steps, row], color=colour, linewidth=1)
                axes[row, column].plot(across, prediction[path, steps, row], "o--", color=colour, markersize=4)
        axes[row, 0].set(xlabel="step", ylabel=label_of(name, paths.units))
        axes[row, 1].set(xlabel=label_of(paths.input_names[0], paths.units))
        for panel in axes[row]:
            panel.grid(alpha=0.3)
    axes[0, 0].plot([], [], color=BLACK, linewidth=1, label="reference")
    axes[0, 0].plot([], [], "o--", color=BLACK, markersize=4, label="network")
    axes[0, 0].legend()
    return axes


def compared_predictions(paths, predictions, path, axes=None):
    """What several networks say of one path: over the steps, and over the first input.

    Args:
        paths: `datasets.Paths` with targets.
        predictions: for each name an array (n, T, outputs), in the units of the targets.
        path: its index.
        axes: two matplotlib axes to draw on; None makes a figure.

    Returns:
        The two axes.
    """
    steps = slice(0, paths.lengths[path])
    axes, over = _two_panels(paths, path, axes)
    for panel, across in zip(axes, over, strict=True):
        panel.plot(across, paths.targets[path, steps, 0], color=BLACK, linewidth=1.5, label="reference")
        for name, values, colour, line in zip(
            predictions, predictions.values(), cycle(COLOURS), cycle(LINES[1:]), strict=False
        ):
            panel.plot(across, values[path, steps, 0], color=colour, linestyle=line, linewidth=1, label=name)
    axes[0].legend()
    return axes


def reference_curves(across, paths, label, count=5, axes=None):
    """Some paths' first target over another quantity.

    Args:
        across: that quantity, shape (n, T).
        paths: `datasets.Paths` with targets, all of T steps.
        label: what the quantity is.
        count: number of paths, spread evenly over the range of the target's largest value.
        axes: matplotlib axes to draw on; None makes a figure.

    Returns:
        The axes.
    """
    axes = own_axes(axes)
    for path, style in zip(spread_out(paths, count), styles(), strict=False):
        axes.plot(across[path], paths.targets[path, :, 0], linewidth=1, **style)
    axes.set(xlabel=label, ylabel=label_of(paths.target_names[0], paths.units))
    axes.grid(alpha=0.3)
    return axes


def prediction_spread(paths, prediction, spread, path=0, across=None, label=None, axes=None):
    """One path with the spread of the population around what the network says: over the steps, and over the input.

    The band tells how far the voters stand apart, one deviation to each side. It is no error bar, see
    `scaling.spread_of`.

    Args:
        paths: `datasets.Paths` with targets.
        prediction, spread: each (n, T, outputs), in the units of the targets.
        path: its index.
        across: what the second panel is drawn over, shape (n, T); None takes the first input.
        label: what that is.
        axes: two matplotlib axes to draw on; None makes a figure.

    Returns:
        The two axes.
    """
    steps = slice(0, paths.lengths[path])
    axes, over = _two_panels(paths, path, axes, across, label)
    middle, width = prediction[path, steps, 0], spread[path, steps, 0]
    for panel, x in zip(axes, over, strict=True):
        # Piece by piece and opaque: where a path turns back, its bands lie upon one another.
        lower, upper = np.stack([x, middle - width], axis=1), np.stack([x, middle + width], axis=1)
        pieces = np.stack([lower[:-1], lower[1:], upper[1:], upper[:-1]], axis=1)
        panel.add_collection(PolyCollection(pieces, facecolor=BAND, edgecolor=BAND, zorder=1, label="spread"))
        panel.plot(x, paths.targets[path, steps, 0], color=BLACK, linewidth=1.5, label="reference")
        panel.plot(x, middle, color=VERMILION, linestyle="--", linewidth=1.5, label="network")
    axes[0].xaxis.set_major_locator(MaxNLocator(integer=True))
    axes[0].legend()
    return axes


def _two_panels(paths, path, axes, across=None, label=None):
    """The two axes of one path, labelled, and what each is drawn over: its steps, and `across` or the first input."""
    if axes is None:
        axes = Picture((10, 4)).subplots(1, 2, sharey=True)
    axes[0].set(xlabel="step", ylabel=label_of(paths.target_names[0], paths.units))
    axes[1].set(xlabel=label_of(paths.input_names[0], paths.units) if label is None else label)
    for panel in axes:
        panel.grid(alpha=0.3)
    steps = slice(0, paths.lengths[path])
    over = paths.inputs[..., 0] if across is None else np.asarray(across)
    return axes, (paths.steps[path, steps], over[path, steps])
