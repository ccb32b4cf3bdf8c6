"""What the commands take: their options, by group, with the defaults told.

Kept free of Keras, so that the command line answers --help and bad arguments at once; the choices and defaults
repeated here are held to the package's by tests.
"""

import argparse

__all__ = [
    "CHOICES",
    "EXAMPLES",
    "Help",
    "Overview",
    "Parser",
    "describe_energy",
    "describe_evaluate",
    "describe_export",
    "describe_predict",
    "describe_reproduce",
    "describe_train",
]

CHOICES = {
    "task": ("elasticity", "ramberg-osgood", "hardening"),
    "family": ("ramp", "mirror", "cyclic"),
    "study": ("elasticity", "ramberg-osgood", "hardening-grid", "hardening-comparison", "cyclic", "width", "recipe"),
    "recipe": ("paper", "modern"),
    "schedule": ("constant", "cosine"),
    "loss_weighting": ("uniform", "relative"),
    "kind": ("lif", "rlif", "slstm", "dense", "rnn", "gru", "lstm"),
    "reset": ("subtract", "zero", "none"),
    "readout": ("membrane", "spikes"),
    "outside": ("warn", "raise", "ignore"),
    "simulator": ("nengo", "nengo-dl", "loihi"),
    "to": ("nengo", "nir", "loihi-report"),
    "form": ("trained", "exact", "unit_threshold", "unit_resistance"),
    "device": (
        "loihi", "loihi_davies2018", "v100_paper", "v100_fp16", "v100_fp32", "spinnaker", "spinnaker2", "cpu", "gpu",
        "arm", "cmos45_fp32", "cmos45_int8",
    ),
}  # fmt: skip
# What an energy table shows unless one says otherwise.
DEVICES = ("loihi", "loihi_davies2018", "v100_fp16", "v100_fp32", "cmos45_fp32")

# What one sees first, by way of `kspike-reg` alone.
EXAMPLES = """examples:
  a network for linear elasticity, in a minute:
    kspike-reg train --task elasticity --timesteps 5 --recipe modern --epochs 150 --out runs/elasticity
  a network for your own paths, one line of the file for each step, its columns chosen by name:
    kspike-reg train --data mine.csv --inputs strain --outputs stress --kind slstm --recipe modern --out runs/mine
    kspike-reg predict runs/mine/model.keras --input paths.csv --output stress.csv
  a trained network that comes with the package, by its name, and what it costs in energy:
    kspike-reg evaluate slstm-hardening --data mine.csv
    kspike-reg energy slstm-hardening --data mine.csv
  the way to other simulators and to chips:
    kspike-reg export rlif-ramberg-osgood --to nir --out model.nir

kspike-reg COMMAND --help lists the options of a command.
"""


class Help(argparse.ArgumentDefaultsHelpFormatter):
    """Shows defaults, where there are any."""

    def _get_help_string(self, action):
        return action.help if action.default in (None, (), False) else super()._get_help_string(action)


class Overview(argparse.RawDescriptionHelpFormatter):
    """Keeps the examples as they are written, and the commands in a column."""

    def __init__(self, prog):
        super().__init__(prog, max_help_position=16)
        self._action_max_length = 14  # argparse leaves the indent of the commands out of account


class Parser(argparse.ArgumentParser):
    """Says what is wrong in one line."""

    def error(self, message):
        self.exit(2, f"{self.prog}: error: {message}; see {self.prog} --help\n")


def describe_train(command):
    """Options of `kspike-reg train`."""
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
    recipe = "sets these options, and how decays and thresholds start, unless you do; shown are the paper's"
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


def describe_reproduce(command):
    """Options of `kspike-reg reproduce`."""
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


def describe_evaluate(command):
    """Options of `kspike-reg evaluate`."""
    command.add_argument("model", metavar="MODEL", help="a model.keras, or the name of a trained network")
    command.add_argument("--data", required=True, metavar="FILE", help="paths with inputs and outputs, .csv or .npz")
    _describe_columns(command, "inputs", "outputs")
    _describe_outside(command)
    text = "where to run the network in place of Keras; each wants its extra"
    command.add_argument("--simulator", choices=CHOICES["simulator"], help=text)


def describe_predict(command):
    """Options of `kspike-reg predict`."""
    command.add_argument("model", metavar="MODEL", help="a model.keras, or the name of a trained network")
    command.add_argument("--input", required=True, metavar="FILE", help="input paths, .csv or .npz")
    command.add_argument("--output", required=True, metavar="FILE", help="the CSV file to write")
    command.add_argument("--overwrite", action="store_true", help="replace the output file where it exists")
    command.add_argument("--spread", action="store_true", help="write how far the voters stand apart, NAME_spread, too")
    _describe_columns(command, "inputs")
    _describe_outside(command)


def describe_energy(command):
    """Options of `kspike-reg energy`."""
    command.add_argument("model", metavar="MODEL", help="a model.keras, or the name of a trained network")
    command.add_argument("--data", required=True, metavar="FILE", help="input paths, .csv or .npz; spikes need data")
    _describe_columns(command, "inputs")
    _describe_outside(command)
    add = command.add_argument
    add("--device", nargs="+", choices=CHOICES["device"], default=DEVICES, metavar="NAME", help="what to price it on")
    add("--device-file", nargs="+", default=(), metavar="FILE", help="devices of your own, JSON, beside these")
    add("--bits", type=int, default=32, help="width of a number in memory")
    add("--out", metavar="FOLDER", help="write the tables (JSON, CSV, Markdown, LaTeX) and a bar chart there")


def describe_export(command):
    """Options of `kspike-reg export`."""
    command.add_argument("model", metavar="MODEL", help="a model.keras, or the name of a trained network")
    text = "a Nengo script with its weights, a NIR file, or a report on Loihi's emulator"
    command.add_argument("--to", required=True, choices=CHOICES["to"], help=text)
    text = "the file to write: .py (the weights beside it as .npz), .nir, or .md (the numbers beside it as .json)"
    command.add_argument("--out", required=True, metavar="FILE", help=text)
    command.add_argument("--overwrite", action="store_true", help="replace files that exist")
    nir = command.add_argument_group("NIR")
    nir.add_argument("--form", choices=CHOICES["form"], default="trained", help="how neurons are written, for whom")
    loihi = command.add_argument_group("Loihi's report")
    loihi.add_argument("--data", metavar="FILE", help="paths of one length with inputs and outputs, .csv or .npz")
    _describe_columns(loihi, "inputs", "outputs")


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
