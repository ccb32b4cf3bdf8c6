"""How fast kspike_reg trains and predicts, beside the matrix products alone and other packages' networks.

    python profiling/speed.py

prints tables and writes them with a record and figures to profiling/results/speed, on another backend than TensorFlow
(KERAS_BACKEND=jax) to profiling/results/speed_jax. It needs Linux, and the extra bench for other packages; without it
they are left out. What is in the record already is not measured again.

TensorFlow and PyTorch live in a process each, which run one repetition of one contender at a time, in turns, so that
a slow moment of the machine falls on all. Ratios are taken round by round. Contenders are warmed up, and tried in all
the forms that they have; the fastest counts. The first call and the memory are measured apart, in a fresh process each.
"""

import argparse
import json
import os
import platform
import random
import time
from contextlib import ExitStack, suppress
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
# Processes share an accelerator here.
os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")

import numpy as np
from contenders.cases import CENTRE, PROMISED, SEED, Case, grid, operations_of, star
from contenders.process import MODES, ContenderError, Process
from speed_report import write_report

from kspike_reg.errors import InputError
from kspike_reg.files import prepare_folder, write_json

RESULTS = Path(__file__).parent / "results"
KINDS = ("lif", "rlif", "slstm")
SIZES = {"star": star, "grid": grid}
OURS, FLOOR = "kspike_reg", "products"
ANEW = f"{OURS} compiled anew"
FIRING = (f"{OURS} silent", OURS, f"{OURS} busy")
ROUNDS = (5, 200)  # the least, and the most
# Sizes of the parts apart from the rounds: units, steps, batch.
FRESH = {
    "lif": [CENTRE, (128, 100, 1024)],
    "rlif": [CENTRE, (128, 100, 1024)],
    "slstm": [CENTRE, (128, 100, 256), (256, 100, 1024)],
}
LINES = {
    "steps": [(128, steps, 256) for steps in (20, 50, 100, 200)],
    "batch": [(128, 20, batch) for batch in (64, 256, 1024)],
}
MET = [(20, 64), (20, 32), (20, 48), (50, 64), (100, 64), (30, 16)]  # steps, batch


def main(arguments=None):
    """Measure, print and write."""
    options = read(arguments)
    backend = os.environ.get("KERAS_BACKEND", "tensorflow")
    folder = options.out or RESULTS / ("speed" if backend == "tensorflow" else f"speed_{backend}")
    record = Record(prepare_folder(folder) / "speed.json", options.seconds, not options.uncompiled)
    for kind in options.kinds:
        for part in options.parts:
            PARTS[part](record, kind, cases_of(kind, options.sizes))
    print(write_report(record.content, folder))
    print(f"\nwrote speed.json, speed.md and the figures in {folder}")


def read(arguments):
    """The options of the command line."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--kinds", nargs="+", choices=KINDS, default=KINDS, help="of networks")
    parser.add_argument(
        "--sizes", nargs="+", default=["star"], help="star (one size at a time), grid (all), or UNITSxSTEPSxBATCH"
    )
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=PARTS, help="what to measure")
    parser.add_argument("--seconds", type=float, default=60, help="for the rounds of a case, if five take no longer")
    parser.add_argument(
        "--uncompiled", action="store_true", help="leave out what torch.compile makes of the other packages' networks"
    )
    parser.add_argument("--out", metavar="FOLDER", type=Path, help="for the record, tables and figures")
    options = parser.parse_args(arguments)
    try:
        cases_of(KINDS[0], options.sizes)
    except InputError as error:
        parser.error(str(error))
    return options


def cases_of(kind, sizes):
    """The cases of a kind that the command line names, each once."""
    cases = []
    for size in sizes:
        if size in SIZES:
            cases += SIZES[size](kind)
            continue
        numbers = size.split("x")
        if len(numbers) != 3 or not all(number.isdecimal() and int(number) for number in numbers):
            raise InputError(f"--sizes: expected star, grid or three sizes as in 128x20x1024, received {size!r}")
        cases.append(Case(kind, *map(int, numbers)))
    return list(dict.fromkeys(cases))


class Record:
    """What was measured so far, in a file that is replaced as a whole after each measurement.

    Args:
        file: its name; a record of the same machine and versions is gone on with.
        seconds: until which the rounds of a case begin.
        compiled: whether other packages' compiled forms are tried.

    Raises:
        InputError: the file is the record of something else.
    """

    def __init__(self, file, seconds, compiled=True):
        self.file = file
        settings = {"seed": SEED, "rounds": ROUNDS[0], "seconds": seconds, "compiled": compiled}
        self.content = json.loads(json.dumps({"settings": settings, "environment": environment()}))
        self.content |= {part: [] for part in PARTS}
        if not file.exists():
            return
        try:
            found = json.loads(file.read_text(encoding="utf-8"))
            same = found["environment"] == self.content["environment"] and found.keys() <= self.content.keys()
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise InputError(f"{file}: not a record of speed ({error}); remove it or choose another --out") from error
        if not same:
            raise InputError(f"{file}: measured elsewhere or with other versions; remove it or choose another --out")
        self.content |= found  # it may be from before a part was there

    def has(self, part, **of):
        """Whether something was measured, by the entries that tell it from others."""
        return any(of.items() <= row.items() for row in self.content[part])

    def add(self, part, *rows):
        """Keep what was measured."""
        self.content[part] += rows
        write_json(self.file, self.content)


def environment():
    """What the processes tell of themselves, and the machine."""
    told = {"cpu": cpu(), "cores": len(os.sched_getaffinity(0))}
    with Process("keras") as process:
        told |= process.ask("about")
    if find_spec("torch"):
        with Process("torch") as process:
            told["torch"] = process.ask("about")
    return told


def cpu():
    """The processor's name."""
    with suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor()


def frameworks(told):
    """The processes that take part: PyTorch's too, unless Keras has an accelerator and PyTorch has none."""
    other = told.get("torch")
    on_accelerator = told["device"].lower().startswith(("gpu", "cuda"))
    return ["keras", "torch"] if other and (other["device"] == "cuda") == on_accelerator else ["keras"]


# Parts: each a function of (record, kind, cases).


def rounds(record, kind, cases):
    """Every contender at every size, in turns."""
    for case in cases:
        if not record.has("rounds", **case.as_dictionary()):
            with ExitStack() as stack:
                told = frameworks(record.content["environment"])
                processes = [stack.enter_context(Process(framework)) for framework in told]
                record.add("rounds", measured(case, processes, record.content["settings"]))


def measured(case, processes, settings):
    """One case, as a row of the record."""
    print(f"{case.name}: ", end="", flush=True)
    homes, forms, failed = {}, {}, {}
    for process in processes:
        for name in names(process, case.kind):
            try:
                forms[name] = process.ask(
                    "prepare", name=name, case=case.as_dictionary(), compiled=settings["compiled"]
                )
                homes[name] = process
            except ContenderError as error:
                failed[name] = str(error)
    times = in_turns({name: (process, name) for name, process in homes.items()}, settings["seconds"], failed)
    for name in {FLOOR, OURS} & failed.keys():
        raise ContenderError(f"{case.name}, {name}: {failed[name]}")
    row = case.as_dictionary() | {"rounds": len(times[MODES[0]][FLOOR]), "failed": failed}
    row["spike rates"] = homes[OURS].ask("spike_rates", label=OURS)
    peers = [name for name, process in homes.items() if process.framework == "torch" and name not in failed]
    for mode in MODES:
        row[mode] = {"GFLOP": operations_of(case)[mode] / 1e9, **compared(times[mode], forms, peers, mode)}
    ratio = row["training"]["contenders"][OURS]["to products"]["median"]
    print(f"{row['rounds']} rounds, training {ratio:.2f} times the products")
    return row


def names(process, kind):
    """The contenders of a process; none of one that died."""
    try:
        return process.ask("names", kind=kind)
    except ContenderError as error:
        print(f"({error}) ", end="", flush=True)
        return []


def in_turns(prepared, seconds, failed):
    """Seconds of every repetition by mode and label.

    Args:
        prepared: for each label its process and the name under which it is prepared there; those that fail are left
            out, with the reason in `failed`.
        seconds: until which rounds begin, after the least number of them.
        failed: dictionary to enter failures into.
    """
    times = {mode: {label: [] for label in prepared} for mode in MODES}
    shuffle, deadline, turns = random.Random(SEED), time.perf_counter() + seconds, 0
    while turns < ROUNDS[0] or (turns < ROUNDS[1] and time.perf_counter() < deadline):
        order = [(mode, label) for mode in MODES for label in prepared]
        shuffle.shuffle(order)
        for mode, label in order:
            if label in failed:
                continue
            process, name = prepared[label]
            try:
                times[mode][label].append(process.ask("run", label=name, mode=mode))
            except ContenderError as error:
                failed[label] = str(error)
        turns += 1
    return {mode: {label: of[label] for label in of if label not in failed} for mode, of in times.items()}


def in_one_process(process, prepared, seconds):
    """Seconds as of `in_turns`, of contenders of one process of which none may fail.

    Args:
        process: where to prepare them.
        prepared: for each label a contender's name and its case.
        seconds: as in `in_turns`.

    Raises:
        ContenderError: one failed.
    """
    for label, (name, case) in prepared.items():
        process.ask("prepare", name=name, case=case.as_dictionary(), label=label)
    failed = {}
    times = in_turns({label: (process, label) for label in prepared}, seconds, failed)
    if failed:
        raise ContenderError(str(failed))
    return times


def compared(times, forms, peers, mode):
    """Medians of one mode, with the ratios to the products and to the fastest peer."""
    rows = {
        name: {"form": forms[name][mode], "seconds": spread(of), "to products": spread(np.divide(of, times[FLOOR]))}
        for name, of in times.items()
    }
    fastest = min(peers, key=lambda name: np.median(times[name]), default=None)
    ahead = fastest and spread(np.divide(times[fastest], times[OURS]))
    return {"contenders": rows, "fastest peer": fastest, "times faster than it": ahead}


def spread(numbers):
    """Median and quartiles."""
    lower, median, upper = np.percentile(numbers, (25, 50, 75)).tolist()
    return {"median": median, "lower quartile": lower, "upper quartile": upper}


def firing(record, kind, cases):
    """Our time by how often neurons fire, at the sizes at which something was promised.

    Where the cases are not the star or the grid, at theirs.
    """
    for case in fixed(kind, PROMISED[kind], cases):
        if record.has("firing", **case.as_dictionary()):
            continue
        prepared = {name: (name, case) for name in (FLOOR, *FIRING)}
        with Process("keras") as process:
            times = in_one_process(process, prepared, record.content["settings"]["seconds"])
            rates = {name: process.ask("spike_rates", label=name) for name in FIRING}
        rows = []
        for name in FIRING:
            ratios = {mode: spread(np.divide(times[mode][name], times[mode][FLOOR])) for mode in MODES}
            rows.append(case.as_dictionary() | {"contender": name, "spike rates": rates[name]} | ratios)
        record.add("firing", *rows)
        print(f"{case.name}: firing done")


def fresh(record, kind, cases):
    """First call and memory of every contender but the products, each in a process of its own.

    At fixed sizes; where the cases are not the star or the grid, at theirs. Ours once more where no machine code has
    been kept yet.
    """
    for case in fixed(kind, FRESH[kind], cases):
        for framework in frameworks(record.content["environment"]):
            with Process(framework) as process:
                of_kind = [name for name in names(process, kind) if name != FLOOR]
            with TemporaryDirectory() as folder:
                for name in of_kind:
                    if record.has("fresh", **case.as_dictionary(), contender=name):
                        continue
                    labels = [ANEW, OURS] if name == OURS else [name]
                    record.add("fresh", *(tried(framework, folder, name, label, case) for label in labels))


def fixed(kind, sizes, cases):
    """Cases at some sizes; those given where one of them is smaller than any of these, as for a trial."""
    own = [Case(kind, *size) for size in sizes]
    return own if set(cases) & set(own) else cases


def tried(framework, folder, name, label, case):
    """What a contender's first steps take, or why they failed; numba keeps its machine code in the folder."""
    with Process(framework, NUMBA_CACHE_DIR=folder) as process:
        try:
            told = process.ask("fresh", name=name, case=case.as_dictionary())
            print(f"{case.name}, {label}: first step after {told['first / s']:.1f} s, {told['peak / MiB']:.0f} MiB")
        except ContenderError as error:
            told = {"failed": str(error)}
            print(f"{case.name}, {label}: {error}")
    return {**case.as_dictionary(), "contender": label, **told}


def linearity(record, kind, cases, lines=LINES):
    """Time for a step of a path over longer paths, and over larger batches, relative to the first of each."""
    for line, sizes in lines.items():
        if record.has("linearity", kind=kind, line=line):
            continue
        own = [Case(kind, *size) for size in sizes]
        prepared = {case.name: (OURS, case) for case in own}
        with Process("keras") as process:
            times = in_one_process(process, prepared, record.content["settings"]["seconds"])
        rows = []
        for case in own:
            row = case.as_dictionary() | {"line": line}
            for mode in MODES:
                by_step = {each: np.divide(times[mode][each.name], each.steps * each.batch) for each in (case, own[0])}
                row[f"{mode}, µs a step of a path"] = float(np.median(by_step[case]) * 1e6)
                row[f"{mode}, relative"] = spread(by_step[case] / by_step[own[0]])
            rows.append(row)
        record.add("linearity", *rows)
        print(f"{kind}: linearity over {line} done")


def retracings(record, kind, cases):
    """How often a layer's Python code runs when a new batch size or length comes."""
    if not record.has("retracings", kind=kind):
        with Process("keras") as process:
            record.add(
                "retracings", *process.ask("retracings", kind=kind, units=min(c.units for c in cases), sizes=MET)
            )


PARTS = {"rounds": rounds, "firing": firing, "fresh": fresh, "linearity": linearity, "retracings": retracings}


if __name__ == "__main__":
    main()
