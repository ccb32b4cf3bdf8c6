"""The paper's tasks as data sets: strain paths drawn from a seed, and the stress that the law gives for them."""

import numpy as np

from kspike_reg.datasets.paths import SHORTEST, Paths
from kspike_reg.errors import InputError, require_whole
from kspike_reg.mechanics import linear_elasticity

__all__ = ["TASKS", "elasticity", "generate"]


def elasticity(paths, *, timesteps=5, seed=0, maximum_strain=1e-3, youngs_modulus=2.1e5):
    """Ramps of a linear elastic bar (paper, section II-B).

    Each path strains evenly from 0 to its own end, drawn from U(0, maximum_strain), in `timesteps` steps.

    Args:
        paths: number of paths.
        timesteps: steps of each path, the unstrained first one included; at least two.
        seed: an integer or a `numpy.random.SeedSequence`.
        maximum_strain: upper end of the draw, > 0, dimensionless.
        youngs_modulus: MPa, > 0.

    Returns:
        `Paths` with inputs, the strain, and targets, the stress in MPa, each (paths, timesteps, 1).

    Raises:
        InputError: a number out of its range.
    """
    require_whole("elasticity", paths=paths)
    require_whole("elasticity", least=SHORTEST, timesteps=timesteps)
    if not isinstance(seed, np.random.SeedSequence):
        require_whole("elasticity", least=0, seed=seed)
    if not 0 < maximum_strain < np.inf:
        raise InputError(f"elasticity: expected a maximum strain > 0, received {maximum_strain!r}")
    ends = np.random.default_rng(seed).uniform(0.0, maximum_strain, size=(paths, 1))
    strain = ends * np.linspace(0.0, 1.0, timesteps)
    return Paths(
        inputs=strain[..., None],
        targets=linear_elasticity(strain, youngs_modulus)[..., None],
        input_names=("strain",),
        target_names=("stress",),
        units={"stress": "MPa"},
        source={"task": "elasticity", "maximum_strain": maximum_strain, "youngs_modulus": youngs_modulus},
    )


TASKS = {"elasticity": elasticity}


def generate(task, sizes=(1024, 1024, 1024), *, seed=0, **options):
    """Training, validation and test set of a task, from independent streams of one seed.

    Args:
        task: a name in `TASKS`.
        sizes: paths in each set.
        seed: an integer.
        **options: those of the task.

    Returns:
        A list of `Paths`, one for each size.

    Raises:
        InputError: an unknown task or an option out of its range.
    """
    if task not in TASKS:
        raise InputError(f"unknown task {task!r}; choose one of {', '.join(TASKS)}")
    streams = np.random.SeedSequence(seed).spawn(len(sizes))
    return [TASKS[task](size, seed=stream, **options) for size, stream in zip(sizes, streams, strict=True)]
