"""A process that holds contenders and runs them when it is told to: `Process` starts one, this file's end is one.

    python -m contenders.process keras|torch

reads requests from its standard input and answers on its standard output, one line of JSON for each: a dictionary with
`do` and what that needs. The answer is {"answer": ...} or {"error": "..."}.
"""

import json
import math
import os
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

from contenders.cases import Case

MODES = ("training", "inference")
TRIALS = 3
# A repetition is as many runs as take about this long, so that short ones find caches as a training leaves them.
SHORTEST = 0.05  # s
MEBI = 2**20


class ContenderError(RuntimeError):
    """A contender could not do what it was asked to, or died of it."""


class Process:
    """The parent's end: a process for one framework.

    Args:
        framework: "keras" or "torch", a key of `HOLDERS`.
        **environment: environment variables of the process beside this one's.
    """

    def __init__(self, framework, **environment):
        self.framework = framework
        paths = [str(Path(__file__).parents[1]), os.environ.get("PYTHONPATH", "")]
        self.child = subprocess.Popen(
            [sys.executable, "-m", "contenders.process", framework],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, paths))} | environment,
        )

    def ask(self, do, **needs):
        """The answer to one request.

        Raises:
            ContenderError: the contender failed, or the process died.
        """
        try:
            print(json.dumps({"do": do, **needs}), file=self.child.stdin, flush=True)
            line = self.child.stdout.readline()
        except BrokenPipeError:
            line = ""
        if not line:
            raise ContenderError(f"the {self.framework} process died with {self.child.wait()} when asked to {do}")
        answer = json.loads(line)
        if "error" in answer:
            raise ContenderError(answer["error"])
        return answer["answer"]

    def __enter__(self):
        return self

    def __exit__(self, *_):
        with suppress(BrokenPipeError):  # of a process that died
            self.child.stdin.close()
        self.child.stdout.close()
        self.child.wait()


class Holder:
    """The child's end: contenders by the name under which the parent prepared them.

    Args:
        contenders: dictionary from a contender's name to a class; see `Contender`.
        about: function that tells what runs here.
    """

    def __init__(self, contenders, about):
        self.contenders, self.about = contenders, about
        self.prepared = {}

    def names(self, kind):
        """The contenders that take part for this kind of network."""
        return [name for name, contender in self.contenders.items() if kind in contender.kinds]

    def prepare(self, name, case, label=None, compiled=True):
        """Build a contender, warm up all forms that it has, and keep the fastest for each mode: their names.

        `compiled` tells whether forms that are compiled first, for half a minute perhaps, are tried too.
        """
        contender = self.contenders[name](Case(**case))
        forms = [form for form in contender.forms if compiled or "compiled" not in form]
        contender.chosen, contender.runs = {}, {}
        for mode in MODES:
            times = {form: trial(contender, mode, form) for form in forms}
            contender.chosen[mode] = min(times, key=times.get)
            contender.runs[mode] = math.ceil(SHORTEST / min(times.values()))
        self.prepared[label or name] = contender
        return contender.chosen

    def run(self, label, mode):
        """Seconds of a run, by one repetition."""
        contender = self.prepared[label]
        start = time.perf_counter()
        for _ in range(contender.runs[mode]):
            contender.run(mode, contender.chosen[mode])
        return (time.perf_counter() - start) / contender.runs[mode]

    def fresh(self, name, case, steps=3):
        """Seconds until the first step of training is done, and the memory that such steps take; once in a process."""
        case = Case(**case)
        case.data()  # so that NumPy's own needs are in the size before
        before = memory()
        start = time.perf_counter()
        contender = self.contenders[name](case)
        contender.run("training", contender.forms[0])
        first = time.perf_counter() - start
        for _ in range(steps - 1):
            contender.run("training", contender.forms[0])
        peak = peak_memory()
        return {"first / s": first, "peak / MiB": peak - before, "whole process / MiB": peak, **contender.on_device()}

    def count(self, name, case):
        """Trainable weights of a contender's network."""
        return self.contenders[name](Case(**case)).weights()

    def spike_rates(self, label):
        """Spikes of a neuron and step, layer by layer, as prepared networks fire after all their runs."""
        return self.prepared[label].spike_rates()

    def retracings(self, kind, units, sizes):
        """How often a layer's Python code ran at each size in turn, in training and in prediction."""
        return self.contenders["kspike_reg"].retracings(kind, units, sizes)


class Contender:
    """What is run: a class with these attributes and methods, built from a `Case`.

    Attributes:
        kinds: the kinds of network that it can be.
        forms: for each mode the names of the ways in which it can be run, the first for its first call.
    """

    kinds = ("lif", "rlif", "slstm")
    forms = ("as it is",)

    def __init__(self, case):
        self.case = case

    def run(self, mode, form):
        """One repetition, to its end."""
        raise NotImplementedError

    def weights(self):
        """The number of trainable weights."""
        raise NotImplementedError

    def on_device(self):
        """What is known of memory on an accelerator, ready for JSON."""
        return {}


def trial(contender, mode, form):
    """Seconds of a run, the least of a few, after two runs to warm up."""
    times = []
    for _ in range(2 + TRIALS):
        start = time.perf_counter()
        contender.run(mode, form)
        times.append(time.perf_counter() - start)
    return min(times[2:])


def memory():
    """Resident size of this process / MiB."""
    return _status("VmRSS")


def peak_memory():
    """The largest resident size of this process so far / MiB."""
    return _status("VmHWM")


def _status(entry):
    # Linux counts `ru_maxrss` from before exec, so that it holds the parent's size; VmHWM is this program's alone.
    for line in Path("/proc/self/status").read_text(encoding="utf-8").splitlines():
        if line.startswith(f"{entry}:"):
            return int(line.split()[1]) * 1024 / MEBI
    raise ContenderError(f"/proc/self/status has no {entry}: memory is measured on Linux alone")


def keras_holder():
    """Contenders in Keras, on the backend that KERAS_BACKEND names."""
    from contenders import keras_networks

    return Holder(keras_networks.CONTENDERS, keras_networks.about)


def torch_holder():
    """Contenders in PyTorch."""
    from contenders import torch_networks

    return Holder(torch_networks.CONTENDERS, torch_networks.about)


HOLDERS = {"keras": keras_holder, "torch": torch_holder}


def serve(framework):
    """Answer requests until there are no more."""
    # Answers keep the pipe to themselves; what a library prints goes with the errors.
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "w")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    holder = HOLDERS[framework]()
    for line in sys.stdin:
        request = json.loads(line)
        try:
            answer = {"answer": getattr(holder, request.pop("do"))(**request)}
        except Exception as error:  # whatever a contender stumbles over is the answer
            answer = {"error": f"{type(error).__name__}: {error}"}
        print(json.dumps(answer), file=answers, flush=True)


if __name__ == "__main__":
    serve(sys.argv[1])
