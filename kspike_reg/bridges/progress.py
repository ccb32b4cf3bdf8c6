"""A progress bar that appears on long runs only."""

import sys
import time

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

__all__ = ["ProgressBar"]

# A run is long once it has taken this many seconds.
PATIENCE = 3.0


class ProgressBar:
    """Shows on standard error how many paths are done, once that takes long; gone when the run ends.

    Args:
        title: what is running.
        total: number of paths.
        show: whether to show it; None does so where standard error is a terminal.
    """

    def __init__(self, title, total, show=None):
        self.title, self.total = title, total
        self.show = sys.stderr.isatty() if show is None else show
        self._bar, self._start = None, time.monotonic()

    def __enter__(self):
        return self

    def __exit__(self, *reason):
        if self._bar is not None:
            self._bar.stop()

    def done(self, count):
        """Say that so many paths are done altogether."""
        if self._bar is None and self.show and time.monotonic() - self._start >= PATIENCE:
            columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()
            # Where it was asked for, it is drawn even if standard error is no terminal.
            self._bar = Progress(*columns, console=Console(stderr=True, force_terminal=True), transient=True)
            self._bar.add_task(self.title, total=self.total)
            self._bar.start()
        if self._bar is not None:
            self._bar.update(self._bar.task_ids[0], completed=count)
