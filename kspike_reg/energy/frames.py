"""The counts of the profiler and their energies as pandas tables: averages for one path."""

from collections.abc import Iterable, Sequence
from typing import Any

import pandas as pd

from kspike_reg.energy.comparison import break_even, mean_rate
from kspike_reg.energy.device import Device
from kspike_reg.energy.devices import DEVICES, device_named
from kspike_reg.energy.operations import LayerCounts
from kspike_reg.energy.report import EnergyReport
from kspike_reg.energy.table import LayerEnergy

__all__ = [
    "break_even_frame",
    "device_frame",
    "energy_frame",
    "operation_frame",
    "projection_frame",
    "tables_of",
    "unpriced_frame",
]

NANO = 1e-9

# Column of the table of operations by the count that it shows.
COUNTS = {
    "accumulates": "accumulates",
    "multiply-accumulates": "multiply_accumulates",
    "additions": "additions",
    "active updates": "active_updates",
    "idle updates": "idle_updates",
}


def tables_of(report: EnergyReport, devices: Sequence[str | Device]) -> dict[str, tuple[str, pd.DataFrame]]:
    """All tables of a report.

    Args:
        report: an `EnergyReport`.
        devices: names in `DEVICES`, or `Device`s.

    Returns:
        Pairs (title, table) by a short name. There are no break-even rates for a network that does not fire.
    """
    tables = {
        "operations": (f"Operations for one path, mean of {report.samples}", operation_frame(report)),
        "projections": ("By source", projection_frame(report)),
        "energies": ("Energy for one path, less what a device does not price", energy_frame(report, devices)),
        "unpriced": ("What the devices do not price, operations for one path", unpriced_frame(report, devices)),
    }
    if report.spikes:
        title = "The spike rate below which spiking costs less than the same network computed densely"
        tables["break_even"] = title, break_even_frame(report, devices)
    return tables


def operation_frame(report: EnergyReport) -> pd.DataFrame:
    """Operations for one path by layer, with a total in the last row, and the memory.

    Args:
        report: an `EnergyReport`.

    Returns:
        A table with a row for each layer.
    """
    rows = []
    for layer in _at_work(report):
        rate = layer.spikes_per_neuron_and_step
        rows.append(
            {"layer": layer.name, "neurons": layer.neurons, "connections": layer.connections}
            | {label: getattr(layer, name) / report.samples for label, name in COUNTS.items()}
            | {"spikes per neuron and step": None if rate is None else float(rate), "memory / B": layer.memory_bytes}
        )
    total = {"layer": "total", "neurons": sum(layer.neurons for layer in report.layers)}
    total |= {"connections": report.connections}
    total |= {label: getattr(report, name) / report.samples for label, name in COUNTS.items()}
    rows.append(total | {"spikes per neuron and step": None, "memory / B": report.memory_bytes})
    return _frame(rows)


def projection_frame(report: EnergyReport) -> pd.DataFrame:
    """Operations for one path by layer and source.

    Args:
        report: an `EnergyReport`.

    Returns:
        A table with a row for each projection.
    """
    return _frame(
        {
            "layer": layer.name,
            "weights": projection.name,
            "source": projection.source,
            "carries": "spikes" if projection.event_driven else "real values",
            "fan-in": projection.fan_in,
            "fan-out": projection.fan_out,
            "events": projection.events / report.samples,
            "accumulates": projection.accumulates / report.samples,
            "multiply-accumulates": projection.multiply_accumulates / report.samples,
            "additions": projection.additions / report.samples,
        }
        for layer in report.layers
        for projection in layer.projections
    )


def energy_frame(report: EnergyReport, devices: Iterable[str | Device]) -> pd.DataFrame:
    """Nanojoules for one path, without the operations that a device does not price.

    Args:
        report: an `EnergyReport`.
        devices: names in `DEVICES`, or `Device`s.

    Returns:
        A table with a row for each layer, a total in the last row, and a column for each device; empty where the
        device prices no operation of the layer.
    """
    tables = [report.energy(device) for device in devices]
    rows = [
        {"layer": layer.name}
        | {f"{table.device.name} / nJ": _nanojoules(table[layer.name], report.samples) for table in tables}
        for layer in _at_work(report)
    ]
    total = {f"{table.device.name} / nJ": table.per_inference / NANO for table in tables}
    return _frame([*rows, {"layer": "total"} | total])


def unpriced_frame(report: EnergyReport, devices: Iterable[str | Device]) -> pd.DataFrame:
    """Operations for one path that took place and that a device does not price.

    Args:
        report: an `EnergyReport`.
        devices: names in `DEVICES`, or `Device`s.

    Returns:
        A table with a row for each device and term; a term that the device prices and the profiler does not count has
        the entry "not counted".
    """
    rows = []
    for device in devices:
        table = report.energy(device)
        name = table.device.name
        rows += [
            {"device": name, "operation": term, "for one path": count / report.samples}
            for term, count in table.unpriced.items()
        ]
        rows += [{"device": name, "operation": term, "for one path": "not counted"} for term in table.uncounted]
    return _frame(rows, columns=("device", "operation", "for one path"))


def break_even_frame(report: EnergyReport, devices: Iterable[str | Device] = tuple(DEVICES)) -> pd.DataFrame:
    """The spike rate below which spiking costs less than the same network computed densely, for pairs of devices.

    An event-driven device that prices multiply-accumulates is compared with itself, any other with every device that
    is not event-driven.

    Args:
        report: an `EnergyReport` of a network that fires.
        devices: names in `DEVICES`, or `Device`s.

    Returns:
        A table with a row for each pair.

    Raises:
        InputError: the network does not fire on these data.
    """
    devices = [device_named(device) for device in devices]
    dense = [device for device in devices if not device.event_driven]
    pairs = [
        (device, host)
        for device in devices
        if device.event_driven
        for host in ([device] if "multiply_accumulate" in device.prices else dense)
    ]
    rows, here = [], mean_rate(report)
    for device, host in pairs:
        rate = break_even(report, device, host)
        verdict = "never" if rate <= 0 else "always" if rate >= 1 else "below it"
        rows.append(
            {
                "spiking on": device.name,
                "dense, and real values, on": host.name,
                "break-even spikes per neuron and step": rate,
                "spiking costs less": verdict,
                "this network's": here,
                "costs less here": "yes" if here < rate else "no",
            }
        )
    return _frame(rows)


def device_frame(devices: Iterable[str | Device]) -> pd.DataFrame:
    """The prices of devices in picojoules, with their sources.

    Args:
        devices: names in `DEVICES`, or `Device`s.

    Returns:
        A table with a row for each device.
    """
    rows = []
    for device in map(device_named, devices):
        prices = ", ".join(f"{term} {price / 1e-12:.4g} pJ" for term, price in device.prices.items())
        rows.append({"device": device.name, "prices": prices, "evidence": device.grade, "source": device.source})
    return _frame(rows)


def _nanojoules(layer: LayerEnergy, samples: int) -> float | None:
    return layer.total / samples / NANO if layer.total or not layer.unpriced else None


def _at_work(report: EnergyReport) -> list[LayerCounts]:
    """The layers with operations of their own; the host does the scaling."""
    return [layer for layer in report.layers if layer.neurons or layer.projections]


def _frame(rows: Iterable[dict[str, Any]], columns: Sequence[str] | None = None) -> pd.DataFrame:
    # The type object distinguishes None from NaN and whole numbers from real ones.
    return pd.DataFrame(list(rows), columns=columns, dtype=object)
