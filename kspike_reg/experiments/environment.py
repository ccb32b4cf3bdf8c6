"""What a result depends on besides its configuration: versions, backend, device, threads."""

import platform
from importlib.metadata import version
from typing import Any

import keras

from kspike_reg.neurons.engines.cpu import threads

__all__ = ["environment", "in_words"]


def environment() -> dict[str, Any]:
    """Return the versions, the device and the number of threads behind a result, ready for JSON."""
    backend = keras.backend.backend()
    packages = ("kspike_reg", "keras", backend, "numpy")
    return {
        "versions": {"python": platform.python_version()} | {name: version(name) for name in packages},
        "backend": backend,
        "device": str(keras.ops.zeros(1).device).rpartition("device:")[2],
        "machine": platform.machine(),
        "threads": threads.limit(),
    }


def in_words(environment: dict[str, Any] | None) -> str:
    """An environment as text for a card or a report.

    Args:
        environment: as `environment` returned it, also in an earlier version of the package; None where unknown.
    """
    if environment is None:
        return "an environment that was not recorded"
    versions = ", ".join(f"{name} {number}" for name, number in environment["versions"].items())
    threads = f", {environment['threads']} threads" if "threads" in environment else ""
    return f"{versions}; on {environment['device']} ({environment['machine']}){threads}"
