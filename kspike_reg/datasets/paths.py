"""The one form in which data travel through the package: a set of paths, shorter ones padded."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kspike_reg.errors import InputError

__all__ = ["Paths"]

SHORTEST = 2  # a path of one step has no history


@dataclass(frozen=True)
class Paths:
    """Input paths and, where known, target paths, all in physical units.

    Args:
        inputs: shape (n, T, features); values beyond the length of a path are padding and never read.
        targets: shape (n, T, outputs), or None where only the inputs are known.
        input_names, target_names: one name for each feature and output.
        lengths: steps of each path, shape (n,); None means T for all.
        labels: a label for each path; None numbers them.
        steps: the position of each step in its path, shape (n, T); None counts from zero.
        units: unit of each quantity by its name; a quantity that is not named has none.
        source: what the data are and where they come from, for reports; JSON-serialisable.

    Raises:
        InputError: shapes that do not belong together, a path of fewer than two steps, NaN or infinity.
    """

    inputs: np.ndarray
    targets: np.ndarray | None
    input_names: tuple[str, ...]
    target_names: tuple[str, ...] = ()
    lengths: np.ndarray | None = None
    labels: tuple | None = None
    steps: np.ndarray | None = None
    units: dict[str, str] = field(default_factory=dict)
    source: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        inputs = np.asarray(self.inputs, dtype=np.float64)
        if inputs.ndim != 3 or 0 in inputs.shape:
            raise InputError(f"Paths: expected inputs of shape (paths, steps, features), received {inputs.shape}")
        count, longest, _ = inputs.shape
        targets = self.targets if self.targets is None else np.asarray(self.targets, dtype=np.float64)
        if targets is not None and (targets.ndim != 3 or targets.shape[:2] != inputs.shape[:2]):
            raise InputError(f"Paths: targets of shape {targets.shape} do not belong to inputs of {inputs.shape}")
        for kind, values, names in (("input", inputs, self.input_names), ("target", targets, self.target_names)):
            if values is not None and values.shape[2] != len(names):
                raise InputError(f"Paths: {values.shape[2]} {kind} quantities but {len(names)} names: {names!r}")
        lengths = np.full(count, longest) if self.lengths is None else np.asarray(self.lengths)
        if lengths.shape != (count,) or not np.issubdtype(lengths.dtype, np.integer):
            raise InputError(f"Paths: expected {count} whole lengths, received {lengths.dtype} of {lengths.shape}")
        labels = tuple(range(count)) if self.labels is None else tuple(self.labels)
        steps = np.broadcast_to(np.arange(longest), (count, longest)) if self.steps is None else self.steps
        if len(labels) != count or np.shape(steps) != (count, longest):
            raise InputError(f"Paths: expected {count} labels and steps of shape {(count, longest)}")
        for label, length in zip(labels, lengths, strict=True):
            if not SHORTEST <= length <= longest:
                raise InputError(
                    f"path {label!r} has {length} step{'' if length == 1 else 's'}; expected {SHORTEST} to {longest}, "
                    "since a path needs a history: add steps or leave the path out"
                )
        for name, value in {
            "inputs": inputs, "targets": targets, "lengths": lengths, "labels": labels, "steps": steps,
            "input_names": tuple(self.input_names), "target_names": tuple(self.target_names),
        }.items():  # fmt: skip
            object.__setattr__(self, name, value)
        for values, names in ((inputs, self.input_names), (targets, self.target_names)):
            if values is not None and not np.all(np.isfinite(values[self.mask])):
                path, step, column = np.argwhere(~np.isfinite(values) & self.mask[..., None])[0]
                value = values[path, step, column]
                raise InputError(
                    f"path {labels[path]!r}, step {steps[path, step]}: {names[column]} is {value}, "
                    "expected a finite number"
                )

    def __repr__(self) -> str:
        """Describe the set in one line: the arrays themselves would fill screens."""
        shortest, longest = min(self.lengths), max(self.lengths)
        steps = f"{longest} steps" if shortest == longest else f"{shortest} to {longest} steps"
        names = [", ".join(map(self._labelled, side)) for side in (self.input_names, self.target_names) if side]
        return f"Paths({len(self)} of {steps}: {' -> '.join(names)})"

    def _labelled(self, name: str) -> str:
        return f"{name} / {self.units[name]}" if name in self.units else name

    def __len__(self) -> int:
        return len(self.inputs)

    @property
    def mask(self) -> NDArray[np.bool_]:
        """True where a step belongs to its path, shape (n, T)."""
        return np.arange(self.inputs.shape[1]) < self.lengths[:, None]

    def take(self, indices: Sequence[int]) -> "Paths":
        """Return the paths at `indices`, in that order."""
        return replace(
            self,
            inputs=self.inputs[indices],
            targets=None if self.targets is None else self.targets[indices],
            lengths=self.lengths[indices],
            labels=tuple(self.labels[index] for index in indices),
            steps=self.steps[indices],
        )

    def split(self, fractions: Sequence[float] = (0.7, 0.15, 0.15), seed: int = 0) -> list["Paths"]:
        """Distribute the paths at random over sets that share none.

        Args:
            fractions: share of each set, positive, summing to one; each set gets at least one path.
            seed: of the random order.

        Returns:
            A list of `Paths`, one for each fraction.

        Raises:
            InputError: shares that do not sum to one, or fewer paths than sets.
        """
        if not all(share > 0 for share in fractions) or not np.isclose(sum(fractions), 1):
            raise InputError(f"split: expected positive fractions that sum to one, received {fractions!r}")
        if len(self) < len(fractions):
            raise InputError(
                f"split: {len(self)} path{'s' * (len(self) != 1)} cannot fill {len(fractions)} sets; "
                "expected at least one path for each of training, validation and test"
            )
        order = np.random.default_rng(seed).permutation(len(self))
        ends = np.round(np.cumsum(fractions) * len(self)).astype(int)
        # Rounding must not leave a set without a path.
        for index in range(len(ends)):
            ends[index] = max(ends[index], index + 1, ends[index - 1] + 1 if index else 1)
            ends[index] = min(ends[index], len(self) - (len(ends) - 1 - index))
        return [self.take(part) for part in np.split(order, ends[:-1])]
