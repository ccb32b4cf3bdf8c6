"""A progress bar that appears on long runs only."""

import sys
import time
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

__all__ = ["ProgressBar"]

# The bar appears after this many seconds.
PATIENCE = 3.0


class ProgressBar:
    """A context that shows on standard error how many paths are done; the bar disappears when the run ends.

    Args:
        title: name of the simulator.
        total: number of paths.
        show: whether to show the bar; None shows it if standard error is a terminal.
    """

    def __init__(self, title: str, total: int, show: bool | None = None) -> None:
        self.title, self.total = title, total
        self.show = sys.stderr.isatty() if show is None else show
        self._bar: Progress | None = None
        self._start = time.monotonic()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.stop()

    def done(self, count: int) -> None:
        """Show that `count` paths are done in total."""
        if self._bar is None and self.show and time.monotonic() - self._start >= PATIENCE:
            columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()
            # show=True draws it even if standard error is no terminal.
            self._bar = Progress(*columns, console=Console(stderr=True, force_terminal=True), transient=True)
            self._bar.add_task(self.title, total=self.total)
            self._bar.start()
        if self._bar is not None:
            self._bar.update(self._bar.task_ids[0], completed=count)
