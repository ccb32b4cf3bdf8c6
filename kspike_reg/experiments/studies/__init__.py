"""The studies: which cases each one has, what the paper reports for them, and the figures it shows."""

from collections.abc import Callable
from dataclasses import dataclass, field

from kspike_reg.experiments import figures, summaries
from kspike_reg.experiments.configuration import Configuration
from kspike_reg.experiments.recipes import recipe
from kspike_reg.network import SPIKING
from kspike_reg.neurons.cell import OUTPUTS

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
        summary: a function of the finished cases that returns the rows of a table that sums them up.
        recipe: how the networks are trained unless one says otherwise.
    """

    title: str
    cases: Callable
    papers: dict
    modern: dict
    quick: dict
    figures: Callable
    summary: Callable = lambda cases: []
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
EQUAL_WIDTHS = {"slstm": 32, "lstm": 32, "gru": 36, "rnn": 60}
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
        error = {
            rate: figures.validation_error(finished[_cyclic_name(kind, rate, seeds[0])]) for rate in LEARNING_RATES
        }
        best = min(error, key=error.get)
        for seed in seeds[1:]:
            fields = {"kind": kind, "units": units, "learning_rate": best, "seed": seed}
            cases[_cyclic_name(kind, best, seed)] = fields
    return cases


def _cyclic_name(kind, rate, seed):
    return f"{kind}_rate_{rate:g}_seed_{seed}"


# Spiking networks by what their readout sees, and baselines.
READOUTS = {
    **{f"{kind}_{readout}": {"kind": kind, "readout": readout} for kind in SPIKING for readout in OUTPUTS},
    **{kind: {"kind": kind} for kind in ("rnn", "lstm")},
}


def _width(finished, quick):
    """Every kind of network, with each readout it has, at each width."""
    widths = (8, 16) if quick else (16, 32, 64, 128)
    return {f"{name}_{units}_units": fields | {"units": units} for name, fields in READOUTS.items() for units in widths}


# Small enough to be trained many times.
SMALL = {
    "lif": {"task": "elasticity", "epochs": 60},
    "rlif": {"task": "ramberg-osgood", "epochs": 20},
    "slstm": {"task": "hardening", "training_paths": 1024, "units": 32, "population": 32, "epochs": 12},
}
# Other settings than the modern recipe's, beyond those of the paper.
ALTERNATIVES = {
    "half_the_learning_rate": lambda modern: {"learning_rate": modern["learning_rate"] / 2},
    "twice_the_learning_rate": lambda modern: {"learning_rate": modern["learning_rate"] * 2},
    "batches_of_32": lambda modern: {"batch_size": 32},
    "batches_of_256": lambda modern: {"batch_size": 256},
    "no_weight_decay": lambda modern: {"weight_decay": 0.0},
    "loss_relative": lambda modern: {"loss_weighting": "relative"},
    "loss_last_step_10": lambda modern: {"last_step_weight": 10.0},
}


def _recipe(finished, quick):
    """The paper's recipe, the modern one with three seeds, the modern one with one ingredient changed at a time."""
    cases = {}
    for kind, fields in SMALL.items():
        fields = fields | {"kind": kind}
        modern = recipe("modern", kind) | fields
        # Said in so many words, since what a case does not say the study's recipe sets.
        papers = {name: getattr(Configuration, name) for name in modern}
        cases[f"{kind}_paper"] = papers | fields
        cases |= {f"{kind}_modern_seed_{seed}": modern | {"seed": seed} for seed in SEEDS[:3]}
        for name in recipe("modern", kind).keys() - {"epochs"}:
            cases[f"{kind}_papers_{name}"] = modern | {name: getattr(Configuration, name)}
        cases |= {f"{kind}_{name}": modern | change(modern) for name, change in ALTERNATIVES.items()}
    return {name: cases[name] | ({"epochs": 2} if quick else {}) for name in sorted(cases)}


HARDENING = {"task": "hardening", "kind": "slstm", "family": "mirror", "timesteps": 100}

STUDIES = {
    "elasticity": Study(
        title="Linear elasticity with LIF neurons: the error against the number of steps",
        cases=_steps,
        papers={"task": "elasticity", "kind": "lif", "epochs": 2000},
        modern={},
        quick={"epochs": 40, "batch_size": 128, "training_paths": 512},
        figures=figures.of_elasticity,
    ),
    "ramberg-osgood": Study(
        title="Ramberg-Osgood plasticity with RLIF neurons",
        cases=_single,
        papers={"task": "ramberg-osgood", "kind": "rlif", "timesteps": 20, "epochs": 5000},
        modern={},
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
        modern={"epochs": 100, "training_paths": 3072, "last_step_weight": 10.0},
        quick={"epochs": 15, "batch_size": 64, "training_paths": 1024, "units": 32, "population": 32},
        reported={"slstm": (9.3832e-2, 4.0497e-3), "lstm": (4.8611e-2, 4.7569e-3)},
        figures=figures.of_comparison,
    ),
    "cyclic": Study(
        title="Cyclic hardening: SLSTM beside RNN, GRU and LSTM with as many parameters",
        cases=_cyclic,
        papers=HARDENING | {"family": "cyclic", "timesteps": 50, "population": 16, "training_paths": 1024},
        modern={"epochs": 30},
        quick={"epochs": 3, "training_paths": 512},
        figures=figures.of_cyclic,
        summary=summaries.of_cyclic,
        recipe="modern",
    ),
    "width": Study(
        title="Ramberg-Osgood plasticity: the error against width, for each kind of network and each readout",
        cases=_width,
        papers={"task": "ramberg-osgood", "timesteps": 20, "population": 32, "epochs": 5000},
        modern={"epochs": 60},
        quick={"epochs": 3, "training_paths": 256},
        figures=figures.of_width,
        recipe="modern",
    ),
    "recipe": Study(
        title="What each ingredient of the modern recipe brings, at equal computing",
        cases=_recipe,
        papers={},
        modern={},
        quick={},
        figures=figures.of_recipe,
        summary=summaries.of_recipe,
        recipe="modern",
    ),
}
