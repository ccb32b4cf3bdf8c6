"""Fitting a network so that a kill costs at most the epoch under way.

After every epoch one file, replaced as a whole, takes the weights, the optimizer's state, the best weights so far and
the number of epochs done. A run that finds such a file goes on from it; since each epoch deals its batches out by the
seed and its own number, it ends with the weights of a run that nobody killed.
"""

import csv
import importlib.util
import time
from pathlib import Path

import keras
import numpy as np

from kspike_reg.errors import InputError
from kspike_reg.files import replacing

__all__ = ["fit", "read_history"]


def fit(
    model,
    training,
    validation,
    folder,
    *,
    epochs,
    batch_size=1024,
    seed=0,
    patience=None,
    tensorboard=False,
    callbacks=(),
):
    """Train `model` with `model.fit`, resumably, and leave it with the weights that were best on validation data.

    Args:
        model: a compiled network on standardised data.
        training, validation: tuples (inputs, targets) or (inputs, targets, weights), with arrays of shape
            (n, T, features), (n, T, outputs) and (n, T); weight zero marks padding.
        folder: takes `history.csv` and, until `forget` is called, `snapshot.npz`; it exists.
        epochs: in total, those of killed predecessors included.
        batch_size: paths per step of the optimizer.
        seed: of the order in which paths are dealt out.
        patience: epochs without a better validation loss after which training stops; None never stops.
        tensorboard: whether to log for TensorBoard, in `folder/tensorboard` (wants the extra `tensorboard`).
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
    history = folder / "history.csv"
    seconds = _cut_history(history, done)
    if tensorboard:
        require_tensorboard()
        callbacks = [*callbacks, keras.callbacks.TensorBoard(folder / "tensorboard")]
    if done < epochs and not snapshot.out_of_patience(done):
        model.fit(
            batches,
            validation_data=validation,
            validation_batch_size=batch_size,
            initial_epoch=done,
            epochs=epochs,
            # Keras would shuffle the batches by Python's global generator, which no seed of ours reaches.
            shuffle=False,
            verbose=0,
            callbacks=[
                keras.callbacks.LambdaCallback(on_epoch_begin=lambda epoch, logs: batches.deal(epoch)),
                Clock(seconds),
                keras.callbacks.CSVLogger(history, append=True),
                *callbacks,
                snapshot,  # last: what it says is done is done
            ],
        )
    snapshot.restore_best(model)
    return read_history(history)


def require_tensorboard():
    """Raise InputError where TensorBoard is not installed."""
    if importlib.util.find_spec("tensorboard") is None:
        raise InputError("TensorBoard is not installed: pip install 'kspike_reg[tensorboard]'")


def forget(folder):
    """Remove the snapshot of a run that has come to its end."""
    (Path(folder) / "snapshot.npz").unlink(missing_ok=True)


def read_history(file):
    """The columns of a `history.csv`.

    Args:
        file: its name.

    Returns:
        A dictionary from column to a list of numbers, one for each epoch; epoch, loss and val_loss among them.
    """
    with open(file, newline="", encoding="utf-8") as lines:
        rows = list(csv.DictReader(lines))
    return {name: [float(row[name]) for row in rows] for name in rows[0]}


class Batches(keras.utils.PyDataset):
    """The training set in batches, dealt out anew each epoch by the seed and the number of the epoch."""

    def __init__(self, arrays, batch_size, seed):
        super().__init__()
        self.arrays = arrays
        self.batch_size = batch_size
        self.seed = seed
        self.deal(0)

    def deal(self, epoch):
        """Take the order of this epoch, counted from zero."""
        self.order = np.random.default_rng([self.seed, epoch]).permutation(len(self.arrays[0]))

    def __len__(self):
        return -(-len(self.order) // self.batch_size)

    def __getitem__(self, index):
        chosen = self.order[index * self.batch_size : (index + 1) * self.batch_size]
        return tuple(array[chosen] for array in self.arrays)


class Snapshot(keras.callbacks.Callback):
    """All that the next epoch needs, in one file that is replaced as a whole.

    `keras.callbacks.BackupAndRestore` keeps weights and epoch in two files, so that a kill between them repeats an
    epoch, and forgets which weights were best.
    """

    def __init__(self, file, patience):
        super().__init__()
        self.file = file
        self.patience = patience
        self.best_loss, self.best_epoch, self.best = np.inf, 0, None

    def restore(self, model):
        """Put the snapshot's state, where there is one, into `model`; the number of epochs done."""
        if not model.optimizer.built:
            model.optimizer.build(model.trainable_variables)
        if not self.file.exists():
            return 0
        state = model.variables + model.optimizer.variables
        stored = self._stored()
        latest = [stored[f"latest_{index}"] for index in range(sum(name[:6] == "latest" for name in stored))]
        if [array.shape for array in latest] != [tuple(variable.shape) for variable in state]:
            raise InputError(f"{self.file}: the snapshot of another network; remove it to start anew")
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
        except Exception as error:  # whatever numpy and zipfile stumble over in a damaged file
            raise InputError(f"{self.file}: cannot be read as a snapshot: {error}; remove it to start anew") from error
        return stored

    def restore_best(self, model):
        if self.best is None:
            raise InputError(
                "training diverged: the validation loss was not finite in any epoch; lower the learning rate"
            )
        model.set_weights(self.best)

    def out_of_patience(self, done):
        return self.patience is not None and done - self.best_epoch >= self.patience

    def on_epoch_end(self, epoch, logs=None):
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
    """Enter the seconds trained so far, predecessors included, into the logs."""

    def __init__(self, before):
        super().__init__()
        self.before = before

    def on_train_begin(self, logs=None):
        self.start = time.perf_counter()

    def on_epoch_end(self, epoch, logs=None):
        logs["seconds"] = round(self.before + time.perf_counter() - self.start, 3)


def _cut_history(file, done):
    """Drop what a killed run wrote after its last snapshot; the seconds that the rest took."""
    if done == 0:
        file.unlink(missing_ok=True)
        return 0.0
    if not file.exists():
        raise InputError(f"{file}: missing, though {done} epochs are done; remove snapshot.npz beside it to start anew")
    lines = file.read_bytes().splitlines(keepends=True)[: done + 1]
    with replacing(file) as partial:
        partial.write_bytes(b"".join(lines))
    return read_history(file)["seconds"][-1]
