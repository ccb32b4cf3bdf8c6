"""The parts of profiling/speed.py: each is a function (record, kind, cases) that adds rows to the record."""

import random
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from implementations.cases import CENTRE, GOAL_SIZES, SEED, Case, operations_of
from implementations.process import MODES, ImplementationError, Process
from numpy.typing import ArrayLike
from speed_record import PARTS, ROUNDS, Record

OURS, REFERENCE = "kspike_reg", "matmul"
EMPTY_CACHE = f"{OURS}, empty cache"
FIRING = (f"{OURS} silent", OURS, f"{OURS} busy")
# Fixed sizes of the parts other than the rounds: units, steps, batch.
FRESH = {
    "lif": [CENTRE, (128, 100, 1024)],
    "rlif": [CENTRE, (128, 100, 1024)],
    "slstm": [CENTRE, (128, 100, 256), (256, 100, 1024)],
}
LINES = {
    "steps": [(128, steps, 256) for steps in (20, 50, 100, 200)],
    "batch": [(128, 20, batch) for batch in (64, 256, 1024)],
}
RETRACED = [(20, 64), (20, 32), (20, 48), (50, 64), (100, 64), (30, 16)]  # steps, batch

# Seconds of every repetition by mode and label.
Times = dict[str, dict[str, list[float]]]


def rounds(record: Record, kind: str, cases: Sequence[Case]) -> None:
    """Time all implementations at all sizes, in alternation."""
    for case in cases:
        if not record.has("rounds", **case.as_dictionary()):
            with ExitStack() as stack:
                names = frameworks(record.content["environment"])
                processes = [stack.enter_context(Process(framework)) for framework in names]
                record.add("rounds", measured(case, processes, record.content["settings"]))


def measured(case: Case, processes: Sequence[Process], settings: Mapping[str, Any]) -> dict[str, Any]:
    """Time one case and return its row of the record."""
    print(f"{case.name}: ", end="", flush=True)
    homes, forms, failed = prepared(case, processes, settings["compiled"])
    times = alternating({name: (process, name) for name, process in homes.items()}, settings["seconds"], failed)
    for name in {REFERENCE, OURS} & failed.keys():
        raise ImplementationError(f"{case.name}, {name}: {failed[name]}")
    row = case.as_dictionary() | {"rounds": len(times[MODES[0]][REFERENCE]), "failed": failed}
    row["spike rates"] = homes[OURS].ask("spike_rates", label=OURS)
    peers = [name for name, process in homes.items() if process.framework == "torch" and name not in failed]
    for mode in MODES:
        row[mode] = {"GFLOP": operations_of(case)[mode] / 1e9, **compared(times[mode], forms, peers, mode)}
    ratio = row["training"]["implementations"][OURS]["relative to matmul"]["median"]
    print(f"{row['rounds']} rounds, training takes {ratio:.2f} times as long as its matrix products")
    return row


def prepared(
    case: Case, processes: Sequence[Process], compiled: bool
) -> tuple[dict[str, Process], dict[str, dict[str, str]], dict[str, str]]:
    """Prepare all implementations of a case.

    Returns:
        The process, the chosen form by mode, and the error message, each by name; the last for those that failed.
    """
    homes, forms, failed = {}, {}, {}
    for process in processes:
        for name in names_in(process, case.kind):
            try:
                forms[name] = process.ask("prepare", name=name, case=case.as_dictionary(), compiled=compiled)
                homes[name] = process
            except ImplementationError as error:
                failed[name] = str(error)
    return homes, forms, failed


def names_in(process: Process, kind: str) -> list[str]:
    """Names of a process's implementations; none if the process died."""
    try:
        return process.ask("names", kind=kind)
    except ImplementationError as error:
        print(f"({error}) ", end="", flush=True)
        return []


def frameworks(environment: Mapping[str, Any]) -> list[str]:
    """The processes to compare; PyTorch is left out if only Keras has an accelerator."""
    torch = environment.get("torch")
    on_accelerator = environment["device"].lower().startswith(("gpu", "cuda"))
    return ["keras", "torch"] if torch and (torch["device"] == "cuda") == on_accelerator else ["keras"]


def alternating(labels: Mapping[str, tuple[Process, str]], seconds: float, failed: dict[str, str]) -> Times:
    """Time prepared implementations in rounds, each in random order.

    Args:
        labels: for each label the process, and the label under which the process prepared it.
        seconds: no round starts later than this, except the first five.
        failed: dictionary that receives the error message of each label that fails.

    Returns:
        Seconds of every repetition by mode and label, without labels that failed.
    """
    times = {mode: {label: [] for label in labels} for mode in MODES}
    shuffle, deadline, turns = random.Random(SEED), time.perf_counter() + seconds, 0
    while turns < ROUNDS[0] or (turns < ROUNDS[1] and time.perf_counter() < deadline):
        order = [(mode, label) for mode in MODES for label in labels]
        shuffle.shuffle(order)
        for mode, label in order:
            if label in failed:
                continue
            process, name = labels[label]
            try:
                times[mode][label].append(process.ask("run", label=name, mode=mode))
            except ImplementationError as error:
                failed[label] = str(error)
        turns += 1
    return {mode: {label: of[label] for label in of if label not in failed} for mode, of in times.items()}


def in_one_process(process: Process, labels: Mapping[str, tuple[str, Case]], seconds: float) -> Times:
    """Prepare and time implementations of one process, none of which may fail.

    Args:
        process: the process.
        labels: for each label the name of an implementation and its case.
        seconds: as in `alternating`.

    Returns:
        Seconds of every repetition by mode and label.

    Raises:
        ImplementationError: one of them failed.
    """
    for label, (name, case) in labels.items():
        process.ask("prepare", name=name, case=case.as_dictionary(), label=label)
    failed = {}
    times = alternating({label: (process, label) for label in labels}, seconds, failed)
    if failed:
        raise ImplementationError(str(failed))
    return times


def compared(
    times: Mapping[str, Sequence[float]], forms: Mapping[str, Mapping[str, str]], peers: Sequence[str], mode: str
) -> dict[str, Any]:
    """Spreads of one mode: seconds, ratios to the matrix products, and the ratio of the fastest peer to ours."""
    rows = {
        name: {
            "form": forms[name][mode],
            "seconds": spread(of),
            "relative to matmul": spread(np.divide(of, times[REFERENCE])),
        }
        for name, of in times.items()
    }
    fastest = min(peers, key=lambda name: np.median(times[name]), default=None)
    ahead = fastest and spread(np.divide(times[fastest], times[OURS]))
    return {"implementations": rows, "fastest peer": fastest, "times faster than it": ahead}


def spread(numbers: ArrayLike) -> dict[str, float]:
    """Median and quartiles."""
    lower, median, upper = np.percentile(numbers, (25, 50, 75)).tolist()
    return {"median": median, "lower quartile": lower, "upper quartile": upper}


def firing(record: Record, kind: str, cases: Sequence[Case]) -> None:
    """Time our network for several spike rates, at the goal sizes; see `fixed`."""
    for case in fixed(kind, GOAL_SIZES[kind], cases):
        if record.has("firing", **case.as_dictionary()):
            continue
        labels = {name: (name, case) for name in (REFERENCE, *FIRING)}
        with Process("keras") as process:
            times = in_one_process(process, labels, record.content["settings"]["seconds"])
            rates = {name: process.ask("spike_rates", label=name) for name in FIRING}
        rows = []
        for name in FIRING:
            ratios = {mode: spread(np.divide(times[mode][name], times[mode][REFERENCE])) for mode in MODES}
            rows.append(case.as_dictionary() | {"implementation": name, "spike rates": rates[name]} | ratios)
        record.add("firing", *rows)
        print(f"{case.name}: firing done")


def fresh(record: Record, kind: str, cases: Sequence[Case]) -> None:
    """First call and memory of all implementations except the matrix products, each in a new process.

    The sizes are `FRESH`; see `fixed`. Ours is measured twice: with an empty and with a filled cache of machine code.
    """
    for case in fixed(kind, FRESH[kind], cases):
        for framework in frameworks(record.content["environment"]):
            with Process(framework) as process:
                names = [name for name in names_in(process, kind) if name != REFERENCE]
            with TemporaryDirectory() as folder:
                for name in names:
                    if record.has("fresh", **case.as_dictionary(), implementation=name):
                        continue
                    labels = [EMPTY_CACHE, OURS] if name == OURS else [name]
                    record.add("fresh", *(first_steps(framework, folder, name, label, case) for label in labels))


def fixed(kind: str, sizes: Sequence[tuple[int, int, int]], cases: Sequence[Case]) -> Sequence[Case]:
    """Cases of fixed sizes if the selected cases contain any of them, else the selected cases, as in a trial run."""
    own = [Case(kind, *size) for size in sizes]
    return own if set(cases) & set(own) else cases


def first_steps(framework: str, folder: str, name: str, label: str, case: Case) -> dict[str, Any]:
    """Time and memory of the first training steps, or the error; the folder is numba's cache of machine code."""
    with Process(framework, NUMBA_CACHE_DIR=folder) as process:
        try:
            found = process.ask("fresh", name=name, case=case.as_dictionary())
            print(f"{case.name}, {label}: first step after {found['first / s']:.1f} s, {found['peak / MiB']:.0f} MiB")
        except ImplementationError as error:
            found = {"failed": str(error)}
            print(f"{case.name}, {label}: {error}")
    return {**case.as_dictionary(), "implementation": label, **found}


def linearity(
    record: Record,
    kind: str,
    cases: Sequence[Case],
    lines: Mapping[str, Sequence[tuple[int, int, int]]] = LINES,
) -> None:
    """Time per step of a path for longer paths and for larger batches, relative to the first size of each line."""
    for line, sizes in lines.items():
        if record.has("linearity", kind=kind, line=line):
            continue
        own = [Case(kind, *size) for size in sizes]
        with Process("keras") as process:
            labels = {case.name: (OURS, case) for case in own}
            times = in_one_process(process, labels, record.content["settings"]["seconds"])
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


def retracings(record: Record, kind: str, cases: Sequence[Case]) -> None:
    """How often the Python code of a layer runs as batch size and length change."""
    if not record.has("retracings", kind=kind):
        units = min(case.units for case in cases)
        with Process("keras") as process:
            record.add("retracings", *process.ask("retracings", kind=kind, units=units, sizes=RETRACED))


MEASURE = dict(zip(PARTS, (rounds, firing, fresh, linearity, retracings), strict=True))
