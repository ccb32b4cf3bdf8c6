"""A spiking network beside the same network computed densely: joules for one path, and what moves their ratio.

The synapses of a network of `build` are those of its baseline of the same widths (LIF and dense, RLIF and SimpleRNN,
SLSTM and LSTM), so the baseline's energy is that of the spiking network's own connections, each one carried out at
every step. A chip for spikes has no synapses for real values; those multiply-accumulates, of the first layer's input,
of the SLSTM's membrane and of a membrane readout, are left to a host, and priced there.
"""

import math
from dataclasses import dataclass, replace

import numpy as np

from kspike_reg.energy.devices import DEVICES, device_named
from kspike_reg.errors import InputError

__all__ = [
    "Correction",
    "activities_of",
    "break_even",
    "corrections",
    "dense_energy",
    "energies_in_use",
    "energy_at",
    "mean_rate",
    "silenced",
    "spiking_energy",
]

# Of the devices that the paper compares, by its convention: joules for a synaptic event, and for a connection.
EVENT = DEVICES["loihi"].prices["accumulate"]
CONNECTION = DEVICES["v100_paper"].prices["multiply_accumulate"]
PAPERS_DT = 1e-3


def spiking_energy(report, device, host):
    """Joules for one path on average, with multiply-accumulates that the device does not price done by a host.

    Args:
        report: an `EnergyReport`.
        device: an event-driven device, its name or a `Device`.
        host: a device that prices a multiply-accumulate.
    """
    table = report.energy(device)
    left = table.unpriced.get("multiply_accumulate", 0)
    return (table.total + left * device_named(host).prices["multiply_accumulate"]) / report.samples


def dense_energy(report, device):
    """Joules for one path on average, with every connection computed at every step, spikes or no spikes."""
    return report.energy(replace(device_named(device), event_driven=False)).per_inference


def energies_in_use(report):
    """Joules for one path where the network would run, by the name of the place: a chip and a GPU, or one technology.

    A spiking network runs on Loihi, its real-valued products on the V100 in half precision; any other on the V100.
    """
    spiking = any(layer.spikes is not None for layer in report.layers)
    pair = spiking_energy(report, "loihi", "v100_fp16") if spiking else dense_energy(report, "v100_fp16")
    return {"Loihi and V100 / J": pair, "45 nm CMOS / J": report.energy("cmos45_fp32").per_inference}


def energy_at(report, rates, device, host):
    """Joules for one path if the neurons fired at other rates, all in the proportions of the report.

    Args:
        report, device, host: as in `spiking_energy`.
        rates: spikes per neuron and step, averaged over all spiking neurons; a number or an array.

    Returns:
        As many numbers: energy is linear in the rate.

    Raises:
        InputError: the network does not fire on these data, so its energy at other rates is unknown.
    """
    at_rest, as_it_is = (spiking_energy(each, device, host) for each in (silenced(report), report))
    return at_rest + (as_it_is - at_rest) * np.asarray(rates) / mean_rate(report)


def silenced(report):
    """The report as it were if no neuron ever fired, and the real values stayed."""
    layers = []
    for layer in report.layers:
        projections = tuple(replace(projection, events=0) for projection in layer.projections)
        quiet = {"spikes": 0, "active_updates": 0, "idle_updates": layer.neuron_updates}
        layers.append(replace(layer, projections=projections, **({} if layer.spikes is None else quiet)))
    return replace(report, layers=tuple(layers))


def break_even(report, device, host):
    """The spike rate at which the network costs as much on `device` as computed densely on `host`.

    All neurons fire in the proportions of the report, more or less often; energy is linear in the rate.

    Args:
        report, device, host: as in `spiking_energy`; where `device` prices multiply-accumulates itself, `host` may
            be the same.

    Returns:
        Spikes per neuron and step, averaged over all spiking neurons. Below it spiking costs less. Negative: spiking
        never does, since what does not depend on spikes costs more than the dense network; above 1: it always does.
        Infinite, of that sign, where spikes cost nothing: on a device that updates all neurons alike, those that
        nobody hears.

    Raises:
        InputError: the network does not fire on these data, so its energy at other rates is unknown.
    """
    at_rest, firing = energy_at(report, (0, 1), device, host).tolist()
    to_spend = dense_energy(report, host) - at_rest
    if math.isclose(firing, at_rest, rel_tol=1e-12):  # but for rounding the same
        return math.copysign(math.inf, to_spend)
    return to_spend / (firing - at_rest)


def mean_rate(report):
    """Spikes per neuron and step over all spiking neurons.

    Raises:
        InputError: there are none, or they stay silent.
    """
    spiking = [layer for layer in report.layers if layer.spikes is not None]
    if not sum(layer.spikes for layer in spiking):
        raise InputError(
            f"break-even: the network {report.model!r} does not fire on these data, so that nobody can say what its "
            "spikes cost; profile a spiking network on data of its own range"
        )
    return sum(layer.spikes for layer in spiking) / sum(layer.neuron_updates for layer in spiking)


@dataclass(frozen=True)
class Correction:
    """A way of counting, with all corrections so far.

    Attributes:
        what: this one.
        spiking: joules for one path on Loihi, with what the host does.
        dense: joules for one path on the V100.
    """

    what: str
    spiking: float
    dense: float

    @property
    def factor(self):
        """How many times less the spiking network costs."""
        return self.dense / self.spiking


def activities_of(model, inputs):
    """The mean size of each layer's input by the layer's name, which the paper takes for a rate in Hz.

    Args:
        model: a `keras.Model` that `ModelEnergy` takes.
        inputs: shape (n, T, features), in the units that the model takes.

    Raises:
        InputError: whatever `ModelEnergy` refuses.
    """
    from kspike_reg.energy.keras_spiking.model_energy import ModelEnergy  # only here, for KerasSpiking comes with it

    energy = ModelEnergy(model, inputs, activity="hertz")
    return {layer.name: energy.rate(layer) for layer in model.layers}


def corrections(report, activities):
    """From the paper's way of counting to that of the physics, one correction after the other.

    The last but two is the energy of the report on "loihi" and "v100_fp16"; the last two put other published figures
    in their place.

    Args:
        report: an `EnergyReport` of a spiking network.
        activities: by the name of each layer, see `activities_of`.

    Returns:
        A list of `Correction`.

    Raises:
        InputError: an activity is missing.
    """
    steps = report.steps / report.samples
    synapses = [
        (layer, projection, _connections(report, projection))
        for layer in report.layers
        for projection in layer.projections
        if projection.weighted
    ]
    missing = [layer.name for layer, *_ in synapses if layer.name not in activities]
    if missing:
        raise InputError(f"corrections: expected an activity for every layer with synapses; {missing[0]!r} has none")
    counted = _papers_connections(report)
    papers = sum(counted.values())
    # What drives a layer's inputs, which at first stands for its recurrence too.
    heard = {layer.name: _drive(_of_inputs(layer)) for layer, *_ in synapses}
    by_input = sum(number * heard[layer.name] for layer, _, number in synapses)
    by_source = sum(number * _drive([projection]) for _, projection, number in synapses)
    events = report.accumulates / report.samples
    products = report.multiply_accumulates / report.samples
    updates = report.neuron_updates / report.samples * DEVICES["loihi"].prices["active_update"]
    as_rates = sum(number * activities[name] * PAPERS_DT for name, number in counted.items())
    as_events = sum(number * heard[name] for name, number in counted.items())
    once = sum(number for *_, number in synapses) * CONNECTION
    published, by_host = EVENT * steps, products * CONNECTION
    found = [
        ("as the paper counts", as_rates * published, papers * CONNECTION),
        ("a spike is one event, not 1/1000, and so is a real value", as_events * published, papers * CONNECTION),
        ("every synapse once: recurrent ones too, gates but theirs", by_input * published, once),
        ("recurrent synapses go by their own source", by_source * published, once),
        ("the GPU, too, takes every step", by_source * published, once * steps),
        ("real values are multiply-accumulates, left to the GPU", events * EVENT + by_host, once * steps),
        ("neurons are updated", events * EVENT + by_host + updates, once * steps),
    ]
    for what, device, host in (
        ("a multiply-accumulate is two operations", "loihi", "v100_fp16"),
        ("instead: Loihi by its published parts", "loihi_davies2018", "v100_fp16"),
        ("instead: the GPU in single precision", "loihi", "v100_fp32"),
        ("instead: both in 45 nm CMOS, single precision", "cmos45_fp32", "cmos45_fp32"),
    ):
        found.append((what, spiking_energy(report, device, host), dense_energy(report, host)))
    return [Correction(*row) for row in found]


def _papers_connections(report):
    """Connections by layer as the paper counts them: gated layers are dense ones, four gates wide on both sides."""
    gates = {layer.name: _gates(layer) for layer in report.layers}
    return {
        layer.name: sum(_connections(report, each) * gates.get(each.source, 1) for each in _of_inputs(layer))
        for layer in report.layers
        if any(projection.weighted for projection in layer.projections)
    }


def _gates(layer):
    """Weights of a source to each neuron of the layer: one for each gate."""
    fan_outs = [projection.fan_out for projection in _of_inputs(layer)]
    return fan_outs[0] // layer.neurons if fan_outs and layer.neurons else 1


def _of_inputs(layer):
    """The synapses of the layer's inputs."""
    return [projection for projection in layer.projections if projection.weighted and not projection.recurrent]


def _connections(report, projection):
    """Connections of a projection, as often as the network uses them in a step."""
    return projection.connections * projection.steps / report.steps


def _drive(projections):
    """The share of source neurons that drive their synapses in a step: spikes where they fire, real values always."""
    sources = sum(projection.fan_in * projection.steps for projection in projections)
    return sum(each.events if each.event_driven else each.fan_in * each.steps for each in projections) / sources
