"""One run: from a configuration to a folder with the model, its metrics, its history and its figures."""

import dataclasses
import hashlib
import json
import os
import platform
from collections.abc import Iterator, Sequence
from importlib.metadata import version
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
from kspike_reg.files import prepare_folder, replacing, write_json
from kspike_reg.network.physical import in_physical_units
from kspike_reg.network.saving import load, save

__all__ = ["claim", "environment", "is_complete", "recorded_configuration", "run"]


def run(
    configuration: Configuration,
    folder: str | PathLike,
    *,
    tensorboard: bool = False,
    callbacks: Sequence[keras.callbacks.Callback] = (),
) -> dict[str, Any]:
    """Train, evaluate and save a network; continue an interrupted run of the same configuration.

    Writes configuration.json, model.keras (physical units in, physical units out), card.md, metrics.json, history.csv,
    loss.png and predictions.png. A finished run is not repeated: its metrics are returned. The network has as many
    inputs and outputs as the data.

    Args:
        configuration: a `Configuration`.
        folder: a new folder, an empty one, or that of a run of the same configuration.
        tensorboard: whether to log for TensorBoard, in `folder/tensorboard`.
        callbacks: further Keras callbacks, a progress bar for instance.

    Returns:
        The content of metrics.json: `test` and `validation`, as `evaluation.evaluate` returns them for the trained
        network, `untrained`, the same for the untrained network on the test set, `training`, `data`, `environment` and
        `configuration`.

    Raises:
        InputError: data or settings that do not fit, or a folder that cannot be written to or holds something else.
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
    folder, identity = claim(Path(folder), configuration)

    finished = folder / "metrics.json"
    if is_complete(folder):
        return _read_metrics(finished)
    _, validation, test = sets
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
        tensorboard=tensorboard,
        callbacks=callbacks,
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
        "environment": environment(),
        "configuration": identity,
    }
    plotting.save(plotting.loss_curves(history), folder / "loss.png")
    predictions = plotting.path_predictions(test, predict(trained, test, outside="ignore"))
    plotting.save(predictions, folder / "predictions.png")
    with replacing(folder / "card.md") as partial:
        partial.write_text(card(metrics), encoding="utf-8")
    # The metrics are written last: a run that has them is complete.
    write_json(finished, metrics)
    training.forget(folder)
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
        datasets.Standardiser.fit(paths.inputs, paths.input_names, paths.mask),
        datasets.Standardiser.fit(paths.targets, paths.target_names, paths.mask),
    )


def is_complete(folder: str | PathLike) -> bool:
    """Whether a folder holds a finished run, which `run` returns without a repetition.

    Args:
        folder: the folder of a run; it need not exist.

    Returns:
        True or False.
    """
    return all(os.path.exists(Path(folder) / name) for name in ("metrics.json", "model.keras"))


def _read_metrics(file: Path) -> dict[str, Any]:
    try:
        metrics = json.loads(file.read_text(encoding="utf-8"))
        if {"test", "validation", "untrained", "training", "data", "environment"} <= metrics.keys():
            return metrics
        reason = "parts are missing"
    except (OSError, ValueError, AttributeError) as error:
        reason = error
    raise InputError(f"{file}: not the metrics of a run ({reason}); remove it to repeat the run")


FILES = ("model.keras", "card.md", "metrics.json", "history.csv", "loss.png", "predictions.png", "snapshot.npz")


def claim(folder: Path, configuration: Configuration) -> tuple[Path, dict[str, Any]]:
    """Record that `folder` belongs to this configuration, or refuse a folder that belongs to something else.

    Args:
        folder: of a run.
        configuration: of the run.

    Returns:
        The folder, and the configuration as configuration.json holds it.

    Raises:
        InputError: the folder holds something else, or cannot be written to.
    """
    identity = json.loads(json.dumps(dataclasses.asdict(configuration) | _fingerprint(configuration)))
    record = folder / "configuration.json"
    if os.path.exists(record):  # Path.exists raises where a name is too long
        try:
            other = json.loads(record.read_text(encoding="utf-8"))
            differences = [name for name in identity if other.get(name) != identity[name]]
        except (OSError, ValueError, AttributeError) as error:
            raise InputError(f"{record}: not the record of a run ({error}); choose another folder") from error
        if differences:
            theirs, ours = (", ".join(f"{name}={of.get(name)!r}" for name in differences) for of in (other, identity))
            raise InputError(
                f"{folder}: holds a run of another configuration, with {theirs} instead of {ours}; "
                "choose another folder, or remove this one"
            )
        return prepare_folder(folder), identity
    taken = [name for name in FILES if os.path.exists(folder / name)]
    if taken:
        raise InputError(
            f"{folder}: holds {', '.join(taken)} but no record of a run; choose another folder, so that nothing is lost"
        )
    prepare_folder(folder)
    write_json(record, identity)
    return folder, identity


def recorded_configuration(folder: str | PathLike) -> Configuration:
    """Return the configuration of the run in `folder`, from its configuration.json."""
    return Configuration.of_record(json.loads((Path(folder) / "configuration.json").read_text(encoding="utf-8")))


def _fingerprint(configuration: Configuration) -> dict[str, str]:
    """Return a hash of the data file: the same name with other data is another run."""
    if configuration.data is None:
        return {}
    return {"data_sha256": hashlib.sha256(Path(configuration.data).read_bytes()).hexdigest()}


def _arrays(
    configuration: Configuration,
    paths: datasets.Paths,
    inputs: datasets.Standardiser,
    targets: datasets.Standardiser,
) -> tuple[np.ndarray, ...]:
    """Return standardised (inputs, targets), and weights where the steps do not count equally."""
    arrays = [inputs.standardise(paths.inputs), targets.standardise(paths.targets)]
    # Padding may be NaN, and NaN times a weight of zero is NaN.
    arrays = [np.where(paths.mask[..., None], array, 0.0) for array in arrays]
    weights = configuration.weights(arrays[1], paths.mask)
    return tuple(array.astype(keras.config.floatx()) for array in arrays + [weights] * (weights is not None))


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
    return zip(training.input_names, training.inputs[training.mask].T, strict=True)


def environment() -> dict[str, Any]:
    """Return the versions and the device behind a result, ready for JSON."""
    backend = keras.backend.backend()
    packages = ("kspike_reg", "keras", backend, "numpy")
    return {
        "versions": {"python": platform.python_version()} | {name: version(name) for name in packages},
        "backend": backend,
        "device": str(keras.ops.zeros(1).device).rpartition("device:")[2],
        "machine": platform.machine(),
    }
