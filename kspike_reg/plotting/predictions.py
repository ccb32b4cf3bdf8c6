"""Predictions of networks and the reference, along single paths."""

from collections.abc import Mapping, Sequence
from itertools import cycle

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import PolyCollection
from matplotlib.ticker import MaxNLocator
from numpy.typing import ArrayLike

from kspike_reg.escape import plot_text
from kspike_reg.plotting.style import (
    BLACK,
    COLOURS,
    LINES,
    VERMILION,
    PathsLike,
    Picture,
    index_of,
    label_of,
    one_path,
    own_axes,
    spread_out,
    styles,
)

__all__ = ["compared_predictions", "path_predictions", "prediction_spread", "reference_curves"]

# A light vermilion, light enough in greyscale print for the lines drawn over it.
BAND = "#F6CFB5"


def path_predictions(
    paths: PathsLike,
    prediction: np.ndarray,
    count: int = 5,
    axes: np.ndarray | None = None,
    *,
    feature: int | str = 0,
) -> np.ndarray:
    """Targets and predictions of some paths, a row for each output: over the steps, and over an input.

    Args:
        paths: `datasets.Paths` with targets.
        prediction: shape (n, T, outputs), in the units of the targets, or a list with an array for each path.
        count: number of paths, spread evenly over the range of the largest value of the first target.
        axes: matplotlib axes, shape (outputs, 2), to draw on; None makes a figure.
        feature: index or name of the input for the second column.

    Returns:
        The axes, shape (outputs, 2).

    Raises:
        InputError: an input that the paths do not have.
    """
    outputs = len(paths.target_names)
    feature = index_of("path_predictions", paths.input_names, feature)
    if axes is None:
        figure = Picture((10, 4 * outputs))
        axes = figure.subplots(outputs, 2, squeeze=False, sharey="row")
    for row, name in enumerate(paths.target_names):
        for colour, path in zip(cycle(COLOURS), spread_out(paths, count), strict=False):
            steps, inputs, targets = one_path(paths, path)
            for column, across in enumerate((steps, inputs[:, feature])):
                axes[row, column].plot(across, targets[:, row], color=colour, linewidth=1)
                predicted = prediction[path][: len(steps), row]
                axes[row, column].plot(across, predicted, "o--", color=colour, markersize=4)
        axes[row, 0].set(xlabel="step", ylabel=label_of(name, paths.units))
        axes[row, 1].set(xlabel=label_of(paths.input_names[feature], paths.units))
        for panel in axes[row]:
            panel.grid(alpha=0.3)
    axes[0, 0].plot([], [], color=BLACK, linewidth=1, label="reference")
    axes[0, 0].plot([], [], "o--", color=BLACK, markersize=4, label="network")
    axes[0, 0].legend()
    return axes


def compared_predictions(
    paths: PathsLike,
    predictions: Mapping[str, np.ndarray],
    path: int,
    axes: Sequence[Axes] | None = None,
    *,
    output: int | str = 0,
    feature: int | str = 0,
) -> Sequence[Axes]:
    """Predictions of several networks for one path: over the steps, and over an input.

    Args:
        paths: `datasets.Paths` with targets.
        predictions: for each name an array (n, T, outputs), in the units of the targets.
        path: its index.
        axes: two matplotlib axes to draw on; None makes a figure.
        output: index or name of the target.
        feature: index or name of the input for the second panel.

    Returns:
        The two axes.

    Raises:
        InputError: a target or an input that the paths do not have.
    """
    output = index_of("compared_predictions", paths.target_names, output)
    feature = index_of("compared_predictions", paths.input_names, feature)
    steps = slice(0, paths.lengths[path])
    axes, over = _two_panels(paths, path, axes, output, feature)
    for panel, across in zip(axes, over, strict=True):
        panel.plot(across, paths.targets[path, steps, output], color=BLACK, linewidth=1.5, label="reference")
        for name, values, colour, line in zip(
            predictions, predictions.values(), cycle(COLOURS), cycle(LINES[1:]), strict=False
        ):
            panel.plot(
                across, values[path, steps, output], color=colour, linestyle=line, linewidth=1, label=plot_text(name)
            )
    axes[0].legend()
    return axes


def reference_curves(
    across: ArrayLike,
    paths: PathsLike,
    label: str,
    count: int = 5,
    axes: Axes | None = None,
    *,
    output: int | str = 0,
) -> Axes:
    """A target of some paths over another quantity.

    Args:
        across: that quantity, shape (n, T).
        paths: `datasets.Paths` with targets, all of T steps.
        label: name of the quantity, with its unit.
        count: number of paths, spread evenly over the range of the largest value of the target.
        axes: matplotlib axes to draw on; None makes a figure.
        output: index or name of the target.

    Returns:
        The axes.

    Raises:
        InputError: a target that the paths do not have.
    """
    output = index_of("reference_curves", paths.target_names, output)
    axes = own_axes(axes)
    for path, style in zip(spread_out(paths, count, output), styles(), strict=False):
        axes.plot(across[path], paths.targets[path, :, output], linewidth=1, **style)
    axes.set(xlabel=label, ylabel=label_of(paths.target_names[output], paths.units))
    axes.grid(alpha=0.3)
    return axes


def prediction_spread(
    paths: PathsLike,
    prediction: np.ndarray,
    spread: np.ndarray,
    path: int = 0,
    across: ArrayLike | None = None,
    label: str | None = None,
    axes: Sequence[Axes] | None = None,
    *,
    output: int | str = 0,
    feature: int | str = 0,
) -> Sequence[Axes]:
    """One path with the spread of the population around the prediction: over the steps, and over an input.

    The band is one standard deviation of the population neurons to each side. It is not an error bar, see
    `network.physical.spread_of`.

    Args:
        paths: `datasets.Paths` with targets.
        prediction, spread: each (n, T, outputs), in the units of the targets.
        path: its index.
        across: quantity for the second panel, shape (n, T); None takes the input `feature`.
        label: name of that quantity, with its unit; None takes that of the input.
        axes: two matplotlib axes to draw on; None makes a figure.
        output: index or name of the target.
        feature: index or name of the input for the second panel.

    Returns:
        The two axes.

    Raises:
        InputError: a target or an input that the paths do not have.
    """
    output = index_of("prediction_spread", paths.target_names, output)
    feature = index_of("prediction_spread", paths.input_names, feature)
    steps = slice(0, paths.lengths[path])
    axes, over = _two_panels(paths, path, axes, output, feature, across, label)
    middle, width = prediction[path, steps, output], spread[path, steps, output]
    for panel, x in zip(axes, over, strict=True):
        # Piece by piece and opaque: where a path turns back, its bands overlap.
        lower, upper = np.stack([x, middle - width], axis=1), np.stack([x, middle + width], axis=1)
        pieces = np.stack([lower[:-1], lower[1:], upper[1:], upper[:-1]], axis=1)
        panel.add_collection(PolyCollection(pieces, facecolor=BAND, edgecolor=BAND, zorder=1, label="spread"))
        panel.plot(x, paths.targets[path, steps, output], color=BLACK, linewidth=1.5, label="reference")
        panel.plot(x, middle, color=VERMILION, linestyle="--", linewidth=1.5, label="network")
    axes[0].xaxis.set_major_locator(MaxNLocator(integer=True))
    axes[0].legend()
    return axes


def _two_panels(
    paths: PathsLike,
    path: int,
    axes: Sequence[Axes] | None,
    output: int,
    feature: int,
    across: ArrayLike | None = None,
    label: str | None = None,
) -> tuple[Sequence[Axes], tuple[np.ndarray, np.ndarray]]:
    """Return the two labelled axes of one path, and the abscissa of each: its steps, and `across` or an input."""
    if axes is None:
        axes = Picture((10, 4)).subplots(1, 2, sharey=True)
    axes[0].set(xlabel="step", ylabel=label_of(paths.target_names[output], paths.units))
    axes[1].set(xlabel=label_of(paths.input_names[feature], paths.units) if label is None else label)
    for panel in axes:
        panel.grid(alpha=0.3)
    steps = slice(0, paths.lengths[path])
    over = paths.inputs[..., feature] if across is None else np.asarray(across)
    return axes, (paths.steps[path, steps], over[path, steps])
