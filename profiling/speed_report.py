"""The record of profiling/speed.py as tables and figures."""

import pandas as pd
from contenders.process import MODES

from kspike_reg import plotting
from kspike_reg.files import replacing
from kspike_reg.plotting.style import BESIDE, MARKERS, Picture, plain_numbers, styles
from kspike_reg.tables import markdown

SIZES = ("units", "steps", "batch")
LABELS = {"units": "units", "steps": "steps of a path", "batch": "paths in a batch"}
TITLES = {
    "training": "Step of training, times as long as its matrix products",
    "inference": "Inference, times as long as its matrix products",
}

NOTE = (
    "Median over the rounds, quartiles in brackets. Spike rates: spikes of a neuron and step in kspike_reg's network "
    "after the rounds, layer by layer; its products leave out neurons that are silent."
)


def write_report(content, folder):
    """Write speed.md and the figures; the text.

    Args:
        content: of speed.json.
        folder: an existing folder.
    """
    sections = [f"## {title}\n\n{table}" for title, table in tables(content).items()]
    text = "\n\n".join(sections) + "\n"
    with replacing(folder / "speed.md") as partial:
        partial.write_text(text, encoding="utf-8")
    for mode in MODES:
        if content["rounds"]:
            plotting.save(draw(content["rounds"], mode), folder / f"{mode}.png")
    return text


def tables(content):
    """Markdown by title, of the parts that were measured."""
    found = {}
    if content["rounds"]:
        for mode in MODES:
            found[TITLES[mode]] = f"{ratios(content['rounds'], mode)}\n\n{NOTE}"
    if content["firing"]:
        found["Times as long as the products, by how often neurons fire"] = markdown(told(content["firing"]))
    if content["fresh"]:
        found["First step and memory, each in a process of its own"] = markdown(fresh(content["fresh"]))
    if content["linearity"]:
        found["Time for a step of a path, relative to the first size"] = markdown(told(content["linearity"]))
    if content["retracings"]:
        rows = pd.DataFrame(content["retracings"]).rename(columns={mode: f"traced, {mode}" for mode in MODES})
        found["Executions of a layer's Python code as new sizes come"] = markdown(rows)
    return found


def ratios(cases, mode):
    """A row for each case: the products' time, how many times as long each contender takes, the fastest peer."""
    contenders = list(dict.fromkeys(name for case in cases for name in case[mode]["contenders"] if name != "products"))
    rows = []
    for case in cases:
        of = case[mode]["contenders"]
        row = {name: case[name] for name in ("kind", *SIZES)}
        row["spike rates"] = layer_by_layer(case.get("spike rates", []))  # older records have none
        row["products / ms"] = of["products"]["seconds"]["median"] * 1e3
        row |= {name: between(of[name]["to products"]) if name in of else None for name in contenders}
        peer, ahead = case[mode]["fastest peer"], case[mode]["times faster than it"]
        rows.append(row | {"times faster than the fastest peer": f"{between(ahead)}, {peer}" if peer else None})
    return markdown(pd.DataFrame(rows, dtype=object))


def between(spread):
    """A median with its quartiles."""
    return f"{spread['median']:.2f} ({spread['lower quartile']:.2f} to {spread['upper quartile']:.2f})"


def fresh(rows):
    """The first calls, failures in a column of their own where there are any."""
    table = pd.DataFrame(rows)
    return table.astype(object).where(table.notna(), None)


def told(rows):
    """With rates, and medians with their quartiles, as text."""
    text = {dict: between, list: layer_by_layer}
    shown = [{name: text.get(type(value), lambda same: same)(value) for name, value in row.items()} for row in rows]
    return pd.DataFrame(shown, dtype=object)


def layer_by_layer(rates):
    """Spike rates as text."""
    return ", ".join(f"{rate:.2f}" for rate in rates)


def draw(cases, mode):
    """Seconds against each size, one row of panels for each kind; lines go through cases that share the other sizes."""
    kinds = list(dict.fromkeys(case["kind"] for case in cases))
    panels = Picture((13, 3.6 * len(kinds))).subplots(len(kinds), len(SIZES), squeeze=False)
    looks = dict(zip(contenders_of(cases, mode), zip(styles(), MARKERS, strict=False), strict=False))
    for kind, row in zip(kinds, panels, strict=True):
        of_kind = [case for case in cases if case["kind"] == kind]
        for size, axes in zip(SIZES, row, strict=True):
            draw_line(axes, longest_line(of_kind, size), size, mode, looks)
            axes.set(xscale="log", yscale="log", xlabel=LABELS[size], ylabel="seconds", title=kind)
            axes.set_xticks(sorted({case[size] for case in of_kind}), minor=False)
            plain_numbers(axes.yaxis)
            axes.xaxis.set_major_formatter(lambda number, _: f"{number:g}")
            axes.xaxis.set_minor_formatter(lambda number, _: "")
            axes.grid(alpha=0.3)
    panels[0, -1].legend(fontsize="small", **BESIDE)
    return panels


def contenders_of(cases, mode):
    """All that take part in any of the cases, in their order."""
    return dict.fromkeys(name for case in cases for name in case[mode]["contenders"])


def longest_line(cases, size):
    """The most cases that differ in one size alone, in its order; of those, the largest network and paths."""
    others = [name for name in SIZES if name != size]
    lines = {}
    for case in cases:
        lines.setdefault(tuple(case[name] for name in others), []).append(case)
    line = lines[max(lines, key=lambda key: (len(lines[key]), key))]
    return sorted(line, key=lambda case: case[size])


def draw_line(axes, cases, size, mode, looks):
    """One line for each contender, with quartiles as bars; what is held is told on the panel."""
    for name, (style, marker) in looks.items():
        points = [
            (case[size], case[mode]["contenders"][name]["seconds"])
            for case in cases
            if name in case[mode]["contenders"]
        ]
        if not points:
            # For the legend, which one panel has for all.
            axes.plot([], [], marker=marker, markersize=4, label=name, **style)
            continue
        places, spreads = zip(*points, strict=True)
        medians = [spread["median"] for spread in spreads]
        below = [spread["median"] - spread["lower quartile"] for spread in spreads]
        above = [spread["upper quartile"] - spread["median"] for spread in spreads]
        axes.errorbar(places, medians, (below, above), marker=marker, markersize=4, linewidth=1, label=name, **style)
    held = ", ".join(f"{name} {cases[0][name]}" for name in SIZES if name != size)
    axes.text(0.03, 0.95, held, transform=axes.transAxes, va="top", fontsize="small")
