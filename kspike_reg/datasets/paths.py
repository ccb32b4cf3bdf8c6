"""The one form in which data travel through the package: a set of paths, shorter ones padded."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kspike_reg.errors import InputError
from kspike_reg.ragged import Ragged, mask_of

__all__ = ["Paths"]

SHORTEST = 2  # a path of one step has no history


class Padded:
    """A field of `Paths`: kept as it was given, padded or without padding, and padded when it is read.

    Args:
        required: whether the field has no default; the default of the others is None.
    """

    def __init__(self, required: bool = False) -> None:
        self.required = required

    def __set_name__(self, owner: type, name: str) -> None:
        self.name = name

    def __get__(self, paths: "Paths | None", owner: type | None = None) -> Any:
        if paths is None:  # dataclasses ask for the default
            if self.required:
                raise AttributeError(self.name)
            return None
        value = vars(paths)[self.name]
        return value.padded() if isinstance(value, Ragged) else value

    def __set__(self, paths: "Paths", value: Any) -> None:
        vars(paths)[self.name] = value


@dataclass(frozen=True)
class Paths:
    """Input paths and, where known, target paths, all in physical units.

    Read as `inputs`, `targets`, `steps` and `mask`, the paths are padded to one length. Where one path is a thousand
    times as long as the others, that takes a thousand times their memory; `ragged` gives the same without padding.

    Args:
        inputs: shape (n, T, features); values beyond the length of a path are padding and never read. Inputs, targets
            and steps may also be `kspike_reg.ragged.Ragged`, without padding.
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

    inputs: np.ndarray = Padded(required=True)
    targets: np.ndarray | None = Padded(required=True)
    input_names: tuple[str, ...]
    target_names: tuple[str, ...] = ()
    lengths: np.ndarray | None = None
    labels: tuple | None = None
    steps: np.ndarray | None = Padded()
    units: dict[str, str] = field(default_factory=dict)
    source: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        inputs, targets, steps = (vars(self)[name] for name in ("inputs", "targets", "steps"))
        shape = _shape(inputs)
        if len(shape) != 3 or 0 in shape:
            raise InputError(f"Paths: expected inputs of shape (paths, steps, features), received {shape}")
        count, longest, _ = shape
        if targets is not None and (len(_shape(targets)) != 3 or _shape(targets)[:2] != shape[:2]):
            raise InputError(f"Paths: targets of shape {_shape(targets)} do not belong to inputs of {shape}")
        for kind, values, names in (("input", inputs, self.input_names), ("target", targets, self.target_names)):
            if values is not None and _shape(values)[2] != len(names):
                raise InputError(f"Paths: {_shape(values)[2]} {kind} quantities but {len(names)} names: {names!r}")
        lengths = np.full(count, longest) if self.lengths is None else np.asarray(self.lengths)
        if lengths.shape != (count,) or not np.issubdtype(lengths.dtype, np.integer):
            raise InputError(f"Paths: expected {count} whole lengths, received {lengths.dtype} of {lengths.shape}")
        labels = tuple(range(count)) if self.labels is None else tuple(self.labels)
        steps = np.broadcast_to(np.arange(longest), (count, longest)) if steps is None else steps
        if len(labels) != count or _shape(steps) != (count, longest):
            raise InputError(f"Paths: expected {count} labels and steps of shape {(count, longest)}")
        for label, length in zip(labels, lengths, strict=True):
            if not SHORTEST <= length <= longest:
                raise InputError(
                    f"path {label!r} has {length} step{'' if length == 1 else 's'}; expected {SHORTEST} to {longest}, "
                    "since a path needs a history: add steps or leave the path out"
                )
        for name, value in {
            "inputs": _ragged(inputs, lengths, np.float64), "targets": _ragged(targets, lengths, np.float64),
            "steps": _ragged(steps, lengths), "lengths": lengths, "labels": labels,
            "input_names": tuple(self.input_names), "target_names": tuple(self.target_names),
        }.items():  # fmt: skip
            object.__setattr__(self, name, value)
        self._require_finite("inputs", self.input_names)
        self._require_finite("targets", self.target_names)

    def _require_finite(self, side: str, names: Sequence[str]) -> None:
        values = self.ragged(side)
        if values is None or np.all(finite := np.isfinite(values.rows)):
            return
        row, column = np.argwhere(~finite)[0]
        path = int(np.searchsorted(values.ends, row, side="right"))
        raise InputError(
            f"path {self.labels[path]!r}, step {self.ragged('steps').rows[row]}: {names[column]} is "
            f"{values.rows[row, column]}, expected a finite number"
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
        return len(self.lengths)

    def ragged(self, side: str) -> Ragged | None:
        """Return a `side`, "inputs", "targets" or "steps", without padding; None where there are no targets."""
        return vars(self)[side]

    @property
    def width(self) -> int:
        """T, the steps to which all paths are padded."""
        return self.ragged("inputs").width

    @property
    def mask(self) -> NDArray[np.bool_]:
        """True where a step belongs to its path, shape (n, T)."""
        return mask_of(self.lengths, self.width)

    def take(self, indices: Sequence[int]) -> "Paths":
        """Return the paths at `indices`, in that order."""
        sides = {side: self.ragged(side) for side in ("inputs", "targets", "steps")}
        sides = {side: None if values is None else values.take(indices) for side, values in sides.items()}
        return replace(
            self, **sides, lengths=self.lengths[indices], labels=tuple(self.labels[index] for index in indices)
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


def _shape(values: Any) -> tuple[int, ...]:
    """The shape of the padded form."""
    return (len(values), values.width, *values.rows.shape[1:]) if isinstance(values, Ragged) else np.shape(values)


def _ragged(values: Any, lengths: np.ndarray, dtype: Any = None) -> Ragged | None:
    """Values without padding, from either form."""
    if values is None or isinstance(values, Ragged):
        return values
    return Ragged.of(np.asarray(values, dtype), lengths)
