"""The command line `kspike-reg`: the only place that prints.

Bad input ends in one line on standard error and exit status 2. Keras is imported only once the arguments are read.
"""

import os
import sys
import tempfile
import warnings
from contextlib import contextmanager
from pathlib import Path

import kspike_reg
from kspike_reg.cli.arguments import (
    EXAMPLES,
    Help,
    Overview,
    Parser,
    describe_energy,
    describe_evaluate,
    describe_export,
    describe_predict,
    describe_reproduce,
    describe_train,
)
from kspike_reg.errors import InputError, OutOfRangeWarning

__all__ = ["main"]


def main(arguments=None):
    """Run the command; the exit status. Without arguments it shows what there is to do."""
    arguments = sys.argv[1:] if arguments is None else arguments
    if not arguments:
        _parser().print_help()
        return 0
    options = _parser().parse_args(arguments)
    try:
        with _quiet_start():
            import keras

            import kspike_reg.experiments  # noqa: F401  (all that the commands need)

            keras.ops.zeros(1)  # looks for devices, and complains of those that are not there
        options.command(options)
    except InputError as error:
        print(f"kspike-reg {options.name}: error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("\nkspike-reg: interrupted; the same command goes on from the last finished epoch", file=sys.stderr)
        return 130
    return 0


def train(options):
    """`kspike-reg train`."""
    from kspike_reg.experiments import Configuration, is_complete, recipe, run

    given = _settings(options)
    configuration = Configuration(**(recipe(options.recipe, given.get("kind", Configuration.kind)) | given))
    recorded = is_complete(options.out)
    with _progress("epoch") as (progress, task):
        bar = _epochs(progress, task, configuration.epochs)
        report = run(configuration, options.out, tensorboard=options.tensorboard, callbacks=[bar])
    print_report(report["test"], report["data"]["units"], untrained=report["untrained"])
    of_training = report["training"]
    print(
        f"{of_training['epochs']} epochs in {of_training['seconds']:.1f} s, best on validation data after "
        f"{of_training['best_epoch']}; seed {configuration.seed}; "
        f"{report['environment']['backend']} on {report['environment']['device']}"
    )
    done = "this run was complete, its results are shown as recorded:" if recorded else "wrote"
    print(f"{done} model.keras, card.md, metrics.json, history.csv, loss.png and predictions.png in {options.out}")


def reproduce(options):
    """`kspike-reg reproduce`."""
    from kspike_reg.experiments import STUDIES, reproduce

    recipe = options.recipe or STUDIES[options.study].recipe
    words = ("runs/" + options.study, *[recipe] * (recipe != "paper"), *["quick"] * options.quick)
    folder = options.out or "-".join(words)
    with _progress("study") as (progress, task):

        def watch(share, finished, cases):
            if not progress.live.is_started:
                # What an earlier call did says nothing about the speed of this one.
                progress.reset(task, start=True, completed=share, total=1.0, shown="")
                progress.start()
            progress.update(task, completed=share, shown=f"{share:.1%}, {finished} of {cases} cases")

        settings = _settings(options) | {"recipe": recipe, "quick": options.quick, "workers": options.workers}
        results = reproduce(options.study, folder, watch=watch, **settings)
    print_study(results)
    print(f"wrote report.md, results.csv, results.json and the figures in {folder}")


def print_study(results):
    """Print the errors of a study's cases as a table."""
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


def _settings(options):
    """The fields of a `Configuration` that the command line names."""
    from dataclasses import fields

    from kspike_reg.experiments import Configuration

    names = {field.name for field in fields(Configuration)}
    return {name: value for name, value in vars(options).items() if name in names}


def evaluate(options):
    """`kspike-reg evaluate`."""
    from kspike_reg import evaluation
    from kspike_reg.network import saving

    model = saving.load(options.model)
    paths = _with_targets(model, options)
    with _warnings_in_one_line(options):
        test = evaluation.evaluate(model, paths, outside=options.outside, simulate=_simulate(options.simulator))
    print_report(test, {})


def _with_targets(model, options):
    """The paths of --data with the inputs and outputs that the options name, or else the model's own."""
    from kspike_reg import datasets
    from kspike_reg.network import physical

    inputs, outputs = (layer.names for layer in physical.scaling_of(model))
    names = getattr(options, "inputs", inputs), getattr(options, "outputs", outputs)
    return datasets.read(options.data, *names, **_order(options))


def _simulate(simulator):
    """How `evaluate` runs a model elsewhere; None for Keras."""
    if simulator is None:
        return None
    from kspike_reg.bridges import simulate

    return lambda model, paths: simulate(model, paths, simulator=simulator)


def predict(options):
    """`kspike-reg predict`."""
    import numpy as np

    from kspike_reg import datasets, evaluation, files
    from kspike_reg.network import physical, saving

    if os.path.exists(options.output) and not options.overwrite:
        raise InputError(f"{options.output}: exists already; choose another name, or give --overwrite")
    model = saving.load(options.model)
    inputs, outputs = physical.scaling_of(model)
    paths = datasets.read(options.input, getattr(options, "inputs", inputs.names), **_order(options))
    with _warnings_in_one_line(options):
        values = evaluation.predict(model, paths, outside=options.outside, return_spread=options.spread)
    names = outputs.names
    if options.spread:
        names, values = [*names, *(f"{name}_spread" for name in names)], np.concatenate(values, axis=-1)
    with files.replacing(options.output) as partial:
        datasets.write_csv(partial, paths, values, names, **_order(options))
    print(f"wrote {', '.join(names)} of {len(paths)} paths to {options.output}")


def energy(options):
    """`kspike-reg energy`."""
    from kspike_reg import datasets, evaluation, files
    from kspike_reg.energy import device_named, profile, read_device
    from kspike_reg.energy.frames import tables_of
    from kspike_reg.energy.output import write_report
    from kspike_reg.network import physical, saving

    devices = [*map(device_named, options.device), *map(read_device, options.device_file)]
    named = [device.name for device in devices]
    twice = [name for name in named if named.count(name) > 1]
    if twice:
        raise InputError(f"two devices are called {twice[0]!r}; tables tell them apart by their names, so rename one")
    model = saving.load(options.model)
    names = getattr(options, "inputs", physical.scaling_of(model)[0].names)
    paths = datasets.read(options.data, names, **_order(options))
    with _warnings_in_one_line(options):
        evaluation.check_paths(model, paths, options.outside)
        report = profile(model, paths, bits=options.bits)
        if options.out:  # before anything is printed, but not for data that are refused
            files.prepare_folder(options.out)
    for title, table in tables_of(report, devices).values():
        print_table(title, table)
    if options.out:
        write_report(report, devices, options.out)
        print(f"wrote energy.json, the tables as .csv, .md and .tex, and layers.png in {options.out}")


def export(options):
    """`kspike-reg export`."""
    from kspike_reg.network import saving

    write, suffixes = EXPORTS[options.to]
    out = Path(options.out)
    if out.suffix != suffixes[0]:
        raise InputError(f"{out}: expected a name that ends in {suffixes[0]} for --to {options.to}")
    files = [out.with_suffix(suffix) for suffix in suffixes]
    for file in files:
        if file.exists() and not options.overwrite:
            raise InputError(f"{file}: exists already; choose another name, or give --overwrite")
    write(saving.load(options.model), out, options)
    print(f"wrote {' and '.join(map(str, files))}")


def _export_nengo(model, out, options):
    from kspike_reg.bridges import export_nengo

    export_nengo(model, out)


def _export_nir(model, out, options):
    from kspike_reg.bridges import write_nir

    unsaid = write_nir(model, out, form=options.form).metadata["unsaid"]
    if unsaid:
        print(f"in the file's metadata alone, so that other readers do not see it: {unsaid}")
        print("--form exact writes it out in NIR's own primitives")


def _export_loihi_report(model, out, options):
    from kspike_reg.bridges import loihi_report
    from kspike_reg.files import replacing, write_json

    if options.data is None:
        raise InputError("--to loihi-report runs the network: give paths with inputs and outputs by --data")
    report = loihi_report(model, _with_targets(model, options))
    with replacing(out) as partial:
        partial.write_text(report.to_markdown(), encoding="utf-8")
    write_json(out.with_suffix(".json"), report.to_dict())
    print(report.to_markdown())


# By what to export to: the function, and the suffixes of the files that it writes.
EXPORTS = {
    "nengo": (_export_nengo, (".py", ".npz")),
    "nir": (_export_nir, (".nir",)),
    "loihi-report": (_export_loihi_report, (".md", ".json")),
}


def print_table(title, table):
    """Print a pandas table, numbers to the right."""
    from rich import box
    from rich.console import Console
    from rich.table import Table

    from kspike_reg.tables import is_number, text_of

    shown = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0), title=title, title_justify="left")
    needed = 0
    for name in table.columns:
        # Headers may be broken, between words and in long ones; cells may not.
        header = " ".join(word.replace("-", "- ") if len(word) > 12 else word for word in name.split())
        width = max(map(len, [*map(text_of, table[name]), *header.split()]))
        needed += width + 1
        shown.add_column(header, justify="right" if all(map(is_number, table[name])) else "left", min_width=width)
    for row in table.itertuples(index=False):
        shown.add_row(*map(text_of, row))
    console = Console(highlight=False)
    console.print(shown, width=max(needed, console.width), crop=False)


@contextmanager
def _warnings_in_one_line(options):
    """Show each warning as errors are shown; where there is an error, that alone."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", OutOfRangeWarning)
        yield
    for warning in caught:
        print(f"kspike-reg {options.name}: warning: {warning.message}", file=sys.stderr)


def _order(options):
    return {"path_column": options.path_column, "step_column": options.step_column}


def print_report(test, units, untrained=None):
    """Print an evaluation as a table, beside that of the untrained network where there is one."""
    from rich import box
    from rich.console import Console
    from rich.table import Table

    from kspike_reg.evaluation import error_text

    console = Console(highlight=False)
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0))
    table.add_column("error on the test set" if untrained else "error", min_width=29)
    results = {"": test, "untrained, ": untrained} if untrained else {"": test}
    columns = [(of, result, steps) for of, result in results.items() for steps in ("all", "last")]
    for of, _, steps in columns:
        table.add_column(f"{of}{steps} steps" if steps == "all" else f"{of}last step", justify="right", max_width=10)
    unit = " and ".join(sorted(set(units.values()))) or "the data's own units"
    for space, metrics in test["errors"].items():
        table.add_row("on standardised data:" if space == "standardised" else f"in {unit}:", style="italic")
        for metric in metrics:
            values = [result["errors"][space][metric][steps] for _, result, steps in columns]
            label = metric.replace("_", " ") + (", eq. 14" if metric == "mean_relative_error" else "")
            table.add_row(label, *map(error_text, values))
        table.add_section()
    console.print(table)
    for layer, rate in test["spike_rates"].items():
        console.print(f"{layer}: {rate:.3f} spikes per neuron and step")
    console.print(f"{test['parameters']} parameters")


@contextmanager
def _progress(what):
    """A bar on standard error, with the time left, that a task's field `shown` ends; it starts when it is told to."""
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn(what), BarColumn(), TimeRemainingColumn(), TextColumn("{task.fields[shown]}"))
    # An epoch may take a minute, and the next case may be another kind of network.
    progress = Progress(*columns, console=Console(stderr=True), speed_estimate_period=600)
    try:
        yield progress, progress.add_task(what, total=1.0, shown="")
    finally:
        if progress.live.is_started:  # or else it prints an empty line
            progress.stop()


def _epochs(progress, task, epochs):
    """A Keras callback that moves the bar."""
    import keras

    class Bar(keras.callbacks.Callback):
        def on_train_begin(self, logs=None):
            progress.start()

        def on_epoch_end(self, epoch, logs=None):
            losses = f"{epoch + 1}/{epochs}, loss {logs['loss']:.2e}, validation {logs['val_loss']:.2e}"
            progress.update(task, completed=(epoch + 1) / epochs, shown=losses)

    return Bar()


@contextmanager
def _quiet_start():
    """Hold back what TensorFlow's libraries write to standard error while they load, unless loading fails."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    sys.stderr.flush()
    kept = os.dup(2)
    with tempfile.TemporaryFile() as said:
        os.dup2(said.fileno(), 2)
        try:
            yield
        except BaseException:
            said.seek(0)
            os.write(kept, said.read())
            raise
        finally:
            os.dup2(kept, 2)
            os.close(kept)


def _parser():
    description = "Regression with spiking neural networks on history-dependent data."
    parser = Parser(prog="kspike-reg", description=description, epilog=EXAMPLES, formatter_class=Overview)
    parser.add_argument("--version", action="version", version=f"kspike_reg {kspike_reg.__version__}")
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND", parser_class=Parser)
    for name, (function, text, describe) in COMMANDS.items():
        command = commands.add_parser(name, help=text, description=text, formatter_class=Help)
        command.set_defaults(command=function, name=name)
        describe(command)
    return parser


COMMANDS = {
    "train": (train, "Train a network on a task of the paper or on your own paths.", describe_train),
    "reproduce": (reproduce, "Run one of the studies: tables, figures, a report.", describe_reproduce),
    "evaluate": (evaluate, "Errors and spike rates of a trained network on your own paths.", describe_evaluate),
    "predict": (predict, "Predict the outputs of your own paths, in physical units.", describe_predict),
    "energy": (energy, "Count the operations of a network on your own paths, and price them.", describe_energy),
    "export": (export, "Take a network elsewhere: Nengo, NIR, Loihi's emulator.", describe_export),
}
