"""The way from physical units to standardised ones and back, as a layer, so that it travels inside the model file.

With it travels the range that a network was trained on, and a model in physical units guards it.
"""

import math
import warnings
import weakref
from dataclasses import asdict

import keras
import numpy as np
from keras import ops

from kspike_reg.errors import InputError, OutOfRangeWarning
from kspike_reg.neurons import PopulationMean

__all__ = [
    "OUTSIDE", "PhysicalModel", "Standardise", "check_range", "in_physical_units", "scaling_of", "spread_of"
]  # fmt: skip


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
        lower, upper: the range of each quantity in training, lower < upper; None where it is not known.

    Input shape: (..., quantities). Output shape: the same.

    Raises:
        InputError: numbers that do not fit together.
    """

    def __init__(self, mean, deviation, names, invert=False, lower=None, upper=None, **kwargs):
        if not len(mean) == len(deviation) == len(names) > 0:
            raise InputError(
                f"Standardise: expected a mean and a deviation for each of the names {names!r}, "
                f"received mean={mean!r}, deviation={deviation!r}"
            )
        if not all(0 < spread < math.inf for spread in deviation):
            raise InputError(f"Standardise: expected finite deviations > 0, received deviation={deviation!r}")
        if (lower, upper) != (None, None) and not _are_ranges(lower, upper, len(names)):
            raise InputError(
                f"Standardise: expected finite numbers lower < upper for each of the names {names!r}, or neither of "
                f"the two, received lower={lower!r}, upper={upper!r}"
            )
        super().__init__(**kwargs)
        self.dtype_policy = keras.DTypePolicy(self.variable_dtype)
        self.mean = list(mean)
        self.deviation = list(deviation)
        self.names = list(names)
        self.invert = invert
        self.lower = None if lower is None else list(lower)
        self.upper = None if upper is None else list(upper)
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

    def standardise(self, values):
        """Physical values, a NumPy array (..., quantities), on the standardised scale, whichever way the layer goes."""
        return (values - self.mean) / self.deviation

    def compute_output_shape(self, input_shape):
        return input_shape

    def get_config(self):
        return super().get_config() | {
            "mean": self.mean,
            "deviation": self.deviation,
            "names": self.names,
            "invert": self.invert,
            "lower": self.lower,
            "upper": self.upper,
        }


def _are_ranges(lower, upper, count):
    return (
        None not in (lower, upper)
        and len(lower) == len(upper) == count
        and all(-math.inf < low < high < math.inf for low, high in zip(lower, upper, strict=True))
    )


# A model that also gives the spread, for each that was asked for it: compiling takes seconds. Were it an attribute,
# Keras would save it as a part.
_WITH_SPREAD = weakref.WeakKeyDictionary()


@keras.saving.register_keras_serializable("kspike_reg")
class PhysicalModel(keras.Model):
    """A network from physical units to physical units that knows the range it was trained on."""

    def predict(self, x, *args, outside="warn", return_spread=False, **kwargs):
        """Predict as `keras.Model.predict` does, after a look at the range of the inputs.

        Args:
            x: an array of shape (paths, steps, features), every value of which is looked at, padding too; or
                whatever else Keras takes, a data set or a generator, which is not looked at.
            outside: what to do where inputs leave the range that the network was trained on: "warn", "raise" or
                "ignore".
            return_spread: whether to return how far the voters stand apart, see `spread_of`, beside the prediction,
                from the same pass.
            *args, **kwargs: further arguments of `keras.Model.predict`.

        Returns:
            Shape (paths, steps, outputs), in physical units; with `return_spread` a pair of such arrays.

        Raises:
            InputError: another word for `outside`, inputs outside where they are to raise, or a spread asked of a
                model in which no population votes.
        """
        arrays = [array for array in keras.tree.flatten(x) if hasattr(array, "__array__")]
        check_range(self, arrays[0] if arrays else None, outside)
        if not return_spread:
            return super().predict(x, *args, **kwargs)
        if self not in _WITH_SPREAD:
            _WITH_SPREAD[self] = keras.Model(self.input, [self.outputs[0], spread_of(self)])
        return tuple(_WITH_SPREAD[self].predict(x, *args, **kwargs))


def in_physical_units(model, inputs, targets):
    """Put a copy of a network on standardised data between two scalings, so that it works on physical data.

    Args:
        model: a network as `kspike_reg.build` makes it.
        inputs, targets: the `datasets.Standardiser` of either side.

    Returns:
        An uncompiled `PhysicalModel` of the same shapes, with weights of its own.
    """
    first, *layers = model.layers
    x = start = keras.Input(first.batch_shape[1:], name="physical_inputs")
    x = Standardise(**asdict(inputs), name="standardise")(x)
    for layer in layers:
        copy = type(layer).from_config(layer.get_config())
        x = copy(x)
        copy.set_weights(layer.get_weights())
    x = Standardise(**asdict(targets), invert=True, name="restore")(x)
    return PhysicalModel(start, x, name=model.name)


def scaling_of(model):
    """The pair of `Standardise` layers, of inputs and of outputs, that a physical model carries.

    Raises:
        InputError: it carries none.
    """
    layers = [layer for layer in model.layers if isinstance(layer, Standardise)]
    if [layer.invert for layer in layers] != [False, True]:
        raise InputError(
            f"the model {model.name!r} carries no scaling, so its quantities and units are unknown; "
            "save it with kspike-reg train, or wrap it with kspike_reg.network.physical.in_physical_units"
        )
    return tuple(layers)


def spread_of(model):
    """How far the voters stand apart: the standard deviation over the neurons that vote on each output.

    A cheap sign of uncertainty, not a calibrated one.

    Args:
        model: a network in physical units whose answer is the vote of a population, as those of `kspike_reg.build`.

    Returns:
        A symbolic tensor of the outputs' shape, in their units, for a model that computes it beside them.

    Raises:
        InputError: no population votes, or the model carries no scaling.
    """
    votes = [layer for layer in model.layers if isinstance(layer, PopulationMean)]
    if not votes:
        raise InputError(
            f"the model {model.name!r} has no PopulationMean layer, whose voters could stand apart; "
            "ask it for no spread"
        )
    _, restore = scaling_of(model)
    # In the precision of the way back, since physical deviations outrange half precision.
    voters = ops.cast(votes[-1].input, restore.compute_dtype)
    return votes[-1].spread(voters) * np.array(restore.deviation, restore.compute_dtype)


def check_range(model, values, outside, labels=None, stacklevel=3):
    """Look for inputs outside the range that a network was trained on, and say by how much they leave it.

    Args:
        model: a network; where its file tells no range, nothing is looked for.
        values: its inputs, shape (paths, steps, features); None or another shape is not looked at.
        outside: what to do about such inputs, a name in `OUTSIDE`.
        labels: one label for each path; None numbers them.
        stacklevel: of the warning, see `warnings.warn`; 3 blames the caller's caller.

    Raises:
        InputError: another word for `outside`, or inputs outside where they are to raise.
    """
    if outside not in OUTSIDE:
        raise InputError(f"unknown outside={outside!r}; choose one of {', '.join(map(repr, OUTSIDE))}")
    scaling = next((layer for layer in model.layers if isinstance(layer, Standardise) and not layer.invert), None)
    if outside == "ignore" or values is None or scaling is None or scaling.lower is None:
        return
    values = np.asarray(ops.convert_to_numpy(values), dtype=np.float64)
    if values.ndim == 2:  # Keras takes a single feature without its axis
        values = values[..., None]
    if values.ndim != 3 or values.shape[2] != len(scaling.names):
        return  # Keras refuses it
    ranges = zip(scaling.names, np.moveaxis(values, 2, 0), scaling.lower, scaling.upper, strict=True)
    remarks = [remark for quantity in ranges if (remark := _remark(*quantity, labels or range(len(values))))]
    if remarks:
        OUTSIDE[outside](
            f"inputs outside the range that the network was trained on, where it extrapolates: {'; '.join(remarks)}",
            stacklevel + 1,
        )


def _remark(name, values, lower, upper, labels):
    """How far a quantity, shape (paths, steps), leaves its range, or nothing where it does not."""
    excess = np.maximum(lower - values, values - upper)
    # Each time that a number passes through single precision, as networks take it, it moves by half an epsilon at
    # most. Four times: it is stored, a unit's factor is, their product is, and one to spare.
    rounding = 2 * np.finfo(np.float32).eps * max(abs(lower), abs(upper))
    leaves = ~(excess <= rounding)  # NaN lies in no range
    if not leaves.any():
        return None
    path, step = np.unravel_index(np.argmax(excess), excess.shape)
    beyond = excess[path, step]
    return (
        f"{name} reaches {values[path, step]:g} in path {labels[path]!r}, {beyond:.3g} beyond {lower:g} to {upper:g} "
        f"({beyond / (upper - lower):.3g} of that range's width), and leaves it in {leaves.any(axis=1).sum()} of "
        f"{len(values)} paths"
    )


def _warn(message, stacklevel):
    warnings.warn(message, OutOfRangeWarning, stacklevel=stacklevel)


def _raise(message, _stacklevel):
    raise InputError(f"{message}; train it on such inputs too, or choose outside='warn' or 'ignore'")


OUTSIDE = {"warn": _warn, "raise": _raise, "ignore": None}
