"""Spikes and membranes of the neurons along a path."""

from collections.abc import Mapping, Sequence
from itertools import cycle
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator
from numpy.typing import ArrayLike

from kspike_reg.escape import plot_text
from kspike_reg.plotting.style import BLACK, BLUE, COLOURS, VERMILION, PathsLike, Picture, index_of, label_of

__all__ = ["membrane_traces", "spike_raster"]

MARKED = 6  # steps that are numbered on the curve and drawn through the rasters


def spike_raster(
    records: Mapping[str, Any],
    paths: PathsLike,
    path: int = 0,
    prediction: np.ndarray | None = None,
    across: ArrayLike | None = None,
    label: str | None = None,
    axes: Sequence[Axes] | None = None,
    *,
    output: int | str = 0,
    feature: int | str = 0,
) -> np.ndarray:
    """Spikes along a path: a raster for each layer above a panel of an input, and the stress-strain curve at the side.

    Some steps are numbered on the curve and drawn as lines through the rasters, to find a point of the curve in the
    spikes. The neurons of a layer are sorted by their mean time of firing, silent ones on top.

    Args:
        records: for each layer its spikes, shape (n, T, units), as `evaluation.records` returns them.
        paths: the `datasets.Paths` with targets that the records belong to.
        path: index of the path.
        prediction: shape (n, T, outputs), in the units of the targets; None draws the reference alone.
        across: quantity over which the target is drawn, shape (n, T); None takes the input `feature`.
        label: name of that quantity, with its unit; None takes that of the input.
        axes: as many matplotlib axes as there are layers and two more, to draw on; None makes a figure.
        output: index or name of the target.
        feature: index or name of the input for the panel below the rasters.

    Returns:
        The axes: one for each layer, that of the input, that of the curve.

    Raises:
        InputError: a target or an input that the paths do not have.
    """
    output = index_of("spike_raster", paths.target_names, output)
    feature = index_of("spike_raster", paths.input_names, feature)
    if axes is None:
        axes = _raster_axes(len(records))
    *rasters, below, curve = axes
    steps = slice(0, paths.lengths[path])
    time = paths.steps[path, steps]
    marked = np.unique(np.linspace(0, len(time) - 1, MARKED).round().astype(int))
    for panel, (name, record), colour in zip(rasters, records.items(), cycle(COLOURS), strict=False):
        _draw_spikes(panel, name, np.asarray(record.spikes[path, steps]), time, colour)
    below.plot(time, paths.inputs[path, steps, feature], color=BLACK, linewidth=1.5)
    below.xaxis.set_major_locator(MaxNLocator(integer=True))
    below.set(xlabel="step", ylabel=label_of(paths.input_names[feature], paths.units))
    for panel in (*rasters, below):
        panel.set_xlim(time[0] - 0.5, time[-1] + 0.5)
        for step in time[marked]:
            panel.axvline(step, color=BLACK, linewidth=0.5, alpha=0.35, zorder=0)
    over = paths.inputs[path, steps, feature] if across is None else np.asarray(across)[path, steps]
    predicted = None if prediction is None else prediction[path, steps, output]
    _draw_curve(curve, over, paths.targets[path, steps, output], predicted, time, marked)
    over_label = label_of(paths.input_names[feature], paths.units) if label is None else label
    curve.set(xlabel=over_label, ylabel=label_of(paths.target_names[output], paths.units))
    return np.array(axes, dtype=object)


def _draw_spikes(panel, name, spikes, time, colour):
    """The spikes of one layer, shape (T, units), its neurons sorted by their mean time of firing."""
    neurons = np.argsort(_mean_times(spikes), kind="stable")
    fired, place = np.nonzero(spikes[:, neurons])
    panel.vlines(time[fired], place - 0.45, place + 0.45, color=colour, linewidth=_thickness(len(time)))
    panel.set(ylim=(-1, len(neurons)), yticks=(0, len(neurons) - 1), ylabel=f"{plot_text(name)}\nneuron")
    panel.set_yticklabels(["1", str(len(neurons))])
    panel.tick_params(labelbottom=False)


def _draw_curve(curve, over, reference, predicted, time, marked):
    """The target of one path over another quantity, with some steps numbered."""
    curve.plot(over, reference, color=BLACK, linewidth=1.5, label="reference")
    if predicted is not None:
        curve.plot(over, predicted, color=VERMILION, linestyle="--", linewidth=1.5, label="network")
    for step in marked:
        place = over[step], reference[step]
        curve.plot(*place, "o", color="white", markeredgecolor=BLACK, markersize=5)
        curve.annotate(f"{time[step]:g}", place, textcoords="offset points", xytext=(6, -10), fontsize="small")
    curve.plot([], [], "o", color="white", markeredgecolor=BLACK, markersize=5, label="step, numbered")
    curve.margins(0.08)
    curve.grid(alpha=0.3)
    curve.legend()


def membrane_traces(
    record: Any, path: int = 0, neurons: Sequence[int] | None = None, axes: Sequence[Axes] | None = None
) -> Sequence[Axes]:
    """Membranes of some neurons over the steps, their thresholds, and the steps at which they fire.

    Args:
        record: of one layer, with spikes and membranes, each (n, T, units), and thresholds, (units,), or (n, T, units)
            where they move, as `evaluation.records` returns it.
        path: index of the path.
        neurons: their indices; None takes four, spread evenly from the most silent to the busiest.
        axes: one matplotlib axes for each neuron, to draw on; None makes a figure.

    Returns:
        The axes, one for each neuron.
    """
    fired, membranes = np.asarray(record.spikes[path]) != 0, np.asarray(record.membranes[path])
    thresholds = np.asarray(record.thresholds)
    if neurons is None:
        by_rate = np.argsort(fired.sum(axis=0), kind="stable")
        neurons = by_rate[np.unique(np.linspace(0, len(by_rate) - 1, 4).round().astype(int))]
    if axes is None:
        axes = Picture((8, 1 + 1.4 * len(neurons))).subplots(len(neurons), 1, squeeze=False, sharex=True)[:, 0]
    time = np.arange(len(fired))
    for panel, neuron in zip(axes, neurons, strict=True):
        panel.plot(time, membranes[:, neuron], ".-", color=BLUE, linewidth=1, markersize=4, label="membrane")
        line = {"color": BLACK, "linestyle": "--", "linewidth": 1, "label": "threshold"}
        if thresholds.ndim == 1:
            level = thresholds[neuron]
            panel.axhline(level, **line)
        else:
            level = thresholds[path, :, neuron]
            panel.plot(time, level, **line)
        style = {"color": VERMILION, "linestyle": "none", "markersize": 9, "markeredgewidth": 1.5}
        # The spikes are drawn on a line of their own, above the range of the membrane.
        at = panel.get_xaxis_transform()
        spikes = time[fired[:, neuron]]
        panel.plot(spikes, np.full(len(spikes), 0.93), "|", transform=at, label="spike", **style)
        low, high = min(membranes[:, neuron].min(), 0), max(membranes[:, neuron].max(), np.max(level))
        panel.set(ylim=(low - 0.06 * (high - low), high + 0.3 * (high - low)), ylabel=f"neuron {neuron}")
        panel.grid(alpha=0.3)
    axes[0].legend(loc="lower right", bbox_to_anchor=(1, 1), ncols=3, frameon=False, fontsize="small")
    axes[0].set_title("membrane, in the units of the threshold", loc="left", fontsize="medium")
    axes[-1].set(xlabel="step")
    return axes


def _raster_axes(layers: int) -> list[Axes]:
    """Make a panel for each layer and one for the input on the left, and the curve on the right."""
    rows = [[number, "curve"] for number in range(layers + 1)]
    picture = Picture((11, 1.5 + 1.2 * len(rows)))
    found = picture.subplot_mosaic(rows, width_ratios=(1.4, 1))
    return [*(found[number] for number in range(len(rows))), found["curve"]]


def _mean_times(spikes: np.ndarray) -> np.ndarray:
    """Return the mean step at which each neuron fires, shape (units,); infinity for silent ones."""
    fired = spikes != 0
    count = fired.sum(axis=0)
    times = np.arange(len(spikes)) @ fired
    return np.where(count > 0, times / np.maximum(count, 1), np.inf)


def _thickness(steps: int) -> float:
    """Return the line width of a spike, in points, at which neighbouring steps stay apart."""
    return float(np.clip(160 / steps, 0.6, 4))
