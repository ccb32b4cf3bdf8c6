"""What all figures share: colours, lines, labels, the choice of paths and quantities, and files."""

import io
import numbers
from collections.abc import Iterator, Mapping, Sequence
from itertools import count as count_from
from os import PathLike
from typing import Any, TypeAlias

import numpy as np
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

from kspike_reg.errors import InputError
from kspike_reg.escape import plot_text
from kspike_reg.files import replacing

__all__ = [
    "BLACK",
    "BLUE",
    "COLOURS",
    "GREEN",
    "LINES",
    "MARKERS",
    "ORANGE",
    "OUTSIDE",
    "PURPLE",
    "SKY",
    "VERMILION",
    "PathsLike",
    "Picture",
    "index_of",
    "label_of",
    "one_path",
    "own_axes",
    "plain_numbers",
    "save",
    "spread_out",
    "styles",
]

BLACK, ORANGE, SKY, GREEN, BLUE, VERMILION = "#000000", "#E69F00", "#56B4E9", "#009E73", "#0072B2", "#D55E00"
COLOURS = (BLUE, VERMILION, GREEN, ORANGE, SKY)
PURPLE = "#CC79A7"  # the sixth, where a figure needs one
LINES = ("-", "--", "-.", ":")
MARKERS = "osD^vP*X"
# Places a legend next to the axes, where it would hide curves inside them.
OUTSIDE = {"bbox_to_anchor": (1.01, 1), "loc": "upper left"}

# `datasets.Paths`. Figures read its attributes alone, so that they need not import the data sets.
PathsLike: TypeAlias = Any


class Picture(Figure):
    """A figure that a notebook shows by itself, without a drawing backend of its own."""

    def __init__(self, size: tuple[float, float]) -> None:
        super().__init__(figsize=size, layout="constrained")

    def _repr_png_(self) -> bytes:
        content = io.BytesIO()
        self.savefig(content, format="png", dpi=100)
        return content.getvalue()


def save(axes: Axes | np.ndarray, file: str | PathLike) -> None:
    """Save the figure of some axes, whole or not at all.

    Args:
        axes: what a function of this package returned, one or an array of them.
        file: its suffix chooses the format: .png, .pdf, .svg.

    Raises:
        InputError: the file cannot be written.
    """
    figure = np.ravel(axes)[0].figure
    with replacing(file) as partial:
        figure.savefig(partial, dpi=150)


def own_axes(axes: Axes | None, height: float = 4) -> Axes:
    """Return the given axes, or those of a new figure."""
    return Picture((6, height)).subplots() if axes is None else axes


def plain_numbers(axis: Axis) -> None:
    """Label a logarithmic axis at 1, 2 and 5 of each decade: errors often span less than one decade."""
    axis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axis.set_major_formatter(FuncFormatter(lambda number, _: f"{number:g}"))
    axis.set_minor_locator(NullLocator())


def styles(start: int = 0) -> Iterator[dict[str, str]]:
    """Iterate over colours and lines, without a repeated pair among the first twenty."""
    for index in count_from(start):
        turn, place = divmod(index, len(COLOURS))
        yield {"color": COLOURS[place], "linestyle": LINES[(place + turn) % len(LINES)]}


def spread_out(paths: PathsLike, count: int, output: int = 0) -> np.ndarray:
    """Return indices of paths, spread evenly over the range of the largest value of a target."""
    targets = paths.ragged("targets")
    largest = np.maximum.reduceat(np.abs(targets.rows[:, output]), targets.ends - targets.lengths)
    by_size = np.argsort(largest)
    return by_size[np.unique(np.linspace(0, len(paths) - 1, count).round().astype(int))]


def one_path(paths: PathsLike, path: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return steps (T,), inputs (T, features) and targets (T, outputs) of a path, without its padding."""
    sides = (paths.ragged(side).take([path]).rows for side in ("steps", "inputs", "targets"))
    return tuple(sides)


def index_of(caller: str, names: Sequence[str], quantity: int | str) -> int:
    """Return the index of a quantity that is given by its name or its index.

    Args:
        caller: name for the message.
        names: of all quantities.
        quantity: name, or index from zero.

    Raises:
        InputError: there is no such quantity.
    """
    if quantity in names:
        return names.index(quantity)
    if isinstance(quantity, numbers.Integral) and 0 <= quantity < len(names):
        return int(quantity)
    choices = ", ".join(f"{index} ({name})" for index, name in enumerate(names))
    raise InputError(f"{caller}: no quantity {quantity!r}; choose one of {choices}")


def label_of(name: str, units: Mapping[str, str]) -> str:
    """Return a quantity with its unit, where it has one."""
    return plot_text(f"{name} / {units[name]}" if name in units else name)
