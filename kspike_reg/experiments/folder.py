"""The folder of a run: whose it is, whether the run is complete, and whether its files are undamaged."""

import dataclasses
import json
import os
import warnings
import zipfile
from functools import lru_cache
from os import PathLike
from pathlib import Path
from typing import Any

from kspike_reg import training
from kspike_reg.datasets.streams import sha256_of
from kspike_reg.errors import InputError
from kspike_reg.experiments.configuration import Configuration
from kspike_reg.files import prepare_folder, write_json
from kspike_reg.network.saving import load
from kspike_reg.snapshots import PREVIOUS, SNAPSHOT

__all__ = ["FILES", "claim", "finished_metrics", "is_complete", "recorded_configuration"]

# What a run writes into its folder, configuration.json apart.
FILES = (
    *("model.keras", "card.md", "metrics.json", "history.csv", "loss.png", "predictions.png"),
    *(SNAPSHOT, PREVIOUS),
)


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
    return {"data_sha256": sha256_of(configuration.data)}


def is_complete(folder: str | PathLike) -> bool:
    """Whether a folder holds a finished run with undamaged files, which `run` returns without a repetition.

    Args:
        folder: the folder of a run; it need not exist.

    Returns:
        True or False.
    """
    try:
        versions = [os.stat(Path(folder) / name) for name in ("metrics.json", "model.keras")]
    except (OSError, ValueError):
        return False
    return _is_undamaged(Path(folder), *((one.st_ino, one.st_size, one.st_mtime_ns) for one in versions))


@lru_cache(maxsize=4096)  # asked every second for every case of a study
def _is_undamaged(folder: Path, *versions: tuple[int, int, int]) -> bool:
    """Whether the metrics can be read and no part of the model has changed since it was written, by its checksums."""
    try:
        if _parsed_metrics(folder / "metrics.json")[1]:
            return False
        with zipfile.ZipFile(folder / "model.keras") as archive:
            return archive.testzip() is None
    except Exception:  # zipfile raises errors of many classes on a damaged file
        return False


def _parsed_metrics(file: Path) -> tuple[dict[str, Any], object]:
    """The metrics in a file, and why they are not those of a run, which is empty for a good file."""
    try:
        metrics = json.loads(file.read_text(encoding="utf-8"))
        whole = {"test", "validation", "untrained", "training", "data", "environment"} <= metrics.keys()
        return metrics, "" if whole else "parts are missing"
    except (OSError, ValueError, AttributeError) as error:
        return {}, error or "unreadable"


def finished_metrics(folder: Path) -> dict[str, Any] | None:
    """The metrics of a finished run whose files load; None for a run to be continued.

    Where a file is damaged, a snapshot that is still there makes the files again.

    Args:
        folder: of the run, locked by the caller.

    Raises:
        InputError: a file is damaged, and there is no snapshot.
    """
    if not all(os.path.exists(folder / name) for name in ("metrics.json", "model.keras")):
        return None
    try:
        metrics, reason = _parsed_metrics(file := folder / "metrics.json")
        if reason:
            raise InputError(f"{file}: not the metrics of a run ({reason}); remove it to repeat the run")
        try:
            load(folder / "model.keras")
        except InputError as error:
            raise InputError(f"{error}; remove {file} to repeat the run") from error
    except InputError as error:
        if not (folder / SNAPSHOT).exists():
            raise
        warnings.warn(f"{error}; made again from the snapshot", training.ResumeWarning, stacklevel=3)
        return None
    training.forget(folder)  # a kill may have left the snapshot
    return metrics
