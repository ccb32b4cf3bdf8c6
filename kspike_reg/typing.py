"""Types that several packages share in their signatures."""

from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

__all__ = ["FloatArray", "Tensor"]

# A tensor of the Keras backend in use. Each backend has its own class, so a checker can know no more.
Tensor: TypeAlias = Any

# A NumPy array in double precision.
FloatArray: TypeAlias = NDArray[np.float64]
