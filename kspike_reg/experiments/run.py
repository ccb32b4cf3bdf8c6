"""One run: from a configuration to a folder with the model, its metrics, its history and its figures."""

import json
from collections.abc import Iterator, Sequence
from os import PathLike
from pathlib import Path
from typing import Any

import keras
import numpy as np

from kspike_reg import datasets, plotting, training
from kspike_reg.errors import InputError
from kspike_reg.evaluation import evaluate, predict
from kspike_reg.experiments.card import card
from kspike_reg.experiments.configuration import Configuration
from kspike_reg.experiments.environment import environment
from kspike_reg.experiments.folder import claim, finished_metrics, is_complete, recorded_configuration
from kspike_reg.experiments.locking import locked
from kspike_reg.files import prepare_folder, replacing, write_json
from kspike_reg.network.physical import in_physical_units
from kspike_reg.network.saving import load, save
from kspike_reg.ragged import buckets, mask_of

__all__ = ["claim", "environment", "is_complete", "recorded_configuration", "run"]


def run(
    configuration: Configuration,
    folder: str | PathLike,
    *,
    tensorboard: bool = False,
    callbacks: Sequence[keras.callbacks.Callback] = (),
    patience: float = 0.0,
) -> dict[str, Any]:
    """Train, evaluate and save a network; continue an interrupted run of the same configuration.

    Writes configuration.json, model.keras (physical units in, physical units out), card.md, metrics.json, history.csv,
    loss.png and predictions.png. A finished run is not repeated: once its files are found undamaged, its metrics are
    returned. The network has as many inputs and outputs as the data. The folder is locked until the end, see `locked`.

    Args:
        configuration: a `Configuration`.
        folder: a new folder, an empty one, or that of a run of the same configuration.
        tensorboard: whether to log for TensorBoard, in `folder/tensorboard`.
        callbacks: further Keras callbacks, a progress bar for instance.
        patience: seconds to wait for another process that works in the folder.

    Returns:
        The content of metrics.json: `test` and `validation`, as `evaluation.evaluate` returns them for the trained
        network, `untrained`, the same for the untrained network on the test set, `training`, `data`, `environment` and
        `configuration`. `training` lists `sessions`, see `training.sessions`, if environments other than this one
        trained.

    Raises:
        InputError: data or settings that do not fit, a folder that cannot be written to or holds something else, that
            another process works in, or whose files are damaged.
    """
    # Errors in the data and the settings are found before anything is written.
    sets = configuration.load_data()
    first = sets[0]
    scaling = _scaling(first)
    model = configuration.build(first)
    if tensorboard:
        training.require_tensorboard()
    if not str(folder):
        raise InputError("run: expected a folder for the files of the run, received an empty name")
    folder = prepare_folder(folder)
    with locked(folder, patience):
        _, identity = claim(folder, configuration)
        if (metrics := finished_metrics(folder)) is not None:
            return metrics
        settings = {"tensorboard": tensorboard, "callbacks": callbacks}
        metrics = _train(configuration, model, sets, scaling, folder, settings) | {"configuration": identity}
        with replacing(folder / "card.md") as partial:
            partial.write_text(card(metrics), encoding="utf-8")
        # The metrics are written last: a run that has them is complete.
        write_json(folder / "metrics.json", metrics)
        training.forget(folder)
        return metrics


def _train(
    configuration: Configuration,
    model: keras.Model,
    sets: Sequence[datasets.Paths],
    scaling: tuple[datasets.Standardiser, datasets.Standardiser],
    folder: Path,
    settings: dict[str, Any],
) -> dict[str, Any]:
    """Train, evaluate and save a network, and draw its figures; returns its metrics."""
    first, validation, test = sets
    untrained = evaluate(in_physical_units(model, *scaling), test, outside="ignore")
    history = training.fit(
        model,
        _arrays(configuration, first, *scaling),
        _arrays(configuration, validation, *scaling),
        folder,
        epochs=configuration.epochs,
        batch_size=configuration.batch_size,
        seed=configuration.seed,
        patience=configuration.early_stopping,
        environment=(now := environment()),
        **settings,
    )
    save(in_physical_units(model, *scaling), folder / "model.keras")
    # The saved model is the one that is measured.
    trained = load(folder / "model.keras")
    metrics = {
        "test": evaluate(trained, test, outside="ignore"),
        "validation": evaluate(trained, validation, outside="ignore"),
        "untrained": untrained,
        "training": _training(history),
        "data": _describe(sets),
        "environment": now,
    }
    sessions = training.sessions(folder)
    if [session["environment"] for session in sessions] != [json.loads(json.dumps(now))]:
        metrics["training"]["sessions"] = sessions
    plotting.save(plotting.loss_curves(history), folder / "loss.png")
    predictions = plotting.path_predictions(test, predict(trained, test, outside="ignore", padded=False))
    plotting.save(predictions, folder / "predictions.png")
    return metrics


def _training(history: dict[str, list[float]]) -> dict[str, Any]:
    """What a training came to, from its history."""
    return {
        "epochs": len(history["epoch"]),
        "best_epoch": int(np.nanargmin(history["val_loss"])) + 1,
        "best_validation_loss": float(np.nanmin(history["val_loss"])),
        "seconds": history["seconds"][-1],
    }


def _scaling(paths: datasets.Paths) -> tuple[datasets.Standardiser, datasets.Standardiser]:
    """The standardisers of inputs and targets, from the training set."""
    return (
        datasets.Standardiser.fit(paths.ragged("inputs").rows, paths.input_names),
        datasets.Standardiser.fit(paths.ragged("targets").rows, paths.target_names),
    )


def _arrays(
    configuration: Configuration,
    paths: datasets.Paths,
    inputs: datasets.Standardiser,
    targets: datasets.Standardiser,
) -> training.Arrays:
    """Return standardised (inputs, targets), and weights where the steps do not count equally.

    They are arrays, zero in the padding, or without padding where lengths differ so much that it would fill the memory.
    """
    kind = keras.config.floatx()
    sides = [
        values.with_rows(scaling.standardise(values.rows))
        for values, scaling in ((paths.ragged("inputs"), inputs), (paths.ragged("targets"), targets))
    ]
    groups = buckets(paths.lengths, paths.width)
    if len(groups) == 1:
        arrays = [side.batch(*groups[0]) for side in sides]
        weights = configuration.weights(arrays[1], paths.mask)
        return tuple(array.astype(kind) for array in arrays + [weights] * (weights is not None))
    weights = np.empty(len(sides[0].rows))
    for members, width in groups:
        mask = mask_of(paths.lengths[members], width)
        of_members = np.isin(np.repeat(np.arange(len(paths)), paths.lengths), members)
        weights[of_members] = configuration.relative_weights(sides[1].batch(members, width), mask)[mask]
    sides.append(sides[0].with_rows(weights / weights.mean()))
    return tuple(side.with_rows(side.rows.astype(kind)) for side in sides)


def _describe(sets: Sequence[datasets.Paths]) -> dict[str, Any]:
    names = ("training", "validation", "test")
    lengths = np.concatenate([paths.lengths for paths in sets])
    return {
        "source": sets[0].source,
        "inputs": list(sets[0].input_names),
        "outputs": list(sets[0].target_names),
        "range": {name: [float(np.min(seen)), float(np.max(seen))] for name, seen in _seen(sets[0])},
        "units": sets[0].units,
        "paths": {name: len(paths) for name, paths in zip(names, sets, strict=True)},
        "steps": {"shortest": int(lengths.min()), "longest": int(lengths.max())},
    }


def _seen(training: datasets.Paths) -> Iterator[tuple[str, np.ndarray]]:
    """Iterate over each input: its name and its values in the training set, padding left out."""
    return zip(training.input_names, training.ragged("inputs").rows.T, strict=True)
