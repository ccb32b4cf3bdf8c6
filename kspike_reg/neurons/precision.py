"""Matrix products in the precision of their arguments."""

import keras
from keras import ops

from kspike_reg.typing import Tensor

__all__ = ["matmul"]


def matmul(left: Tensor, right: Tensor) -> Tensor:
    """`keras.ops.matmul`, which returns float32 for float64 arguments on PyTorch, without this rounding.

    Args:
        left, right: shapes (..., rows, terms) and (terms, columns).

    Returns:
        Shape (..., rows, columns).
    """
    if keras.backend.backend() == "torch" and keras.backend.standardize_dtype(right.dtype) == "float64":
        return ops.cast(left, "float64") @ ops.convert_to_tensor(right)
    return ops.matmul(left, right)
