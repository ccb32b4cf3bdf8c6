"""Training that can be resumed: a kill costs at most the current epoch.

After every epoch one file is replaced as a whole. It holds the weights, the optimizer's state, the best weights so far,
the history, the number of epochs done and the environment that did them. A run that finds such a file continues from
it; where the file is damaged, from the one before it. The order of the batches depends on the seed and on the number of
the epoch alone, so a resumed run ends with the same weights as one without interruption.
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
from kspike_reg.files import sync
from kspike_reg.ragged import Ragged, buckets
from kspike_reg.snapshots import SNAPSHOT, ResumeWarning, Snapshot, forget, sessions

__all__ = ["ResumeWarning", "fit", "forget", "read_history", "sessions"]

# Inputs (n, T, features), targets (n, T, outputs) and, optionally, weights (n, T); or the same without padding.
Arrays: TypeAlias = tuple[np.ndarray | Ragged, ...]


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
    environment: dict[str, Any] | None = None,
) -> dict[str, list[float]]:
    """Train `model` with `model.fit`, resumably, and set the weights that were best on the validation data.

    Args:
        model: a compiled network on standardised data.
        training, validation: tuples (inputs, targets) or (inputs, targets, weights), with arrays of shape
            (n, T, features), (n, T, outputs) and (n, T); weight zero marks padding. Or with `ragged.Ragged`;
            where lengths differ much, a batch then holds paths of similar length, see `ragged.buckets`.
        folder: an existing folder for `history.csv` and, until `forget` is called, `snapshot.npz` and the snapshot
            before it.
        epochs: in total, those of earlier, killed runs included.
        batch_size: paths per step of the optimizer.
        seed: of the order of the paths.
        patience: epochs without a better validation loss after which training stops; None never stops.
        tensorboard: whether to log for TensorBoard, in `folder/tensorboard` (needs the extra `tensorboard`).
        callbacks: further Keras callbacks.
        environment: what may change the result, `backend`, `versions` and more, ready for JSON. The snapshot records
            it; a training that continues with another `backend` is refused, other differences are a `ResumeWarning`.

    Returns:
        The history as a dictionary of lists, `epoch`, `loss`, `val_loss` and `seconds`, from the first epoch on.

    Raises:
        InputError: the folder holds a damaged snapshot or one of another network or backend, TensorBoard is not
            installed, or the loss is not finite in any epoch.
    """
    folder = Path(folder)
    batches = Batches(training, batch_size, seed)
    history = folder / "history.csv"
    snapshot = Snapshot(folder / SNAPSHOT, patience, history, environment)
    done = snapshot.restore(model)
    seconds = read_history(history)["seconds"][-1] if done else 0.0
    if tensorboard:
        callbacks = [*callbacks, _tensorboard(folder)]
    if done < epochs and not snapshot.out_of_patience(done):
        model.fit(
            batches,
            validation_data=_in_batches(validation, batch_size),
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
    sync(history)
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


def read_history(file: str | os.PathLike) -> dict[str, list[float]]:
    """The columns of a `history.csv`.

    Args:
        file: its name.

    Returns:
        By column a list of numbers, one for each epoch; `epoch`, `loss` and `val_loss` among them.

    Raises:
        InputError: it is missing, empty or damaged.
    """
    try:
        with open(file, newline="", encoding="utf-8") as lines:
            rows = list(csv.DictReader(lines))
        return {name: [float(row[name]) for row in rows] for name in rows[0]}
    except (OSError, ValueError, TypeError, IndexError) as error:
        raise InputError(f"{file}: cannot be read as the history of a training: {error}") from error


def _in_batches(arrays, batch_size):
    """Validation data as Keras takes them: arrays as they are, paths without padding in batches of similar length."""
    return Batches(arrays, batch_size, None) if isinstance(arrays[0], Ragged) else arrays


class Batches(keras.utils.PyDataset):
    """The training set in batches, in an order that depends on the seed and on the number of the epoch.

    Args:
        arrays: inputs, targets and, optionally, weights, as in `fit`.
        batch_size: paths per batch.
        seed: of the order; None leaves the paths in theirs.
    """

    def __init__(self, arrays: Arrays, batch_size: int, seed: int | None) -> None:
        super().__init__()
        self.arrays = arrays
        self.batch_size = batch_size
        self.seed = seed
        first = arrays[0]
        whole = [(np.arange(len(first)), 0)]  # arrays are not padded further
        self.groups = buckets(first.lengths, first.width) if isinstance(first, Ragged) else whole
        self.shuffle(0)

    def shuffle(self, epoch: int) -> None:
        """Set the order of an epoch, counted from zero."""
        generator = None if self.seed is None else np.random.default_rng([self.seed, epoch])
        batches = []
        for members, width in self.groups:
            order = members if generator is None else members[generator.permutation(len(members))]
            starts = range(0, len(order), self.batch_size)
            batches += [(order[start : start + self.batch_size], width) for start in starts]
        if len(self.groups) > 1:
            if generator is not None:
                batches = [batches[index] for index in generator.permutation(len(batches))]
            # Keras takes a length that the first two batches share for that of all.
            other = next(index for index, (_, width) in enumerate(batches) if width != batches[0][1])
            batches[1], batches[other] = batches[other], batches[1]
        self.batches = batches

    def __len__(self) -> int:
        return len(self.batches)

    def __getitem__(self, index: int) -> tuple[np.ndarray, ...]:
        chosen, width = self.batches[index]
        return tuple(
            array.batch(chosen, width) if isinstance(array, Ragged) else array[chosen] for array in self.arrays
        )


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
