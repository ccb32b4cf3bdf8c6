"""Devices: joules for each kind of operation, each figure with its source, how good it is and what it leaves out.

A device prices terms, in joules for one operation:

    accumulate           one synaptic event: a spike adds a weight to a neuron it reaches
    multiply_accumulate  a real value times a weight, added
    addition             a real value added as it is: a bias, a term of a sum or of a mean
    active_update        a neuron advances by one step and fires, or hands on a real value
    idle_update          a spiking neuron advances by one step and stays silent
    spike                a spike sent, whatever the number of neurons it reaches
    hop_east_west, hop_north_south   a spike passes on to the next tile

What a device does not price is not zero: the energy table lists it as unpriced. Hops depend on where neurons are
placed, which no count knows: a table lists them as uncounted.
"""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from kspike_reg.errors import InputError

__all__ = ["DEVICES", "GRADES", "TERMS", "Device", "device_named", "read_device"]

TERMS = (
    "accumulate",
    "multiply_accumulate",
    "addition",
    "active_update",
    "idle_update",
    "spike",
    "hop_east_west",
    "hop_north_south",
)
GRADES = ("measured on silicon", "simulated before silicon", "peak-power division", "derived")
PICO = 1e-12


@dataclass(frozen=True)
class Device:
    """A device and its prices.

    Args:
        name: what tables call it.
        event_driven: whether a silent synapse costs nothing. A device that is not event-driven computes every
            connection at every step as a multiply-accumulate, spikes or no spikes.
        prices: joules by term, see `TERMS`; at least that of an accumulate for an event-driven device, of a
            multiply-accumulate for any other.
        source: where the figures were published.
        grade: how good they are, one of `GRADES`.
        omits: what they leave out.

    Raises:
        InputError: a price is missing, negative, not finite or of an unknown term, or a text is empty.
    """

    name: str
    event_driven: bool
    prices: Mapping[str, float]
    source: str
    grade: str
    omits: str

    def __post_init__(self):
        for name in ("name", "source", "grade", "omits"):
            text = getattr(self, name)
            if not isinstance(text, str) or not text.strip():
                raise InputError(f"device {self.name!r}: expected {name} to be a text, received {text!r}")
        who = f"device {self.name!r}"
        if not isinstance(self.event_driven, bool):
            raise InputError(f"{who}: expected event_driven to be true or false, received {self.event_driven!r}")
        if self.grade not in GRADES:
            raise InputError(f"{who}: unknown grade {self.grade!r}; choose one of {', '.join(map(repr, GRADES))}")
        if not isinstance(self.prices, Mapping):
            raise InputError(f"{who}: expected prices to be joules by term, received {self.prices!r}")
        for term, price in self.prices.items():
            if term not in TERMS:
                raise InputError(f"{who}: unknown term {term!r}; choose among {', '.join(TERMS)}")
            number = isinstance(price, (int, float)) and not isinstance(price, bool)
            if not number or not 0 <= price < math.inf:
                raise InputError(f"{who}: expected a price of {term} in joules, finite, >= 0, received {price!r}")
        needed = "accumulate" if self.event_driven else "multiply_accumulate"
        if needed not in self.prices:
            kind = "an event-driven device" if self.event_driven else "a device that is not event-driven"
            raise InputError(f"{who}: the price of {needed} is missing; {kind} needs it, in joules")
        prices = {term: float(self.prices[term]) for term in TERMS if term in self.prices}
        object.__setattr__(self, "prices", MappingProxyType(prices))

    def to_dict(self):
        """A dictionary ready for JSON, which `read_device` reads back."""
        return {field: getattr(self, field) for field in self.__dataclass_fields__} | {"prices": dict(self.prices)}


DAVIES = (
    "M. Davies et al., Loihi: a neuromorphic manycore processor with on-chip learning, IEEE Micro 38(1), 82-99, 2018"
)
DEGNAN = (
    "B. Degnan, B. Marr, J. Hasler, Assessing trends in performance per watt for signal processing applications, IEEE "
    "Trans. VLSI Syst. 24(1), 58-66, 2016, as KerasSpiking 0.3.0 quotes it"
)
HOEPPNER = (
    "S. Hoeppner et al., Dynamic power management for neuromorphic many-core systems, IEEE Trans. Circuits Syst. I "
    "66(8), 2973-2986, 2019, arXiv:1903.08941, as KerasSpiking 0.3.0 quotes it"
)
VOLTA = "NVIDIA Tesla V100 GPU accelerator (SXM2), data sheet: 300 W, {peak}"
HOROWITZ = (
    "M. Horowitz, Computing's energy problem (and what we can do about it), ISSCC 2014, 10-14: 45 nm, 0.9 V, {parts}"
)
MACHINE = "memory traffic, idle power, the host and the way of the data onto the device and off it"


def _updates(joules):
    return {"active_update": joules, "idle_update": joules}


def _v100(name, joules, peak, omits=""):
    return Device(
        name,
        event_driven=False,
        prices={"multiply_accumulate": joules},
        source=VOLTA.format(peak=peak),
        grade="peak-power division",
        omits=f"{omits}that a GPU reaches its peak on large matrix products alone; additions and neurons; {MACHINE}",
    )


def _general(name, machine, joules):
    """KerasSpiking's devices that compute every synapse and every neuron as one multiply-accumulate."""
    return Device(
        name,
        event_driven=False,
        prices={"multiply_accumulate": joules, **_updates(joules)},
        source=f"{DEGNAN}: {machine}",
        grade="derived",
        omits=f"that a neuron's update takes more than one multiply-accumulate; additions; {MACHINE}",
    )


def _spinnaker(name, event, update, omits):
    return Device(
        name,
        event_driven=True,
        prices={"accumulate": event, **_updates(update)},
        source=HOEPPNER,
        grade="measured on silicon",
        omits=f"{omits}real values as inputs of synapses; spikes on their way; {MACHINE}",
    )


def _cmos(name, accumulate, multiply, parts):
    return Device(
        name,
        event_driven=True,
        prices={"accumulate": accumulate, "multiply_accumulate": accumulate + multiply, "addition": accumulate},
        source=HOROWITZ.format(parts=parts),
        grade="derived",
        omits=f"everything but the arithmetic: instructions, neurons, spikes on their way; {MACHINE}",
    )


_SHIPPED = (
    Device(
        "loihi",
        event_driven=True,
        # A synaptic operation and 3.5 pJ that KerasSpiking adds without a word: the mean of the two hops, 3.0 and 4.0.
        prices={"accumulate": (23.6 + 3.5) * PICO, **_updates(81 * PICO)},
        source=f"KerasSpiking 0.3.0, ModelEnergy, from {DAVIES}",
        grade="derived",
        omits=(
            "that the 3.5 pJ beside the 23.6 pJ of a synaptic operation is undocumented (it is the mean hop energy, "
            "so each synaptic event pays for a hop that its spike makes once); that silent neurons cost less; that "
            f"the chip has no synapses for real values and its neurons are plain LIF; {MACHINE}"
        ),
    ),
    Device(
        "loihi_davies2018",
        event_driven=True,
        prices={
            "accumulate": 23.6 * PICO,
            "active_update": 81 * PICO,
            "idle_update": 52 * PICO,
            "spike": 1.7 * PICO,
            "hop_east_west": 3.0 * PICO,
            "hop_north_south": 4.0 * PICO,
        },
        source=f"{DAVIES}, table of pre-silicon energies, minima at 0.75 V",
        grade="simulated before silicon",
        omits=(
            "learning (120 pJ per synaptic update); barrier synchronisation of each step; that the chip has no "
            f"synapses for real values and its neurons are plain LIF; {MACHINE}"
        ),
    ),
    _v100(
        "v100_paper",
        300 / 125e12,
        "125 TFLOP/s of the tensor cores",
        "half of each multiply-accumulate, which is two FLOPs (to reproduce the published table, no more); ",
    ),
    _v100("v100_fp16", 2 * 300 / 125e12, "125 TFLOP/s of the tensor cores, two FLOPs per multiply-accumulate"),
    _v100("v100_fp32", 2 * 300 / 15.7e12, "15.7 TFLOP/s in single precision, two FLOPs per multiply-accumulate"),
    _spinnaker("spinnaker", 13.3e-9, 26e-9, ""),
    _spinnaker("spinnaker2", 450e-12, 2.19e-9, "that the figures are those of a test chip in 28 nm; "),
    _general("cpu", "Intel i7-4960X", 8.6e-9),
    _general("gpu", "NVIDIA GTX Titan Black", 0.3e-9),
    _general("arm", "ARM Cortex-A", 0.9e-9),
    _cmos("cmos45_fp32", 0.9 * PICO, 3.7 * PICO, "32-bit floating point: addition 0.9 pJ, multiplication 3.7 pJ"),
    _cmos("cmos45_int8", 0.03 * PICO, 0.2 * PICO, "8-bit integers: addition 0.03 pJ, multiplication 0.2 pJ"),
)

DEVICES = {device.name: device for device in _SHIPPED}


def device_named(device):
    """A device by its name, or a `Device` as it is.

    Args:
        device: a name in `DEVICES`, or a `Device`.

    Returns:
        A `Device`.

    Raises:
        InputError: no such device.
    """
    if isinstance(device, Device):
        return device
    if not isinstance(device, str) or device not in DEVICES:
        raise InputError(
            f"unknown device {device!r}; choose one of {', '.join(DEVICES)}, or read your own from a JSON file with "
            "kspike_reg.energy.read_device"
        )
    return DEVICES[device]


def read_device(file):
    """Read a device from a JSON file.

    The file holds one object with the fields of `Device`:

    ```json
    {"name": "chip", "event_driven": true, "prices": {"accumulate": 2e-12, "idle_update": 1e-12},
     "source": "data sheet, 2024", "grade": "measured on silicon", "omits": "memory traffic"}
    ```

    Args:
        file: its name.

    Returns:
        A `Device`, which `EnergyReport.energy` takes.

    Raises:
        InputError: the file cannot be read, is not such an object, or describes no valid device.
    """
    file = Path(file)
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(f"{file}: cannot be read: {error.strerror or error}") from error
    except ValueError as error:  # neither JSON nor UTF-8
        raise InputError(f"{file}: not a JSON file: {error}") from error
    fields = tuple(Device.__dataclass_fields__)
    if not isinstance(content, dict):
        raise InputError(f"{file}: expected one JSON object with the fields {', '.join(fields)}")
    missing = [field for field in fields if field not in content]
    unknown = [field for field in content if field not in fields]
    if missing or unknown:
        told = [
            f"{kind} {', '.join(map(repr, names))}"
            for kind, names in (("missing", missing), ("unknown", unknown))
            if names
        ]
        raise InputError(f"{file}: fields {' and '.join(told)}; expected exactly {', '.join(fields)}")
    try:
        return Device(**content)
    except InputError as error:
        raise InputError(f"{file}: {error}") from error
