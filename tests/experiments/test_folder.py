"""The folder of a run: which files make it complete."""

import json
import os
import zipfile

import pytest

from kspike_reg import build
from kspike_reg.experiments.folder import finished_metrics, is_complete

METRICS = {name: {} for name in ("test", "validation", "untrained", "training", "data", "environment")}


@pytest.fixture
def complete(tmp_path):
    """The metrics and the model of a run, of which the latter is small."""
    (tmp_path / "metrics.json").write_text(json.dumps(METRICS))
    build("dense", features=1, outputs=1, units=2, population=2, depth=1).save(tmp_path / "model.keras")
    return tmp_path


@pytest.mark.parametrize("missing", ["model.keras", "metrics.json"])
def test_a_run_without_its_model_or_its_metrics_is_not_complete(complete, missing):
    """Asked before and after, since answers are remembered."""
    assert is_complete(complete)
    assert finished_metrics(complete) == METRICS
    (complete / missing).unlink()
    assert not is_complete(complete)
    assert finished_metrics(complete) is None  # the run is to be continued


@pytest.mark.parametrize("name", ["model.keras", "metrics.json"])
def test_a_file_that_is_damaged_later_is_noticed(complete, name):
    assert is_complete(complete)
    content = (complete / name).read_bytes()
    (complete / name).write_bytes(content[: len(content) // 2])
    assert not is_complete(complete)
    (complete / name).write_bytes(content)
    assert is_complete(complete)


def test_a_model_whose_content_changed_is_noticed(complete):
    """A byte in the middle, which the checksums of the archive find."""
    file = complete / "model.keras"
    with zipfile.ZipFile(file) as archive:
        (weights,) = (entry for entry in archive.infolist() if entry.filename.endswith(".h5"))
    content = bytearray(file.read_bytes())
    content[weights.header_offset + 200 + weights.file_size // 2] ^= 0x55
    file.write_bytes(content)
    os.utime(file)
    assert not is_complete(complete)
