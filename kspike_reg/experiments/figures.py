"""The figures of the studies: from finished cases to axes by file name."""

import numpy as np

from kspike_reg import plotting

__all__ = [
    "best",
    "by_setting",
    "chosen",
    "error_of",
    "of_comparison",
    "of_cyclic",
    "of_elasticity",
    "of_grid",
    "of_ramberg_osgood",
    "of_recipe",
    "of_width",
    "shared",
    "validation_error",
]


def shared(cases):
    """What every study shows: the learning curves, and for its best case predictions, errors and calibration."""
    case = best(cases)
    prediction, spread = case.prediction
    test = case.test
    unit = test.units[test.target_names[0]]
    figures = {
        "learning_curves": plotting.learning_curves({case.name: case.history for case in cases[:20]}),
        "predictions": plotting.path_predictions(test, prediction),
        "sample_errors": plotting.sample_errors(case.path_errors),
        "calibration": plotting.calibration(spread, prediction - test.targets, unit),
    }
    for name in ("predictions", "sample_errors", "calibration"):
        np.ravel(figures[name])[0].set_title(f"case {case.name}", fontsize="small")
    return figures


def best(cases):
    """The case with the least root mean square error on validation data."""
    return min(cases, key=lambda case: validation_error(case.metrics))


def error_of(case, of="test", steps="all", metric="mean_relative_error"):
    """An error of a finished case on standardised data; NaN where it is undefined."""
    error = case.metrics[of]["errors"]["standardised"][metric][steps]
    return np.nan if error is None else error


def of_elasticity(cases):
    """The error against the number of steps (figures 7 and 8), some paths at few and many steps (9 and 10)."""
    steps = [case.configuration.steps for case in cases]
    errors = {
        "all steps": [error_of(case) for case in cases],
        "last step": [error_of(case, steps="last") for case in cases],
    }
    few, many = cases[steps.index(5)], cases[steps.index(100)]
    return {
        "error_against_steps": plotting.error_lines(steps, errors, "number of steps"),
        "predictions_5_steps": plotting.path_predictions(few.test, few.prediction[0], count=2),
        "predictions_100_steps": plotting.path_predictions(many.test, many.prediction[0], count=2),
    }


def of_ramberg_osgood(cases):
    """Reference curves (figure 11); errors and predictions are shared (figures 12 and 13)."""
    test = cases[0].test
    strain = np.broadcast_to(np.linspace(0, test.source["maximum_strain"], test.targets.shape[1]), test.steps.shape)
    axes = plotting.reference_curves(strain, test, "strain")
    return {"reference_curves": axes}


def of_grid(cases):
    """Reference curves (figure 14), and the error against width for each population (figures 15 and 16)."""
    widths = sorted({case.configuration.units for case in cases})
    populations = sorted({case.configuration.population for case in cases})
    of = {(case.configuration.units, case.configuration.population): case for case in cases}
    test = cases[0].test
    figures = {"reference_curves": plotting.reference_curves(test.inputs[..., 0], test, "strain")}
    for steps in ("last", "all"):
        lines = {
            f"{population} voters": [error_of(of[width, population], steps=steps) for width in widths]
            for population in populations
        }
        axes = plotting.error_lines(widths, lines, "neurons in each hidden layer")
        axes.set_title("last step" if steps == "last" else "all steps")
        figures[f"error_against_width_{steps}"] = axes
    return figures


def of_comparison(cases):
    """Reference curves, and one path as both networks see it (figure 17)."""
    predictions = {case.name: case.prediction[0] for case in cases}
    test = cases[0].test
    middle = int(np.argsort(np.max(np.abs(test.inputs[..., 0]), axis=1))[len(test) // 2])
    return {
        "reference_curves": plotting.reference_curves(test.inputs[..., 0], test, "strain"),
        "single_path": plotting.compared_predictions(test, predictions, middle),
    }


def of_cyclic(cases):
    """Errors of all seeds beside the memoryless floor, reference curves, and one path as all networks see it."""
    kinds = chosen(cases)
    errors = {
        kind: [error_of(case, metric="root_mean_squared_error") for case in seeds] for kind, seeds in kinds.items()
    }
    label = "root mean square error / standard deviations of the stress"
    # One seed, so that all kinds see the same paths.
    seed = cases[0].configuration.seed
    first = [case for seeds in kinds.values() for case in seeds if case.configuration.seed == seed]
    predictions = {case.configuration.kind: case.prediction[0] for case in first}
    strain = first[0].test.inputs[..., 0]
    return {
        "errors": plotting.seed_errors(errors, label, {"without memory": cases[0].memoryless_error}),
        "reference_curves": plotting.reference_curves(strain, first[0].test, "strain", count=3),
        "single_path": plotting.compared_predictions(first[0].test, predictions, 0),
    }


def chosen(cases):
    """Of each kind the cases at the learning rate that is best on validation data, by the kind."""
    first = min(case.configuration.seed for case in cases)
    groups = {}
    for kind in dict.fromkeys(case.configuration.kind for case in cases):
        of_kind = [case for case in cases if case.configuration.kind == kind]
        rate = best(case for case in of_kind if case.configuration.seed == first).configuration.learning_rate
        groups[kind] = [case for case in of_kind if case.configuration.learning_rate == rate]
    return groups


def by_setting(cases):
    """The cases of the study of the recipe by the kind of neurons and the setting, those of its seeds together."""
    settings = {}
    for case in cases:
        kind = case.configuration.kind
        name, _, _ = case.name.removeprefix(f"{kind}_").partition("_seed_")
        settings.setdefault(kind, {}).setdefault(name.replace("_", " "), []).append(case)
    return settings


def of_width(cases):
    """The error against width, a line for each kind of network and readout."""
    widths = sorted({case.configuration.units for case in cases})
    lines = {}
    for case in cases:
        lines.setdefault(case.name.removesuffix(f"_{case.configuration.units}_units").replace("_", ", "), {})[
            case.configuration.units
        ] = error_of(case)
    errors = {name: [of[width] for width in widths] for name, of in lines.items()}
    return {"error_against_width": plotting.error_lines(widths, errors, "neurons in each hidden layer")}


def validation_error(metrics):
    """The root mean square error on validation data, by which runs are chosen; from the content of metrics.json."""
    return metrics["validation"]["errors"]["standardised"]["root_mean_squared_error"]["all"]


def of_recipe(cases):
    """What each ingredient brings: the error on validation data, by the kind of neurons."""
    figures = {}
    for kind, settings in by_setting(cases).items():
        errors = {name: [error_of(case, "validation") for case in seeds] for name, seeds in settings.items()}
        label = "mean relative error on validation data (eq. 14, standardised)"
        figures[f"ingredients_{kind}"] = plotting.seed_errors(errors, label, {"modern": np.mean(errors["modern"])})
    return figures
