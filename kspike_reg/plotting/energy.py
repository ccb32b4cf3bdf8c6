"""What networks cost."""

from collections.abc import Collection, Mapping
from itertools import cycle
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from numpy.typing import ArrayLike

from kspike_reg.escape import plot_text
from kspike_reg.plotting.style import BLACK, COLOURS, LINES, MARKERS, OUTSIDE, PURPLE, own_axes, plain_numbers, styles

__all__ = ["break_even", "energy_bars", "pareto"]

MICRO, ENERGY = 1e6, "energy for one path / µJ"


def energy_bars(
    joules: Mapping[str, Mapping[str, float]], incomplete: Collection[tuple[str, str]] = (), axes: Axes | None = None
) -> Axes:
    """The energy of each layer for one path, a bar for each device; layers that cost nothing anywhere are left out.

    Args:
        joules: for each device a dictionary from layer to joules.
        incomplete: pairs (device, layer) whose bar lacks something that the device does not price.
        axes: matplotlib axes to draw on; None makes a figure.

    Returns:
        The axes.
    """
    axes = own_axes(axes)
    layers = [name for name in next(iter(joules.values())) if any(of[name] > 0 for of in joules.values())]
    width = 0.8 / len(joules)
    for number, ((device, of), colour, hatch) in enumerate(
        zip(joules.items(), cycle(COLOURS), cycle(("", "//", "..", "\\\\", "xx")), strict=False)
    ):
        places = np.arange(len(layers)) + (number - (len(joules) - 1) / 2) * width
        heights = [of[name] * MICRO or np.nan for name in layers]
        axes.bar(
            places, heights, width, label=plot_text(device), color=colour, hatch=hatch, edgecolor="white", linewidth=0
        )
        for name, place, height in zip(layers, places, heights, strict=True):
            if (device, name) in incomplete:
                axes.annotate("+", (place, height), ha="center", va="bottom", fontsize="small")
    axes.set_yscale("log")
    axes.set_xticks(
        range(len(layers)), [plot_text(name) for name in layers], rotation=30, ha="right", rotation_mode="anchor"
    )
    axes.set(ylabel=ENERGY)
    axes.grid(axis="y", alpha=0.3)
    if incomplete:
        axes.plot([], [], linestyle="", marker="$+$", color=BLACK, label="more, without a price")
    axes.legend(fontsize="small", **OUTSIDE)
    return axes


def break_even(
    rates: ArrayLike,
    spiking: Mapping[str, ArrayLike],
    dense: Mapping[str, float],
    here: float | None = None,
    axes: Axes | None = None,
) -> Axes:
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
    axes = own_axes(axes)
    for (name, line), colour in zip(spiking.items(), COLOURS, strict=False):
        axes.loglog(rates, np.multiply(line, MICRO), color=colour, linewidth=1.5, label=plot_text(f"spiking, {name}"))
    # Colours that no spiking line has; every dense line is drawn, however many there are.
    rest = cycle((*COLOURS[len(spiking) :], PURPLE))
    for (name, level), colour, line in zip(dense.items(), rest, cycle(LINES[1:]), strict=False):
        axes.axhline(level * MICRO, color=colour, linestyle=line, linewidth=1, label=plot_text(f"dense, {name}"))
    if here is not None:
        axes.axvline(here, color=BLACK, linewidth=0.7, linestyle=":", label="as trained")
    axes.set(xlabel="spikes per neuron and step", ylabel=ENERGY, xlim=(rates[0], rates[-1]))
    plain_numbers(axes.yaxis)
    axes.grid(alpha=0.3)
    axes.legend(fontsize="small", **OUTSIDE)
    return axes


def pareto(series: Mapping[str, Any], error_label: str, axes: Axes | None = None) -> Axes:
    """Energy against error, with the points that no other beats in both.

    Args:
        series: for each name (joules for one path, errors), of equal length, joined by a line.
        error_label: what the errors are.
        axes: matplotlib axes to draw on; None makes a figure.

    Returns:
        The axes.
    """
    axes = own_axes(axes)
    series = {name: (np.multiply(joules, MICRO), errors) for name, (joules, errors) in series.items()}
    points = sorted(pair for joules, errors in series.values() for pair in zip(joules, errors, strict=True))
    front = [(joules, error) for joules, error in points if error <= min(e for j, e in points if j <= joules)]
    axes.plot(*zip(*front, strict=True), color=BLACK, alpha=0.15, linewidth=8, label="beaten by none", zorder=0)
    for (name, (joules, errors)), style, marker in zip(series.items(), styles(), cycle(MARKERS), strict=False):
        axes.plot(joules, errors, marker=marker, linewidth=1, markersize=5, label=plot_text(name), **style)
    axes.set(xscale="log", yscale="log", xlabel=ENERGY, ylabel=error_label)
    plain_numbers(axes.xaxis)
    plain_numbers(axes.yaxis)
    axes.grid(alpha=0.3)
    axes.legend(fontsize="small", **OUTSIDE)
    return axes
