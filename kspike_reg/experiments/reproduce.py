"""Running a study: its cases one by one or on several processes, resumable, and its report in the end."""

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from kspike_reg.errors import InputError, require_whole
from kspike_reg.experiments.case import Case
from kspike_reg.experiments.configuration import Configuration
from kspike_reg.experiments.recipes import recipe as fields_of
from kspike_reg.experiments.report import write_report
from kspike_reg.experiments.run import claim
from kspike_reg.experiments.studies import STUDIES

__all__ = ["reproduce"]

GLANCE = 1.0  # seconds between two looks at how far the cases are


def reproduce(study, folder, *, recipe=None, quick=False, workers=1, watch=None, **changes):
    """Run a study, or go on with it, and write its tables, figures and report.

    Each case is a run of its own in `folder/cases`, see `run`, in a process of its own. A killed study goes on where
    its cases were. In the end `folder` takes results.csv, results.json, report.md and the figures.

    Args:
        study: a name in `STUDIES`.
        folder: a new folder, an empty one, or that of the same study with the same settings.
        recipe: a name in `RECIPES`, how the networks are trained; None takes the study's own, the paper's mostly.
        quick: whether to run the study's short form, minutes on two cores.
        workers: processes that run cases at a time.
        watch: called about once a second with the share of the work that is done, in [0, 1], the number of cases that
            are finished and that of all that are known of.
        **changes: fields of `Configuration` that all cases get, `epochs=100` for instance.

    Returns:
        The content of results.json.

    Raises:
        InputError: an unknown study, settings that do not fit, a folder that holds something else, or a case that
            failed; the other cases are finished first.
    """
    if study not in STUDIES:
        raise InputError(f"unknown study {study!r}; choose one of {', '.join(STUDIES)}")
    require_whole("reproduce", workers=workers)
    plan, folder = STUDIES[study], Path(folder)
    settings = {"recipe": recipe or plan.recipe, "quick": quick, "changes": changes}
    cases = []
    # The result of some cases may decide which ones come next.
    while len(planned := _cases(plan, folder, settings, cases)) > len(cases):
        cases = planned
        for case in cases:  # before any work is spent, every folder is fit for its case
            claim(case.folder, case.configuration)
        _run_all(cases, workers, watch or (lambda *progress: None))
    return write_report(study, plan, folder, cases, settings)


def _cases(plan, folder, settings, finished):
    """The cases of a study as far as those that are finished decide them."""
    cases = []
    for name, subject in plan.cases({case.name: case.metrics for case in finished}, settings["quick"]).items():
        papers = Configuration(**(plan.papers | subject))
        fields = plan.papers | fields_of(settings["recipe"], papers.kind)
        fields |= plan.modern if settings["recipe"] == "modern" else {}
        fields |= plan.quick if settings["quick"] else {}
        # What a case is about stays as it is, whatever else is set.
        ours = Configuration(**(fields | settings["changes"] | subject))
        cases.append(Case(name, ours, papers, folder / "cases" / name))
    return cases


def _run_all(cases, workers, watch):
    """Run what is not finished, the longest first, at most `workers` at a time."""
    whole = sum(case.cost for case in cases)
    pending = sorted((case for case in cases if case.done < 1), key=lambda case: case.cost)
    running, failures = [], []
    try:
        while pending or running:
            while pending and len(running) < workers:
                running.append(_Worker(pending.pop(), workers))
            time.sleep(GLANCE)
            done = [case.done for case in cases]
            share = sum(case.cost * part for case, part in zip(cases, done, strict=True)) / whole
            watch(share, done.count(1.0), len(cases))
            for worker in [worker for worker in running if worker.ended]:
                running.remove(worker)
                failures += filter(None, [worker.failure()])
    finally:
        for worker in running:
            worker.stop()
    if failures:
        raise InputError("; ".join(failures))


class _Worker:
    """A process that runs one case."""

    def __init__(self, case, workers):
        self.case = case
        # Let the processes share the cores, whichever library computes.
        cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
        names = ("TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS", "OMP_NUM_THREADS")
        environment = os.environ | dict.fromkeys(names, str(max(1, cores // workers)))
        command = [sys.executable, "-m", "kspike_reg.experiments.worker", str(case.folder)]
        # A file, since a pipe that nobody reads would fill up.
        self.said = tempfile.TemporaryFile()  # noqa: SIM115 (closed by `failure` or `stop`)
        self.process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=self.said, env=environment)

    @property
    def ended(self):
        return self.process.poll() is not None

    def stop(self):
        self.process.terminate()
        self.process.wait()
        self.said.close()

    def failure(self):
        """One line on what went wrong in a process that ended; None where nothing did."""
        with self.said:
            self.said.seek(0)
            lines = self.said.read().decode(errors="replace").strip().splitlines() or ["it said nothing"]
        if self.process.returncode == 0:
            return None
        return f"case {self.case.name} ended with exit status {self.process.returncode}: {lines[-1]}"
