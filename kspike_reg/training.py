"""Training that can be resumed: a kill costs at most the current epoch.

After every epoch one file is replaced as a whole. It holds the weights, the optimizer's state, the best weights so far
and the number of epochs done. A run that finds such a file continues from it. The order of the batches depends on the
seed and on the number of the epoch alone, so a resumed run ends with the same weights as one without interruption.
"""

import csv
import importlib.util
import os
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeAlias

import keras
import numpy as np

from kspike_reg.errors import InputError
from kspike_reg.files import replacing

__all__ = ["fit", "read_history"]

# Inputs (n, T, features), targets (n, T, outputs) and, optionally, weights (n, T).
Arrays: TypeAlias = tuple[np.ndarray, ...]


def fit(
    model: keras.Model,
    training: Arrays,
    validation: Arrays,
    folder: str | os.PathLike,
    *,
    epochs: int,
    batch_size: int = 1024,
    seed: int = 0,
    patience: int | None = None,
    tensorboard: bool = False,
    callbacks: Sequence[keras.callbacks.Callback] = (),
) -> dict[str, list[float]]:
    """Train `model` with `model.fit`, resumably, and set the weights that were best on the validation data.

    Args:
        model: a compiled network on standardised data.
        training, validation: tuples (inputs, targets) or (inputs, targets, weights), with arrays of shape
            (n, T, features), (n, T, outputs) and (n, T); weight zero marks padding.
        folder: an existing folder for `history.csv` and, until `forget` is called, `snapshot.npz`.
        epochs: in total, those of earlier, killed runs included.
        batch_size: paths per step of the optimizer.
        seed: of the order of the paths.
        patience: epochs without a better validation loss after which training stops; None never stops.
        tensorboard: whether to log for TensorBoard, in `folder/tensorboard` (needs the extra `tensorboard`).
        callbacks: further Keras callbacks.

    Returns:
        The history as a dictionary of lists, `epoch`, `loss`, `val_loss` and `seconds`, from the first epoch on.

    Raises:
        InputError: the folder holds a snapshot of another network, TensorBoard is not installed, or the loss is not
            finite in any epoch.
    """
    folder = Path(folder)
    batches = Batches(training, batch_size, seed)
    snapshot = Snapshot(folder / "snapshot.npz", patience)
    done = snapshot.restore(model)
    seconds = _cut_history(history := folder / "history.csv", done)
    if tensorboard:
        callbacks = [*callbacks, _tensorboard(folder)]
    if done < epochs and not snapshot.out_of_patience(done):
        model.fit(
            batches,
            validation_data=validation,
            validation_batch_size=batch_size,
            initial_epoch=done,
            epochs=epochs,
            shuffle=False,  # Keras would use Python's global generator, which our seed does not set
            verbose=0,
            callbacks=[
                keras.callbacks.LambdaCallback(on_epoch_begin=lambda epoch, logs: batches.shuffle(epoch)),
                Clock(seconds),
                keras.callbacks.CSVLogger(history, append=True),
                *callbacks,
                snapshot,  # last, so that an epoch in the snapshot is complete in the history
            ],
        )
    snapshot.restore_best(model)
    return read_history(history)


def require_tensorboard() -> None:
    """Raise InputError if TensorBoard is not installed.

    Raises:
        InputError: the package tensorboard is missing.
    """
    if importlib.util.find_spec("tensorboard") is None:
        raise InputError("TensorBoard is not installed: pip install 'kspike_reg[tensorboard]'")


def _tensorboard(folder):
    require_tensorboard()
    return keras.callbacks.TensorBoard(folder / "tensorboard")


def forget(folder: str | os.PathLike) -> None:
    """Remove the snapshot of a finished run from its folder."""
    (Path(folder) / "snapshot.npz").unlink(missing_ok=True)


def read_history(file: str | os.PathLike) -> dict[str, list[float]]:
    """The columns of a `history.csv`.

    Args:
        file: its name.

    Returns:
        By column a list of numbers, one for each epoch; `epoch`, `loss` and `val_loss` among them.
    """
    with open(file, newline="", encoding="utf-8") as lines:
        rows = list(csv.DictReader(lines))
    return {name: [float(row[name]) for row in rows] for name in rows[0]}


class Batches(keras.utils.PyDataset):
    """The training set in batches, in an order that depends on the seed and on the number of the epoch.

    Args:
        arrays: inputs, targets and, optionally, weights, as in `fit`.
        batch_size: paths per batch.
        seed: of the order.
    """

    def __init__(self, arrays: Arrays, batch_size: int, seed: int) -> None:
        super().__init__()
        self.arrays = arrays
        self.batch_size = batch_size
        self.seed = seed
        self.shuffle(0)

    def shuffle(self, epoch: int) -> None:
        """Set the order of an epoch, counted from zero."""
        self.order = np.random.default_rng([self.seed, epoch]).permutation(len(self.arrays[0]))

    def __len__(self) -> int:
        return -(-len(self.order) // self.batch_size)

    def __getitem__(self, index: int) -> Arrays:
        chosen = self.order[index * self.batch_size : (index + 1) * self.batch_size]
        return tuple(array[chosen] for array in self.arrays)


class Snapshot(keras.callbacks.Callback):
    """Everything that the next epoch needs, in one file that is replaced as a whole.

    `keras.callbacks.BackupAndRestore` writes weights and epoch to two files, so that a kill between them repeats an
    epoch, and it does not store the best weights.

    Args:
        file: the snapshot.
        patience: see `fit`.
    """

    def __init__(self, file: Path, patience: int | None) -> None:
        super().__init__()
        self.file = file
        self.patience = patience
        self.best_loss, self.best_epoch = np.inf, 0
        self.best: list[np.ndarray] | None = None

    def restore(self, model: keras.Model) -> int:
        """Set the state of the snapshot, if there is one, in `model`, and return the number of epochs done.

        Raises:
            InputError: the file is damaged, or of another network.
        """
        if not model.optimizer.built:
            model.optimizer.build(model.trainable_variables)
        if not self.file.exists():
            return 0
        state = model.variables + model.optimizer.variables
        stored = self._stored()
        latest = [stored[f"latest_{index}"] for index in range(sum(name[:6] == "latest" for name in stored))]
        if [array.shape for array in latest] != [tuple(variable.shape) for variable in state]:
            raise InputError(f"{self.file}: the snapshot of another network; remove it to start again")
        best = [stored[f"best_{index}"] for index in range(sum(name[:5] == "best_" for name in stored))]
        self.best = best or None
        self.best_loss, self.best_epoch = float(stored["loss_of_best"]), int(stored["epoch_of_best"])
        done = int(stored["epochs_done"])
        for variable, array in zip(state, latest, strict=True):
            variable.assign(array)
        return done

    def _stored(self):
        try:
            with open(self.file, "rb") as stream:
                stored = dict(np.load(stream, allow_pickle=False))
            if not {"loss_of_best", "epoch_of_best", "epochs_done"} <= stored.keys():
                raise ValueError("parts are missing")
        except Exception as error:  # numpy and zipfile raise errors of many classes on a damaged file
            raise InputError(f"{self.file}: cannot be read as a snapshot: {error}; remove it to start again") from error
        return stored

    def restore_best(self, model: keras.Model) -> None:
        """Set the weights of the best epoch in `model`.

        Raises:
            InputError: no epoch has a finite validation loss.
        """
        if self.best is None:
            raise InputError(
                "training diverged: the validation loss was not finite in any epoch; lower the learning rate"
            )
        model.set_weights(self.best)

    def out_of_patience(self, done: int) -> bool:
        """Whether training stops after `done` epochs."""
        return self.patience is not None and done - self.best_epoch >= self.patience

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        done = epoch + 1
        if logs["val_loss"] < self.best_loss:
            self.best_loss, self.best_epoch, self.best = logs["val_loss"], done, self.model.get_weights()
        state = self.model.variables + self.model.optimizer.variables
        arrays = {f"latest_{index}": variable.numpy() for index, variable in enumerate(state)}
        arrays |= {f"best_{index}": array for index, array in enumerate(self.best or ())}
        with replacing(self.file) as partial:
            np.savez(
                partial,
                epochs_done=done,
                loss_of_best=self.best_loss,
                epoch_of_best=self.best_epoch,
                **arrays,
            )
        if self.out_of_patience(done):
            self.model.stop_training = True


class Clock(keras.callbacks.Callback):
    """Adds the seconds of training so far to the logs.

    Args:
        before: seconds of the earlier runs.
    """

    def __init__(self, before: float) -> None:
        super().__init__()
        self.before = before

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        self.start = time.perf_counter()

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        logs["seconds"] = round(self.before + time.perf_counter() - self.start, 3)


def _cut_history(file, done):
    """Remove the rows that a killed run wrote after its last snapshot; returns the seconds of the others."""
    if done == 0:
        file.unlink(missing_ok=True)
        return 0.0
    if not file.exists():
        raise InputError(f"{file}: missing, though {done} epochs are done; remove snapshot.npz to start again")
    lines = file.read_bytes().splitlines(keepends=True)[: done + 1]
    with replacing(file) as partial:
        partial.write_bytes(b"".join(lines))
    return read_history(file)["seconds"][-1]
