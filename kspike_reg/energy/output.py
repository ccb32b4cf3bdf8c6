"""The files of a report: counts and energies as JSON, tables, a bar chart."""

from collections.abc import Iterable, Sequence
from pathlib import Path

from matplotlib.axes import Axes

from kspike_reg import plotting
from kspike_reg.energy.device import Device
from kspike_reg.energy.frames import tables_of
from kspike_reg.energy.report import EnergyReport
from kspike_reg.files import prepare_folder, write_json
from kspike_reg.tables import files_of_table, write_table

__all__ = ["draw_layers", "files_of_report", "write_report"]

RECORD, CHART = "energy.json", "layers.png"


def write_report(report: EnergyReport, devices: Sequence[str | Device], folder: str | Path) -> None:
    """Write energy.json, each table as CSV, Markdown and LaTeX, and layers.png.

    Args:
        report: an `EnergyReport`.
        devices: names in `DEVICES`, or `Device`s.
        folder: the folder for the files; it is created if it does not exist.

    Raises:
        InputError: the folder cannot be written to.
    """
    folder = Path(folder)
    prepare_folder(folder)
    for name, (_, table) in tables_of(report, devices).items():
        write_table(table, folder, name)
    energies = [report.energy(device).to_dict() for device in devices]
    write_json(folder / RECORD, {"counts": report.to_dict(), "energies": energies})
    plotting.save(draw_layers(report, devices), folder / CHART)


def files_of_report(tables: Iterable[str], folder: str | Path) -> list[Path]:
    """The files that `write_report` writes for tables of these names."""
    of_tables = [file for name in tables for file in files_of_table(folder, name)]
    return [Path(folder) / RECORD, Path(folder) / CHART, *of_tables]


def draw_layers(report: EnergyReport, devices: Sequence[str | Device]) -> Axes:
    """Draw a bar for each layer and device, marked where the device does not price multiply-accumulates of the layer.

    Args:
        report: an `EnergyReport`.
        devices: names in `DEVICES`, or `Device`s.

    Returns:
        The axes.
    """
    tables = [report.energy(device) for device in devices]
    joules = {
        table.device.name: {layer.name: layer.total / table.samples for layer in table.layers} for table in tables
    }
    incomplete = {
        (table.device.name, layer.name)
        for table in tables
        for layer in table.layers
        if "multiply_accumulate" in layer.unpriced
    }
    return plotting.energy_bars(joules, incomplete)
