"""What all pictures share: colours, lines, labels, figures and their files."""

import io
from itertools import count as count_from

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

from kspike_reg.files import replacing

__all__ = [
    "BESIDE",
    "BLACK",
    "BLUE",
    "COLOURS",
    "GREEN",
    "LINES",
    "MARKERS",
    "ORANGE",
    "SKY",
    "VERMILION",
    "Picture",
    "label_of",
    "own_axes",
    "plain_numbers",
    "save",
    "spread_out",
    "styles",
]

BLACK, ORANGE, SKY, GREEN, BLUE, VERMILION = "#000000", "#E69F00", "#56B4E9", "#009E73", "#0072B2", "#D55E00"
COLOURS = (BLUE, VERMILION, GREEN, ORANGE, SKY)
LINES = ("-", "--", "-.", ":")
MARKERS = "osD^vP*X"
# Where a legend stands that would hide what is drawn.
BESIDE = {"bbox_to_anchor": (1.01, 1), "loc": "upper left"}


class Picture(Figure):
    """A figure that a notebook shows by itself, whatever is or is not set up for drawing there."""

    def __init__(self, size):
        super().__init__(figsize=size, layout="constrained")

    def _repr_png_(self):
        content = io.BytesIO()
        self.savefig(content, format="png", dpi=100)
        return content.getvalue()


def save(axes, file):
    """Save the figure of some axes, whole or not at all.

    Args:
        axes: what a function of this package returned, one or an array of them.
        file: its suffix chooses the format: .png, .pdf, .svg.

    Raises:
        InputError: the place cannot be written to.
    """
    figure = np.ravel(axes)[0].figure
    with replacing(file) as partial:
        figure.savefig(partial, dpi=150)


def own_axes(axes, height=4):
    """The axes given, or those of a new picture."""
    return Picture((6, height)).subplots() if axes is None else axes


def plain_numbers(axis):
    """Label a logarithmic axis at 1, 2 and 5 of each decade: errors often span less than one."""
    axis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axis.set_major_formatter(FuncFormatter(lambda number, _: f"{number:g}"))
    axis.set_minor_locator(NullLocator())


def styles(start=0):
    """Colours and lines, no pair twice within the first twenty."""
    for index in count_from(start):
        turn, place = divmod(index, len(COLOURS))
        yield {"color": COLOURS[place], "linestyle": LINES[(place + turn) % len(LINES)]}


def spread_out(paths, count):
    """Indices of paths, spread evenly over the range of the first target's largest value."""
    by_size = np.argsort(np.max(np.abs(np.where(paths.mask, paths.targets[..., 0], 0)), axis=1))
    return by_size[np.unique(np.linspace(0, len(paths) - 1, count).round().astype(int))]


def label_of(name, units):
    """A quantity with its unit, where it has one."""
    return f"{name} / {units[name]}" if name in units else name
