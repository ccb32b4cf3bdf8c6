"""What a result depends on besides its configuration: versions, backend, device, threads."""

import os
import platform
from importlib.metadata import version
from typing import Any

import keras

__all__ = ["environment", "in_words"]

# By which the libraries that compute learn how many threads they may use.
THREADS = ("TF_NUM_INTRAOP_THREADS", "OMP_NUM_THREADS")


def environment() -> dict[str, Any]:
    """Return the versions, the device and the number of threads behind a result, ready for JSON."""
    backend = keras.backend.backend()
    packages = ("kspike_reg", "keras", backend, "numpy")
    return {
        "versions": {"python": platform.python_version()} | {name: version(name) for name in packages},
        "backend": backend,
        "device": str(keras.ops.zeros(1).device).rpartition("device:")[2],
        "machine": platform.machine(),
        "threads": _threads(),
    }


def _threads() -> int:
    """The cores that the process may use, or the smaller number that it is limited to."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    limits = [int(os.environ[name]) for name in THREADS if os.environ.get(name, "").isdecimal()]
    return min([cores, *(limit for limit in limits if limit > 0)])


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
