"""Mean zero, deviation one: networks train on standardised data, users work in physical units."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from kspike_reg.errors import InputError
from kspike_reg.typing import FloatArray

__all__ = ["Standardiser"]

SINGLE = np.finfo(np.float32)


@dataclass(frozen=True)
class Standardiser:
    """Mean, standard deviation and range of each quantity.

    Args:
        mean, deviation: one number for each quantity, in its units; deviations > 0.
        names: one name for each quantity.
        lower, upper: the smallest and the largest value of each quantity; None where they are not known.
    """

    mean: tuple[float, ...]
    deviation: tuple[float, ...]
    names: tuple[str, ...]
    lower: tuple[float, ...] | None = None
    upper: tuple[float, ...] | None = None

    @classmethod
    def fit(cls, values: ArrayLike, names: Sequence[str], mask: NDArray[np.bool_] | None = None) -> "Standardiser":
        """Take mean, population standard deviation and range from the training set.

        Args:
            values: shape (..., quantities), finite where `mask` is True.
            names: one name for each quantity.
            mask: True where a step counts, shape of `values` without its last axis; None counts all.

        Raises:
            InputError: no values, a quantity that is constant, or one that float32, in which networks compute, cannot
                hold or resolve.
        """
        values = np.asarray(values, dtype=np.float64)
        values = values.reshape(-1, values.shape[-1]) if mask is None else values[mask]
        if values.shape[0] == 0 or values.shape[1] != len(names):
            raise InputError(f"Standardiser: expected values of {', '.join(names)}, received shape {values.shape}")
        for column, name in zip(values.T, names, strict=True):
            if column.min() == column.max():
                raise InputError(
                    f"{name} is constant, {column[0]:g} throughout (standard deviation 0), and cannot be "
                    "standardised; leave it out or give data in which it varies"
                )
            # A quarter of the range, since differences and products of such numbers must fit as well.
            if not np.abs(column).max() <= SINGLE.max / 4:
                raise InputError(f"{name} reaches {np.abs(column).max():g}, too large for float32; change its unit")
        mean, deviation = values.mean(axis=0), values.std(axis=0)
        for name, middle, spread in zip(names, mean, deviation, strict=True):
            if spread < max(SINGLE.tiny, SINGLE.eps * abs(middle)):
                raise InputError(
                    f"{name} varies by {spread:g} about {middle:g}, too little for float32; "
                    "subtract an offset or change its unit"
                )
        lower, upper = values.min(axis=0), values.max(axis=0)
        mean, deviation, lower, upper = (tuple(numbers.tolist()) for numbers in (mean, deviation, lower, upper))
        return cls(mean, deviation, tuple(names), lower, upper)

    def standardise(self, values: ArrayLike) -> FloatArray:
        """Return (values - mean) / deviation, shape (..., quantities)."""
        return (np.asarray(values, dtype=np.float64) - self.mean) / self.deviation

    def restore(self, values: ArrayLike) -> FloatArray:
        """Return values * deviation + mean, in physical units, shape (..., quantities)."""
        return np.asarray(values, dtype=np.float64) * self.deviation + self.mean
