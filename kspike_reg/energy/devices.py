"""The devices that come with the package, by name. A new device is one entry here, with a published figure to cite."""

from kspike_reg.energy.device import GRADES, TERMS, Device, read_device
from kspike_reg.errors import InputError

__all__ = ["DEVICES", "GRADES", "TERMS", "Device", "device_named", "read_device"]

PICO = 1e-12
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
MACHINE = "memory traffic, idle power, the host, data transfer to and from the device"


def _updates(joules: float) -> dict[str, float]:
    return {"active_update": joules, "idle_update": joules}


def _v100(name: str, joules: float, peak: str, omits: str = "") -> Device:
    return Device(
        name,
        event_driven=False,
        prices={"multiply_accumulate": joules},
        source=VOLTA.format(peak=peak),
        grade="peak-power division",
        omits=f"{omits}that a GPU reaches its peak only on large matrix products; additions and neurons; {MACHINE}",
    )


def _general(name: str, machine: str, joules: float) -> Device:
    """KerasSpiking's devices that compute every synapse and every neuron as one multiply-accumulate."""
    return Device(
        name,
        event_driven=False,
        prices={"multiply_accumulate": joules, **_updates(joules)},
        source=f"{DEGNAN}: {machine}",
        grade="derived",
        omits=f"that a neuron's update takes more than one multiply-accumulate; additions; {MACHINE}",
    )


def _spinnaker(name: str, event: float, update: float, omits: str) -> Device:
    return Device(
        name,
        event_driven=True,
        prices={"accumulate": event, **_updates(update)},
        source=HOEPPNER,
        grade="measured on silicon",
        omits=f"{omits}real values as inputs of synapses; the transport of spikes; {MACHINE}",
    )


def _cmos(name: str, accumulate: float, multiply: float, parts: str) -> Device:
    return Device(
        name,
        event_driven=True,
        prices={"accumulate": accumulate, "multiply_accumulate": accumulate + multiply, "addition": accumulate},
        source=HOROWITZ.format(parts=parts),
        grade="derived",
        omits=f"everything but the arithmetic: instructions, neurons, the transport of spikes; {MACHINE}",
    )


_SHIPPED = (
    Device(
        "loihi",
        event_driven=True,
        # A synaptic operation, and 3.5 pJ that KerasSpiking adds without an explanation: the mean of the prices of the
        # two hops, 3.0 and 4.0.
        prices={"accumulate": (23.6 + 3.5) * PICO, **_updates(81 * PICO)},
        source=f"KerasSpiking 0.3.0, ModelEnergy, from {DAVIES}",
        grade="derived",
        omits=(
            "that the 3.5 pJ added to the 23.6 pJ of a synaptic operation are undocumented (they are the mean energy "
            "of a hop, so each synaptic event pays for a hop that its spike makes once); that silent neurons cost "
            f"less; that the chip has no synapses for real values and its neurons are plain LIF; {MACHINE}"
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
        "half of each multiply-accumulate, which is two FLOPs (use it only to reproduce the published table); ",
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

DEVICES: dict[str, Device] = {device.name: device for device in _SHIPPED}


def device_named(device: str | Device) -> Device:
    """Look up a device by its name; a `Device` is returned unchanged.

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
