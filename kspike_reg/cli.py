"""The command line `kspike-reg`: the only place that prints.

Bad input ends in one line on standard error and exit status 2. Keras is imported only once the arguments are read.
"""

import argparse
import os
import sys
import tempfile
import warnings
from contextlib import contextmanager

from kspike_reg.errors import InputError, OutOfRangeWarning

__all__ = ["main"]

CHOICES = {
    "task": ("elasticity", "ramberg-osgood", "hardening"),
    "family": ("ramp", "mirror", "cyclic"),
    "study": ("elasticity", "ramberg-osgood", "hardening-grid", "hardening-comparison", "cyclic", "recipe"),
    "recipe": ("paper", "modern"),
    "schedule": ("constant", "cosine"),
    "loss_weighting": ("uniform", "relative"),
    "kind": ("lif", "rlif", "slstm", "dense", "rnn", "gru", "lstm"),
    "reset": ("subtract", "zero", "none"),
    "readout": ("membrane", "spikes"),
    "outside": ("warn", "raise", "ignore"),
}


def main(arguments=None):
    """Run the command; the exit status."""
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
                progress.update(task, completed=share)
                progress.reset(task, start=True, completed=share, total=1.0, shown="")
                progress.start()
            progress.update(task, completed=share, shown=f"{share:.1%}, {finished} of {cases} cases")

        settings = _settings(options) | {"recipe": recipe, "quick": options.quick, "workers": options.workers}
        results = reproduce(options.study, folder, watch=watch, **settings)
    print_study(results)
    print(f"wrote report.md, results.csv, results.json and the figures in {folder}")


def print_study(results):
    """Print the errors of a study's cases as a table."""
    from rich import box
    from rich.console import Console
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0), title=results["title"])
    table.add_column("errors on the test sets")
    for name in ("eq. 14, all steps", "last step", "pointwise, all", "RMSE / deviations", "minutes"):
        table.add_column(name, justify="right")
    for name, case in results["cases"].items():
        errors = case["test"]["errors"]["standardised"]
        columns = [
            errors["mean_relative_error"]["all"],
            errors["mean_relative_error"]["last"],
            errors["mean_pointwise_relative_error"]["all"],
            errors["root_mean_squared_error"]["all"],
        ]
        texts = ["undefined" if error is None else f"{error:.3e}" for error in columns]
        table.add_row(name, *texts, f"{case['training']['seconds'] / 60:.1f}")
    Console(highlight=False).print(table)


def _settings(options):
    """The fields of a `Configuration` that the command line names."""
    from dataclasses import fields

    from kspike_reg.experiments import Configuration

    names = {field.name for field in fields(Configuration)}
    given = {name: value for name, value in vars(options).items() if name in names}
    return {name: tuple(value) if isinstance(value, list) else value for name, value in given.items()}


def evaluate(options):
    """`kspike-reg evaluate`."""
    from kspike_reg import datasets, evaluation, saving, scaling

    model = saving.load(options.model)
    inputs, outputs = scaling.scaling_of(model)
    inputs, outputs = getattr(options, "inputs", inputs.names), getattr(options, "outputs", outputs.names)
    paths = datasets.read(options.data, inputs, outputs, **_order(options))
    with _warnings_in_one_line(options):
        test = evaluation.evaluate(model, paths, outside=options.outside)
    print_report(test, {})


def predict(options):
    """`kspike-reg predict`."""
    import numpy as np

    from kspike_reg import datasets, evaluation, files, saving, scaling

    if os.path.exists(options.output) and not options.overwrite:
        raise InputError(f"{options.output}: exists already; choose another name, or give --overwrite")
    model = saving.load(options.model)
    inputs, outputs = scaling.scaling_of(model)
    paths = datasets.read(options.input, getattr(options, "inputs", inputs.names), **_order(options))
    with _warnings_in_one_line(options):
        values = evaluation.predict(model, paths, outside=options.outside, return_spread=options.spread)
    names = outputs.names
    if options.spread:
        names, values = [*names, *(f"{name}_spread" for name in names)], np.concatenate(values, axis=-1)
    with files.replacing(options.output) as partial:
        datasets.write_csv(partial, paths, values, names, **_order(options))
    print(f"wrote {', '.join(names)} of {len(paths)} paths to {options.output}")


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
            table.add_row(label, *("undefined" if value is None else f"{value:.3e}" for value in values))
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


class _Help(argparse.ArgumentDefaultsHelpFormatter):
    """Shows defaults, where there are any."""

    def _get_help_string(self, action):
        return action.help if action.default in (None, ()) else super()._get_help_string(action)


class _Parser(argparse.ArgumentParser):
    """Says what is wrong in one line."""

    def error(self, message):
        self.exit(2, f"{self.prog}: error: {message}; see {self.prog} --help\n")


def _parser():
    description = "Regression with spiking neural networks on history-dependent data."
    parser = _Parser(prog="kspike-reg", description=description)
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND", parser_class=_Parser)
    for name, (function, text, describe) in COMMANDS.items():
        command = commands.add_parser(name, help=text, description=text, formatter_class=_Help)
        command.set_defaults(command=function, name=name)
        describe(command)
    return parser


def _describe_train(command):
    add = command.add_argument_group("data").add_mutually_exclusive_group(required=True).add_argument
    add("--task", choices=CHOICES["task"], help="a task of the paper")
    add("--data", metavar="FILE", help="your own paths, .csv (columns path, step, ...) or .npz")
    columns = command.add_argument_group("columns of --data")
    add = columns.add_argument
    add("--inputs", nargs="+", default=(), metavar="NAME", help="input quantities")
    add("--outputs", nargs="+", default=(), metavar="NAME", help="quantities to be learned")
    _describe_order(columns)
    shares = "shares of the paths for training, validation and test"
    add("--split", nargs=3, type=float, default=(0.7, 0.15, 0.15), metavar="SHARE", help=shares)
    add = _adder(command.add_argument_group("paths of --task"))
    add("--timesteps", "the paper's", "steps of a path", type=int)
    add("--family", "the paper's", "how the strain goes", choices=CHOICES["family"])
    add("--training-paths", "the paper's", "paths to learn from", type=int)
    _describe_network(command)
    _describe_training(command)
    command.add_argument("--tensorboard", action="store_true", help="log for TensorBoard in the run's folder")
    out = "folder for the run's files; a killed run goes on there"
    command.add_argument("--out", required=True, metavar="FOLDER", help=out)


def _describe_network(command):
    add = _adder(command.add_argument_group("network"))
    add("--kind", "lif", "neurons of the hidden layers", choices=CHOICES["kind"])
    add("--units", 128, "neurons in each hidden layer", type=int)
    add("--population", 128, "neurons that vote, a multiple of the outputs", type=int)
    add("--depth", 3, "hidden layers", type=int)
    add("--surrogate", "atan", "derivative of the spike")
    add("--reset", "subtract", "what a spike does to the membrane", choices=CHOICES["reset"])
    add("--readout", "membrane", "what the readout sees", choices=CHOICES["readout"])
    start = {"nargs": "+", "type": float, "metavar": "NUMBER"}
    add("--decay", "the paper's", "of the membranes at the start, a number or the ends of a draw", **start)
    add("--threshold", "the paper's", "of the neurons at the start, likewise", **start)
    add("--readout-decay", "the paper's", "of the readout at the start, likewise", **start)


def _describe_training(command):
    group = command.add_argument_group("training")
    recipe = "what the options below are unless you give them; the defaults shown are the paper's"
    group.add_argument("--recipe", choices=CHOICES["recipe"], default="paper", help=recipe)
    add = _adder(group)
    add("--epochs", 2000, "epochs in total", type=int)
    add("--batch-size", 1024, "paths in a step of the optimizer", type=int)
    add("--learning-rate", 0.001, "of AdamW", type=float)
    add("--weight-decay", 0.01, "of AdamW", type=float)
    add("--schedule", "constant", "of the learning rate", choices=CHOICES["schedule"])
    add("--warm-up", 0.0, "share of the training over which the learning rate rises", type=float)
    add("--clipping", None, "largest norm of the gradient", type=float)
    add("--loss-weighting", "uniform", "of the paths", choices=CHOICES["loss_weighting"])
    add("--last-step-weight", 1.0, "how many other steps the last one counts for", type=float)
    add("--early-stopping", None, "stop after so many epochs without a better validation loss", type=int)
    add("--seed", 0, "of data, initial weights and order of batches", type=int)


def _adder(group):
    """Adds options that are absent unless given, so that a recipe may set them; the help tells their defaults."""

    def add(flag, default, text, **options):
        help_text = text if default is None else f"{text} (default: {default})"
        group.add_argument(flag, default=argparse.SUPPRESS, help=help_text, **options)

    return add


def _describe_reproduce(command):
    command.add_argument("study", choices=CHOICES["study"], help="the first four are the paper's")
    command.add_argument("--quick", action="store_true", help="a short form, minutes on two cores")
    command.add_argument("--recipe", choices=CHOICES["recipe"], help="of the training (default: the study's own)")
    command.add_argument("--workers", type=int, default=1, help="cases to run at a time")
    command.add_argument("--out", metavar="FOLDER", help="folder for the study's files (default: in runs/)")
    add = _adder(command.add_argument_group("instead of the study's own settings, for all its cases"))
    add("--epochs", None, "epochs in total", type=int)
    add("--training-paths", None, "paths to learn from", type=int)
    add("--units", None, "neurons in each hidden layer", type=int)
    add("--population", None, "neurons that vote", type=int)
    add("--batch-size", None, "paths in a step of the optimizer", type=int)
    add("--seed", None, "of data, initial weights and order of batches", type=int)


def _describe_evaluate(command):
    command.add_argument("model", metavar="MODEL", help="a model.keras, or the name of a trained network")
    command.add_argument("--data", required=True, metavar="FILE", help="paths with inputs and outputs, .csv or .npz")
    _describe_columns(command, "inputs", "outputs")
    _describe_outside(command)


def _describe_predict(command):
    command.add_argument("model", metavar="MODEL", help="a model.keras, or the name of a trained network")
    command.add_argument("--input", required=True, metavar="FILE", help="input paths, .csv or .npz")
    command.add_argument("--output", required=True, metavar="FILE", help="the CSV file to write")
    command.add_argument("--overwrite", action="store_true", help="replace the output file where it exists")
    command.add_argument("--spread", action="store_true", help="write how far the voters stand apart, NAME_spread, too")
    _describe_columns(command, "inputs")
    _describe_outside(command)


def _describe_outside(command):
    text = "what to do where inputs leave the range that the network was trained on"
    command.add_argument("--outside", choices=CHOICES["outside"], default="warn", help=text)


def _describe_order(command):
    command.add_argument("--path-column", default="path", metavar="NAME", help="CSV column that tells the path")
    command.add_argument("--step-column", default="step", metavar="NAME", help="CSV column that orders its steps")


def _describe_columns(command, *sides):
    _describe_order(command)
    for side in sides:
        text = f"columns of the {side}, in the model's order (default: those it was trained on)"
        command.add_argument(f"--{side}", nargs="+", default=argparse.SUPPRESS, metavar="NAME", help=text)


COMMANDS = {
    "train": (train, "Train a network on a task of the paper or on your own paths.", _describe_train),
    "reproduce": (reproduce, "Run one of the studies: tables, figures, a report.", _describe_reproduce),
    "evaluate": (evaluate, "Errors and spike rates of a trained network on your own paths.", _describe_evaluate),
    "predict": (predict, "Predict the outputs of your own paths, in physical units.", _describe_predict),
}
