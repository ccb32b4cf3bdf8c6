"""Surrogate gradients: a Heaviside step forward, and a smooth derivative, chosen by name, backward.

A surrogate is one function `derivative(x, scale)` of the distance to the threshold, `x = U - threshold`, in one
registry. `scale` sets its width; the default of the argument is the default of the surrogate. The paper's is "atan"
(eq. 9); each function cites its source.
"""

import inspect
import math
from collections.abc import Callable

from keras import ops

from kspike_reg.errors import InputError
from kspike_reg.neurons.heaviside import heaviside
from kspike_reg.typing import Tensor

__all__ = ["derivative", "function", "names", "register", "spike"]

Derivative = Callable[..., Tensor]

_REGISTRY: dict[str, Derivative] = {}


def register(name: str) -> Callable[[Derivative], Derivative]:
    """Enter a surrogate derivative; a decorator for `function(x, scale=default) -> tensor like x`.

    Args:
        name: by which layers choose it, `surrogate="..."`.

    Returns:
        The decorator, which returns the function.

    Raises:
        InputError: the name is taken, or `scale` has no default.

    Example:

    ```python
    @kspike_reg.neurons.surrogates.register("gaussian")
    def gaussian(x, scale=2.0):
        return ops.exp(-ops.square(scale * x))
    ```
    """

    def enter(function: Derivative) -> Derivative:
        scale = inspect.signature(function).parameters.get("scale")
        if scale is None or scale.default is inspect.Parameter.empty:
            raise InputError(
                f"surrogate {name!r}: expected a function of (x, scale=default), "
                f"received {function.__name__}{inspect.signature(function)}"
            )
        if name in _REGISTRY:
            raise InputError(f"surrogate {name!r} is registered already; choose another name")
        _REGISTRY[name] = function
        return function

    return enter


def names() -> tuple[str, ...]:
    """The registered surrogates, in the order of registration."""
    return tuple(_REGISTRY)


def function(surrogate: str) -> Derivative:
    """The function that is registered under a name.

    Args:
        surrogate: a registered name, see `names()`.

    Returns:
        `function(x, scale=default)`.

    Raises:
        InputError: the name is not registered.
    """
    check(surrogate)
    return _REGISTRY[surrogate]


def scale_of(surrogate: str, scale: float | None = None) -> float:
    """The surrogate's scale: the given one, or the default of its function."""
    return float(inspect.signature(function(surrogate)).parameters["scale"].default if scale is None else scale)


def derivative(x: Tensor, surrogate: str = "atan", scale: float | None = None) -> Tensor:
    """The surrogate's derivative at `x`.

    Args:
        x: distance to the threshold, any shape.
        surrogate: a registered name, see `names()`.
        scale: the surrogate's scale, > 0; `None` takes its default.

    Returns:
        A tensor like `x`.

    Raises:
        InputError: the name is not registered, or the scale is not positive.
    """
    check(surrogate, scale)
    of_distance = _REGISTRY[surrogate]
    return of_distance(x) if scale is None else of_distance(x, scale)


def check(surrogate: str, scale: float | None = None) -> None:
    """Raise InputError unless `surrogate` is registered and `scale` is None or positive."""
    if surrogate not in _REGISTRY:
        raise InputError(
            f"unknown surrogate {surrogate!r}: choose one of {', '.join(names())}, "
            "or register your own with kspike_reg.neurons.surrogates.register"
        )
    if scale is not None and not 0 < scale < math.inf:
        raise InputError(f"surrogate {surrogate!r}: expected a finite scale > 0, received scale={scale!r}")


def spike(x: Tensor, surrogate: str = "atan", scale: float | None = None) -> Tensor:
    """Fire where `x >= 0` (paper, eq. 6: H(0) = 1), with the surrogate's derivative in the backward pass.

    Args:
        x: distance to the threshold `U - threshold`, a float tensor of any shape.
        surrogate: a registered name, see `names()`.
        scale: the surrogate's scale, > 0; `None` takes its default.

    Returns:
        A tensor like `x`, each element exactly 0.0 or 1.0.

    Raises:
        InputError: the name is not registered, or the scale is not positive.
    """
    check(surrogate, scale)
    return heaviside(ops.convert_to_tensor(x), lambda x: derivative(x, surrogate, scale))


@register("atan")
def atan(x: Tensor, scale: float = 2.0) -> Tensor:
    """a/2 / (1 + (pi a x / 2)^2); a = 2 is the paper's eq. 9, 1 / (1 + (pi x)^2). Fang et al., ICCV 2021."""
    return scale / 2 / (1 + ops.square(math.pi * scale / 2 * x))


@register("fast_sigmoid")
def fast_sigmoid(x: Tensor, scale: float = 25.0) -> Tensor:
    """1 / (1 + k |x|)^2, SuperSpike: Zenke and Ganguli, Neural Computation 30, 2018."""
    return 1 / ops.square(1 + scale * ops.abs(x))


@register("sigmoid")
def sigmoid(x: Tensor, scale: float = 4.0) -> Tensor:
    """k s(k x) (1 - s(k x)) with the logistic s: Neftci, Mostafa and Zenke, IEEE Signal Process. Mag. 36, 2019."""
    logistic = ops.sigmoid(scale * x)
    return scale * logistic * (1 - logistic)


@register("triangle")
def triangle(x: Tensor, scale: float = 1.0) -> Tensor:
    """k max(0, 1 - k |x|), a hat of area one: Esser et al., PNAS 113, 2016; Bellec et al., NeurIPS 2018."""
    return scale * ops.relu(1 - scale * ops.abs(x))


@register("boxcar")
def boxcar(x: Tensor, scale: float = 1.0) -> Tensor:
    """k where |k x| < 1/2, else 0, a window of area one: Wu et al., Frontiers in Neuroscience 12, 2018, h1."""
    return scale * ops.cast(ops.abs(scale * x) < 0.5, x.dtype)


@register("straight_through")
def straight_through(x: Tensor, scale: float = 1.0) -> Tensor:
    """The constant k: Bengio, Leonard and Courville, arXiv:1308.3432, 2013."""
    return scale * ops.ones_like(x)
