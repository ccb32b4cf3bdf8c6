"""Running a study: its cases one by one or in several processes, resumable, and its report at the end."""

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from kspike_reg.errors import InputError, require_whole
from kspike_reg.experiments.case import Case
from kspike_reg.experiments.configuration import Configuration
from kspike_reg.experiments.folder import claim
from kspike_reg.experiments.locking import locked
from kspike_reg.experiments.recipes import recipe as fields_of
from kspike_reg.experiments.report import write_report
from kspike_reg.experiments.studies import STUDIES
from kspike_reg.experiments.studies.study import Study
from kspike_reg.files import prepare_folder

__all__ = ["cases_of", "reproduce"]

POLL = 1.0  # seconds between two checks of the progress
PATIENCE = 10.0  # seconds for a process to end when it is asked to

# Receives the share of the work that is done, the number of finished cases and the number of known cases.
Watch = Callable[[float, int, int], None]


def reproduce(
    study: str,
    folder: str | Path,
    *,
    recipe: str | None = None,
    quick: bool = False,
    workers: int = 1,
    watch: Watch | None = None,
    **changes: Any,
) -> dict[str, Any]:
    """Run a study, or continue it, and write its tables, figures and report.

    Each case is a run of its own in `folder/cases`, see `run`, in a process of its own. A study that was stopped
    continues where its cases were. At the end it writes results.csv, results.json, report.md and the figures into
    `folder`. The folder is locked until the end, and the processes end with this one, even if it is killed.

    Args:
        study: a name in `STUDIES`.
        folder: a new folder, an empty one, or that of the same study with the same settings.
        recipe: how the networks are trained, a name in `RECIPES`; None takes the recipe of the study, mostly the
            paper's.
        quick: whether to run the short form of the study, which takes minutes on two cores.
        workers: number of processes that run cases at the same time.
        watch: called about once a second with the share of the work that is done, in [0, 1], the number of cases that
            are finished and the number of all cases known so far.
        **changes: fields of `Configuration` that all cases get, `epochs=100` for instance.

    Returns:
        The content of results.json.

    Raises:
        InputError: an unknown study or recipe, settings that do not fit, a folder that holds something else or that
            another process works in, or a case that failed; the other cases are finished first.
    """
    if study not in STUDIES:
        raise InputError(f"unknown study {study!r}; choose one of {', '.join(STUDIES)}")
    require_whole("reproduce", workers=workers)
    plan, folder = STUDIES[study], Path(folder)
    settings = {"recipe": recipe or plan.recipe, "quick": quick, "changes": changes}
    cases_of(plan, folder, settings, [])  # errors in the settings are found before anything is written
    with locked(prepare_folder(folder)):
        cases = []
        # The result of some cases may decide which ones come next.
        while len(planned := cases_of(plan, folder, settings, cases)) > len(cases):
            cases = planned
            for case in cases:  # before any work is spent, every folder is fit for its case
                claim(case.folder, case.configuration)
            _run_all(cases, workers, watch or (lambda *progress: None))
        return write_report(study, plan, folder, cases, settings)


def cases_of(study: Study, folder: Path, settings: Mapping[str, Any], finished: Sequence[Case]) -> list[Case]:
    """The cases of a study, as far as the finished ones determine them.

    Args:
        study: the `Study`.
        folder: of the study.
        settings: "recipe", "quick" and "changes", as in `reproduce`.
        finished: the cases that are complete, with their `name` and `metrics`.

    Returns:
        A list of `Case`, the finished ones included.

    Raises:
        InputError: an unknown recipe, or settings that do not fit.
    """
    cases = []
    for name, subject in study.cases({case.name: case.metrics for case in finished}, settings["quick"]).items():
        papers = Configuration(**(study.papers | subject))
        fields = study.papers | fields_of(settings["recipe"], papers.kind)
        fields |= study.modern if settings["recipe"] == "modern" else {}
        fields |= study.quick if settings["quick"] else {}
        # The subject of a case overrides all other settings.
        ours = Configuration(**(fields | settings["changes"] | subject))
        cases.append(Case(name, ours, papers, folder / "cases" / name))
    return cases


def _run_all(cases: Sequence[Case], workers: int, watch: Watch) -> None:
    """Run the cases that are not finished, the longest first, at most `workers` at a time."""
    whole = sum(case.cost for case in cases)
    pending = sorted((case for case in cases if case.done < 1), key=lambda case: case.cost)
    running, failures = [], []
    try:
        while pending or running:
            while pending and len(running) < workers:
                running.append(_Worker(pending.pop(), workers))
            time.sleep(POLL)
            done = [case.done for case in cases]
            share = sum(case.cost * part for case, part in zip(cases, done, strict=True)) / whole
            watch(share, done.count(1.0), len(cases))
            for worker in [worker for worker in running if worker.ended]:
                running.remove(worker)
                failures += filter(None, [worker.failure()])
    finally:
        for worker in running:
            worker.process.terminate()
        for worker in running:
            worker.stop()
    if failures:
        raise InputError("; ".join(failures))


class _Worker:
    """A process that runs one case.

    Args:
        case: the case.
        workers: number of processes that share the cores.
    """

    def __init__(self, case: Case, workers: int) -> None:
        self.case = case
        # The processes share the cores, whichever library computes.
        cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
        names = ("TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS", "OMP_NUM_THREADS")
        environment = os.environ | dict.fromkeys(names, str(max(1, cores // workers)))
        command = [sys.executable, "-m", "kspike_reg.experiments.worker", str(case.folder)]
        # A file, since a pipe that nobody reads would fill up.
        self.messages = tempfile.TemporaryFile()  # noqa: SIM115 (closed by `failure` or `stop`)
        # The pipe to its standard input ends with this process, however that ends; see `worker`.
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=self.messages, env=environment
        )

    @property
    def ended(self) -> bool:
        """Whether the process has ended."""
        return self.process.poll() is not None

    def stop(self) -> None:
        """Wait for a process that was asked to end, not for ever."""
        try:
            self.process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self._close()

    def _close(self) -> None:
        self.messages.close()
        self.process.stdin.close()

    def failure(self) -> str | None:
        """One line about the failure of a process that has ended; None if it succeeded."""
        self.messages.seek(0)
        lines = self.messages.read().decode(errors="replace").strip().splitlines() or ["it printed nothing"]
        self._close()
        if self.process.returncode == 0:
            return None
        return f"case {self.case.name} ended with exit status {self.process.returncode}: {lines[-1]}"
