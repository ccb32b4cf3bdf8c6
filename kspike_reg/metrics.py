"""Errors of predicted paths, named by their denominators: functions of NumPy arrays, and Keras metrics.

All errors take `reference` and `prediction` of shape (n, T) or (n, T, outputs), `steps` ("all" or "last") and, where
paths differ in length, `lengths`, shape (n,). `MeanRelativeError`, `MeanPointwiseRelativeError` and
`RootMeanSquaredError` are the same for `model.compile`. The caller decides whether the numbers are standardised or
physical.
"""

import numpy as np
from numpy.typing import ArrayLike

from kspike_reg.errors import InputError
from kspike_reg.lazy import lazy
from kspike_reg.ragged import Ragged, buckets

# Keras metrics, imported when they are first asked for; the functions are needed without Keras.
_HOMES = dict.fromkeys(
    ("MeanPointwiseRelativeError", "MeanRelativeError", "RootMeanSquaredError"), "kspike_reg.keras_metrics"
)

__all__ = [
    *_HOMES,
    "mean_pointwise_relative_error",
    "mean_relative_error",
    "rank_correlation",
    "root_mean_squared_error",
]

__getattr__, __dir__ = lazy(__name__, _HOMES)


def mean_relative_error(
    reference: ArrayLike, prediction: ArrayLike, steps: str = "all", *, lengths: ArrayLike | None = None
) -> float:
    """Mean over the paths of a ratio of Euclidean norms (paper, eq. 14).

        E = 1/n sum_i ||reference_i - prediction_i|| / ||reference_i||

    The norm includes all outputs, and all steps of a path or its last step alone.

    Args:
        reference, prediction, steps, lengths: see the module.

    Returns:
        The error, dimensionless.

    Raises:
        InputError: shapes that do not fit, or a path whose reference is zero in all steps, where the ratio is
            undefined.
    """
    reference, difference, _ = _prepare("mean_relative_error", reference, prediction, steps, lengths)
    error, size = _norms(difference), _norms(reference)
    _refuse_zeros("mean_relative_error", size)
    return float(np.mean(error / size))


def mean_pointwise_relative_error(
    reference: ArrayLike, prediction: ArrayLike, steps: str = "all", *, lengths: ArrayLike | None = None
) -> float:
    """Mean over all values of |reference - prediction| / |reference|, without step 0.

    The code published with the paper computes this on standardised data; it differs several-fold from eq. 14.

    Args:
        reference, prediction, steps, lengths: see the module.

    Returns:
        The error, dimensionless.

    Raises:
        InputError: shapes that do not fit, or a reference value of zero, where the ratio is undefined.
    """
    reference, difference, counts = _prepare("mean_pointwise_relative_error", reference, prediction, steps, lengths)
    if steps == "all":
        counts[reference.ends - reference.lengths] = False
    if not counts.any():
        raise InputError(
            "mean_pointwise_relative_error: the paths have no step but step 0, which does not count; give paths of two "
            "steps or more"
        )
    reference, difference = (values.rows[counts].ravel() for values in (reference, difference))
    _refuse_zeros("mean_pointwise_relative_error", reference)
    return float(np.mean(np.abs(difference) / np.abs(reference)))


def root_mean_squared_error(
    reference: ArrayLike, prediction: ArrayLike, steps: str = "all", *, lengths: ArrayLike | None = None
) -> float:
    """Root of the mean squared error over all values, in the units of the data.

    Args:
        reference, prediction, steps, lengths: see the module.

    Returns:
        The error, in the units of the data.

    Raises:
        InputError: shapes that do not fit.
    """
    _, difference, counts = _prepare("root_mean_squared_error", reference, prediction, steps, lengths)
    return float(np.sqrt(np.mean(difference.rows[counts].ravel() ** 2)))


def rank_correlation(one: ArrayLike, other: ArrayLike) -> float:
    """Spearman's rank correlation: 1 if one always rises with the other, 0 if they are unrelated.

    Args:
        one, other: arrays of the same number of values, any shape; equal values share their mean rank.

    Returns:
        The correlation, in [-1, 1].
    """
    ranks = []
    for values in (one, other):
        _, place, counts = np.unique(values, return_inverse=True, return_counts=True)
        ranks.append((np.cumsum(counts) - (counts - 1) / 2)[np.ravel(place)])  # ties share their mean rank
    return float(np.corrcoef(*ranks)[0, 1])


def _prepare(metric, reference, prediction, steps, lengths):
    """Reference and difference as `Ragged`, zero at steps that do not count, and which rows count."""
    if isinstance(reference, Ragged):  # of `evaluation`, where padding would take too much memory
        lengths, width = reference.lengths, reference.width
        reference, prediction = reference.rows, prediction.rows
    else:
        reference, prediction, lengths = _arrays(metric, reference, prediction, lengths)
        width = reference.shape[1]
        reference, prediction = (Ragged.of(array, lengths).rows for array in (reference, prediction))
    if steps == "all":
        counts = np.ones(len(reference), dtype=bool)
    elif steps == "last":
        counts = np.zeros(len(reference), dtype=bool)
        counts[np.cumsum(lengths) - 1] = True
    else:
        raise InputError(f"{metric}: expected steps to be 'all' or 'last', received {steps!r}")
    pair = (np.where(counts[:, None], values, 0) for values in (reference, reference - prediction))
    return *(Ragged(values, lengths, width) for values in pair), counts


def _arrays(metric, reference, prediction, lengths):
    """Arrays (n, T, outputs) of doubles, and the lengths of the paths."""
    reference, prediction = (np.asarray(array, dtype=np.float64) for array in (reference, prediction))
    if reference.shape != prediction.shape or reference.ndim not in (2, 3) or reference.size == 0:
        raise InputError(
            f"{metric}: expected reference and prediction of one shape, (paths, steps) or (paths, steps, outputs), "
            f"received {reference.shape} and {prediction.shape}"
        )
    if reference.ndim == 2:
        reference, prediction = reference[..., None], prediction[..., None]
    lengths = np.full(len(reference), reference.shape[1]) if lengths is None else np.asarray(lengths)
    if (
        lengths.shape != (len(reference),)
        or lengths.dtype.kind not in "iu"
        or lengths.min() < 1
        or lengths.max() > reference.shape[1]
    ):
        raise InputError(
            f"{metric}: expected {len(reference)} whole lengths from 1 to {reference.shape[1]}, received {lengths}"
        )
    return reference, prediction, lengths


def _norms(values):
    """The Euclidean norm of each path, over its steps and outputs, shape (n,)."""
    norms = np.empty(len(values))
    for paths, width in buckets(values.lengths, values.width):
        norms[paths] = np.sqrt(np.sum(values.batch(paths, width) ** 2, axis=(1, 2)))
    return norms


def _refuse_zeros(metric, denominators):
    zeros = int(np.sum(denominators == 0))
    if zeros:
        raise InputError(
            f"{metric}: {zeros} of {denominators.size} denominators are zero, so the error is undefined; "
            "measure it on standardised data, or use root_mean_squared_error"
        )
