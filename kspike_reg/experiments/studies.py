"""The studies: which cases each one has, what the paper reports for them, and the figures it shows."""

from collections.abc import Callable
from dataclasses import dataclass, field

from kspike_reg.experiments import figures
from kspike_reg.experiments.recipes import recipe

__all__ = ["STUDIES", "Study"]


@dataclass(frozen=True)
class Study:
    """A set of runs that belong together.

    Args:
        title: for the report.
        cases: a function (finished, quick) that returns what each case is about, fields of a `Configuration` by the
            name of the case; `finished` holds the metrics of the cases that are done.
        papers: fields that the paper gives to all cases.
        modern: fields that all cases get under the modern recipe, beyond the recipe's own.
        quick: fields that all cases get in the short form.
        reported: the paper's errors, eq. 14, by case, (all steps, last step); None where it gives none.
        figures: a function of the finished cases that returns axes by file name.
        recipe: how the networks are trained unless one says otherwise.
    """

    title: str
    cases: Callable
    papers: dict
    modern: dict
    quick: dict
    figures: Callable
    reported: dict = field(default_factory=dict)
    recipe: str = "paper"


def _steps(finished, quick):
    return {f"{steps}_steps": {"timesteps": steps} for steps in (2, 5, 10, 20, 50, 100)}


def _single(finished, quick):
    return {"rlif": {}}


def _grid(finished, quick):
    widths = (8, 16, 32) if quick else (16, 32, 64, 128, 256)
    populations = (8, 32) if quick else widths
    return {
        f"{units}_units_{population}_voters": {"units": units, "population": population}
        for units in widths
        for population in populations
    }


def _comparison(finished, quick):
    return {"slstm": {"kind": "slstm"}, "lstm": {"kind": "lstm"}}


# Widths at which networks of three hidden layers and 16 voters have about as many parameters as an SLSTM of 32.
EQUAL_WIDTHS = {"slstm": 32, "lstm": 32, "gru": 37, "rnn": 62}
LEARNING_RATES = (2e-3, 5e-3, 1e-2)
SEEDS = (0, 1, 2, 3, 4)


def _cyclic(finished, quick):
    """Every learning rate with the first seed; then the rate that is best on validation data with the others."""
    seeds = SEEDS[:2] if quick else SEEDS
    cases = {
        _cyclic_name(kind, rate, seeds[0]): {"kind": kind, "units": units, "learning_rate": rate, "seed": seeds[0]}
        for kind, units in EQUAL_WIDTHS.items()
        for rate in LEARNING_RATES
    }
    if not cases.keys() <= finished.keys():
        return cases
    for kind, units in EQUAL_WIDTHS.items():
        error = {rate: _validation_error(finished[_cyclic_name(kind, rate, seeds[0])]) for rate in LEARNING_RATES}
        best = min(error, key=error.get)
        for seed in seeds[1:]:
            fields = {"kind": kind, "units": units, "learning_rate": best, "seed": seed}
            cases[_cyclic_name(kind, best, seed)] = fields
    return cases


def _cyclic_name(kind, rate, seed):
    return f"{kind}_rate_{rate:g}_seed_{seed}"


def _validation_error(metrics):
    return metrics["validation"]["errors"]["standardised"]["root_mean_squared_error"]["all"]


TASK_OF = {
    "lif": {"kind": "lif", "task": "elasticity", "epochs": 100},
    "rlif": {"kind": "rlif", "task": "ramberg-osgood", "epochs": 40},
    "slstm": {
        "kind": "slstm", "task": "hardening", "training_paths": 1024, "units": 32, "population": 32, "epochs": 24
    },
}  # fmt: skip

# What of the modern recipe is taken back to the paper's setting, or tried at another.
INGREDIENTS = {
    "learning_rate_halved": lambda fields: {"learning_rate": fields["learning_rate"] / 2},
    "learning_rate_doubled": lambda fields: {"learning_rate": fields["learning_rate"] * 2},
    "papers_learning_rate": lambda fields: {"learning_rate": 1e-3},
    "constant_rate": lambda fields: {"schedule": "constant"},
    "no_warm_up": lambda fields: {"warm_up": 0.0},
    "no_clipping": lambda fields: {"clipping": None},
    "batch_256": lambda fields: {"batch_size": 256},
    "batch_1024": lambda fields: {"batch_size": 1024},
    "no_weight_decay": lambda fields: {"weight_decay": 0.0},
    "papers_readout_decay": lambda fields: {"readout_decay": None},
    "papers_threshold": lambda fields: {"threshold": None},
    "threshold_0.1_to_0.5": lambda fields: {"threshold": (0.1, 0.5)},
    "decay_0_to_1": lambda fields: {"decay": (0.0, 1.0)},
    "relative_loss": lambda fields: {"loss_weighting": "relative"},
    "last_step_10": lambda fields: {"last_step_weight": 10.0},
}


def _recipe(finished, quick):
    cases = {}
    for kind, fields in TASK_OF.items():
        modern = recipe("modern", kind)
        cases[f"{kind}_paper"] = fields
        cases[f"{kind}_modern"] = fields | modern
        for name, change in INGREDIENTS.items():
            changed = modern | change(modern)
            # What is no change, or means nothing for these neurons, is no case.
            if changed != modern and not (kind == "slstm" and "decay" in change(modern)):
                cases[f"{kind}_{name}"] = fields | changed
    return cases


HARDENING = {"task": "hardening", "kind": "slstm", "family": "mirror", "timesteps": 100}

STUDIES = {
    "elasticity": Study(
        title="Linear elasticity with LIF neurons: the error against the number of steps",
        cases=_steps,
        papers={"task": "elasticity", "kind": "lif", "epochs": 2000},
        modern={"epochs": 200},
        quick={"epochs": 40, "batch_size": 128, "training_paths": 512},
        figures=figures.of_elasticity,
    ),
    "ramberg-osgood": Study(
        title="Ramberg-Osgood plasticity with RLIF neurons",
        cases=_single,
        papers={"task": "ramberg-osgood", "kind": "rlif", "timesteps": 20, "epochs": 5000},
        modern={"epochs": 200},
        quick={"epochs": 60, "batch_size": 128},
        reported={"rlif": (8.7934e-2, 8.0200e-2)},
        figures=figures.of_ramberg_osgood,
    ),
    "hardening-grid": Study(
        title="Isotropic hardening with SLSTM neurons: the error against width and population",
        cases=_grid,
        papers=HARDENING | {"epochs": 500},
        modern={"epochs": 60, "training_paths": 2048},
        quick={"epochs": 10, "batch_size": 64, "training_paths": 1024},
        reported={"256_units_64_voters": (5.2445e-2, None), "256_units_32_voters": (None, 2.8729e-3)},
        figures=figures.of_grid,
    ),
    "hardening-comparison": Study(
        title="Isotropic hardening: SLSTM against LSTM",
        cases=_comparison,
        papers=HARDENING | {"units": 256, "population": 64, "epochs": 5000},
        modern={"epochs": 100},
        quick={"epochs": 15, "batch_size": 64, "training_paths": 1024, "units": 32, "population": 32},
        reported={"slstm": (9.3832e-2, 4.0497e-3), "lstm": (4.8611e-2, 4.7569e-3)},
        figures=figures.of_comparison,
    ),
    "cyclic": Study(
        title="Cyclic hardening: SLSTM beside RNN, GRU and LSTM with as many parameters",
        cases=_cyclic,
        papers=HARDENING | {"family": "cyclic", "timesteps": 50, "population": 16, "training_paths": 2048},
        modern={"epochs": 40},
        quick={"epochs": 3, "training_paths": 512},
        figures=figures.of_cyclic,
        recipe="modern",
    ),
    "recipe": Study(
        title="What each ingredient of the modern recipe brings, at equal computing",
        cases=_recipe,
        papers={},
        modern={},
        quick={},
        figures=figures.of_recipe,
        recipe="modern",
    ),
}
