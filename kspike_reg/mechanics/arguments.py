"""What every law asks of its arguments."""

import numpy as np

from kspike_reg.errors import InputError

__all__ = ["require_finite", "require_moduli", "require_shape"]


def require_finite(law, **argument):
    """The one named argument as a float64 array, refused where a value is not finite."""
    ((name, value),) = argument.items()
    value = np.asarray(value, dtype=np.float64)
    if not np.all(np.isfinite(value)):
        raise InputError(f"{law}: expected finite values of {name}, received NaN or infinity among them")
    return value


def require_moduli(law, least_is_zero=False, **moduli):
    """The named moduli as float64 arrays, refused unless all are finite and above zero (or zero, where allowed)."""
    found = []
    for name, value in moduli.items():
        values = np.asarray(value, dtype=np.float64)
        enough = values >= 0 if least_is_zero else values > 0
        if not np.all(enough & np.isfinite(values)):
            expected = "zero or more" if least_is_zero else "more than zero"
            received = f"{value!r}" if values.ndim == 0 else f"values from {np.min(values)} to {np.max(values)}"
            raise InputError(f"{law}: expected {name} to be {expected}, in MPa, received {name}={received}")
        found.append(values)
    return found


def require_shape(law, **arguments):
    """The shape to which the named arrays broadcast."""
    try:
        return np.broadcast_shapes(*(argument.shape for argument in arguments.values()))
    except ValueError as error:
        shapes = ", ".join(f"{name} {argument.shape}" for name, argument in arguments.items())
        raise InputError(
            f"{law}: the shapes do not broadcast: {shapes}; give one value per path as an array of shape (paths, 1)"
        ) from error
