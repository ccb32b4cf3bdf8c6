"""From a layer's real weights to the integers that Loihi stores, neuron by neuron.

A compartment adds integers: its input q is a sum of weights; its membrane v leaks by a 12-bit decay d, fires above its
threshold and is cleared (NengoLoihi's emulator; Davies et al., IEEE Micro 38(1), 2018):

    u = q + bias,   v <- sign(v) floor(|v| (4096 - d) / 4096) + u,   spike if v > 64 theta, then v <- 0

A weight is a mantissa of eight bits with sign, -127 to 127, times 2^(7 + e), with one exponent e for all of a
projection; theta has 17 bits; a bias is a mantissa of 12 bits with sign times 2^0 to 2^7; q has 21 bits and v 23.

Each neuron has its own unit of v: `scale` integers are one unit of the network's membrane. The scale is chosen so that
the threshold is exactly one of the chip's, so that the largest weight uses the whole mantissa, up to a factor of the
square root of two, and so that no sum of weights and no bias of an expected input overflows.
"""

from dataclasses import dataclass

import numpy as np

from kspike_reg.bridges.loihi.layers import ChipLayer, Plan
from kspike_reg.errors import InputError
from kspike_reg.network.physical import Standardise

__all__ = ["LARGEST_BIAS", "VOLTAGE_LIMIT", "LayerIntegers", "as_bias", "integers_of"]

WEIGHT_MANTISSA = 127
WEIGHT_EXPONENTS = range(-1, 8)  # the chip has lower ones, -7 to -2, but would drop bits of the mantissa there
DECAY_ONE = 4096
THRESHOLD_UNIT, THRESHOLD_MANTISSA = 64, 2**17 - 1
BIAS_MANTISSA, BIAS_EXPONENT = 2**12 - 1, 7
LARGEST_BIAS = BIAS_MANTISSA * 2**BIAS_EXPONENT
INPUT_LIMIT = 2**21
VOLTAGE_LIMIT = 2**23 - 1

# Thresholds are rounded to two per octave, since a core holds no more than 16 different ones.
LADDER = np.unique(np.floor(2.0 ** (np.arange(35) / 2))).astype(np.int64)
LADDER = LADDER[LADDER <= THRESHOLD_MANTISSA]

# The assumed range of real values from the host if the network contains no range of its training data: standardised
# values, in deviations.
REACH = 4.0


@dataclass(frozen=True, eq=False)
class LayerIntegers:
    """A layer as the chip stores it.

    Attributes:
        name: of the layer.
        scale: integers to one unit of the membrane, (units,).
        kernels: by the name of the source layer, mantissas (rows, units) and exponent; the layer's own name for the
            recurrence, whose mantissas are (units, units), or (units,) where it is one to one.
        decay: 12-bit decays d, (units,).
        threshold: mantissas theta, (units,).
        bias: the values of the bias registers, (units,); None where the host writes them at every step.
        raised: number of neurons whose threshold was raised to the chip's smallest.
    """

    name: str
    scale: np.ndarray
    kernels: dict[str, tuple[np.ndarray, int]]
    decay: np.ndarray
    threshold: np.ndarray
    bias: np.ndarray | None
    raised: int

    def weights(self, source: str) -> np.ndarray:
        """The integers that a spike of each neuron of `source` adds to each neuron."""
        mantissas, exponent = self.kernels[source]
        return mantissas * 2 ** (7 + exponent)

    def real_weights(self, source: str) -> np.ndarray:
        """The weights of the network that these integers stand for."""
        return self.weights(source) / self.scale

    @property
    def real_decay(self) -> np.ndarray:
        """The decays that these integers stand for."""
        return (DECAY_ONE - self.decay) / DECAY_ONE

    @property
    def real_threshold(self) -> np.ndarray:
        """The smallest membrane that fires: on the chip it exceeds the threshold, in the network it equals it."""
        return (THRESHOLD_UNIT * self.threshold + 1) / self.scale

    @property
    def real_bias(self) -> np.ndarray | None:
        """The biases that these integers stand for; None where the host writes them."""
        return None if self.bias is None else self.bias / self.scale


def as_bias(currents: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The nearest values of bias registers for some currents.

    Args:
        currents: in the chip's integers, of any shape.

    Returns:
        The registers' values, clipped to their range, and whether each current was outside of it.
    """
    beyond = np.abs(currents) > LARGEST_BIAS
    currents = np.clip(currents, -LARGEST_BIAS, LARGEST_BIAS)
    exponent = np.ceil(np.log2(np.maximum(np.abs(currents) / BIAS_MANTISSA, 1)))
    return (np.round(currents / 2**exponent) * 2**exponent).astype(np.int64), beyond


def integers_of(layer: ChipLayer, plan: Plan, caller: str) -> LayerIntegers:
    """Round a layer's weights to the chip's integers.

    Args:
        layer: a `ChipLayer` of the plan.
        plan: the `Plan` of its network.
        caller: named in the message.

    Returns:
        The `LayerIntegers`.

    Raises:
        InputError: weights that are not finite, decays outside [0, 1] or thresholds that are not positive.
    """
    decay, threshold = layer.weight("decay"), layer.weight("threshold")
    kernels, currents = _projections(layer, plan)
    for name in ("kernel", "recurrent_kernel", "bias", "decay", "threshold"):
        values = layer.weight(name)
        if values is not None and not np.isfinite(values).all():
            raise InputError(
                f"{caller}: {np.sum(~np.isfinite(values))} of {values.size} numbers in the {name} of the layer "
                f"{layer.name!r} are not finite; check that its training converged"
            )
    if decay.min() < 0 or decay.max() > 1 or threshold.min() <= 0:
        raise InputError(
            f"{caller}: the layer {layer.name!r} has decays from {decay.min():g} to {decay.max():g} and "
            f"thresholds from {threshold.min():g}; the chip takes decays in [0, 1] and thresholds > 0"
        )
    most = _scale(kernels, currents, threshold)
    rung = np.searchsorted(LADDER, (most * threshold - 1) / THRESHOLD_UNIT, side="right") - 1
    theta = LADDER[np.maximum(rung, 0)]
    # Exact, except for a threshold below the chip's smallest, which is raised to that.
    scale = np.minimum((THRESHOLD_UNIT * theta + 1) / threshold, most)
    bias = None
    if not any(source.layer is None for source in layer.sources):
        values = layer.weight("bias")
        bias = as_bias(np.zeros_like(scale) if values is None else values * scale)[0]
    return LayerIntegers(
        name=layer.name,
        scale=scale,
        kernels={source: _mantissas(kernel * scale) for source, kernel in kernels.items()},
        decay=np.clip(np.round((1 - decay) * DECAY_ONE), 0, DECAY_ONE - 1).astype(np.int64),
        threshold=theta,
        bias=bias,
        raised=int(np.sum(rung < 0)),
    )


def _projections(layer, plan):
    """Weights by the layer whose spikes they carry, and the largest current from the host for each neuron."""
    kernel, bias = layer.weight("kernel"), layer.weight("bias")
    kernels, currents = {}, np.zeros(kernel.shape[1]) if bias is None else np.abs(bias)
    for source, rows in layer.rows():
        if source.layer is None:
            currents = currents + np.abs(kernel[rows]).T @ _reach(source, plan)
        else:
            kernels[source.layer] = kernel[rows]
    if layer.recurrent:
        kernels[layer.name] = layer.weight("recurrent_kernel")
    return kernels, currents


def _reach(source, plan):
    """The largest expected magnitude of real values, (width,)."""
    node = plan.graph.producer_of(source.value)
    scaling = node.layer if node and isinstance(node.layer, Standardise) and not node.layer.invert else None
    if scaling is None or scaling.lower is None:
        return np.full(source.width, REACH)
    ends = [scaling.standardise(np.asarray(end, dtype=np.float64)) for end in (scaling.lower, scaling.upper)]
    return np.max(np.abs(ends), axis=0)


def _columns(kernel):
    """A kernel as (rows, units); a one-to-one kernel has one row."""
    return kernel if kernel.ndim == 2 else kernel[None]


def _scale(kernels, currents, threshold):
    """The scale, (units,), at which a neuron's largest weight uses the whole mantissa; smaller where that overflows."""
    largest, sums = np.zeros_like(threshold), np.zeros_like(threshold)
    for kernel in kernels.values():
        largest = np.maximum(largest, np.abs(_columns(kernel)).max(axis=0))
    for sign in (1, -1):
        total = sum((np.maximum(sign * _columns(kernel), 0).sum(axis=0) for kernel in kernels.values()), 0)
        sums = np.maximum(sums, total)
    rows = sum(len(_columns(kernel)) for kernel in kernels.values())
    with np.errstate(divide="ignore"):
        whole = WEIGHT_MANTISSA / largest
        alone = np.minimum(LARGEST_BIAS / currents, (THRESHOLD_UNIT * THRESHOLD_MANTISSA + 1) / threshold)
        # A neuron that leaves bits unused at the smallest exponent has tiny weights relative to its bias or threshold.
        # It must not make the weights of the others coarser.
        counts = whole * 2.0 ** (7 + WEIGHT_EXPONENTS[0]) <= alone
        # The largest exponent without an overflow gives thresholds, biases and leaks the most bits.
        for exponent in reversed(WEIGHT_EXPONENTS):
            unit = 2.0 ** (7 + exponent)
            # Rounding may raise each of the weights by half a unit.
            limit = np.minimum(alone, max(INPUT_LIMIT - 1 - rows * unit / 2, 1) / sums)
            if np.all((whole * unit <= limit)[counts]):
                break
    return np.minimum(whole * unit, limit)


def _mantissas(weights):
    """Mantissas of weights in the chip's integers, and the smallest exponent that holds all of them."""
    largest = np.abs(weights).max(initial=0)
    exponent = next((e for e in WEIGHT_EXPONENTS if largest <= WEIGHT_MANTISSA * 2.0 ** (7 + e)), WEIGHT_EXPONENTS[-1])
    return np.round(weights / 2.0 ** (7 + exponent)).astype(np.int64), exponent
