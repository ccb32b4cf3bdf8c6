"""What the user sees on the screen: tables, reports, progress, problems. Only this module and the commands print."""

import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from kspike_reg.errors import OutOfRangeWarning

if TYPE_CHECKING:
    import keras
    import pandas as pd
    from rich.console import Console
    from rich.progress import Progress, TaskID

__all__ = [
    "epoch_callback",
    "print_interruption",
    "print_problem",
    "print_report",
    "print_study",
    "print_table",
    "progress_bar",
    "warnings_at_once",
    "warnings_in_one_line",
]


def print_problem(command: str, kind: str, message: object) -> None:
    """Print an error or a warning in one line on standard error."""
    print(f"kspike-reg {command}: {kind}: {message}", file=sys.stderr)


def print_interruption(command: str, signal: str) -> None:
    """Print which signal interrupted a command, and how to continue."""
    continues = command in ("train", "reproduce")
    how = "; the same command continues after the last finished epoch" if continues else ""
    print(f"\nkspike-reg {command}: interrupted by {signal}{how}", file=sys.stderr)


@contextmanager
def warnings_at_once(command: str) -> Iterator[None]:
    """Print each warning about the folder of a run when it is raised, as errors are printed: a run takes long."""
    from kspike_reg.experiments.locking import UnlockedWarning
    from kspike_reg.training import ResumeWarning

    ours = (ResumeWarning, UnlockedWarning)
    with warnings.catch_warnings():
        for category in ours:
            warnings.simplefilter("always", category)
        others = warnings.showwarning

        def show(message: Warning | str, category: type[Warning], *place: Any, **options: Any) -> None:
            if issubclass(category, ours):
                print_problem(command, "warning", message)
            else:
                others(message, category, *place, **options)

        warnings.showwarning = show
        yield


@contextmanager
def warnings_in_one_line(command: str) -> Iterator[None]:
    """Print each warning of the block as errors are printed; after an error, print none."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", OutOfRangeWarning)
        yield
    for warning in caught:
        print_problem(command, "warning", warning.message)


def _console() -> "Console":
    """Standard output, in which names are no markup, and whose errors reach the entry point."""
    from rich.console import Console

    class Strict(Console):
        def on_broken_pipe(self) -> None:
            raise BrokenPipeError

    return Strict(highlight=False, markup=False, emoji=False)


def print_table(title: str, table: "pd.DataFrame") -> None:
    """Print a table, numbers to the right."""
    from rich import box
    from rich.table import Table

    from kspike_reg.tables import is_number, text_of

    shown = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0), title=title, title_justify="left")
    needed = 0
    for name in table.columns:
        # Headers may be broken between words and inside long ones; cells may not.
        header = " ".join(word.replace("-", "- ") if len(word) > 12 else word for word in name.split())
        width = max(map(len, [*map(text_of, table[name]), *header.split()]))
        needed += width + 1
        shown.add_column(header, justify="right" if all(map(is_number, table[name])) else "left", min_width=width)
    for row in table.itertuples(index=False):
        shown.add_row(*map(text_of, row))
    console = _console()
    console.print(shown, width=max(needed, console.width), crop=False)


def print_report(test: dict[str, Any], units: dict[str, str], untrained: dict[str, Any] | None = None) -> None:
    """Print an evaluation as a table.

    Args:
        test: the result of `evaluation.evaluate`.
        units: unit of each quantity by its name, for the heading of the errors in physical units.
        untrained: the result for the untrained network, shown next to it; None shows none.
    """
    from rich import box
    from rich.table import Table

    from kspike_reg.evaluation import error_text

    console = _console()
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0))
    table.add_column("error on the test set" if untrained else "error", min_width=29)
    results = {"": test, "untrained, ": untrained} if untrained else {"": test}
    columns = [(prefix, result, steps) for prefix, result in results.items() for steps in ("all", "last")]
    for prefix, _, steps in columns:
        table.add_column(
            f"{prefix}{steps} steps" if steps == "all" else f"{prefix}last step", justify="right", max_width=10
        )
    for heading, errors_of, metrics in _error_sections(test, units):
        table.add_row(heading, style="italic")
        for metric in metrics:
            values = [errors_of(result)[metric][steps] for _, result, steps in columns]
            label = metric.replace("_", " ") + (", eq. 14" if metric == "mean_relative_error" else "")
            table.add_row(label, *map(error_text, values))
        table.add_section()
    console.print(table)
    for layer, rate in test["spike_rates"].items():
        console.print(f"{layer}: " + ("no rate" if rate is None else f"{rate:.3f} spikes per neuron and step"))
    console.print(f"{test['parameters']} parameters")


def _error_sections(test: dict[str, Any], units: dict[str, str]) -> Iterator[tuple[str, Callable[..., Any], list[str]]]:
    """Heading, how to find its errors in a result, and metrics: standardised errors, then those of each output.

    Outputs may have different units, so errors in physical units are those of one output.
    """
    yield "on standardised data:", lambda result: result["errors"]["standardised"], list(test["errors"]["standardised"])
    metrics = list(test["errors"]["physical"])
    if "errors_by_output" not in test:
        unit = " and ".join(sorted(set(units.values()))) or "the data's own units"
        yield f"in {unit}:", lambda result: result["errors"]["physical"], metrics
    for name in test.get("errors_by_output", ()):
        heading = f"{name} in {units.get(name, 'its own unit')}:"
        yield heading, lambda result, name=name: result["errors_by_output"][name]["physical"], metrics


def print_study(results: dict[str, Any]) -> None:
    """Print the errors of a study's cases as a table.

    Args:
        results: the content of its results.json.
    """
    import pandas as pd

    rows = []
    for name, case in results["cases"].items():
        errors = case["test"]["errors"]["standardised"]
        rows.append(
            {
                "errors on the test sets": name,
                "eq. 14, all steps": errors["mean_relative_error"]["all"],
                "last step": errors["mean_relative_error"]["last"],
                "pointwise, all": errors["mean_pointwise_relative_error"]["all"],
                "RMSE / deviations": errors["root_mean_squared_error"]["all"],
                "minutes": case["training"]["seconds"] / 60,
            }
        )
    print_table(results["title"], pd.DataFrame(rows))


@contextmanager
def progress_bar(title: str) -> Iterator[tuple["Progress", "TaskID"]]:
    """A progress bar on standard error with the remaining time.

    It appears when its `start` is called. The task's field `shown` is the text at its end.

    Args:
        title: what is counted, the text at its start.

    Yields:
        The bar and its only task, whose total is 1.
    """
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn(title), BarColumn(), TimeRemainingColumn(), TextColumn("{task.fields[shown]}"))
    # An epoch can take a minute, and the next case can be another kind of network.
    progress = Progress(*columns, console=Console(stderr=True), speed_estimate_period=600)
    try:
        yield progress, progress.add_task(title, total=1.0, shown="")
    finally:
        if progress.live.is_started:  # otherwise `stop` prints an empty line
            progress.stop()


def epoch_callback(progress: "Progress", task: "TaskID", epochs: int) -> "keras.callbacks.Callback":
    """A Keras callback that moves a progress bar, and shows the losses at its end.

    Args:
        progress, task: see `progress_bar`.
        epochs: of the whole training.
    """
    import keras

    class Bar(keras.callbacks.Callback):
        def on_train_begin(self, logs=None):
            progress.start()

        def on_epoch_end(self, epoch, logs=None):
            losses = f"{epoch + 1}/{epochs}, loss {logs['loss']:.2e}, validation {logs['val_loss']:.2e}"
            progress.update(task, completed=(epoch + 1) / epochs, shown=losses)

    return Bar()
