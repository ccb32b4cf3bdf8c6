"""The errors of `kspike_reg.metrics` as Keras metrics, for `model.compile`."""

from typing import Any

import keras
from keras import ops

# The masks that tensors carry have no public name.
from keras.src.backend.common.masking import get_keras_mask

from kspike_reg.errors import InputError
from kspike_reg.typing import Tensor

__all__ = ["MeanPointwiseRelativeError", "MeanRelativeError", "RootMeanSquaredError"]

STEPS = ("all", "last")


class PathMetric(keras.metrics.Metric):
    """A quotient of two sums over paths of shape (batch, time, outputs) or (batch, time), exact over an epoch.

    Args:
        steps: "all" or "last", the steps that count.
        name, dtype: as for every Keras metric.

    Raises:
        InputError: another word for `steps`.
    """

    default_name = ""

    def __init__(self, steps: str = "all", name: str | None = None, dtype: Any = None) -> None:
        if steps not in STEPS:
            raise InputError(f"{type(self).__name__}: expected steps to be 'all' or 'last', received {steps!r}")
        super().__init__(name=name or self.default_name + ("_last" if steps == "last" else ""), dtype=dtype)
        self.steps = steps
        self.total = self.add_variable((), "zeros", name="total")
        self.count = self.add_variable((), "zeros", name="count")

    def update_state(self, y_true: Tensor, y_pred: Tensor, sample_weight: Tensor | None = None) -> None:
        """Add a batch.

        Args:
            y_true, y_pred: reference and prediction, (batch, time, outputs) or (batch, time).
            sample_weight: shape (batch, time) or (batch,); zero marks padding, any other weight counts as one. A mask
                that the prediction carries marks padding too.
        """
        mask = get_keras_mask(y_pred)
        reference, prediction = (_three_axes(ops.cast(values, self.dtype)) for values in (y_true, y_pred))
        counts = ops.ones_like(reference[..., 0], dtype="bool")
        for padding in (mask, sample_weight):
            if padding is not None:
                padding = ops.cast(padding, "float32") != 0
                counts = ops.logical_and(counts, ops.reshape(padding, (*ops.shape(padding)[:1], -1)))
        if self.steps == "last":
            later = ops.flip(ops.cumsum(ops.flip(ops.cast(counts, "int32"), axis=1), axis=1), axis=1)
            counts = ops.logical_and(counts, later == 1)
        total, count = self.sums(reference, reference - prediction, ops.cast(counts, self.dtype)[..., None])
        self.total.assign_add(total)
        self.count.assign_add(count)

    def sums(self, reference: Tensor, difference: Tensor, counts: Tensor) -> tuple[Tensor, Tensor]:
        """What a batch adds to the total and to the count.

        Args:
            reference, difference: shape (batch, time, outputs).
            counts: 1.0 where a step counts, else 0.0, shape (batch, time, 1).
        """
        raise NotImplementedError(f"{type(self).__name__}: expected the metric to define `sums`")

    def result(self) -> Tensor:
        return ops.divide_no_nan(self.total, self.count)

    def get_config(self) -> dict[str, Any]:
        return super().get_config() | {"steps": self.steps}


@keras.saving.register_keras_serializable("kspike_reg")
class MeanRelativeError(PathMetric):
    """Mean over the paths of ||reference - prediction|| / ||reference||, see `metrics.mean_relative_error`.

    Where the reference of a path is zero throughout, the metric is not finite. Pass it to `compile` under `metrics`,
    or where paths are padded under `weighted_metrics`, since Keras passes weights to these alone.

    Args:
        steps: "all" or "last", the steps of a path that count.
        name, dtype: as for every Keras metric.

    Raises:
        InputError: another word for `steps`.
    """

    default_name = "mean_relative_error"

    def sums(self, reference: Tensor, difference: Tensor, counts: Tensor) -> tuple[Tensor, Tensor]:
        error, size = (
            ops.sqrt(ops.sum(ops.square(_counted(values, counts)), axis=(1, 2))) for values in (difference, reference)
        )
        paths = ops.max(counts, axis=(1, 2))  # a path that is padding alone is none
        return ops.sum(ops.where(paths > 0, error / ops.where(paths > 0, size, 1.0), 0.0)), ops.sum(paths)


@keras.saving.register_keras_serializable("kspike_reg")
class MeanPointwiseRelativeError(PathMetric):
    """Mean over all values of |reference - prediction| / |reference|, without step 0.

    See `metrics.mean_pointwise_relative_error`. Where a value of the reference is zero, the metric is not finite. Pass
    it to `compile` under `metrics`, or where paths are padded under `weighted_metrics`.

    Args:
        steps: "all" or "last", the steps of a path that count.
        name, dtype: as for every Keras metric.

    Raises:
        InputError: another word for `steps`.
    """

    default_name = "mean_pointwise_relative_error"

    def sums(self, reference: Tensor, difference: Tensor, counts: Tensor) -> tuple[Tensor, Tensor]:
        if self.steps == "all":
            later = ops.cast(ops.arange(ops.shape(counts)[1]) > 0, counts.dtype)
            counts = counts * later[None, :, None]
        every = ops.broadcast_to(counts, ops.shape(reference))
        ratio = ops.abs(difference) / ops.abs(ops.where(every > 0, reference, 1.0))
        return ops.sum(_counted(ratio, counts)), ops.sum(every)


@keras.saving.register_keras_serializable("kspike_reg")
class RootMeanSquaredError(PathMetric):
    """Root of the mean squared error over all values, see `metrics.root_mean_squared_error`.

    `keras.metrics.RootMeanSquaredError` is the same without `steps`. Pass it to `compile` under `metrics`, or where
    paths are padded under `weighted_metrics`.

    Args:
        steps: "all" or "last", the steps of a path that count.
        name, dtype: as for every Keras metric.

    Raises:
        InputError: another word for `steps`.
    """

    default_name = "root_mean_squared_error"

    def sums(self, reference: Tensor, difference: Tensor, counts: Tensor) -> tuple[Tensor, Tensor]:
        every = ops.broadcast_to(counts, ops.shape(reference))
        return ops.sum(ops.square(_counted(difference, counts))), ops.sum(every)

    def result(self) -> Tensor:
        return ops.sqrt(super().result())


def _three_axes(values: Tensor) -> Tensor:
    return values if len(values.shape) == 3 else values[..., None]


def _counted(values: Tensor, counts: Tensor) -> Tensor:
    """The values that count, and zeros: padding may be NaN."""
    return ops.where(counts > 0, values, ops.zeros_like(values))
