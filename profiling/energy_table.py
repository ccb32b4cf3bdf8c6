"""Energy of the trained networks: the paper's table, each correction of its convention, and where spiking costs less.

    python profiling/energy_table.py [--out FOLDER]

1. Table I as printed in the paper, next to ours by the paper's convention with the activity of our trained networks.
2. The corrections from the paper's convention to the physics, one after the other.
3. The spike rates below which spiking costs less, and energy against error over widths and readouts, from the networks
   that come with the package and from the study of widths that width_energy.py recorded.

It prints the tables and writes them as CSV, Markdown and LaTeX, all tables as energy.json, and figures to FOLDER, by
default profiling/results/energy. Each network runs on the test paths of its own task.
"""

import argparse
import json
import os
from collections.abc import Callable, Iterable, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from kspike_reg import plotting
from kspike_reg.cli.commands.energy import DEFAULT_DEVICES as SHOWN
from kspike_reg.energy import DEVICES, EnergyReport, comparison, frames, profile
from kspike_reg.energy.output import draw_layers
from kspike_reg.experiments import Configuration
from kspike_reg.experiments.run import environment
from kspike_reg.experiments.studies import table_one
from kspike_reg.experiments.studies.corrections import corrections
from kspike_reg.files import prepare_folder, write_json
from kspike_reg.network import SPIKING, saving
from kspike_reg.tables import markdown, write_table

RESULTS = Path(__file__).parent / "results"
# Networks whose activity replaces that of the paper's networks.
REPRESENTATIVES = {"dense": "lif-elasticity", "LSTM": "slstm-hardening"}
COMPARED = [name for name in DEVICES if name != "v100_paper"]
ERROR = "RMSE / deviations"
NANO = 1e-9

# Tables by the name of their files: a title, and a pandas table.
Tables = dict[str, tuple[str, pd.DataFrame]]


class Trained:
    """A network that comes with the package, profiled on the test paths of its task.

    Args:
        name: name of the network.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.record = saving.record_of(name)
        self.configuration = Configuration.of_record(self.record["configuration"])
        self.fires = self.configuration.kind in SPIKING
        self.model = saving.load(name)
        self.paths = self.configuration.load_data()[2]
        self.report = profile(self.model, self.paths)

    @cached_property
    def activities(self) -> dict[str, float]:
        """Mean size of each layer's input, which the paper takes as a rate in Hz."""
        return table_one.activities_of(self.model, self.paths.inputs)

    @property
    def about(self) -> dict[str, Any]:
        """The network and its paths."""
        named = {name: getattr(self.configuration, name) for name in ("task", "family", "seed")}
        return (
            {"network": self.name} | named | {"paths": len(self.paths), "steps": self.report.steps // len(self.paths)}
        )


def main() -> None:
    """Profile the networks that come with the package; print, write and draw."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument(
        "--out", metavar="FOLDER", type=Path, default=RESULTS / "energy", help="folder for tables and figures"
    )
    folder = parser.parse_args().out
    prepare_folder(folder)
    widths = json.loads((RESULTS / "width_energy.json").read_text(encoding="utf-8"))
    networks = [Trained(name) for name in saving.trained_networks()]
    content = {"environment": environment(), "networks": [network.about for network in networks], "tables": {}}
    for name, (title, table) in {**paper(networks), **counted(networks), **compared(networks, widths)}.items():
        print(f"\n{title}\n\n{markdown(table)}")
        write_table(table, folder, name)
        content["tables"][name] = {"title": title, "rows": table.to_dict("records")}
    write_json(folder / "energy.json", content)
    for name, axes in figures(networks, widths).items():
        plotting.save(axes, folder / f"{name}.png")
    print(f"\nwrote the tables, energy.json and the figures in {folder}")


def paper(networks: Sequence[Trained]) -> Tables:
    """Table I and the corrections."""
    found = {}
    for half, name in REPRESENTATIVES.items():
        network = next(network for network in networks if network.name == name)
        own = [network.activities[layer.name] for layer in network.report.layers if layer.neurons]
        title = f"Table I, {half}: nJ as printed, next to ours by the same convention with the activity of {name}"
        found[f"table_one_{half.lower()}"] = title, table_one.table(half, own, network.about["steps"])
    rows = []
    for network in filter(lambda network: network.fires, networks):
        before = None
        for correction in corrections(network.report, network.activities):
            row = {"network": network.name, "counting": correction.what, "spiking / nJ": correction.spiking / NANO}
            row |= {"dense / nJ": correction.dense / NANO, "times less": correction.factor}
            rows.append(row | {"moved by": None if before is None else correction.factor / before})
            # The alternatives are compared with the last correction.
            before = before if correction.what.startswith("instead") else correction.factor
    title = "From the paper's convention to the physics: nJ for one path, spiking on Loihi, densely on the V100"
    return found | {"corrections": (title, pd.DataFrame(rows, dtype=object))}


def counted(networks: Sequence[Trained]) -> Tables:
    """What the profiler counted, and its energy."""
    return {
        "operations": ("Operations for one path", stacked(networks, frames.operation_frame)),
        "projections": ("Operations for one path by source", stacked(networks, frames.projection_frame)),
        "energies": (
            "Energy for one path, less what a device does not price",
            stacked(networks, lambda report: frames.energy_frame(report, SHOWN)),
        ),
        "unpriced": (
            "What the devices do not price",
            stacked(networks, lambda report: frames.unpriced_frame(report, SHOWN)),
        ),
        "devices": ("Devices", frames.device_frame(DEVICES)),
    }


def compared(networks: Sequence[Trained], widths: dict[str, Any]) -> Tables:
    """Where spiking costs less."""
    spiking = [network for network in networks if network.fires]
    rows = [
        {"network": network.name, ERROR: error_of(network), **comparison.energies_in_use(network.report)}
        for network in networks
    ]
    return {
        "break_even": (
            "Spike rates below which spiking costs less",
            stacked(spiking, lambda report: frames.break_even_frame(report, COMPARED)),
        ),
        "networks": ("Energy and error of the trained networks", pd.DataFrame(rows, dtype=object)),
        "widths": (
            f"Energy and error over widths and readouts ({widths['command']})",
            pd.DataFrame(widths["cases"], dtype=object),
        ),
    }


def stacked(networks: Sequence[Trained], frame: Callable[[EnergyReport], pd.DataFrame]) -> pd.DataFrame:
    """The tables of several networks, one below the other."""
    parts = [frame(network.report) for network in networks]
    for network, part in zip(networks, parts, strict=True):
        part.insert(0, "network", network.name)
    return pd.concat(parts, ignore_index=True)


def error_of(network: Trained) -> float:
    """Root mean square error on the test set, in standard deviations."""
    return network.record["test"]["errors"]["standardised"]["root_mean_squared_error"]["all"]


def figures(networks: Sequence[Trained], widths: dict[str, Any]) -> dict[str, Axes | NDArray[Any]]:
    """Energy by layer, energy against spike rate, and energy against error, by the name of their files."""
    spiking = [network for network in networks if network.fires]
    panels = Figure(figsize=(11, 4.5 * len(spiking) / 2), layout="constrained").subplots(-(-len(spiking) // 2), 2)
    panels, spare = panels.flat[: len(spiking)], panels.flat[len(spiking) :]
    for axes in spare:
        axes.remove()
    for network, axes in zip(spiking, panels, strict=True):
        draw_rates(network.report, axes).set_title(network.name, fontsize="medium")
    one_legend(panels)
    bars = {f"layers_{network.name}": draw_layers(network.report, SHOWN) for network in networks}
    return bars | {"break_even": panels, "pareto": draw_errors(networks, widths)}


def draw_rates(report: EnergyReport, axes: Axes) -> Axes:
    """Draw energy against spike rate."""
    places = {
        "Loihi, real values on V100": ("loihi", "v100_fp16"),
        "Loihi by parts, real values on V100": ("loihi_davies2018", "v100_fp16"),
        "45 nm CMOS": ("cmos45_fp32", "cmos45_fp32"),
    }
    rates, here = np.geomspace(1e-3, 1, 50), comparison.mean_rate(report)
    spiking = {name: comparison.energy_at(report, rates, *place) for name, place in places.items()}
    machines = {"V100, half precision": "v100_fp16", "V100, single precision": "v100_fp32", "45 nm CMOS": "cmos45_fp32"}
    dense = {name: comparison.dense_energy(report, device) for name, device in machines.items()}
    return plotting.break_even(rates, spiking, dense, here, axes)


def draw_errors(networks: Sequence[Trained], widths: dict[str, Any]) -> NDArray[Any]:
    """Draw energy against error.

    Upper row: readout of membranes, lower row: readout of spikes. The first two columns show the study of widths by
    place; the third shows the networks trained for hardening.
    """
    panels = Figure(figsize=(14, 8), layout="constrained").subplots(2, 3)
    cases = pd.DataFrame(widths["cases"])
    kinds = list(dict.fromkeys(name.partition(",")[0] for name in cases["network"]))
    for row, readout in zip(panels, ("membrane", "spikes"), strict=True):
        for axes, place in zip(row, ("Loihi and V100", "45 nm CMOS"), strict=False):
            series = {}
            for kind in kinds:
                rows = cases[cases["network"].isin([kind, f"{kind}, {readout}"])]
                series[kind] = rows[f"{place} / J"], rows[ERROR]
            title = f"Ramberg-Osgood, {place}, readout: {readout}"
            plotting.pareto(series, ERROR, axes).set_title(title, fontsize="medium")
    # Kinds without such a network stay in the series, so that each kind has one colour in all panels.
    series = {kind: ([], []) for kind in kinds}
    for network in networks:
        if network.configuration.task == "hardening" and network.configuration.family == "mirror":
            joules = comparison.energies_in_use(network.report)["Loihi and V100 / J"]
            series[network.configuration.kind] = [joules], [error_of(network)]
    plotting.pareto(series, ERROR, panels[0, 2]).set_title("hardening, Loihi and V100", fontsize="medium")
    panels[1, 2].remove()
    one_legend(panels.flat[:-1])
    return panels


def one_legend(panels: Iterable[Axes]) -> None:
    """Replace the legends of panels that show the same by one legend below them."""
    panels = list(np.ravel(panels))
    for axes in panels:
        axes.get_legend().remove()
    panels[0].figure.legend(*panels[0].get_legend_handles_labels(), loc="outside lower center", ncols=4)


if __name__ == "__main__":
    main()
