"""Errors of networks.

An array of errors is drawn as a whole. For several outputs choose one of them, `error[..., 2]` for instance.
"""

from collections.abc import Mapping, Sequence
from itertools import cycle

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import NullLocator
from numpy.typing import ArrayLike

from kspike_reg.escape import plot_text
from kspike_reg.metrics import rank_correlation
from kspike_reg.plotting.style import BLACK, BLUE, MARKERS, OUTSIDE, VERMILION, own_axes, plain_numbers, styles

__all__ = ["calibration", "error_histogram", "error_lines", "sample_errors", "seed_errors"]


def error_lines(
    numbers: Sequence[float], errors: Mapping[str, Sequence[float]], label: str, axes: Axes | None = None
) -> Axes:
    """Errors against a number, both on logarithmic axes, one line for each name.

    Args:
        numbers: of steps or neurons, say; rising.
        errors: for each name as many errors as there are numbers; NaN leaves one out.
        label: name of the numbers.
        axes: matplotlib axes to draw on; None makes a figure.

    Returns:
        The axes.
    """
    axes = own_axes(axes)
    for name, line, style, marker in zip(errors, errors.values(), styles(), cycle(MARKERS), strict=False):
        axes.loglog(numbers, line, marker=marker, linewidth=1, label=plot_text(name), **style)
    axes.set(xlabel=label, ylabel="mean relative error (eq. 14, standardised)")
    axes.set_xticks(numbers, [f"{number:g}" for number in numbers])
    axes.xaxis.set_minor_locator(NullLocator())
    plain_numbers(axes.yaxis)
    axes.grid(alpha=0.3)
    axes.legend(**({} if len(errors) <= 6 else OUTSIDE))
    return axes


def sample_errors(errors: ArrayLike, axes: Axes | None = None) -> Axes:
    """The error of each path, and their mean.

    Args:
        errors: shape (n,), > 0.
        axes: matplotlib axes to draw on; None makes a figure.

    Returns:
        The axes.
    """
    axes = own_axes(axes)
    axes.semilogy(errors, ".", color=BLUE, markersize=3, label="path")
    axes.axhline(np.mean(errors), color=VERMILION, label=f"mean, {np.mean(errors):.2e}")
    axes.set(xlabel="path of the test set", ylabel="relative error (eq. 14, standardised)")
    axes.grid(alpha=0.3)
    axes.legend()
    return axes


def calibration(spread: ArrayLike, error: ArrayLike, unit: str, bins: int = 20, axes: Axes | None = None) -> Axes:
    """Error against the spread of the population: root mean squares of equally filled classes of spread.

    A spread that predicts the error lies on the diagonal.

    Args:
        spread: of each value, > 0, any shape.
        error: prediction less reference, same shape and unit.
        unit: of both.
        bins: number of classes.
        axes: matplotlib axes to draw on; None makes a figure.

    Returns:
        The axes.
    """
    axes = own_axes(axes)
    order = np.argsort(np.ravel(spread))
    classes = [np.ravel(values)[order] for values in (spread, error)]
    x, y = (np.array([np.sqrt(np.mean(part**2)) for part in np.array_split(values, bins)]) for values in classes)
    ends = np.array([min(x.min(), y.min()), max(x.max(), y.max())])
    axes.loglog(ends, ends, color=BLACK, linestyle="--", linewidth=1, label="spread equals error")
    rank = rank_correlation(spread, np.abs(error))
    axes.loglog(x, y, "o", color=BLUE, label=f"{bins} classes of spread; rank correlation {rank:.2f}")
    axes.set(
        xlabel=f"spread of the population / {plot_text(unit)}", ylabel=f"root mean square error / {plot_text(unit)}"
    )
    axes.grid(alpha=0.3)
    axes.legend()
    return axes


def seed_errors(
    errors: Mapping[str, Sequence[float]],
    label: str,
    lines: Mapping[str, float] | None = None,
    axes: Axes | None = None,
) -> Axes:
    """Errors of several runs for each name, their mean marked.

    Args:
        errors: for each name the errors of its runs.
        label: name of the errors, with their unit.
        lines: for each name a level to mark.
        axes: matplotlib axes to draw on; None makes a figure.

    Returns:
        The axes.
    """
    axes = own_axes(axes, height=1.5 + 0.3 * max(8, len(errors)))
    for row, (_, values) in enumerate(errors.items()):
        axes.plot(values, np.full(len(values), row), "o", color=BLUE, markersize=4, alpha=0.7)
        axes.plot(np.mean(values), row, "|", color=VERMILION, markersize=14, markeredgewidth=2)
    for (name, level), style in zip((lines or {}).items(), styles(1), strict=False):
        axes.axvline(level, linewidth=1, label=plot_text(name), **style)
    axes.set_xscale("log")
    plain_numbers(axes.xaxis)
    axes.set_yticks(range(len(errors)), [plot_text(name) for name in errors])
    axes.invert_yaxis()
    axes.set(xlabel=label)
    axes.grid(alpha=0.3)
    if lines:
        axes.legend()
    return axes


def error_histogram(
    errors: Mapping[str, ArrayLike],
    label: str,
    bins: int = 30,
    logarithmic: bool = False,
    axes: Axes | None = None,
) -> Axes:
    """Distributions of errors, an outline for each name, with the median marked.

    Args:
        errors: for each name an array of errors, any shape.
        label: name of the errors, with their unit.
        bins: number of classes, the same for all names.
        logarithmic: whether the classes are evenly wide on a logarithmic axis; needs errors > 0.
        axes: matplotlib axes to draw on; None makes a figure.

    Returns:
        The axes.
    """
    axes = own_axes(axes)
    errors = {name: np.ravel(values) for name, values in errors.items()}
    ends = min(map(np.min, errors.values())), max(map(np.max, errors.values()))
    edges = (np.geomspace if logarithmic else np.linspace)(*ends, bins + 1)
    for (name, values), style in zip(errors.items(), styles(), strict=False):
        median = np.median(values)
        axes.hist(values, edges, histtype="stepfilled", alpha=0.15, color=style["color"])
        axes.hist(values, edges, histtype="step", label=plot_text(f"{name}, median {median:.3g}"), **style)
        axes.axvline(median, linewidth=1.5, **style)
    if logarithmic:
        axes.set_xscale("log")
        plain_numbers(axes.xaxis)
    axes.set(xlabel=label, ylabel="number", xlim=ends)
    axes.set_ylim(0, axes.get_ylim()[1] * (1.1 + 0.1 * len(errors)))  # room for the legend
    axes.grid(alpha=0.3)
    axes.legend()
    return axes
