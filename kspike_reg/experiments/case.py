"""One case of a study: its configuration, its progress and its results."""

import json
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from kspike_reg.datasets import Paths
from kspike_reg.evaluation import predict
from kspike_reg.experiments.configuration import Configuration
from kspike_reg.experiments.memoryless import memoryless_error
from kspike_reg.experiments.run import is_complete
from kspike_reg.metrics import mean_relative_error
from kspike_reg.network.physical import scaling_of
from kspike_reg.network.saving import load
from kspike_reg.training import read_history
from kspike_reg.typing import FloatArray

__all__ = ["Case"]


@dataclass(frozen=True)
class Case:
    """One run of a study.

    Args:
        name: of the case, and of its folder.
        configuration: the configuration of the run.
        papers: the configuration of the paper.
        folder: the folder of the run.
    """

    name: str
    configuration: Configuration
    papers: Configuration
    folder: Path

    @property
    def cost(self) -> int:
        """Steps of all training paths in all epochs: a measure of the duration of the run."""
        training, _, _ = self.configuration.sizes
        return self.configuration.epochs * training * self.configuration.steps

    @property
    def done(self) -> float:
        """Share of the run that is done; 1 only if it is complete."""
        if is_complete(self.folder):
            return 1.0
        try:
            epochs = (self.folder / "history.csv").read_bytes().count(b"\n") - 1
        except OSError:
            epochs = 0
        return min(max(epochs, 0) / self.configuration.epochs, 0.999)

    @cached_property
    def metrics(self) -> dict[str, Any]:
        """The metrics of a finished run, see `run`."""
        return json.loads((self.folder / "metrics.json").read_text(encoding="utf-8"))

    @property
    def history(self) -> dict[str, list[float]]:
        """Losses of each epoch, see `training.read_history`."""
        return read_history(self.folder / "history.csv")

    @cached_property
    def test(self) -> Paths:
        """The test set."""
        return self.configuration.load_data()[2]

    @cached_property
    def memoryless_error(self) -> float:
        """The error of a guess without memory on the test set, see `memoryless_error`."""
        training, _, test = self.configuration.load_data()
        return memoryless_error(training, test)

    @cached_property
    def model(self) -> keras.Model:
        """The trained network, in physical units."""
        return load(self.folder / "model.keras")

    @cached_property
    def prediction(self) -> tuple[NDArray[Any], NDArray[Any]]:
        """The prediction of the network on the test set and its spread, each (n, T, outputs), in physical units."""
        return predict(self.model, self.test, outside="ignore", return_spread=True)

    @property
    def path_errors(self) -> FloatArray:
        """The relative error of each path of the test set, eq. 14 on standardised data, shape (n,)."""
        _, scaling = scaling_of(self.model)
        pair = [scaling.standardise(values) for values in (self.test.targets, self.prediction[0])]
        return np.array([mean_relative_error(*(values[[path]] for values in pair)) for path in range(len(self.test))])
