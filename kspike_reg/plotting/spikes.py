"""What neurons do while a path runs through a network."""

from itertools import cycle

import numpy as np
from matplotlib.ticker import MaxNLocator

from kspike_reg.plotting.style import BLACK, BLUE, COLOURS, VERMILION, Picture, label_of

__all__ = ["membrane_traces", "spike_raster"]

MARKED = 6  # steps that are numbered on the curve and drawn through the rasters


def spike_raster(records, paths, path=0, prediction=None, across=None, label=None, axes=None):
    """Who fires when along a path: a raster for each layer above the input, and the stress-strain curve beside them.

    Some steps are numbered on the curve and drawn as lines through the rasters, so that one finds in the spikes what
    one sees on the curve. The neurons of a layer stand in the order of their mean time of firing, silent ones on top.

    Args:
        records: for each layer its spikes, shape (n, T, units), as `evaluation.records` gives them.
        paths: the `datasets.Paths` with targets that the records belong to.
        path: index of the path.
        prediction: shape (n, T, outputs), in the units of the targets; None draws the reference alone.
        across: what the first target is drawn over, shape (n, T); None takes the first input.
        label: what that is.
        axes: as many matplotlib axes as there are layers and two more, to draw on; None makes a figure.

    Returns:
        The axes: one for each layer, the input's, the curve's.
    """
    if axes is None:
        axes = _raster_axes(len(records))
    *rasters, below, curve = axes
    steps = slice(0, paths.lengths[path])
    time = paths.steps[path, steps]
    marked = np.unique(np.linspace(0, len(time) - 1, MARKED).round().astype(int))
    for panel, (name, record), colour in zip(rasters, records.items(), cycle(COLOURS), strict=False):
        spikes = np.asarray(record.spikes[path, steps])
        neurons = np.argsort(_mean_times(spikes), kind="stable")
        fired, place = np.nonzero(spikes[:, neurons])
        panel.vlines(time[fired], place - 0.45, place + 0.45, color=colour, linewidth=_thickness(len(time)))
        panel.set(ylim=(-1, len(neurons)), yticks=(0, len(neurons) - 1), ylabel=f"{name}\nneuron")
        panel.set_yticklabels(["1", str(len(neurons))])
        panel.tick_params(labelbottom=False)
    below.plot(time, paths.inputs[path, steps, 0], color=BLACK, linewidth=1.5)
    below.xaxis.set_major_locator(MaxNLocator(integer=True))
    below.set(xlabel="step", ylabel=label_of(paths.input_names[0], paths.units))
    for panel in (*rasters, below):
        panel.set_xlim(time[0] - 0.5, time[-1] + 0.5)
        for step in time[marked]:
            panel.axvline(step, color=BLACK, linewidth=0.5, alpha=0.35, zorder=0)
    over = paths.inputs[path, steps, 0] if across is None else np.asarray(across)[path, steps]
    curve.plot(over, paths.targets[path, steps, 0], color=BLACK, linewidth=1.5, label="reference")
    if prediction is not None:
        style = {"color": VERMILION, "linestyle": "--", "linewidth": 1.5}
        curve.plot(over, prediction[path, steps, 0], label="network", **style)
    for step in marked:
        place = over[step], paths.targets[path, step, 0]
        curve.plot(*place, "o", color="white", markeredgecolor=BLACK, markersize=5)
        curve.annotate(f"{time[step]:g}", place, textcoords="offset points", xytext=(6, -10), fontsize="small")
    curve.plot([], [], "o", color="white", markeredgecolor=BLACK, markersize=5, label="step, numbered")
    over_label = label_of(paths.input_names[0], paths.units) if label is None else label
    curve.set(xlabel=over_label, ylabel=label_of(paths.target_names[0], paths.units))
    curve.margins(0.08)
    curve.grid(alpha=0.3)
    curve.legend()
    return np.array(axes, dtype=object)


def membrane_traces(record, path=0, neurons=None, axes=None):
    """Membranes of some neurons over the steps, their thresholds, and the steps at which they fire.

    Args:
        record: of one layer, with spikes and membranes, each (n, T, units), and thresholds, (units,), as
            `evaluation.records` gives it.
        path: index of the path.
        neurons: their indices; None takes four, spread evenly from the most silent to the busiest.
        axes: one matplotlib axes for each neuron, to draw on; None makes a figure.

    Returns:
        The axes, one for each neuron.
    """
    spikes, membranes = np.asarray(record.spikes[path]), np.asarray(record.membranes[path])
    if neurons is None:
        by_rate = np.argsort(spikes.sum(axis=0), kind="stable")
        neurons = by_rate[np.unique(np.linspace(0, len(by_rate) - 1, 4).round().astype(int))]
    if axes is None:
        axes = Picture((8, 1 + 1.4 * len(neurons))).subplots(len(neurons), 1, squeeze=False, sharex=True)[:, 0]
    time = np.arange(len(spikes))
    for panel, neuron in zip(axes, neurons, strict=True):
        threshold = record.thresholds[neuron]
        panel.plot(time, membranes[:, neuron], ".-", color=BLUE, linewidth=1, markersize=4, label="membrane")
        panel.axhline(threshold, color=BLACK, linestyle="--", linewidth=1, label="threshold")
        fired = time[spikes[:, neuron] == 1]
        style = {"color": VERMILION, "linestyle": "none", "markersize": 9, "markeredgewidth": 1.5}
        # A line of their own above the membrane, whatever its range.
        at = panel.get_xaxis_transform()
        panel.plot(fired, np.full(len(fired), 0.93), "|", transform=at, label="spike", **style)
        low, high = min(membranes[:, neuron].min(), 0), max(membranes[:, neuron].max(), threshold)
        panel.set(ylim=(low - 0.06 * (high - low), high + 0.3 * (high - low)), ylabel=f"neuron {neuron}")
        panel.grid(alpha=0.3)
    axes[0].legend(loc="lower right", bbox_to_anchor=(1, 1), ncols=3, frameon=False, fontsize="small")
    axes[0].set_title("membrane, in the threshold's units", loc="left", fontsize="medium")
    axes[-1].set(xlabel="step")
    return axes


def _raster_axes(layers):
    """One panel a layer and one for the input on the left, the curve on the right."""
    rows = [[number, "curve"] for number in range(layers + 1)]
    picture = Picture((11, 1.5 + 1.2 * len(rows)))
    found = picture.subplot_mosaic(rows, width_ratios=(1.4, 1))
    return [*(found[number] for number in range(len(rows))), found["curve"]]


def _mean_times(spikes):
    """The mean step at which each neuron fires, shape (units,); infinite for silent ones."""
    count = spikes.sum(axis=0)
    times = np.arange(len(spikes)) @ spikes
    return np.where(count > 0, times / np.maximum(count, 1), np.inf)


def _thickness(steps):
    """Of a spike, in points: ticks of neighbouring steps stay apart."""
    return float(np.clip(160 / steps, 0.6, 4))
