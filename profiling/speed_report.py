"""The record of profiling/speed.py as tables and figures."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd
from implementations.process import MODES
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import NullLocator
from numpy.typing import NDArray

from kspike_reg import plotting
from kspike_reg.files import replacing
from kspike_reg.plotting.style import BLACK, BLUE, GREEN, ORANGE, SKY, VERMILION, plain_numbers
from kspike_reg.tables import markdown

SIZES = ("units", "steps", "batch")
LABELS = {"units": "units per layer", "steps": "steps per path", "batch": "paths per batch"}
TITLES = {
    "training": "Training step: time relative to its matrix products",
    "inference": "Inference: time relative to its matrix products",
}
NOTE = (
    "Median over the rounds, quartiles in brackets. Spike rates: spikes per neuron and step of each layer of "
    "kspike_reg's network after the rounds. Its matrix products skip silent neurons."
)
# Names for readers; other implementations are shown by the name in the record.
NAMES = {
    "matmul": "matrix products",
    "naive": "Keras's loop",
    "keras LSTM": "Keras's LSTM",
    "snntorch": "snnTorch",
    "spikingjelly": "SpikingJelly",
    "norse": "Norse",
}
# Colour and marker of each implementation that the figures show; at most six of them share a panel.
LOOKS = {
    "matmul": (BLACK, "o"),
    "kspike_reg": (VERMILION, "s"),
    "naive": (GREEN, "D"),
    "snntorch": (BLUE, "v"),
    "spikingjelly": (SKY, "P"),
    "norse": (ORANGE, "^"),
    "keras LSTM": ("#CC79A7", "X"),  # the purple of the same palette
}


def write_report(content: dict[str, Any], folder: Path) -> str:
    """Write speed.md and the figures.

    Args:
        content: what speed.json holds.
        folder: an existing folder.

    Returns:
        The text of speed.md.
    """
    sections = [f"## {title}\n\n{table}" for title, table in tables(content).items()]
    text = "\n\n".join(sections) + "\n"
    with replacing(folder / "speed.md") as partial:
        partial.write_text(text, encoding="utf-8")
    for mode in MODES:
        if content["rounds"]:
            plotting.save(draw(content["rounds"], mode), folder / f"{mode}.png")
    return text


def tables(content: dict[str, Any]) -> dict[str, str]:
    """Markdown of each part that was measured, by title."""
    found = {}
    if content["rounds"]:
        for mode in MODES:
            found[TITLES[mode]] = f"{ratios(content['rounds'], mode)}\n\n{NOTE}"
    if content["firing"]:
        found["Time relative to the matrix products, by spike rate"] = markdown(as_text(content["firing"]))
    if content["fresh"]:
        found["First training step and memory, each in a new process"] = markdown(with_failures(content["fresh"]))
    if content["linearity"]:
        found["Time per step of a path, relative to the first size"] = markdown(as_text(content["linearity"]))
    if content["retracings"]:
        rows = pd.DataFrame(content["retracings"]).rename(columns={mode: f"traced, {mode}" for mode in MODES})
        found["How often the Python code of a layer runs as sizes change"] = markdown(rows)
    return found


def ratios(cases: Sequence[dict], mode: str) -> str:
    """Markdown with a row for each case: time of the matrix products, ratios to it, and the fastest peer."""
    names = [name for name in names_in(cases, mode) if name != "matmul"]
    rows = []
    for case in cases:
        of = case[mode]["implementations"]
        row = {name: case[name] for name in ("kind", *SIZES)}
        row["spike rates"] = layer_by_layer(case.get("spike rates", []))  # older records have none
        row["matrix products / ms"] = of["matmul"]["seconds"]["median"] * 1e3
        for name in names:
            row[NAMES.get(name, name)] = between(of[name]["relative to matmul"]) if name in of else None
        peer, ahead = case[mode]["fastest peer"], case[mode]["times faster than it"]
        ahead = f"{between(ahead)}, {NAMES.get(peer, peer)}" if peer else None
        rows.append(row | {"times faster than the fastest peer": ahead})
    return markdown(pd.DataFrame(rows, dtype=object))


def names_in(cases: Sequence[dict], mode: str) -> list[str]:
    """Names of all implementations that any case has, in their order."""
    return list(dict.fromkeys(name for case in cases for name in case[mode]["implementations"]))


def between(spread: dict[str, float]) -> str:
    """A median with its quartiles."""
    return f"{spread['median']:.2f} ({spread['lower quartile']:.2f} to {spread['upper quartile']:.2f})"


def with_failures(rows: Sequence[dict]) -> pd.DataFrame:
    """First calls as a table; failures have a column of their own."""
    table = pd.DataFrame(rows)
    return table.astype(object).where(table.notna(), None)


def as_text(rows: Sequence[dict]) -> pd.DataFrame:
    """Rows as a table, with rates and spreads as text."""
    text = {dict: between, list: layer_by_layer}
    shown = [{name: text.get(type(value), lambda same: same)(value) for name, value in row.items()} for row in rows]
    return pd.DataFrame(shown, dtype=object)


def layer_by_layer(rates: Sequence[float]) -> str:
    """Spike rates as text."""
    return ", ".join(f"{rate:.2f}" for rate in rates)


def draw(cases: Sequence[dict], mode: str) -> NDArray[Any]:
    """Draw seconds against each size, with a row of panels for each kind.

    Each panel shows cases that differ in one size only. The legend below is for all panels.
    """
    kinds = list(dict.fromkeys(case["kind"] for case in cases))
    figure = Figure(figsize=(10, 3 * len(kinds) + 0.6), layout="constrained")
    panels = figure.subplots(len(kinds), len(SIZES), squeeze=False)
    for kind, row in zip(kinds, panels, strict=True):
        of_kind = [case for case in cases if case["kind"] == kind]
        for size, axes in zip(SIZES, row, strict=True):
            draw_line(axes, longest_line(of_kind, size), size, mode)
        row[0].set_ylabel("seconds")
    handles = {}
    for axes in panels.flat:
        handles |= {label: handle for handle, label in zip(*axes.get_legend_handles_labels(), strict=True)}
    figure.legend(handles.values(), handles.keys(), loc="outside lower center", ncols=4)
    return panels


def longest_line(cases: Sequence[dict], size: str) -> list[dict]:
    """The longest series of cases that differ in one size only, in its order; the largest sizes where several tie."""
    others = [name for name in SIZES if name != size]
    lines = {}
    for case in cases:
        lines.setdefault(tuple(case[name] for name in others), []).append(case)
    line = lines[max(lines, key=lambda key: (len(lines[key]), key))]
    return sorted(line, key=lambda case: case[size])


def draw_line(axes: Axes, cases: Sequence[dict], size: str, mode: str) -> None:
    """Draw a curve for each implementation, with quartiles as bars; the title says which sizes are fixed."""
    for name, (colour, marker) in LOOKS.items():
        points = [
            (case[size], case[mode]["implementations"][name]["seconds"])
            for case in cases
            if name in case[mode]["implementations"]
        ]
        if not points:
            continue
        places, spreads = zip(*points, strict=True)
        medians = [spread["median"] for spread in spreads]
        below = [spread["median"] - spread["lower quartile"] for spread in spreads]
        above = [spread["upper quartile"] - spread["median"] for spread in spreads]
        looks = {"color": colour, "marker": marker, "markersize": 5, "linewidth": 1.2}
        axes.errorbar(places, medians, (below, above), label=NAMES.get(name, name), **looks)
    fixed = ", ".join(f"{name} {cases[0][name]}" for name in SIZES if name != size)
    axes.set(xscale="log", yscale="log", xlabel=LABELS[size])
    axes.set_title(f"{cases[0]['kind']}: {fixed}", fontsize="medium")
    axes.set_xticks([case[size] for case in cases], minor=False)
    axes.xaxis.set_major_formatter(lambda number, _: f"{number:g}")
    axes.xaxis.set_minor_locator(NullLocator())
    plain_numbers(axes.yaxis)
    axes.grid(alpha=0.3)
