"""What the profiler found, as pandas tables: averages for one path."""

import pandas as pd

from kspike_reg.energy.comparison import break_even, mean_rate
from kspike_reg.energy.devices import DEVICES, device_named

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


def tables_of(report, devices):
    """All tables of a report by a short name: (title, table)."""
    found = {
        "operations": (f"Operations for one path, mean of {report.samples}", operation_frame(report)),
        "projections": ("By source", projection_frame(report)),
        "energies": ("Energy for one path, less what a device does not price", energy_frame(report, devices)),
        "unpriced": ("What the devices do not price, operations for one path", unpriced_frame(report, devices)),
    }
    if report.spikes:
        title = "The spike rate below which spiking costs less than the same network computed densely"
        found["break_even"] = title, break_even_frame(report, devices)
    return found


def operation_frame(report):
    """Operations for one path by layer, a total below, and the memory."""
    counts = {
        "accumulates": "accumulates",
        "multiply-accumulates": "multiply_accumulates",
        "additions": "additions",
        "active updates": "active_updates",
        "idle updates": "idle_updates",
    }
    rows = []
    for layer in _at_work(report):
        rate = layer.spikes_per_neuron_and_step
        rows.append(
            {"layer": layer.name, "neurons": layer.neurons, "connections": layer.connections}
            | {label: getattr(layer, name) / report.samples for label, name in counts.items()}
            | {"spikes per neuron and step": None if rate is None else float(rate), "memory / B": layer.memory_bytes}
        )
    total = {"layer": "total", "neurons": sum(layer.neurons for layer in report.layers)}
    total |= {"connections": report.connections}
    total |= {label: getattr(report, name) / report.samples for label, name in counts.items()}
    rows.append(total | {"spikes per neuron and step": None, "memory / B": report.memory_bytes})
    return _frame(rows)


def projection_frame(report):
    """Operations for one path by layer and source."""
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


def energy_frame(report, devices):
    """Nanojoules for one path by layer, a column for each device, a total below, less what a device does not price.

    Empty where a device prices nothing that the layer does.
    """
    tables = [report.energy(device) for device in devices]
    rows = [
        {"layer": layer.name}
        | {f"{table.device.name} / nJ": _nanojoules(table[layer.name], report.samples) for table in tables}
        for layer in _at_work(report)
    ]
    total = {f"{table.device.name} / nJ": table.per_inference / NANO for table in tables}
    return _frame([*rows, {"layer": "total"} | total])


def unpriced_frame(report, devices):
    """Operations for one path that took place and that a device does not price."""
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


def break_even_frame(report, devices=tuple(DEVICES)):
    """The spike rate below which spiking costs less than the same network computed densely, for pairs of devices.

    Event-driven devices that price multiply-accumulates are set against themselves, others against every device that
    is not event-driven.
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


def device_frame(devices):
    """The prices of devices in picojoules, with their sources."""
    rows = []
    for device in map(device_named, devices):
        prices = ", ".join(f"{term} {price / 1e-12:.4g} pJ" for term, price in device.prices.items())
        rows.append({"device": device.name, "prices": prices, "evidence": device.grade, "source": device.source})
    return _frame(rows)


def _nanojoules(layer, samples):
    return layer.total / samples / NANO if layer.total or not layer.unpriced else None


def _at_work(report):
    """The layers that do something; scaling is the host's."""
    return [layer for layer in report.layers if layer.neurons or layer.projections]


def _frame(rows, columns=None):
    # Objects keep None apart from NaN, and whole numbers whole.
    return pd.DataFrame(list(rows), columns=columns, dtype=object)
