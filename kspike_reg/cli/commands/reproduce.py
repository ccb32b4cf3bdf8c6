"""`kspike-reg reproduce`."""

import argparse

from kspike_reg.cli.command import Command
from kspike_reg.cli.display import print_study, progress_bar, warnings_at_once
from kspike_reg.cli.options import add_settings, settings_of

__all__ = ["COMMAND"]


def describe(command: argparse.ArgumentParser) -> None:
    """Add the options."""
    from kspike_reg.experiments.recipes import RECIPES
    from kspike_reg.experiments.studies import STUDIES

    command.add_argument("study", choices=tuple(STUDIES), help="the first four are the paper's")
    command.add_argument("--quick", action="store_true", help="run a short form, minutes on two cores")
    text = "recipe of the training (default: the study's own)"
    command.add_argument("--recipe", choices=tuple(RECIPES), help=text)
    command.add_argument("--workers", type=int, default=1, help="cases to run at a time")
    command.add_argument("--out", metavar="FOLDER", help="folder for the study's files (default: in runs/)")
    group = command.add_argument_group("instead of the study's own settings, for all its cases")
    texts = {
        "epochs": "epochs in total",
        "training_paths": "paths to train on",
        "units": "neurons in each hidden layer",
        "population": "neurons of the population, which are averaged",
        "batch_size": "paths in a step of the optimizer",
        "seed": "seed of the data, the initial weights and the order of batches",
    }
    add_settings(group, texts, type=int)


def run(options: argparse.Namespace) -> None:
    """Run a study, or continue it."""
    from kspike_reg.experiments import STUDIES, reproduce

    recipe = options.recipe or STUDIES[options.study].recipe
    words = ("runs/" + options.study, *[recipe] * (recipe != "paper"), *["quick"] * options.quick)
    folder = options.out or "-".join(words)
    with warnings_at_once(options.name), progress_bar("study") as (progress, task):

        def watch(share: float, finished: int, cases: int) -> None:
            if not progress.live.is_started:
                # The share that an earlier call finished must not count towards the speed of this one.
                progress.reset(task, start=True, completed=share, total=1.0, shown="")
                progress.start()
            progress.update(task, completed=share, shown=f"{share:.1%}, {finished} of {cases} cases")

        settings = settings_of(options) | {"recipe": recipe, "quick": options.quick, "workers": options.workers}
        results = reproduce(options.study, folder, watch=watch, **settings)
    print_study(results)
    print(f"wrote report.md, results.csv, results.json and the figures in {folder}")


COMMAND = Command("Run one of the studies: tables, figures, a report.", describe, run)
