"""The way from physical units to standardised ones and back, as a layer, so that it travels inside the model file."""

import math

import keras
from keras import ops

from kspike_reg.errors import InputError

__all__ = ["Standardise", "in_physical_units", "scaling_of"]


@keras.saving.register_keras_serializable("kspike_reg")
class Standardise(keras.layers.Layer):
    """(x - mean) / deviation, or back, x * deviation + mean, for each quantity on the last axis.

    `keras.layers.Normalization` does the same but knows no names and takes deviations below 1e-7 for 1e-7, which
    small strains may have. Physical numbers outrange half precision, so the layer computes in the precision of
    variables.

    Args:
        mean, deviation: one number for each quantity, in its units; deviations > 0.
        names: one name for each quantity.
        invert: whether the way is back to physical units.

    Input shape: (..., quantities). Output shape: the same.

    Raises:
        InputError: numbers that do not fit together.
    """

    def __init__(self, mean, deviation, names, invert=False, **kwargs):
        if not len(mean) == len(deviation) == len(names) > 0:
            raise InputError(
                f"Standardise: expected a mean and a deviation for each of the names {names!r}, "
                f"received mean={mean!r}, deviation={deviation!r}"
            )
        if not all(0 < spread < math.inf for spread in deviation):
            raise InputError(f"Standardise: expected finite deviations > 0, received deviation={deviation!r}")
        super().__init__(**kwargs)
        self.dtype_policy = keras.DTypePolicy(self.variable_dtype)
        self.mean = list(mean)
        self.deviation = list(deviation)
        self.names = list(names)
        self.invert = invert
        self.supports_masking = True

    def build(self, input_shape):
        if input_shape[-1] != len(self.names):
            raise InputError(
                f"Standardise: expected {len(self.names)} quantities on the last axis ({', '.join(self.names)}), "
                f"received an input of shape {tuple(input_shape)}"
            )

    def call(self, inputs):
        mean = ops.convert_to_tensor(self.mean, dtype=self.compute_dtype)
        deviation = ops.convert_to_tensor(self.deviation, dtype=self.compute_dtype)
        return inputs * deviation + mean if self.invert else (inputs - mean) / deviation

    def compute_output_shape(self, input_shape):
        return input_shape

    def get_config(self):
        return super().get_config() | {
            "mean": self.mean,
            "deviation": self.deviation,
            "names": self.names,
            "invert": self.invert,
        }


def in_physical_units(model, inputs, targets):
    """Put a copy of a network on standardised data between two scalings, so that it works on physical data.

    Args:
        model: a network as `kspike_reg.build` makes it.
        inputs, targets: the `datasets.Standardiser` of either side.

    Returns:
        An uncompiled `keras.Model` of the same shapes, with weights of its own.
    """
    first, *layers = model.layers
    x = start = keras.Input(first.batch_shape[1:], name="physical_inputs")
    x = Standardise(inputs.mean, inputs.deviation, inputs.names, name="standardise")(x)
    for layer in layers:
        copy = type(layer).from_config(layer.get_config())
        x = copy(x)
        copy.set_weights(layer.get_weights())
    x = Standardise(targets.mean, targets.deviation, targets.names, invert=True, name="restore")(x)
    return keras.Model(start, x, name=model.name)


def scaling_of(model):
    """The pair of `Standardise` layers, of inputs and of outputs, that a physical model carries.

    Raises:
        InputError: it carries none.
    """
    layers = [layer for layer in model.layers if isinstance(layer, Standardise)]
    if [layer.invert for layer in layers] != [False, True]:
        raise InputError(
            f"the model {model.name!r} carries no scaling, so its quantities and units are unknown; "
            "save it with kspike-reg train, or wrap it with kspike_reg.scaling.in_physical_units"
        )
    return tuple(layers)
