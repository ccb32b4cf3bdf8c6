"""`kspike-reg train`."""

import argparse
from pathlib import Path

from kspike_reg.cli.command import Command
from kspike_reg.cli.data import refuse_inputs
from kspike_reg.cli.display import epoch_callback, print_report, progress_bar, warnings_at_once
from kspike_reg.cli.options import Group, add_order, add_setting, settings_of

__all__ = ["COMMAND"]


def describe(command: argparse.ArgumentParser) -> None:
    """Add the options."""
    _describe_data(command)
    _describe_network(command.add_argument_group("network"))
    _describe_training(command.add_argument_group("training"))
    command.add_argument("--tensorboard", action="store_true", help="log for TensorBoard in the run's folder")
    text = "folder for the run's files; a killed run continues there"
    command.add_argument("--out", required=True, metavar="FOLDER", help=text)


def _describe_data(command: argparse.ArgumentParser) -> None:
    from kspike_reg.datasets import FAMILIES, TASKS
    from kspike_reg.experiments.configuration import Configuration

    add = command.add_argument_group("data").add_mutually_exclusive_group(required=True).add_argument
    add("--task", choices=tuple(TASKS), help="a task of the package")
    add("--data", metavar="FILE", help="your own paths, .csv (columns path, step, ...) or .npz")
    columns = command.add_argument_group("columns of --data")
    add = columns.add_argument
    add("--inputs", nargs="+", default=Configuration.inputs, metavar="NAME", help="input quantities")
    add("--outputs", nargs="+", default=Configuration.outputs, metavar="NAME", help="quantities to learn")
    add_order(columns)
    text = "shares of the paths for training, validation and test"
    add("--split", nargs=3, type=float, default=Configuration.split, metavar="SHARE", help=text)
    paths = command.add_argument_group("paths of --task")
    own = {"unset": "the paper's"}
    add_setting(paths, "timesteps", "steps of a path", **own, type=int)
    add_setting(paths, "family", "family of the strain paths", **own, choices=tuple(FAMILIES))
    add_setting(paths, "training_paths", "paths to train on", **own, type=int)


def _describe_network(group: Group) -> None:
    from kspike_reg.network.kinds import BASELINES
    from kspike_reg.neurons.registry import OUTPUTS, RESETS, SPIKING

    add_setting(group, "kind", "neurons of the hidden layers", choices=(*SPIKING, *BASELINES))
    add_setting(group, "units", "neurons in each hidden layer", type=int)
    text = "neurons of the population, which are averaged; a multiple of the number of outputs"
    add_setting(group, "population", text, type=int)
    add_setting(group, "depth", "hidden layers", type=int)
    add_setting(group, "surrogate", "derivative of the spike")
    add_setting(group, "reset", "what a spike does to the membrane", choices=tuple(RESETS))
    add_setting(group, "readout", "what the last hidden layer passes to the readout", choices=tuple(OUTPUTS))
    start = {"unset": "the paper's", "nargs": "+", "type": float, "metavar": "NUMBER"}
    text = "initial decay of the membranes, a number or the two ends of a uniform draw"
    add_setting(group, "decay", text, **start)
    add_setting(group, "threshold", "initial threshold of the neurons, likewise", **start)
    add_setting(group, "readout_decay", "initial decay of the readout, likewise", **start)


def _describe_training(group: Group) -> None:
    from kspike_reg.experiments.configuration import LOSS_WEIGHTINGS, SCHEDULES
    from kspike_reg.experiments.recipes import RECIPES

    text = "sets the options that you leave out, initial decays and thresholds too; the defaults shown are the paper's"
    group.add_argument("--recipe", choices=tuple(RECIPES), default="paper", help=text)
    add_setting(group, "epochs", "epochs in total", type=int)
    add_setting(group, "batch_size", "paths in a step of the optimizer", type=int)
    add_setting(group, "learning_rate", "learning rate of AdamW", type=float)
    add_setting(group, "weight_decay", "weight decay of AdamW", type=float)
    add_setting(group, "schedule", "schedule of the learning rate", choices=tuple(SCHEDULES))
    text = "share of the training over which the learning rate rises"
    add_setting(group, "warm_up", text, type=float)
    add_setting(group, "clipping", "largest norm of the gradient", type=float)
    add_setting(group, "loss_weighting", "weighting of the paths in the loss", choices=tuple(LOSS_WEIGHTINGS))
    text = "weight of the last step in the loss, relative to any other step"
    add_setting(group, "last_step_weight", text, type=float)
    add_setting(group, "early_stopping", "stop after so many epochs without a better validation loss", type=int)
    add_setting(group, "seed", "seed of the data, the initial weights and the order of batches", type=int)


def run(options: argparse.Namespace) -> None:
    """Train a network, or report a run that is complete."""
    from kspike_reg.experiments import Configuration, is_complete, recipe, run
    from kspike_reg.experiments.folder import FILES

    settings = settings_of(options)
    configuration = Configuration(**(recipe(options.recipe, settings.get("kind", Configuration.kind)) | settings))
    refuse_inputs([Path(options.out) / name for name in FILES], [options.data])
    recorded = is_complete(options.out)
    with warnings_at_once(options.name), progress_bar("epoch") as (progress, task):
        bar = epoch_callback(progress, task, configuration.epochs)
        report = run(configuration, options.out, tensorboard=options.tensorboard, callbacks=[bar])
    print_report(report["test"], report["data"]["units"], untrained=report["untrained"])
    training, environment = report["training"], report["environment"]
    print(
        f"{training['epochs']} epochs in {training['seconds']:.1f} s, best on validation data after "
        f"{training['best_epoch']}; seed {configuration.seed}; {environment['backend']} on {environment['device']}"
    )
    done = "this run was already complete, its recorded results are shown:" if recorded else "wrote"
    print(f"{done} model.keras, card.md, metrics.json, history.csv, loss.png and predictions.png in {options.out}")


COMMAND = Command("Train a network on a task of the package or on your own paths.", describe, run)
