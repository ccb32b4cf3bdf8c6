"""Paths of unequal length: their steps one after the other, and groups in which little is padding; NumPy only."""

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = ["Ragged", "buckets", "mask_of"]

# Paths are padded to one length where that takes little memory: so many steps, or so many times the steps they have.
SMALL = 2**16
WASTE = 4


def mask_of(lengths: NDArray[np.integer], width: int) -> NDArray[np.bool_]:
    """True where a step belongs to its path, shape (n, width)."""
    return np.arange(width) < lengths[:, None]


def buckets(lengths: NDArray[np.integer], width: int) -> list[tuple[NDArray[np.integer], int]]:
    """Groups of paths that are padded to one length each, so that memory is proportional to the steps.

    Args:
        lengths: steps of each path, shape (n,).
        width: length to which all of them are padded where that costs little.

    Returns:
        Pairs of the indices of paths, rising, and the length for these. One pair of all paths where padding costs
        little; else no path is shorter than half the length of its group, the longest paths first.
    """
    if len(lengths) * width <= max(SMALL, WASTE * int(np.sum(lengths))):
        return [(np.arange(len(lengths)), width)]
    found = []
    rest = np.arange(len(lengths))
    while len(rest):
        longest = int(lengths[rest].max())
        near = 2 * lengths[rest] > longest
        found.append((rest[near], longest))
        rest = rest[~near]
    return found


class Ragged:
    """Values at every step of paths of unequal length, without padding unless they came with it.

    Args:
        values: shape (n, width, ...), padded; or (sum of lengths, ...), the steps of all paths one after the other.
        lengths: steps of each path, shape (n,).
        width: the length of the padded form.
        padded: which of the two `values` are.
    """

    def __init__(self, values: np.ndarray, lengths: NDArray[np.integer], width: int, *, padded: bool = False) -> None:
        self.lengths, self.width = np.asarray(lengths), int(width)
        self._rows, self._padded = (None, values) if padded else (values, None)

    @classmethod
    def of(cls, padded: np.ndarray, lengths: NDArray[np.integer]) -> "Ragged":
        """From padded values, shape (n, width, ...)."""
        return cls(padded, lengths, padded.shape[1], padded=True)

    def __len__(self) -> int:
        return len(self.lengths)

    @property
    def ends(self) -> NDArray[np.integer]:
        """The row after the last one of each path, shape (n,)."""
        return np.cumsum(self.lengths)

    @property
    def rows(self) -> np.ndarray:
        """The steps of all paths one after the other, shape (sum of lengths, ...)."""
        if self._rows is not None:
            return self._rows
        if np.all(self.lengths == self.width):
            return self._padded.reshape(-1, *self._padded.shape[2:])
        return self._padded[mask_of(self.lengths, self.width)]

    def padded(self) -> np.ndarray:
        """All paths, shape (n, width, ...); what was given beyond the length of a path, else zeros."""
        if self._padded is not None:
            return self._padded
        padded = self.batch(np.arange(len(self)), self.width)
        if len(buckets(self.lengths, self.width)) == 1:
            self._padded = padded  # it is asked for often, and takes little memory
        return padded

    def batch(self, paths: ArrayLike, width: int) -> np.ndarray:
        """Some paths, shape (len(paths), width, ...), zero beyond the length of a path."""
        chosen = self.take(paths)
        if self._padded is None and np.all(chosen.lengths == width):
            return chosen.rows.reshape(len(chosen), width, *chosen.rows.shape[1:])
        rows = chosen.rows
        padded = np.zeros((len(chosen), width, *rows.shape[1:]), rows.dtype)
        padded[mask_of(chosen.lengths, width)] = rows
        return padded

    def take(self, paths: ArrayLike) -> "Ragged":
        """The paths at these indices, in that order."""
        paths = np.asarray(paths)
        lengths = self.lengths[paths]
        if self._padded is not None:
            return Ragged.of(self._padded[paths], lengths)
        starts = self.ends[paths] - lengths
        ends = np.cumsum(lengths)
        rows = np.arange(ends[-1] if len(ends) else 0) + np.repeat(starts - (ends - lengths), lengths)
        return Ragged(self._rows[rows], lengths, self.width)

    def each(self) -> list[np.ndarray]:
        """The values of each path, shape (its length, ...)."""
        return np.split(self.rows, self.ends[:-1])

    def with_rows(self, rows: np.ndarray) -> "Ragged":
        """Other values for the same steps, one after the other."""
        return Ragged(rows, self.lengths, self.width)
