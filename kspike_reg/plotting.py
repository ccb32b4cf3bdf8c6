"""Pictures: each function draws on matplotlib axes, its own or given ones, and returns them.

Figures are made without pyplot, so that nothing pops up, leaks or depends on a screen. Colours are Okabe and Ito's,
told apart by colour-blind readers; lines differ in style too, for print.
"""

from itertools import count as count_from
from itertools import cycle

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

from kspike_reg.files import replacing
from kspike_reg.metrics import rank_correlation

__all__ = [
    "break_even",
    "calibration",
    "compared_predictions",
    "energy_bars",
    "error_lines",
    "learning_curves",
    "loss_curves",
    "pareto",
    "path_predictions",
    "reference_curves",
    "sample_errors",
    "save",
    "seed_errors",
]

BLACK, ORANGE, SKY, GREEN, BLUE, VERMILION = "#000000", "#E69F00", "#56B4E9", "#009E73", "#0072B2", "#D55E00"
COLOURS = (BLUE, VERMILION, GREEN, ORANGE, SKY)
LINES = ("-", "--", "-.", ":")
MARKERS = "osD^vP*X"
# Where a legend stands that would hide what is drawn.
BESIDE = {"bbox_to_anchor": (1.01, 1), "loc": "upper left"}
MICRO, ENERGY = 1e6, "energy for one path / µJ"


def save(axes, file):
    """Save the figure of some axes, whole or not at all.

    Args:
        axes: what a function of this module returned, one or an array of them.
        file: its suffix chooses the format: .png, .pdf, .svg.

    Raises:
        InputError: the place cannot be written to.
    """
    figure = np.ravel(axes)[0].figure
    with replacing(file) as partial:
        figure.savefig(partial, dpi=150)


def loss_curves(history, axes=None):
    """Training and validation loss over the epochs, with the best epoch marked.

    Args:
        history: lists `epoch`, `loss` and `val_loss`, as `training.fit` returns them.
        axes: matplotlib axes to draw on; None makes a figure.

    Returns:
        The axes.
    """
    axes = _axes(axes)
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
    for row, name in enumerate(paths.target_names):
        for colour, path in zip(cycle(COLOURS), _spread_out(paths, count), strict=False):
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


def learning_curves(histories, axes=None):
    """Validation loss of several runs over the share of their training.

    Args:
        histories: for each name a dictionary of lists with `val_loss`.
        axes: matplotlib axes to draw on; None makes a figure.

    Returns:
        The axes.
    """
    axes = _axes(axes)
    for name, history, style in zip(histories, histories.values(), _styles(), strict=False):
        losses = np.minimum.accumulate(history["val_loss"])  # what one would have, stopping there
        axes.semilogy(np.arange(1, len(losses) + 1) / len(losses), losses, linewidth=1, label=name, **style)
    axes.set(xlabel="share of the training", ylabel="lowest validation loss so far (standardised)", xlim=(0, 1))
    axes.grid(alpha=0.3)
    # Beside the picture where there are too many for it.
    axes.legend(fontsize="x-small", **({} if len(histories) <= 6 else BESIDE))
    return axes


def error_lines(numbers, errors, label, axes=None):
    """Errors against a number, both on logarithmic axes, one line for each name.

    Args:
        numbers: of steps or neurons, say; rising.
        errors: for each name as many errors as there are numbers; NaN leaves one out.
        label: what the numbers are.
        axes: matplotlib axes to draw on; None makes a figure.

    Returns:
        The axes.
    """
    axes = _axes(axes)
    for name, line, style, marker in zip(errors, errors.values(), _styles(), cycle(MARKERS), strict=False):
        axes.loglog(numbers, line, marker=marker, linewidth=1, label=name, **style)
    axes.set(xlabel=label, ylabel="mean relative error (eq. 14, standardised)")
    axes.set_xticks(numbers, [f"{number:g}" for number in numbers])
    axes.xaxis.set_minor_locator(NullLocator())
    _plain_numbers(axes.yaxis)
    axes.grid(alpha=0.3)
    axes.legend(**({} if len(errors) <= 6 else BESIDE))
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
    axes = _axes(axes)
    for path, style in zip(_spread_out(paths, count), _styles(), strict=False):
        axes.plot(across[path], paths.targets[path, :, 0], linewidth=1, **style)
    axes.set(xlabel=label, ylabel=_label(paths.target_names[0], paths.units))
    axes.grid(alpha=0.3)
    return axes


def sample_errors(errors, axes=None):
    """The error of each path, and their mean.

    Args:
        errors: shape (n,), > 0.
        axes: matplotlib axes to draw on; None makes a figure.

    Returns:
        The axes.
    """
    axes = _axes(axes)
    axes.semilogy(errors, ".", color=BLUE, markersize=3, label="path")
    axes.axhline(np.mean(errors), color=VERMILION, label=f"mean, {np.mean(errors):.2e}")
    axes.set(xlabel="path of the test set", ylabel="relative error (eq. 14, standardised)")
    axes.grid(alpha=0.3)
    axes.legend()
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
    if axes is None:
        axes = Figure(figsize=(10, 4), layout="constrained").subplots(1, 2, sharey=True)
    steps = slice(0, paths.lengths[path])
    for panel, across in zip(axes, (paths.steps[path, steps], paths.inputs[path, steps, 0]), strict=True):
        panel.plot(across, paths.targets[path, steps, 0], color=BLACK, linewidth=1.5, label="reference")
        for name, values, colour, line in zip(
            predictions, predictions.values(), cycle(COLOURS), cycle(LINES[1:]), strict=False
        ):
            panel.plot(across, values[path, steps, 0], color=colour, linestyle=line, linewidth=1, label=name)
        panel.grid(alpha=0.3)
    axes[0].set(xlabel="step", ylabel=_label(paths.target_names[0], paths.units))
    axes[1].set(xlabel=_label(paths.input_names[0], paths.units))
    axes[0].legend()
    return axes


def calibration(spread, error, unit, bins=20, axes=None):
    """Does the spread of the population tell the error? The root mean square error of equally filled classes of spread.

    Args:
        spread: of each value, > 0, any shape.
        error: prediction less reference, same shape and unit.
        unit: of both.
        bins: number of classes.
        axes: matplotlib axes to draw on; None makes a figure.

    Returns:
        The axes.
    """
    axes = _axes(axes)
    order = np.argsort(np.ravel(spread))
    classes = [np.ravel(values)[order] for values in (spread, error)]
    x, y = (np.array([np.sqrt(np.mean(part**2)) for part in np.array_split(values, bins)]) for values in classes)
    ends = np.array([min(x.min(), y.min()), max(x.max(), y.max())])
    axes.loglog(ends, ends, color=BLACK, linestyle="--", linewidth=1, label="spread equals error")
    rank = rank_correlation(spread, np.abs(error))
    axes.loglog(x, y, "o", color=BLUE, label=f"{bins} classes of spread; rank correlation {rank:.2f}")
    axes.set(xlabel=f"spread of the population / {unit}", ylabel=f"root mean square error / {unit}")
    axes.grid(alpha=0.3)
    axes.legend()
    return axes


def seed_errors(errors, label, lines=None, axes=None):
    """Errors of several runs for each name, their mean marked.

    Args:
        errors: for each name the errors of its runs.
        label: what the errors are.
        lines: for each name a level to draw across.
        axes: matplotlib axes to draw on; None makes a figure.

    Returns:
        The axes.
    """
    axes = _axes(axes, height=1.5 + 0.3 * max(8, len(errors)))
    for row, (_, values) in enumerate(errors.items()):
        axes.plot(values, np.full(len(values), row), "o", color=BLUE, markersize=4, alpha=0.7)
        axes.plot(np.mean(values), row, "|", color=VERMILION, markersize=14, markeredgewidth=2)
    for (name, level), style in zip((lines or {}).items(), _styles(1), strict=False):
        axes.axvline(level, linewidth=1, label=name, **style)
    axes.set_xscale("log")
    _plain_numbers(axes.xaxis)
    axes.set_yticks(range(len(errors)), list(errors))
    axes.invert_yaxis()
    axes.set(xlabel=label)
    axes.grid(alpha=0.3)
    if lines:
        axes.legend()
    return axes


def energy_bars(joules, incomplete=(), axes=None):
    """The energy of each layer for one path, a bar for each device; layers that cost nothing anywhere are left out.

    Args:
        joules: for each device a dictionary from layer to joules.
        incomplete: pairs (device, layer) whose bar lacks something that the device does not price.
        axes: matplotlib axes to draw on; None makes a figure.

    Returns:
        The axes.
    """
    axes = _axes(axes)
    layers = [name for name in next(iter(joules.values())) if any(of[name] > 0 for of in joules.values())]
    width = 0.8 / len(joules)
    for number, ((device, of), colour, hatch) in enumerate(
        zip(joules.items(), cycle(COLOURS), cycle(("", "//", "..", "\\\\", "xx")), strict=False)
    ):
        places = np.arange(len(layers)) + (number - (len(joules) - 1) / 2) * width
        heights = [of[name] * MICRO or np.nan for name in layers]
        axes.bar(places, heights, width, label=device, color=colour, hatch=hatch, edgecolor="white", linewidth=0)
        for name, place, height in zip(layers, places, heights, strict=True):
            if (device, name) in incomplete:
                axes.annotate("+", (place, height), ha="center", va="bottom", fontsize="small")
    axes.set_yscale("log")
    axes.set_xticks(range(len(layers)), layers, rotation=30, ha="right", rotation_mode="anchor")
    axes.set(ylabel=ENERGY)
    axes.grid(axis="y", alpha=0.3)
    if incomplete:
        axes.plot([], [], linestyle="", marker="$+$", color=BLACK, label="more, without a price")
    axes.legend(fontsize="small", **BESIDE)
    return axes


def break_even(rates, spiking, dense, here=None, axes=None):
    """The energy of a spiking network against its spike rate, and that of the same network computed densely.

    Args:
        rates: spikes per neuron and step, > 0, rising.
        spiking: for each way of running it the joules for one path at these rates.
        dense: for each machine the joules for one path.
        here: the rate at which the network fires; None does not mark it.
        axes: matplotlib axes to draw on; None makes a figure.

    Returns:
        The axes.
    """
    axes = _axes(axes)
    for (name, line), colour in zip(spiking.items(), COLOURS, strict=False):
        axes.loglog(rates, np.multiply(line, MICRO), color=colour, linewidth=1.5, label=f"spiking, {name}")
    for (name, level), colour, line in zip(dense.items(), COLOURS, LINES[1:], strict=False):
        axes.axhline(level * MICRO, color=colour, linestyle=line, linewidth=1, label=f"dense, {name}")
    if here is not None:
        axes.axvline(here, color=BLACK, linewidth=0.7, linestyle=":", label="as trained")
    axes.set(xlabel="spikes per neuron and step", ylabel=ENERGY, xlim=(rates[0], rates[-1]))
    _plain_numbers(axes.yaxis)
    axes.grid(alpha=0.3)
    axes.legend(fontsize="small", **BESIDE)
    return axes


def pareto(series, error_label, axes=None):
    """Energy against error, with the points that no other beats in both.

    Args:
        series: for each name (joules for one path, errors), of equal length, joined by a line.
        error_label: what the errors are.
        axes: matplotlib axes to draw on; None makes a figure.

    Returns:
        The axes.
    """
    axes = _axes(axes)
    series = {name: (np.multiply(joules, MICRO), errors) for name, (joules, errors) in series.items()}
    points = sorted(pair for joules, errors in series.values() for pair in zip(joules, errors, strict=True))
    front = [(joules, error) for joules, error in points if error <= min(e for j, e in points if j <= joules)]
    axes.plot(*zip(*front, strict=True), color=BLACK, alpha=0.15, linewidth=8, label="beaten by none", zorder=0)
    for (name, (joules, errors)), style, marker in zip(series.items(), _styles(), cycle(MARKERS), strict=False):
        axes.plot(joules, errors, marker=marker, linewidth=1, markersize=5, label=name, **style)
    axes.set(xscale="log", yscale="log", xlabel=ENERGY, ylabel=error_label)
    _plain_numbers(axes.xaxis)
    _plain_numbers(axes.yaxis)
    axes.grid(alpha=0.3)
    axes.legend(fontsize="small", **BESIDE)
    return axes


def _axes(axes, height=4):
    return Figure(figsize=(6, height), layout="constrained").subplots() if axes is None else axes


def _plain_numbers(axis):
    """Label a logarithmic axis at 1, 2 and 5 of each decade: errors often span less than one."""
    axis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axis.set_major_formatter(FuncFormatter(lambda number, _: f"{number:g}"))
    axis.set_minor_locator(NullLocator())


def _styles(start=0):
    """Colours and lines, no pair twice within the first twenty."""
    for index in count_from(start):
        turn, place = divmod(index, len(COLOURS))
        yield {"color": COLOURS[place], "linestyle": LINES[(place + turn) % len(LINES)]}


def _spread_out(paths, count):
    """Indices of paths, spread evenly over the range of the first target's largest value."""
    by_size = np.argsort(np.max(np.abs(np.where(paths.mask, paths.targets[..., 0], 0)), axis=1))
    return by_size[np.unique(np.linspace(0, len(paths) - 1, count).round().astype(int))]


def _label(name, units):
    return f"{name} / {units[name]}" if name in units else name
