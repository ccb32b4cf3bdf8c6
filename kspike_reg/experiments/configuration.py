"""The configuration of a run: everything that decides its result."""

from dataclasses import asdict, dataclass, fields
from typing import TYPE_CHECKING, Any

import numpy as np

from kspike_reg import datasets
from kspike_reg.errors import InputError, require_whole
from kspike_reg.ragged import buckets

if TYPE_CHECKING:
    import keras

__all__ = ["LOSS_WEIGHTINGS", "SCHEDULES", "Configuration"]

SCHEDULES = {"constant": 1.0, "cosine": 0.0}  # the share of the learning rate that is left at the end
LOSS_WEIGHTINGS = ("uniform", "relative")

# A path whose stress stays this near to the mean, in variances, weighs as if it strayed so far: else a few rule all.
LEAST_MEAN_SQUARE = 0.1


@dataclass(frozen=True)
class Configuration:
    """Everything that decides a run's result; the defaults are the paper's.

    Args:
        task: a name in `datasets.TASKS`; None where `data` is given.
        timesteps: steps of the task's paths; None takes the paper's.
        family: of the task's strain paths, a name in `datasets.FAMILIES`; None takes the paper's.
        training_paths: paths of the task to train on; None takes the paper's.
        data: a CSV or NPZ file of the user's own; None where `task` is given.
        inputs, outputs: names of its quantities.
        path_column, step_column: names of the columns that tell the path and order its steps (CSV).
        split: shares of its paths for training, validation and test.
        kind, units, population, depth, surrogate, reset, readout, decay, threshold, readout_decay: the network, see
            `kspike_reg.build`.
        epochs, batch_size, learning_rate, weight_decay: the training by AdamW.
        schedule: "constant", or "cosine": the learning rate falls to zero along half a cosine.
        warm_up: share of the training, before the schedule, over which the learning rate rises from zero.
        clipping: largest norm of a gradient over all weights; None does not clip.
        loss_weighting: "uniform", or "relative": each path's squared error is divided by the mean square of its
            standardised targets, as the mean relative error does; see `LEAST_MEAN_SQUARE`.
        last_step_weight: how many other steps the last one counts for in the loss.
        early_stopping: epochs without a better validation loss after which training stops; None never stops.
        seed: of the data, the initial weights and the order of the batches.
    """

    task: str | None = None
    timesteps: int | None = None
    family: str | None = None
    training_paths: int | None = None
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
    decay: tuple | None = None
    threshold: tuple | None = None
    readout_decay: tuple | None = None
    epochs: int = 2000
    batch_size: int = 1024
    learning_rate: float = 1e-3
    weight_decay: float = 0.01
    schedule: str = "constant"
    warm_up: float = 0.0
    clipping: float | None = None
    loss_weighting: str = "uniform"
    last_step_weight: float = 1.0
    early_stopping: int | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        for name, value in asdict(self).items():
            if isinstance(value, list):  # as JSON and the command line give them
                object.__setattr__(self, name, tuple(value))
        if (self.task is None) == (self.data is None):
            raise InputError("expected either a task or a data file, one of the two")
        if self.task is not None and self.task not in datasets.TASKS:
            raise InputError(f"unknown task {self.task!r}; choose one of {', '.join(datasets.TASKS)}")
        if self.data is not None and not (self.inputs and self.outputs):
            raise InputError(f"{self.data}: name its columns, the inputs and the outputs to be learned")
        of_data = ("inputs", "outputs", "path_column", "step_column", "split")
        of_task = ("timesteps", "family", "training_paths")
        for name in of_task if self.task is None else of_data:
            if getattr(self, name) != getattr(Configuration, name):
                source = "the task, which has quantities and sets of its own" if self.data is None else "a data file"
                raise InputError(f"{name} means nothing for {source}; leave it out")
        require_whole("training", epochs=self.epochs, batch_size=self.batch_size)
        for name in ("early_stopping", "training_paths"):
            if getattr(self, name) is not None:
                require_whole("training", **{name: getattr(self, name)})
        require_whole("training", least=0, seed=self.seed)
        for name in ("learning_rate", "clipping", "last_step_weight"):
            value = getattr(self, name)
            if value is not None and not 0 < value < np.inf:
                raise InputError(f"training: expected {name} > 0, received {name}={value!r}")
        if not 0 <= self.weight_decay < np.inf:
            raise InputError(f"training: expected weight_decay >= 0, received weight_decay={self.weight_decay!r}")
        if not 0 <= self.warm_up < 1:
            raise InputError(f"training: expected warm_up in [0, 1), received warm_up={self.warm_up!r}")
        for name, choices in {"schedule": SCHEDULES, "loss_weighting": LOSS_WEIGHTINGS}.items():
            if getattr(self, name) not in choices:
                raise InputError(
                    f"training: unknown {name} {getattr(self, name)!r}; choose one of {', '.join(choices)}"
                )

    @classmethod
    def of_record(cls, record: dict[str, Any]) -> "Configuration":
        """The configuration that a configuration.json or the metrics of a run tell of, a dictionary."""
        return cls(**{field.name: record[field.name] for field in fields(cls)})

    def changed(self, other: "Configuration") -> dict[str, tuple[Any, Any]]:
        """What differs from another configuration, `other`: pairs (here, there) by the name of the field."""
        here, there = asdict(self), asdict(other)
        return {name: (here[name], there[name]) for name in here if here[name] != there[name]}

    @property
    def sizes(self) -> tuple[int, ...]:
        """Paths for training, validation and test; of a task."""
        papers = datasets.TASKS[self.task].sizes
        return papers if self.training_paths is None else (self.training_paths, *papers[1:])

    @property
    def steps(self) -> int:
        """Steps of a path; of a task."""
        return datasets.TASKS[self.task].timesteps if self.timesteps is None else self.timesteps

    def load_data(self) -> list[datasets.Paths]:
        """Training, validation and test set, as `datasets.Paths`.

        Raises:
            InputError: the data file cannot be read, or holds too few paths to be split.
        """
        if self.task is not None:
            sets = {"timesteps": self.steps, "family": self.family, "seed": self.seed}
            return datasets.generate(self.task, self.sizes, **sets)
        columns = {"path_column": self.path_column, "step_column": self.step_column}
        paths = datasets.read(self.data, self.inputs, self.outputs, **columns)
        try:
            return paths.split(self.split, self.seed)
        except InputError as error:
            raise InputError(f"{self.data}: {error}") from error

    def build(self, training: datasets.Paths) -> "keras.Model":
        """Build the untrained network, with the widths of the data, and compile it for the updates of its training.

        Args:
            training: the paths to be trained on, with targets.

        Returns:
            A `keras.Model` on standardised data, see `kspike_reg.build`, with as many features and outputs as the
            paths have inputs and targets.

        Raises:
            InputError: an option of the network is out of its range, or the population is not a multiple of the
                outputs.
        """
        from kspike_reg.network import build, compile_for_regression

        names = (
            "kind", "units", "population", "depth", "surrogate", "reset", "readout", "decay", "threshold",
            "readout_decay", "seed",
        )  # fmt: skip
        widths = {"features": len(training.input_names), "outputs": len(training.target_names)}
        model = build(**{name: getattr(self, name) for name in names}, **widths)
        groups = buckets(training.lengths, training.width)
        updates = self.epochs * sum(-(-len(members) // self.batch_size) for members, _ in groups)
        compile_for_regression(model, self._learning_rate(updates), self.weight_decay, self.clipping)
        return model

    def _learning_rate(self, updates):
        rising = round(self.warm_up * updates)
        if self.schedule == "constant" and not rising:
            return self.learning_rate
        import keras

        return keras.optimizers.schedules.CosineDecay(
            0.0 if rising else self.learning_rate,
            max(updates - rising, 1),
            alpha=SCHEDULES[self.schedule],
            warmup_target=self.learning_rate if rising else None,
            warmup_steps=rising,
        )

    def weights(self, targets: np.ndarray, mask: np.ndarray) -> np.ndarray | None:
        """Weight of each step in the loss, shape (n, T), zero for padding; None where all are equal.

        Args:
            targets: standardised, shape (n, T, outputs).
            mask: True where a step belongs to its path, shape (n, T).

        Returns:
            An array (n, T) whose mean over the steps that count is 1, or None.
        """
        if mask.all() and self.loss_weighting == "uniform" and self.last_step_weight == 1:
            return None
        weights = self.relative_weights(targets, mask)
        # So that the learning rate and the clipping mean the same for every weighting.
        return weights / weights[mask].mean()

    def relative_weights(self, targets: np.ndarray, mask: np.ndarray) -> np.ndarray:
        """Weights of the steps relative to one another; `targets` and `mask` as in `weights`."""
        weights = mask.astype(np.float64)
        last = np.arange(mask.shape[1]) == mask.sum(axis=1, keepdims=True) - 1
        weights[last] *= self.last_step_weight
        if self.loss_weighting == "relative":
            squares = np.sum(np.where(mask, np.mean(targets**2, axis=2), 0), axis=1) / mask.sum(axis=1)
            weights /= np.maximum(squares, LEAST_MEAN_SQUARE)[:, None]
        return weights
