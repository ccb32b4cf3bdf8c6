"""The snapshot of a training: everything that its next epoch needs, in one file that is replaced as a whole."""

import json
import os
import shutil
import warnings
from pathlib import Path
from typing import Any

import keras
import numpy as np

from kspike_reg.errors import InputError
from kspike_reg.files import replacing

__all__ = ["PREVIOUS", "SNAPSHOT", "ResumeWarning", "Snapshot", "forget", "sessions"]

# The state after the last epoch, and after the one before it.
SNAPSHOT, PREVIOUS = "snapshot.npz", "snapshot-previous.npz"


class ResumeWarning(UserWarning):
    """A training continues in another environment, or from an older state than the last one."""


def forget(folder: str | os.PathLike) -> None:
    """Remove the snapshots of a finished run.

    Args:
        folder: of the run.
    """
    for name in (PREVIOUS, SNAPSHOT):
        (Path(folder) / name).unlink(missing_ok=True)


def sessions(folder: str | os.PathLike) -> list[dict[str, Any]]:
    """The environments that trained, in their order, as the snapshot in a folder records them.

    Args:
        folder: of a training, before `forget` is called.

    Returns:
        Dictionaries with `epochs`, the first and the last one, counted from one, and `environment`, as `fit` received
        it; None where an earlier version of the package did not record it.

    Raises:
        InputError: the snapshot is damaged.
    """
    return _recorded_sessions(_read(Path(folder) / SNAPSHOT))


class Snapshot(keras.callbacks.Callback):
    """Everything that the next epoch needs, in one file that is replaced as a whole.

    `keras.callbacks.BackupAndRestore` writes weights and epoch to two files, so that a kill between them repeats an
    epoch, and it does not store the best weights.

    Args:
        file: the snapshot; the one before it is kept next to it.
        patience: see `fit`.
        history: the history.csv, to which another callback adds an epoch before this one is called.
        environment: see `fit`.
    """

    def __init__(self, file: Path, patience: int | None, history: Path, environment: dict[str, Any] | None) -> None:
        super().__init__()
        self.file, self.previous, self.history = file, file.with_name(PREVIOUS), history
        self.patience = patience
        self.environment = json.loads(json.dumps(environment))
        self.sessions: list[dict[str, Any]] = []
        self.best_loss, self.best_epoch = np.inf, 0
        self.best: list[np.ndarray] | None = None

    def restore(self, model: keras.Model) -> int:
        """Set the state of the snapshot, if there is one, in `model`, and return the number of epochs done.

        The history is cut to these epochs.

        Raises:
            InputError: the file and the one before it are damaged, or of another network or backend.
        """
        if not model.optimizer.built:
            model.optimizer.build(model.trainable_variables)
        if not self.file.exists():
            self.previous.unlink(missing_ok=True)
            self.history.unlink(missing_ok=True)
            return 0
        state = model.variables + model.optimizer.variables
        stored = self._stored()
        self.sessions = _recorded_sessions(stored)
        _compare(self.file, self.sessions[-1], self.environment)
        latest = [stored[f"latest_{index}"] for index in range(sum(name[:6] == "latest" for name in stored))]
        if [array.shape for array in latest] != [tuple(variable.shape) for variable in state]:
            raise InputError(f"{self.file}: the snapshot of another network; remove it to start again")
        best = [stored[f"best_{index}"] for index in range(sum(name[:5] == "best_" for name in stored))]
        self.best = best or None
        self.best_loss, self.best_epoch = float(stored["loss_of_best"]), int(stored["epoch_of_best"])
        done = int(stored["epochs_done"])
        self._cut_history(stored, done)
        for variable, array in zip(state, latest, strict=True):
            variable.assign(array)
        return done

    def _stored(self):
        """The content of the snapshot, or of the one before it where the snapshot is damaged."""
        try:
            return _read(self.file)
        except InputError as error:
            try:
                stored = _read(self.previous)
            except InputError:
                raise error from None
            warnings.warn(
                f"{error}; the training continues from the snapshot before it, after epoch {stored['epochs_done']}",
                ResumeWarning,
                stacklevel=2,
            )
        os.replace(self.previous, self.file)  # the next snapshot must not take the place of the undamaged one
        return stored

    def _cut_history(self, stored, done):
        """Remove the epochs from the history that a killed run wrote after this snapshot."""
        if "history" in stored:
            content = stored["history"].tobytes()
        elif self.history.exists():  # a snapshot of an earlier version of the package
            content = b"".join(self.history.read_bytes().splitlines(keepends=True)[: done + 1])
        else:
            raise InputError(
                f"{self.history}: missing, though {done} epochs are done; remove {SNAPSHOT} to start again"
            )
        with replacing(self.history) as partial:
            partial.write_bytes(content)

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
        self._record_session(done)
        with replacing(self.file) as partial:
            np.savez(
                partial,
                epochs_done=done,
                loss_of_best=self.best_loss,
                epoch_of_best=self.best_epoch,
                history=np.frombuffer(self.history.read_bytes(), "uint8"),
                sessions=json.dumps(self.sessions),
                **arrays,
            )
            self._keep_previous()
        if self.out_of_patience(done):
            self.model.stop_training = True

    def _record_session(self, done):
        last = self.sessions[-1] if self.sessions else None
        if last is None or last["environment"] != self.environment:
            self.sessions.append({"epochs": [done, done], "environment": self.environment})
        else:
            last["epochs"][1] = done

    def _keep_previous(self):
        """Give the snapshot that is about to be replaced a second name, so that one is there at any moment."""
        if self.file.exists():
            self.previous.unlink(missing_ok=True)
            try:
                os.link(self.file, self.previous)
            except OSError:  # a file system without hard links
                shutil.copyfile(self.file, self.previous)


def _read(file):
    """The content of a snapshot, a dictionary."""
    try:
        with open(file, "rb") as stream:
            stored = dict(np.load(stream, allow_pickle=False))
        if not {"loss_of_best", "epoch_of_best", "epochs_done"} <= stored.keys():
            raise ValueError("parts are missing")
    except Exception as error:  # numpy and zipfile raise errors of many classes on a damaged file
        raise InputError(f"{file}: cannot be read as a snapshot: {error}; remove it to start again") from error
    return stored


def _recorded_sessions(stored):
    if "sessions" in stored:
        return json.loads(str(stored["sessions"]))
    return [{"epochs": [1, int(stored["epochs_done"])], "environment": None}]  # of an earlier version of the package


def _compare(file, session, now):
    """Refuse to continue a training with another backend, and warn about other differences."""
    before = session["environment"]
    if before is None or now is None or before == now:
        return
    before, now = ({**of, **of.get("versions", {})} for of in (before, now))
    names = [name for name in {**before, **now} if name != "versions" and before.get(name) != now.get(name)]
    theirs, ours = (", ".join(f"{name} {of.get(name, 'unknown')}" for name in names) for of in (before, now))
    said = f"{file.parent}: the training so far, up to epoch {session['epochs'][1]}, ran with {theirs}"
    if "backend" in names:
        raise InputError(
            f"{said} instead of {ours}, which would give another network; set KERAS_BACKEND={before.get('backend')} to "
            f"continue, or remove {file.name} to start again"
        )
    warnings.warn(
        f"{said}; it continues with {ours}, so the result may differ in the last digits, and the record lists both",
        ResumeWarning,
        stacklevel=2,
    )
