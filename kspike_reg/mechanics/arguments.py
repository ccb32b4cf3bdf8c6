"""Checks of the arguments that laws and their functions share."""

import numpy as np
from numpy.typing import ArrayLike

from kspike_reg.errors import InputError
from kspike_reg.typing import FloatArray

__all__ = [
    "require_components",
    "require_finite",
    "require_moduli",
    "require_number",
    "require_one_component",
    "require_paths",
    "require_shape",
]


def require_finite(caller: str, **argument: ArrayLike) -> FloatArray:
    """Return the one named argument as a float64 array; refuse NaN and infinity."""
    ((name, value),) = argument.items()
    value = np.asarray(value, dtype=np.float64)
    if not np.all(np.isfinite(value)):
        raise InputError(f"{caller}: expected finite values of {name}, received NaN or infinity among them")
    return value


def require_moduli(caller: str, least_is_zero: bool = False, **moduli: ArrayLike) -> list[FloatArray]:
    """Return the named moduli as float64 arrays; refuse values that are not finite or not above zero.

    Args:
        caller: name for the message.
        least_is_zero: whether zero is allowed too.
        **moduli: numbers or arrays, MPa.
    """
    found = []
    for name, value in moduli.items():
        values = np.asarray(value, dtype=np.float64)
        enough = values >= 0 if least_is_zero else values > 0
        if not np.all(enough & np.isfinite(values)):
            expected = "zero or more" if least_is_zero else "more than zero"
            received = f"{value!r}" if values.ndim == 0 else f"values from {np.min(values)} to {np.max(values)}"
            raise InputError(f"{caller}: expected {name} to be {expected}, in MPa, received {name}={received}")
        found.append(values)
    return found


def require_number(caller: str, **constants: ArrayLike) -> None:
    """Refuse a named constant that is an array."""
    for name, value in constants.items():
        if np.ndim(value):
            raise InputError(f"{caller}: expected one number for all paths, received {name}={value!r}")


def require_shape(caller: str, **arguments: FloatArray) -> tuple[int, ...]:
    """Return the shape to which the named arrays broadcast."""
    try:
        return np.broadcast_shapes(*(argument.shape for argument in arguments.values()))
    except ValueError as error:
        shapes = ", ".join(f"{name} {argument.shape}" for name, argument in arguments.items())
        raise InputError(
            f"{caller}: the shapes do not broadcast: {shapes}; give one value per path as an array of shape (paths, 1)"
        ) from error


def require_one_component(caller: str, time: bool = False, **argument: ArrayLike) -> None:
    """Refuse a named argument of rank three or more, whose last axis holds components instead of steps.

    Args:
        caller: name for the message.
        time: whether to refuse a single number too, since it has no time axis.
        **argument: a number or an array.
    """
    ((name, value),) = argument.items()
    if time and np.ndim(value) == 0:
        raise InputError(f"{caller}: expected paths of shape (T,) or (n, T), received a single {name}")
    if np.ndim(value) > 2:
        raise InputError(
            f"{caller}: expected {name} of one component, shape (T,) or (n, T), received shape {np.shape(value)}; "
            f"select a component, {name}[..., 0] for instance, or take a law of several components along the paths "
            "with mechanics.drive"
        )


def require_components(law: str, strain: ArrayLike, components: int) -> FloatArray:
    """Return the strain of a step, (paths, components), as a float64 array; refuse another shape."""
    strain = np.asarray(strain, dtype=np.float64)
    if strain.ndim != 2 or strain.shape[1] != components:
        raise InputError(
            f"{law}.step: expected the strain of one step, shape (paths, {components}), received shape {strain.shape}; "
            "mechanics.drive takes whole paths"
        )
    return strain


def require_paths(law: str, paths: int, **parameters: FloatArray) -> None:
    """Refuse a number of paths that differs from the number of values of a parameter that has one for each path."""
    for name, value in parameters.items():
        if value.ndim == 1 and value.size != paths:
            raise InputError(
                f"{law}: {name} has values for {value.size} paths, the strain has {paths}; "
                "give one number, or one value for each path"
            )
