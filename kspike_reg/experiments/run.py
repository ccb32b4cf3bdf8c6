"""One run: from a configuration to a folder with the model, its metrics, its history and its figures."""

import hashlib
import json
import os
import platform
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path

import keras
import numpy as np

from kspike_reg import datasets, plotting, training
from kspike_reg.errors import InputError, require_whole
from kspike_reg.evaluation import evaluate, predict
from kspike_reg.files import prepare_folder, replacing, write_json
from kspike_reg.network import build
from kspike_reg.saving import load, save
from kspike_reg.scaling import in_physical_units

__all__ = ["Configuration", "is_complete", "run"]


@dataclass(frozen=True)
class Configuration:
    """All that decides a run's result; the defaults are the paper's for linear elasticity.

    Args:
        task: a name in `datasets.TASKS`; None where `data` is given.
        timesteps: steps of the task's paths.
        data: a CSV or NPZ file of the user's own; None where `task` is given.
        inputs, outputs: names of its quantities.
        path_column, step_column: names of the columns that tell the path and order its steps (CSV).
        split: shares of its paths for training, validation and test.
        kind, units, population, depth, surrogate, reset, readout: the network, see `kspike_reg.build`.
        epochs, batch_size, learning_rate: the training.
        early_stopping: epochs without a better validation loss after which training stops; None never stops.
        seed: of the data, the initial weights and the order of the batches.
    """

    task: str | None = None
    timesteps: int = 5
    data: str | None = None
    inputs: tuple = ()
    outputs: tuple = ()
    path_column: str = "path"
    step_column: str = "step"
    split: tuple = (0.7, 0.15, 0.15)
    kind: str = "lif"
    units: int = 128
    population: int = 128
    depth: int = 3
    surrogate: str = "atan"
    reset: str = "subtract"
    readout: str = "membrane"
    epochs: int = 2000
    batch_size: int = 1024
    learning_rate: float = 1e-3
    early_stopping: int | None = None
    seed: int = 0

    def __post_init__(self):
        if (self.task is None) == (self.data is None):
            raise InputError("expected either a task or a data file, one of the two")
        if self.data is not None and not (self.inputs and self.outputs):
            raise InputError(f"{self.data}: name its columns, the inputs and the outputs to be learned")
        of_data = ("inputs", "outputs", "path_column", "step_column", "split")
        for name in of_data if self.data is None else ("timesteps",):
            if getattr(self, name) != getattr(Configuration, name):
                source = "the task, which has quantities and sets of its own" if self.data is None else "a data file"
                raise InputError(f"{name} means nothing for {source}; leave it out")
        require_whole("training", epochs=self.epochs, batch_size=self.batch_size)
        if self.early_stopping is not None:
            require_whole("training", early_stopping=self.early_stopping)
        require_whole("training", least=0, seed=self.seed)
        if not 0 < self.learning_rate < np.inf:
            raise InputError(f"expected a learning rate > 0, received {self.learning_rate!r}")

    def load_data(self):
        """Training, validation and test set, as `datasets.Paths`."""
        if self.task is not None:
            return datasets.generate(self.task, timesteps=self.timesteps, seed=self.seed)
        columns = {"path_column": self.path_column, "step_column": self.step_column}
        paths = datasets.read(self.data, self.inputs, self.outputs, **columns)
        try:
            return paths.split(self.split, self.seed)
        except InputError as error:
            raise InputError(f"{self.data}: {error}") from error

    def build(self):
        """The untrained network for this configuration's data."""
        network = ("kind", "units", "population", "depth", "surrogate", "reset", "readout", "seed")
        sizes = {} if self.task is not None else {"features": len(self.inputs), "outputs": len(self.outputs)}
        model = build(**{name: getattr(self, name) for name in network}, **sizes)
        model.optimizer.learning_rate = self.learning_rate
        return model


def run(configuration, folder, *, tensorboard=False, callbacks=()):
    """Train, evaluate and keep a network; go on where a killed run of the same configuration was.

    Writes configuration.json, model.keras (physical units in, physical units out), metrics.json, history.csv,
    loss.png and predictions.png. A run that came to its end is not repeated: its metrics are returned.

    Args:
        configuration: a `Configuration`.
        folder: a new folder, an empty one, or that of a run of the same configuration.
        tensorboard: whether to log for TensorBoard, in `folder/tensorboard`.
        callbacks: further Keras callbacks, a progress bar for instance.

    Returns:
        The content of metrics.json: `test` and `untrained`, as `evaluation.evaluate` gives them for the test set,
        `training`, `data`, `environment` and `configuration`.

    Raises:
        InputError: data or settings that do not fit, or a folder that cannot be written to or holds something else.
    """
    # Whatever can be wrong with the data and the settings is found before anything is written.
    sets = configuration.load_data()
    first = sets[0]
    scaling = (
        datasets.Standardiser.fit(first.inputs, first.input_names, first.mask),
        datasets.Standardiser.fit(first.targets, first.target_names, first.mask),
    )
    model = configuration.build()
    if tensorboard:
        training.require_tensorboard()
    if not str(folder):
        raise InputError("expected a folder for the run's files, received an empty name")
    identity = json.loads(json.dumps(asdict(configuration) | _fingerprint(configuration)))
    folder = _claim(Path(folder), identity)

    finished = folder / "metrics.json"
    if is_complete(folder):
        return _read_metrics(finished)
    test = sets[2]
    untrained = evaluate(in_physical_units(model, *scaling), test)
    history = training.fit(
        model,
        _arrays(first, *scaling),
        _arrays(sets[1], *scaling),
        folder,
        epochs=configuration.epochs,
        batch_size=configuration.batch_size,
        seed=configuration.seed,
        patience=configuration.early_stopping,
        tensorboard=tensorboard,
        callbacks=callbacks,
    )
    save(in_physical_units(model, *scaling), folder / "model.keras")
    # What is measured is what was saved.
    trained = load(folder / "model.keras")
    metrics = {
        "test": evaluate(trained, test),
        "untrained": untrained,
        "training": {
            "epochs": len(history["epoch"]),
            "best_epoch": int(np.nanargmin(history["val_loss"])) + 1,
            "best_validation_loss": float(np.nanmin(history["val_loss"])),
            "seconds": history["seconds"][-1],
        },
        "data": _describe(sets),
        "environment": _environment(),
        "configuration": identity,
    }
    _draw(plotting.loss_curves(history), folder / "loss.png")
    _draw(plotting.path_predictions(test, predict(trained, test)), folder / "predictions.png")
    # The metrics come last: where they are, the run is complete.
    write_json(finished, metrics)
    training.forget(folder)
    return metrics


def is_complete(folder):
    """Whether `folder` holds a run that came to its end, which `run` would show and not repeat."""
    return all(os.path.exists(Path(folder) / name) for name in ("metrics.json", "model.keras"))


def _read_metrics(file):
    try:
        metrics = json.loads(file.read_text(encoding="utf-8"))
        if {"test", "untrained", "training", "data", "environment"} <= metrics.keys():
            return metrics
        reason = "parts are missing"
    except (OSError, ValueError, AttributeError) as error:
        reason = error
    raise InputError(f"{file}: not the metrics of a run ({reason}); remove it to repeat the run")


FILES = ("model.keras", "metrics.json", "history.csv", "loss.png", "predictions.png", "snapshot.npz")


def _claim(folder, identity):
    """Make `folder` this configuration's own, or refuse where it belongs to something else."""
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
        return prepare_folder(folder)
    taken = [name for name in FILES if os.path.exists(folder / name)]
    if taken:
        raise InputError(
            f"{folder}: holds {', '.join(taken)} but no record of a run; choose another folder, so that nothing is lost"
        )
    prepare_folder(folder)
    write_json(record, identity)
    return folder


def _fingerprint(configuration):
    """The content of the user's file: the same name with other data is another run."""
    if configuration.data is None:
        return {}
    return {"data_sha256": hashlib.sha256(Path(configuration.data).read_bytes()).hexdigest()}


def _arrays(paths, inputs, targets):
    """Standardised (inputs, targets), with weights too where paths differ in length."""
    arrays = [inputs.standardise(paths.inputs), targets.standardise(paths.targets)]
    if not paths.mask.all():
        arrays.append(paths.mask)
    # Padding is anything, NaN perhaps, and NaN times weight zero is NaN.
    arrays[:2] = [np.where(paths.mask[..., None], array, 0.0) for array in arrays[:2]]
    return tuple(array.astype(keras.config.floatx()) for array in arrays)


def _describe(sets):
    names = ("training", "validation", "test")
    lengths = np.concatenate([paths.lengths for paths in sets])
    return {
        "source": sets[0].source,
        "inputs": list(sets[0].input_names),
        "outputs": list(sets[0].target_names),
        "units": sets[0].units,
        "paths": {name: len(paths) for name, paths in zip(names, sets, strict=True)},
        "steps": {"shortest": int(lengths.min()), "longest": int(lengths.max())},
    }


def _environment():
    backend = keras.backend.backend()
    packages = ("kspike_reg", "keras", backend, "numpy")
    return {
        "versions": {"python": platform.python_version()} | {name: version(name) for name in packages},
        "backend": backend,
        "device": str(keras.ops.zeros(1).device).rpartition("device:")[2],
        "machine": platform.machine(),
    }


def _draw(axes, file):
    figure = np.ravel(axes)[0].figure
    with replacing(file) as partial:
        figure.savefig(partial, dpi=150)
