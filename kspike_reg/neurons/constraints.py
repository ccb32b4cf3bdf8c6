"""Keep a weight inside an interval: decays in [0, 1], thresholds above zero."""

import math

import keras
from keras import ops

from kspike_reg.errors import InputError
from kspike_reg.typing import Tensor

__all__ = ["Interval"]


@keras.saving.register_keras_serializable("kspike_reg")
class Interval(keras.constraints.Constraint):
    """Clip every element of a weight to [lower, upper] after each optimizer step.

    Args:
        lower, upper: bounds in the weight's own units; None leaves an end open.

    Raises:
        InputError: the interval is empty.
    """

    def __init__(self, lower: float | None = None, upper: float | None = None) -> None:
        if not (-math.inf if lower is None else lower) <= (math.inf if upper is None else upper):
            raise InputError(f"Interval: expected lower <= upper, received lower={lower!r}, upper={upper!r}")
        self.lower, self.upper = lower, upper

    def __repr__(self) -> str:
        return f"Interval({self.lower}, {self.upper})"

    def __call__(self, value: Tensor) -> Tensor:
        # On PyTorch, `maximum` and `minimum` round float64 to float32; `clip` does not.
        lower = -math.inf if self.lower is None else self.lower
        return ops.clip(value, lower, math.inf if self.upper is None else self.upper)

    def get_config(self) -> dict[str, float | None]:
        return {"lower": self.lower, "upper": self.upper}
