"""Families of strain paths, drawn at random: how a bar is loaded."""

from collections.abc import Callable

import numpy as np

from kspike_reg.datasets.paths import SHORTEST
from kspike_reg.errors import InputError, require_whole
from kspike_reg.typing import FloatArray

__all__ = ["FAMILIES", "cyclic", "mirror", "ramp", "strain_paths"]

SEGMENTS = 5  # of a cyclic path


def ramp(generator: np.random.Generator, paths: int, timesteps: int, maximum_strain: float) -> FloatArray:
    """Evenly from 0 to an end drawn from U(0, maximum_strain)."""
    return _ends(generator, paths, maximum_strain) * np.linspace(0.0, 1.0, timesteps)


def mirror(generator: np.random.Generator, paths: int, timesteps: int, maximum_strain: float) -> FloatArray:
    """Evenly from 0 to a peak drawn from U(0, maximum_strain), and back by the same strains.

    With an even number of steps the peak is held for two of them. Along these paths the stress is nearly a function
    of strain and step, so they need little memory; see `cyclic`.
    """
    if timesteps < 3:
        raise InputError(f"mirror: the way up and back needs at least 3 steps, received {timesteps}")
    up = np.linspace(0.0, 1.0, -(-timesteps // 2))
    return _ends(generator, paths, maximum_strain) * np.concatenate([up, up[::-1][timesteps % 2 :]])


def cyclic(generator: np.random.Generator, paths: int, timesteps: int, maximum_strain: float) -> FloatArray:
    """From 0 in five linear segments that end at strains drawn from U(-maximum_strain, maximum_strain).

    The steps at which the path turns are drawn too, without repetition; the last segment ends with the path. Neither
    the step nor the strain determines the stress here: it depends on the whole path before.
    """
    if timesteps <= SEGMENTS:
        raise InputError(f"cyclic: {SEGMENTS} segments need at least {SEGMENTS + 1} steps, received {timesteps}")
    inner = np.argsort(generator.random((paths, timesteps - 2)), axis=1)[:, : SEGMENTS - 1] + 1
    first, last = np.zeros((paths, 1), int), np.full((paths, 1), timesteps - 1)
    turns = np.concatenate([first, np.sort(inner, axis=1), last], axis=1)
    strains = generator.uniform(-maximum_strain, maximum_strain, size=(paths, SEGMENTS))
    strains = np.concatenate([np.zeros((paths, 1)), strains], axis=1)
    steps = np.arange(timesteps)
    segment = np.sum(steps[:, None] >= turns[:, None, 1:-1], axis=2)  # 0 to 4, shape (paths, timesteps)
    start, end = (np.take_along_axis(turns, segment + side, axis=1) for side in (0, 1))
    begin, stop = (np.take_along_axis(strains, segment + side, axis=1) for side in (0, 1))
    return begin + (stop - begin) * (steps - start) / (end - start)


# A family is a function (generator, paths, timesteps, maximum_strain) that returns strain of shape (paths, timesteps).
FAMILIES: dict[str, Callable[[np.random.Generator, int, int, float], FloatArray]] = {
    "ramp": ramp,
    "mirror": mirror,
    "cyclic": cyclic,
}


def strain_paths(
    caller: str,
    family: str,
    paths: int,
    timesteps: int,
    seed: int | np.random.SeedSequence,
    maximum_strain: float,
) -> FloatArray:
    """Draw strain paths of a family from a seed.

    Args:
        caller: name for messages.
        family: a name in `FAMILIES`.
        paths: number of paths.
        timesteps: steps of each path, the unstrained first one included; at least two, six for cyclic paths.
        seed: an integer or a `numpy.random.SeedSequence`.
        maximum_strain: bound of the draw, > 0, dimensionless.

    Returns:
        Shape (paths, timesteps).

    Raises:
        InputError: a number out of its range, an unknown family, or a family that returns another shape.
    """
    if family not in FAMILIES:
        raise InputError(f"{caller}: unknown family of paths {family!r}; choose one of {', '.join(FAMILIES)}")
    require_sizes(caller, paths, timesteps, seed)
    if not 0 < maximum_strain < np.inf:
        raise InputError(f"{caller}: expected a maximum strain > 0, received {maximum_strain!r}")
    strain = FAMILIES[family](np.random.default_rng(seed), paths, timesteps, maximum_strain)
    if np.shape(strain) != (paths, timesteps):
        raise InputError(
            f"{family}: expected the family to return strain of shape {(paths, timesteps)}, (paths, timesteps), "
            f"received shape {np.shape(strain)}"
        )
    return strain


def require_sizes(caller: str, paths: int, timesteps: int, seed: int | np.random.SeedSequence) -> None:
    """Refuse sizes and seeds with which no data set can be drawn."""
    require_whole(caller, paths=paths)
    require_whole(caller, least=SHORTEST, timesteps=timesteps)
    if not isinstance(seed, np.random.SeedSequence):
        require_whole(caller, least=0, seed=seed)


def _ends(generator: np.random.Generator, paths: int, maximum_strain: float) -> FloatArray:
    return generator.uniform(0.0, maximum_strain, size=(paths, 1))
