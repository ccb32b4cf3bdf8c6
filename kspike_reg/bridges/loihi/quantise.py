"""A network with the weights that Loihi stores, as a Keras model."""

from dataclasses import dataclass

import keras

from kspike_reg.bridges.loihi.integers import LayerIntegers, integers_of
from kspike_reg.bridges.loihi.layers import plan_of

__all__ = ["Quantised", "quantise"]


@dataclass(frozen=True, eq=False)
class Quantised:
    """A network whose numbers are those of the chip.

    Attributes:
        model: a copy of the network; its spiking layers have the weights that the chip's integers stand for.
        layers: by the name of each spiking layer its `LayerIntegers`: the integers, and the scale of each neuron.
    """

    model: keras.Model
    layers: dict[str, LayerIntegers]


def quantise(model: keras.Model) -> Quantised:
    """Round the weights of the spiking layers to Loihi's integers, and return the result as a Keras model.

    It rounds the weights that carry spikes (8 bits with a shared exponent), the biases of layers whose only inputs are
    spikes (12 bits and an exponent), and the decays (12 bits). Thresholds are exact, by the choice of each neuron's
    scale, see `bridges.loihi.integers`. Weights of real values are not changed, since the host multiplies them. At run
    time the chip also rounds the host's currents to 12 bits and an exponent, and the leaking membrane down to a whole
    number; the returned model does not.

    Args:
        model: a functional or sequential `keras.Model` with spiking layers LIF or RLIF of reset="zero".

    Returns:
        A `Quantised`.

    Raises:
        InputError: a model that cannot be looked into, without spiking layers or with one that the chip cannot run,
            or weights outside the chip's range.
    """
    plan = plan_of(model, "quantise")
    layers = {layer.name: integers_of(layer, plan, "quantise") for layer in plan.layers}
    copy = type(model).from_config(model.get_config())
    copy.set_weights(model.get_weights())
    for layer in plan_of(copy, "quantise").layers:
        _assign(layer, layers[layer.name])
    return Quantised(copy, layers)


def _assign(layer, integers):
    cell, kernel = layer.cell, layer.weight("kernel")
    for source, rows in layer.rows():
        if source.layer is not None:
            kernel[rows] = integers.real_weights(source.layer)
    cell.kernel.assign(kernel)
    if layer.recurrent:
        cell.recurrent_kernel.assign(integers.real_weights(layer.name))
    if cell.bias is not None and integers.bias is not None:
        cell.bias.assign(integers.real_bias)
    cell.decay.assign(integers.real_decay)
    cell.threshold.assign(integers.real_threshold)
