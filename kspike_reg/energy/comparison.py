"""A spiking network compared with the same network computed densely: joules for one path, and the break-even rate.

The synapses of a network of `build` are those of its baseline of the same widths (LIF and dense, RLIF and SimpleRNN,
SLSTM and LSTM). So the energy of the baseline is that of the connections of the spiking network, each one computed at
every step. A neuromorphic chip has no synapses for real values; a host performs those multiply-accumulates, of the
first layer's input, of the SLSTM's membrane and of a membrane readout, and they are priced there.
"""

import math
from dataclasses import replace

import numpy as np
from numpy.typing import ArrayLike

from kspike_reg.energy.device import Device
from kspike_reg.energy.devices import device_named
from kspike_reg.energy.report import EnergyReport
from kspike_reg.errors import InputError
from kspike_reg.typing import FloatArray

__all__ = [
    "break_even",
    "dense_energy",
    "energies_in_use",
    "energy_at",
    "mean_rate",
    "silenced",
    "spiking_energy",
]


def spiking_energy(report: EnergyReport, device: str | Device, host: str | Device) -> float:
    """Mean energy of one path, with a host for the multiply-accumulates that the device does not price.

    Args:
        report: an `EnergyReport`.
        device: an event-driven device, its name or a `Device`.
        host: a device that prices a multiply-accumulate.

    Returns:
        Joules for one path.

    Raises:
        InputError: an unknown device, or a host without a price for a multiply-accumulate.
    """
    table = report.energy(device)
    host = device_named(host)
    left = table.unpriced.get("multiply_accumulate", 0)
    if "multiply_accumulate" not in host.prices:
        raise InputError(
            f"energy: expected a host that prices multiply-accumulates, received {host.name!r}; choose a device that "
            "is not event-driven, 'v100_fp16' for instance"
        )
    return (table.total + left * host.prices["multiply_accumulate"]) / report.samples


def dense_energy(report: EnergyReport, device: str | Device) -> float:
    """Mean energy of one path, with every connection computed at every step, whether or not its source fires.

    Args:
        report: an `EnergyReport`.
        device: the name of a device, or a `Device`; it is treated as one that is not event-driven.

    Returns:
        Joules for one path.

    Raises:
        InputError: an unknown device, or one without a price for a multiply-accumulate.
    """
    return report.energy(replace(device_named(device), event_driven=False)).per_inference


def energies_in_use(report: EnergyReport) -> dict[str, float]:
    """Mean energy of one path on the hardware that would run the network.

    A spiking network runs on Loihi, its real-valued products on the V100 in half precision; any other network runs on
    the V100. The second number is that of one technology for both.

    Args:
        report: an `EnergyReport`.

    Returns:
        Joules for one path, by the name of the hardware.
    """
    spiking = any(layer.spikes is not None for layer in report.layers)
    pair = spiking_energy(report, "loihi", "v100_fp16") if spiking else dense_energy(report, "v100_fp16")
    return {"Loihi and V100 / J": pair, "45 nm CMOS / J": report.energy("cmos45_fp32").per_inference}


def energy_at(
    report: EnergyReport, rates: ArrayLike, device: str | Device, host: str | Device
) -> FloatArray | np.float64:
    """Mean energy of one path if the neurons fired at other rates, all in the proportions of the report.

    Args:
        report, device, host: as in `spiking_energy`.
        rates: spikes per neuron and step, averaged over all spiking neurons; a number or an array of any shape.

    Returns:
        Joules for one path, in the shape of `rates`: energy is linear in the rate.

    Raises:
        InputError: the network does not fire on these data, so its energy at other rates is unknown.
    """
    at_rest, measured = (spiking_energy(each, device, host) for each in (silenced(report), report))
    return at_rest + (measured - at_rest) * np.asarray(rates) / mean_rate(report)


def silenced(report: EnergyReport) -> EnergyReport:
    """The report of the same network if no neuron ever fired; operations on real values stay.

    Args:
        report: an `EnergyReport`.

    Returns:
        Another `EnergyReport`.
    """
    layers = []
    for layer in report.layers:
        projections = tuple(replace(projection, events=0) for projection in layer.projections)
        quiet = {"spikes": 0, "active_updates": 0, "idle_updates": layer.neuron_updates}
        layers.append(replace(layer, projections=projections, **({} if layer.spikes is None else quiet)))
    return replace(report, layers=tuple(layers))


def break_even(report: EnergyReport, device: str | Device, host: str | Device) -> float:
    """The spike rate at which the network costs as much on `device` as computed densely on `host`.

    The rates of all neurons change in the proportions of the report; energy is linear in the rate.

    Args:
        report, device, host: as in `spiking_energy`. Where `device` prices multiply-accumulates itself, `host` may be
            the same device.

    Returns:
        Spikes per neuron and step, averaged over all spiking neurons. Below this rate spiking costs less. If it is
        negative, spiking never costs less, since the operations that do not depend on spikes cost more than the dense
        network. If it is above 1, spiking always costs less. It is infinite, with the same sign, where spikes cost
        nothing: on a device that charges every update alike, for neurons whose spikes drive no synapses.

    Raises:
        InputError: the network does not fire on these data, so its energy at other rates is unknown.
    """
    at_rest, firing = energy_at(report, (0, 1), device, host).tolist()
    budget = dense_energy(report, host) - at_rest
    if math.isclose(firing, at_rest, rel_tol=1e-12):  # equal apart from rounding
        return math.copysign(math.inf, budget)
    return budget / (firing - at_rest)


def mean_rate(report: EnergyReport) -> float:
    """Spikes per neuron and step over all spiking neurons.

    Args:
        report: an `EnergyReport`.

    Returns:
        The mean rate, in (0, 1] for neurons that fire at most once in a step.

    Raises:
        InputError: there are no spiking neurons, or they stay silent.
    """
    spiking = [layer for layer in report.layers if layer.spikes is not None]
    if not sum(layer.spikes for layer in spiking):
        raise InputError(
            f"break-even: the network {report.model!r} does not fire on these data, so the cost of its spikes is "
            "unknown; profile a spiking network on data within its training range"
        )
    return sum(layer.spikes for layer in spiking) / sum(layer.neuron_updates for layer in spiking)
