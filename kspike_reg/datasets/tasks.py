"""The paper's tasks as data sets: paths drawn from a seed, and the stress that the law returns for them."""

import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from kspike_reg import mechanics
from kspike_reg.datasets.families import require_sizes, strain_paths
from kspike_reg.datasets.paths import Paths
from kspike_reg.errors import InputError, require_whole
from kspike_reg.typing import FloatArray

__all__ = ["TASKS", "Task", "elasticity", "generate", "hardening", "ramberg_osgood"]


def elasticity(
    paths: int,
    *,
    timesteps: int = 5,
    seed: int | np.random.SeedSequence = 0,
    family: str = "ramp",
    maximum_strain: float = 1e-3,
    youngs_modulus: float = 2.1e5,
) -> Paths:
    """Strain paths of a linear elastic bar (paper, section II-B).

    Args:
        paths, timesteps, seed, family, maximum_strain: see `strain_paths`; the paper's family is the ramp.
        youngs_modulus: MPa, > 0.

    Returns:
        `Paths` with inputs, the strain, and targets, the stress in MPa, each (paths, timesteps, 1).

    Raises:
        InputError: a number out of its range or an unknown family.
    """
    strain = strain_paths("elasticity", family, paths, timesteps, seed, maximum_strain)
    source = {"task": "elasticity", "family": family, "maximum_strain": maximum_strain}
    stress = mechanics.linear_elasticity(strain, youngs_modulus)
    return _stress_of("strain", strain, stress, {}, source | {"youngs_modulus": youngs_modulus})


def ramberg_osgood(
    paths: int,
    *,
    timesteps: int = 20,
    seed: int | np.random.SeedSequence = 0,
    least_yield_stress: float = 100.0,
    greatest_yield_stress: float = 500.0,
    maximum_strain: float = 1e-2,
    youngs_modulus: float = 2.1e5,
    exponent: float = 10.0,
) -> Paths:
    """Stress-strain curves of the Ramberg-Osgood law, each with its own yield stress (paper, section III-B).

    The strain is the same for all paths: evenly from 0 to `maximum_strain`. The network receives the yield stress
    alone, the same at every step, drawn from U(least_yield_stress, greatest_yield_stress).

    Args:
        paths, timesteps, seed: see `strain_paths`.
        least_yield_stress, greatest_yield_stress: MPa, > 0, the least below the greatest.
        maximum_strain: of all curves, > 0.
        youngs_modulus: MPa, > 0.
        exponent: of the law, >= 1.

    Returns:
        `Paths` with inputs, the yield stress in MPa, and targets, the stress in MPa, each (paths, timesteps, 1).

    Raises:
        InputError: a number out of its range.
        ConvergenceError: no stress was found, which may happen only far outside the ranges of the law.
    """
    caller = "ramberg_osgood"
    require_sizes(caller, paths, timesteps, seed)
    if not 0 < least_yield_stress < greatest_yield_stress < np.inf:
        raise InputError(
            f"{caller}: expected yield stresses > 0 MPa, the least below the greatest, "
            f"received {least_yield_stress!r} and {greatest_yield_stress!r}"
        )
    if not 0 < maximum_strain < np.inf:
        raise InputError(f"{caller}: expected a maximum strain > 0, received {maximum_strain!r}")
    generator = np.random.default_rng(seed)
    yield_stress = generator.uniform(least_yield_stress, greatest_yield_stress, size=(paths, 1))
    strain = np.linspace(0.0, maximum_strain, timesteps)
    source = {
        "task": "ramberg-osgood",
        "least_yield_stress": least_yield_stress,
        "greatest_yield_stress": greatest_yield_stress,
        "maximum_strain": maximum_strain,
        "youngs_modulus": youngs_modulus,
        "exponent": exponent,
    }
    stress = mechanics.ramberg_osgood(strain, yield_stress, youngs_modulus, exponent)
    inputs = np.broadcast_to(yield_stress, stress.shape)
    return _stress_of("yield_stress", inputs, stress, {"yield_stress": "MPa"}, source)


def hardening(
    paths: int,
    *,
    timesteps: int = 100,
    seed: int | np.random.SeedSequence = 0,
    family: str = "mirror",
    maximum_strain: float = 1e-2,
    yield_stress: float = 300.0,
    youngs_modulus: float = 2.1e5,
    hardening_modulus: float = 2.1e4,
    kinematic_modulus: float = 0.0,
) -> Paths:
    """Strain paths of an elastic-plastic bar with isotropic hardening (paper, section IV-B).

    Args:
        paths, timesteps, seed, family, maximum_strain: see `strain_paths`; the paper's family is the mirror.
        yield_stress, youngs_modulus, hardening_modulus, kinematic_modulus: MPa, see `mechanics.isotropic_hardening`.

    Returns:
        `Paths` with inputs, the strain, and targets, the stress in MPa, each (paths, timesteps, 1).

    Raises:
        InputError: a number out of its range or an unknown family.
    """
    strain = strain_paths("hardening", family, paths, timesteps, seed, maximum_strain)
    constants = {
        "yield_stress": yield_stress,
        "youngs_modulus": youngs_modulus,
        "hardening_modulus": hardening_modulus,
        "kinematic_modulus": kinematic_modulus,
    }
    source = {"task": "hardening", "family": family, "maximum_strain": maximum_strain} | constants
    return _stress_of("strain", strain, mechanics.isotropic_hardening(strain, **constants), {}, source)


def _stress_of(
    name: str, inputs: FloatArray, stress: FloatArray, units: dict[str, str], source: dict[str, Any]
) -> Paths:
    return Paths(
        inputs=inputs[..., None],
        targets=stress[..., None],
        input_names=(name,),
        target_names=("stress",),
        units=units | {"stress": "MPa"},
        source=source,
    )


@dataclass(frozen=True)
class Task:
    """How a task draws its paths, and the paper's sizes.

    Args:
        draw: a function (paths, *, timesteps, seed, ...) that returns `Paths` with targets. They may have any number
            of inputs and targets: networks, tables and figures take their widths from the data.
        timesteps: steps of a path.
        sizes: paths for training, validation and test.
        family: the paper's family of strain paths; None where the task has only one, and `draw` takes no family.
    """

    draw: Callable[..., Paths]
    timesteps: int
    sizes: tuple[int, int, int]
    family: str | None = None


TASKS: dict[str, Task] = {
    "elasticity": Task(elasticity, 5, (1024, 1024, 1024), "ramp"),
    "ramberg-osgood": Task(ramberg_osgood, 20, (1024, 1024, 1024)),
    "hardening": Task(hardening, 100, (10240, 1024, 1024), "mirror"),
}


def generate(task: str, sizes: Sequence[int] | None = None, *, seed: int = 0, **options: Any) -> list[Paths]:
    """Draw training, validation and test set of a task, from independent streams of one seed.

    Args:
        task: a name in `TASKS`.
        sizes: paths in each set; None takes the paper's.
        seed: an integer.
        **options: those of the task; None takes the paper's.

    Returns:
        A list of `Paths`, one for each size.

    Raises:
        InputError: an unknown task, an option out of its range, or a task that returns paths without targets.
    """
    if task not in TASKS:
        raise InputError(f"unknown task {task!r}; choose one of {', '.join(TASKS)}")
    options = {name: value for name, value in options.items() if value is not None}
    if "family" in options and TASKS[task].family is None:
        raise InputError(f"{task}: its strain path is fixed; leave the family {options['family']!r} out")
    require_whole("generate", least=0, seed=seed)
    unknown = set(options) - set(inspect.signature(TASKS[task].draw).parameters)
    if unknown:
        raise InputError(f"{task}: no such option: {', '.join(sorted(unknown))}")
    sizes = TASKS[task].sizes if sizes is None else sizes
    streams = np.random.SeedSequence(seed).spawn(len(sizes))
    sets = [TASKS[task].draw(size, seed=stream, **options) for size, stream in zip(sizes, streams, strict=True)]
    if any(paths.targets is None for paths in sets):
        raise InputError(f"{task}: expected the task to return paths with targets, received none")
    return sets
