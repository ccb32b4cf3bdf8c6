"""A child process that holds implementations and runs them on request.

    python -m implementations.process keras|torch

`Process` is the parent's end and starts the child; `serve` is the child's end. The child reads requests from standard
input and answers on standard output, one line of JSON each. A request is a dictionary with the name of a method of
`Holder` as `do` and its arguments; the answer is {"answer": ...} or {"error": "..."}.
"""

import json
import math
import os
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from implementations.cases import Case

MODES = ("training", "inference")
TRIALS = 3
# A repetition runs a short step this long in a row, so that the caches are as warm as during a training.
SHORTEST = 0.05  # s
MEBI = 2**20


class ImplementationError(RuntimeError):
    """An implementation failed, or its process died."""


class Process:
    """The parent's end: a child process for one framework.

    Args:
        framework: "keras" or "torch", a key of `HOLDERS`.
        **environment: environment variables of the child, in addition to the parent's.
    """

    def __init__(self, framework: str, **environment: str) -> None:
        self.framework = framework
        paths = [str(Path(__file__).parents[1]), os.environ.get("PYTHONPATH", "")]
        self.child = subprocess.Popen(
            [sys.executable, "-m", "implementations.process", framework],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, paths))} | environment,
        )

    def ask(self, do: str, **arguments: Any) -> Any:
        """Call a method of the child's `Holder` and return its result.

        Raises:
            ImplementationError: the implementation failed, or the process died.
        """
        try:
            print(json.dumps({"do": do, **arguments}), file=self.child.stdin, flush=True)
            line = self.child.stdout.readline()
        except BrokenPipeError:
            line = ""
        if not line:
            raise ImplementationError(f"the {self.framework} process died with {self.child.wait()} during {do!r}")
        answer = json.loads(line)
        if "error" in answer:
            raise ImplementationError(answer["error"])
        return answer["answer"]

    def __enter__(self) -> "Process":
        return self

    def __exit__(self, *_: object) -> None:
        with suppress(BrokenPipeError):  # the child may have died
            self.child.stdin.close()
        self.child.stdout.close()
        self.child.wait()


class Implementation:
    """Base class of everything that is timed, built from a `Case`.

    Attributes:
        kinds: kinds of network that the implementation offers.
        forms: names of the alternative ways to run it; the first one is used for the first call.
        chosen: the fastest form of each mode, set by `Holder.prepare`.
        runs: runs in one repetition of each mode, set by `Holder.prepare`.
    """

    kinds: tuple[str, ...] = ("lif", "rlif", "slstm")
    forms: tuple[str, ...] = ("as it is",)

    def __init__(self, case: Case) -> None:
        self.case = case
        self.chosen: dict[str, str] = {}
        self.runs: dict[str, int] = {}

    def run(self, mode: str, form: str) -> None:
        """Run one step of training or inference and wait until it is done."""
        raise NotImplementedError

    def weights(self) -> int:
        """Number of trainable weights."""
        raise NotImplementedError

    def on_device(self) -> dict[str, float]:
        """Memory used on an accelerator, ready for JSON; empty where it is unknown."""
        return {}


class Holder:
    """The child's end: prepared implementations by label.

    Args:
        implementations: class of each implementation by name.
        about: function that returns versions and device.
    """

    def __init__(self, implementations: Mapping[str, type[Implementation]], about: Callable[[], dict]) -> None:
        self.implementations, self.about = implementations, about
        self.prepared: dict[str, Implementation] = {}

    def names(self, kind: str) -> list[str]:
        """Names of the implementations that offer a kind of network."""
        return [name for name, implementation in self.implementations.items() if kind in implementation.kinds]

    def prepare(self, name: str, case: dict, label: str | None = None, compiled: bool = True) -> dict[str, str]:
        """Build an implementation, warm up all of its forms, and choose the fastest one for each mode.

        Args:
            name: name of the implementation.
            case: fields of a `Case`.
            label: label for later requests; the name by default.
            compiled: whether to try forms that need compiling, which takes up to half a minute.

        Returns:
            The chosen form by mode.
        """
        implementation = self.implementations[name](Case(**case))
        forms = [form for form in implementation.forms if compiled or "compiled" not in form]
        for mode in MODES:
            times = {form: shortest_run(implementation, mode, form) for form in forms}
            implementation.chosen[mode] = min(times, key=times.get)
            implementation.runs[mode] = math.ceil(SHORTEST / min(times.values()))
        self.prepared[label or name] = implementation
        return implementation.chosen

    def run(self, label: str, mode: str) -> float:
        """Seconds per run, averaged over one repetition."""
        implementation = self.prepared[label]
        start = time.perf_counter()
        for _ in range(implementation.runs[mode]):
            implementation.run(mode, implementation.chosen[mode])
        return (time.perf_counter() - start) / implementation.runs[mode]

    def fresh(self, name: str, case: dict, steps: int = 3) -> dict[str, float]:
        """Time until the first training step is done, and memory of a few steps; call it once per process."""
        case = Case(**case)
        case.data()  # memory that NumPy itself needs belongs to the size before
        before = memory()
        start = time.perf_counter()
        implementation = self.implementations[name](case)
        implementation.run("training", implementation.forms[0])
        first = time.perf_counter() - start
        for _ in range(steps - 1):
            implementation.run("training", implementation.forms[0])
        peak = peak_memory()
        sizes = {"peak / MiB": peak - before, "whole process / MiB": peak}
        return {"first / s": first, **sizes, **implementation.on_device()}

    def count(self, name: str, case: dict) -> int:
        """Trainable weights of an implementation's network."""
        return self.implementations[name](Case(**case)).weights()

    def spike_rates(self, label: str) -> list[float]:
        """Spikes per neuron and step of each layer of a prepared network, after all of its runs."""
        return self.prepared[label].spike_rates()

    def retracings(self, kind: str, units: int, sizes: list[tuple[int, int]]) -> list[dict]:
        """How often the Python code of a layer runs at each size; see `keras_networks.Ours.retracings`."""
        return self.implementations["kspike_reg"].retracings(kind, units, sizes)


def shortest_run(implementation: Implementation, mode: str, form: str) -> float:
    """Seconds of the shortest of a few runs, after two runs that warm up."""
    times = []
    for _ in range(2 + TRIALS):
        start = time.perf_counter()
        implementation.run(mode, form)
        times.append(time.perf_counter() - start)
    return min(times[2:])


def memory() -> float:
    """Resident size of this process / MiB."""
    return _status("VmRSS")


def peak_memory() -> float:
    """Largest resident size of this process so far / MiB."""
    return _status("VmHWM")


def _status(entry: str) -> float:
    # Linux counts `ru_maxrss` from before exec, so it includes the parent's size; VmHWM covers this program alone.
    for line in Path("/proc/self/status").read_text(encoding="utf-8").splitlines():
        if line.startswith(f"{entry}:"):
            return int(line.split()[1]) * 1024 / MEBI
    raise ImplementationError(f"/proc/self/status has no {entry}: memory can only be measured on Linux")


def keras_holder() -> Holder:
    """Implementations in Keras, on the backend named by KERAS_BACKEND."""
    from implementations import keras_networks

    return Holder(keras_networks.IMPLEMENTATIONS, keras_networks.about)


def torch_holder() -> Holder:
    """Implementations in PyTorch."""
    from implementations import torch_networks

    return Holder(torch_networks.IMPLEMENTATIONS, torch_networks.about)


HOLDERS = {"keras": keras_holder, "torch": torch_holder}


def serve(framework: str) -> None:
    """Answer requests until standard input ends."""
    # Only answers use the pipe; whatever a library prints goes to standard error.
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "w")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    holder = HOLDERS[framework]()
    for line in sys.stdin:
        request = json.loads(line)
        try:
            answer = {"answer": getattr(holder, request.pop("do"))(**request)}
        except Exception as error:  # any failure of an implementation is an answer
            answer = {"error": f"{type(error).__name__}: {error}"}
        print(json.dumps(answer), file=answers, flush=True)


if __name__ == "__main__":
    serve(sys.argv[1])
