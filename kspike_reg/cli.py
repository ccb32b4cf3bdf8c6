"""The command line `kspike-reg`: the only place that prints.

Bad input ends in one line on standard error and exit status 2. Keras is imported only once the arguments are read.
"""

import argparse
import os
import sys
import tempfile
from contextlib import contextmanager

from kspike_reg.errors import InputError

__all__ = ["main"]

CHOICES = {
    "task": ("elasticity",),
    "kind": ("lif", "rlif", "slstm", "dense", "rnn", "gru", "lstm"),
    "reset": ("subtract", "zero", "none"),
    "readout": ("membrane", "spikes"),
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
    from dataclasses import fields

    from kspike_reg.experiments import Configuration, is_complete, run

    names = {field.name for field in fields(Configuration)}
    given = {name: value for name, value in vars(options).items() if name in names}
    configuration = Configuration(**given)
    recorded = is_complete(options.out)
    with _progress(configuration.epochs) as progress:
        report = run(configuration, options.out, tensorboard=options.tensorboard, callbacks=[progress])
    print_report(report["test"], report["data"]["units"], untrained=report["untrained"])
    of_training = report["training"]
    print(
        f"{of_training['epochs']} epochs in {of_training['seconds']:.1f} s, best on validation data after "
        f"{of_training['best_epoch']}; seed {configuration.seed}; "
        f"{report['environment']['backend']} on {report['environment']['device']}"
    )
    done = "this run was complete, its results are shown as recorded:" if recorded else "wrote"
    print(f"{done} model.keras, metrics.json, history.csv, loss.png and predictions.png in {options.out}")


def evaluate(options):
    """`kspike-reg evaluate`."""
    from kspike_reg import datasets, evaluation, saving, scaling

    model = saving.load(options.model)
    inputs, outputs = scaling.scaling_of(model)
    inputs, outputs = getattr(options, "inputs", inputs.names), getattr(options, "outputs", outputs.names)
    paths = datasets.read(options.data, inputs, outputs, **_order(options))
    print_report(evaluation.evaluate(model, paths), {})


def predict(options):
    """`kspike-reg predict`."""
    from kspike_reg import datasets, evaluation, files, saving, scaling

    if os.path.exists(options.output) and not options.overwrite:
        raise InputError(f"{options.output}: exists already; choose another name, or give --overwrite")
    model = saving.load(options.model)
    inputs, outputs = scaling.scaling_of(model)
    paths = datasets.read(options.input, getattr(options, "inputs", inputs.names), **_order(options))
    prediction = evaluation.predict(model, paths)
    with files.replacing(options.output) as partial:
        datasets.write_csv(partial, paths, prediction, outputs.names, **_order(options))
    print(f"wrote {', '.join(outputs.names)} of {len(paths)} paths to {options.output}")


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
def _progress(epochs):
    """A Keras callback that shows a bar over the epochs, with the time left and the losses."""
    import keras
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    class Bar(keras.callbacks.Callback):
        def on_train_begin(self, logs=None):
            progress.start()

        def on_epoch_end(self, epoch, logs=None):
            losses = f"loss {logs['loss']:.2e}, validation {logs['val_loss']:.2e}"
            progress.update(task, completed=epoch + 1, losses=losses)

    progress = Progress(
        TextColumn("epoch"),
        MofNCompleteColumn(),
        BarColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[losses]}"),
        console=Console(stderr=True),
    )
    task = progress.add_task("training", total=epochs, losses="")
    try:
        yield Bar()
    finally:
        if progress.live.is_started:  # or else it prints an empty line
            progress.stop()


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
    command.add_argument("--timesteps", type=int, default=5, help="steps of the paths of --task")
    add = command.add_argument_group("network").add_argument
    add("--kind", choices=CHOICES["kind"], default="lif", help="neurons of the hidden layers")
    add("--units", type=int, default=128, help="neurons in each hidden layer")
    add("--population", type=int, default=128, help="neurons that vote, a multiple of the outputs")
    add("--depth", type=int, default=3, help="hidden layers")
    add("--surrogate", default="atan", help="derivative of the spike")
    add("--reset", choices=CHOICES["reset"], default="subtract", help="what a spike does to the membrane")
    add("--readout", choices=CHOICES["readout"], default="membrane", help="what the readout sees")
    add = command.add_argument_group("training").add_argument
    add("--epochs", type=int, default=2000, help="epochs in total")
    add("--batch-size", type=int, default=1024, help="paths in a step of the optimizer")
    add("--learning-rate", type=float, default=1e-3, help="of AdamW")
    patience = "stop after so many epochs without a better validation loss"
    add("--early-stopping", type=int, metavar="EPOCHS", help=patience)
    add("--seed", type=int, default=0, help="of data, initial weights and order of batches")
    add("--tensorboard", action="store_true", help="log for TensorBoard in the run's folder")
    out = "folder for the run's files; a killed run goes on there"
    command.add_argument("--out", required=True, metavar="FOLDER", help=out)


def _describe_evaluate(command):
    command.add_argument("model", metavar="MODEL", help="a model.keras")
    command.add_argument("--data", required=True, metavar="FILE", help="paths with inputs and outputs, .csv or .npz")
    _describe_columns(command, "inputs", "outputs")


def _describe_predict(command):
    command.add_argument("model", metavar="MODEL", help="a model.keras")
    command.add_argument("--input", required=True, metavar="FILE", help="input paths, .csv or .npz")
    command.add_argument("--output", required=True, metavar="FILE", help="the CSV file to write")
    command.add_argument("--overwrite", action="store_true", help="replace the output file where it exists")
    _describe_columns(command, "inputs")


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
    "evaluate": (evaluate, "Errors and spike rates of a trained network on your own paths.", _describe_evaluate),
    "predict": (predict, "Predict the outputs of your own paths, in physical units.", _describe_predict),
}
