"""What every law asks of its arguments."""

import numpy as np

from kspike_reg.errors import InputError

__all__ = ["require_finite", "require_moduli"]


def require_finite(law, **argument):
    """The one named argument as a float64 array, refused where a value is not finite."""
    ((name, value),) = argument.items()
    value = np.asarray(value, dtype=np.float64)
    if not np.all(np.isfinite(value)):
        raise InputError(f"{law}: expected finite values of {name}, received NaN or infinity among them")
    return value


def require_moduli(law, least_is_zero=False, **moduli):
    """Raise InputError unless every modulus, in MPa, is finite and above zero (or zero, where that is allowed)."""
    for name, value in moduli.items():
        values = np.asarray(value, dtype=np.float64)
        enough = values >= 0 if least_is_zero else values > 0
        if not np.all(enough & np.isfinite(values)):
            expected = "zero or more" if least_is_zero else "more than zero"
            received = value if values.ndim == 0 else f"values from {np.min(values)} to {np.max(values)}"
            raise InputError(f"{law}: expected {name} to be {expected}, in MPa, received {name}={received!r}")
