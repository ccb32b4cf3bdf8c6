"""Physical units in and out of a model: scaling as layers, which are saved with the model.

Where a quantity lies far from zero relative to its deviation, such as seconds since 1970, its mean is subtracted in
double precision: single precision would round away what the network was trained on.

The range that a network was trained on is saved with them, and a model in physical units checks its inputs against it.
"""

import math
import weakref
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import keras
import numpy as np
from keras import ops

from kspike_reg.errors import InputError
from kspike_reg.network.execute import GraphModel, execute
from kspike_reg.network.graph import Graph, functional_of, graph_of
from kspike_reg.network.outside import OUTSIDE
from kspike_reg.neurons.population import PopulationMean
from kspike_reg.typing import Tensor

__all__ = [
    "OUTSIDE", "PhysicalModel", "Standardise", "averaging_node", "check_range", "in_physical_units", "require_single",
    "scaling_of", "spread_at",
]  # fmt: skip

# Distance from zero, in deviations, beyond which single precision moves a standardised value by more than 2.4e-4.
FAR = 2.0**12


@keras.saving.register_keras_serializable("kspike_reg")
class Standardise(keras.layers.Layer):
    """(x - mean) / deviation, or back, x * deviation + mean, for each quantity on the last axis.

    `keras.layers.Normalization` does the same but has no names and replaces deviations below 1e-7, which small strains
    may have, by 1e-7. Physical numbers exceed the range of half precision, so the layer computes in the precision of
    variables; with dtype="float64" in double precision, which JAX must be told to allow.

    Args:
        mean, deviation: one number for each quantity, in its units; deviations > 0.
        names: one name for each quantity.
        invert: whether to convert back to physical units.
        lower, upper: the range of each quantity in training, lower < upper; None where it is not known.

    Input shape: (..., quantities). Output shape: the same.

    Raises:
        InputError: numbers that do not fit together.
    """

    def __init__(
        self,
        mean: Sequence[float],
        deviation: Sequence[float],
        names: Sequence[str],
        invert: bool = False,
        lower: Sequence[float] | None = None,
        upper: Sequence[float] | None = None,
        **kwargs: Any,
    ) -> None:
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

    def build(self, input_shape: Any) -> None:
        if input_shape[-1] != len(self.names):
            raise InputError(
                f"Standardise: expected {len(self.names)} quantities on the last axis ({', '.join(self.names)}), "
                f"received an input of shape {tuple(input_shape)}"
            )
        if self.compute_dtype == "float64" and not _has_double_precision():
            raise InputError(
                f"Standardise: {', '.join(self.names)} must be scaled in double precision, because values lie more "
                f"than {FAR:.0f} deviations from zero, and JAX computes in single precision; set the environment "
                "variable JAX_ENABLE_X64=1, use another backend of Keras, or subtract an offset from the data"
            )

    def call(self, inputs: Tensor) -> Tensor:
        mean = ops.convert_to_tensor(self.mean, dtype=self.compute_dtype)
        deviation = ops.convert_to_tensor(self.deviation, dtype=self.compute_dtype)
        return inputs * deviation + mean if self.invert else (inputs - mean) / deviation

    def standardise(self, values: np.ndarray) -> np.ndarray:
        """Physical values, (..., quantities), on the standardised scale, whatever `invert` says."""
        return (values - self.mean) / self.deviation

    def compute_output_shape(self, input_shape: Any) -> Any:
        return input_shape

    def get_config(self) -> dict[str, Any]:
        return super().get_config() | {
            "mean": self.mean,
            "deviation": self.deviation,
            "names": self.names,
            "invert": self.invert,
            "lower": self.lower,
            "upper": self.upper,
        }


def _has_double_precision():
    if keras.backend.backend() != "jax":
        return True
    import jax

    return bool(jax.config.jax_enable_x64)


def require_single(layer: "Standardise", caller: str) -> None:
    """Refuse a scaling in double precision where numbers will be in single precision.

    Args:
        layer: of a model that is to run elsewhere.
        caller: named in the message.

    Raises:
        InputError: the layer computes in double precision.
    """
    if layer.compute_dtype == "float64":
        raise InputError(
            f"{caller}: {', '.join(layer.names)} lie so far from zero that they are scaled in double precision, which "
            "is lost elsewhere; subtract an offset from the data and train again"
        )


def _are_ranges(lower, upper, count):
    return (
        None not in (lower, upper)
        and len(lower) == len(upper) == count
        and all(-math.inf < low < high < math.inf for low, high in zip(lower, upper, strict=True))
    )


# A model that also returns the spread, for each model that was asked for it: compiling takes seconds. If it were an
# attribute, Keras would save it as a part of the model.
_WITH_SPREAD = weakref.WeakKeyDictionary()


@keras.saving.register_keras_serializable("kspike_reg")
class PhysicalModel(keras.Model):
    """A network from physical units to physical units that knows the range it was trained on."""

    def predict(self, x: Any, *args: Any, outside: str = "warn", return_spread: bool = False, **kwargs: Any) -> Any:
        """Predict as `keras.Model.predict` does, after a check of the range of the inputs.

        Args:
            x: an array of shape (paths, steps, features), every value of which is checked, padding too; or whatever
                else Keras takes, a data set or a generator, which is not checked.
            outside: what to do where inputs leave the range that the network was trained on: "warn", "raise" or
                "ignore".
            return_spread: whether to return the spread of the population, see `spread_at`, next to the prediction,
                from the same pass.
            *args, **kwargs: further arguments of `keras.Model.predict`.

        Returns:
            Shape (paths, steps, outputs), in physical units; with `return_spread` a pair of such arrays.

        Raises:
            InputError: another word for `outside`, inputs outside where they are to raise, or a spread asked of a
                model without a `PopulationMean`.
        """
        arrays = [array for array in keras.tree.flatten(x) if hasattr(array, "__array__")]
        check_range(self, arrays[0] if arrays else None, outside)
        if len(arrays) == 1 and keras.backend.standardize_dtype(self.inputs[0].dtype) == "float64":
            # Keras rounds arrays of doubles to its default precision, but no data set of ours.
            size = args[0] if args else kwargs.pop("batch_size", None)
            x, args = _Slices(np.asarray(arrays[0], dtype=np.float64), size or 32), (None, *args[1:])
        if not return_spread:
            return super().predict(x, *args, **kwargs)
        if self not in _WITH_SPREAD:
            _WITH_SPREAD[self] = _WithSpread(graph_of(self, "predict"))
        return tuple(_WITH_SPREAD[self].predict(x, *args, **kwargs))


class _Slices(keras.utils.PyDataset):
    """An array in batches, in its own precision."""

    def __init__(self, array: np.ndarray, batch_size: int) -> None:
        super().__init__()
        self.array, self.batch_size = array, batch_size

    def __len__(self) -> int:
        return -(-len(self.array) // self.batch_size)

    def __getitem__(self, index: int) -> tuple[np.ndarray]:
        return (self.array[index * self.batch_size : (index + 1) * self.batch_size],)


def _precision_of(scaling: Any) -> str | None:
    """The dtype of a `Standardise` layer: double precision where values lie far from zero, else that of Keras."""
    ends = [scaling.mean, *(side for side in (scaling.lower, scaling.upper) if side is not None)]
    far = np.max(np.abs(ends), axis=0) > FAR * np.asarray(scaling.deviation)
    return "float64" if far.any() else None


# The old .h5 format names the class of a model without its package.
keras.saving.get_custom_objects()["PhysicalModel"] = PhysicalModel


def in_physical_units(model: keras.Model, inputs: Any, targets: Any) -> PhysicalModel:
    """Put a copy of a network on standardised data between two scalings, so that it works on physical data.

    Args:
        model: a functional or sequential `keras.Model` with one input and one output, of any structure: nested models,
            layers called twice and skip connections stay as they are.
        inputs, targets: the `datasets.Standardiser` of the inputs and of the outputs, each (batch, time, quantities).

    Returns:
        An uncompiled `PhysicalModel` from (batch, time, features) to (batch, time, outputs), with weights of its own.
        Where a quantity lies thousands of deviations from zero, its side is in double precision.

    Raises:
        InputError: another kind of model, several inputs or outputs, or double precision where JAX does not allow it.
    """
    functional = functional_of(model, "in_physical_units")
    if len(functional.inputs) != 1 or len(functional.outputs) != 1:
        raise InputError(
            f"in_physical_units: expected a model with one input and one output, received {model.name!r} with "
            f"{len(functional.inputs)} inputs and {len(functional.outputs)} outputs"
        )
    copies = {}

    def copy_of(layer):
        if id(layer) not in copies:
            copies[id(layer)] = layer, type(layer).from_config(layer.get_config())
        return copies[id(layer)][1]

    (symbol,) = functional.inputs
    precision = _precision_of(inputs)
    start = keras.Input(symbol.shape[1:], dtype=precision or symbol.dtype, name="physical_inputs")
    standardised = Standardise(**asdict(inputs), dtype=precision, name="standardise")(start)
    # Keras's own walk keeps nested models nested, layers called twice shared, and the arguments of every call.
    structure = keras.tree.pack_sequence_as(functional.input, [standardised])
    (output,) = keras.tree.flatten(functional._run_through_graph(structure, operation_fn=copy_of))
    for layer, copy in copies.values():
        if isinstance(layer, keras.layers.Layer):
            copy.set_weights(layer.get_weights())
    restored = Standardise(**asdict(targets), invert=True, dtype=_precision_of(targets), name="restore")(output)
    return PhysicalModel(start, restored, name=model.name)


def scaling_of(model: keras.Model) -> tuple[Standardise, Standardise]:
    """The two `Standardise` layers, of inputs and of outputs, that a physical model carries.

    Raises:
        InputError: it carries none.
    """
    layers = [layer for layer in model.layers if isinstance(layer, Standardise)]
    if [layer.invert for layer in layers] != [False, True]:
        raise InputError(
            f"the model {model.name!r} carries no scaling, so its quantities and units are unknown; "
            "save it with kspike-reg train, or wrap it with kspike_reg.in_physical_units"
        )
    return tuple(layers)


def averaging_node(graph: Graph) -> Any:
    """The last node that averages a population, a `graph.Node`.

    Raises:
        InputError: there is none.
    """
    nodes = [node for node in graph.nodes if isinstance(node.layer, PopulationMean)]
    if not nodes:
        raise InputError(
            f"the model {graph.name!r} has no PopulationMean layer, whose population neurons could differ; "
            "ask it for no spread"
        )
    return nodes[-1]


def spread_at(node: Any, values: dict[int, Tensor], restore: Standardise) -> Tensor:
    """The spread of a population: the standard deviation over the neurons that are averaged into each output.

    A cheap sign of uncertainty, not a calibrated one.

    Args:
        node: see `averaging_node`.
        values: of the graph that was run.
        restore: the scaling of the outputs.

    Returns:
        A tensor of the outputs' shape, in their units.
    """
    # In the precision of the scaling, since physical deviations exceed the range of half precision.
    population = ops.cast(values[node.inputs[0]], restore.compute_dtype)
    return node.layer.spread(population) * ops.convert_to_tensor(restore.deviation, dtype=restore.compute_dtype)


class _WithSpread(GraphModel):
    """A physical model that returns its output and the spread."""

    def __init__(self, graph: Graph) -> None:
        super().__init__(graph, "with_spread")
        self.node = averaging_node(graph)
        (self.restore,) = [
            each.layer for each in graph.nodes if isinstance(each.layer, Standardise) and each.layer.invert
        ]

    def run(self, values: dict[int, Tensor]) -> Any:
        execute(self.graph, values)
        return [values[self.graph.outputs[0]], spread_at(self.node, values, self.restore)]


def check_range(
    model: keras.Model,
    values: Any,
    outside: str,
    labels: Sequence[Any] | None = None,
    stacklevel: int = 3,
    lengths: np.ndarray | None = None,
) -> None:
    """Look for inputs outside the range that a network was trained on, and say by how much they leave it.

    Args:
        model: a network; where its file contains no range, nothing is checked.
        values: its inputs, shape (paths, steps, features); None or another shape is not checked.
        outside: what to do about such inputs, a name in `OUTSIDE`.
        labels: one label for each path; None numbers them.
        stacklevel: of the warning, see `warnings.warn`; 3 blames the caller's caller.
        lengths: steps of each path; with these `values` are the steps of all paths one after the other, shape (sum of
            lengths, features).

    Raises:
        InputError: another word for `outside`, or inputs outside where they are to raise.
    """
    if outside not in OUTSIDE:
        raise InputError(f"unknown outside={outside!r}; choose one of {', '.join(map(repr, OUTSIDE))}")
    scaling = next((layer for layer in model.layers if isinstance(layer, Standardise) and not layer.invert), None)
    if outside == "ignore" or values is None or scaling is None or scaling.lower is None:
        return
    values = np.asarray(ops.convert_to_numpy(values), dtype=np.float64)
    if lengths is None:
        if values.ndim == 2:  # Keras takes a single feature without its axis
            values = values[..., None]
        if values.ndim != 3:
            return  # Keras refuses it
        lengths = np.full(values.shape[0], values.shape[1])
        values = values.reshape(-1, values.shape[2])
    if values.shape[1] != len(scaling.names) or len(values) == 0:
        return  # likewise
    epsilon = float(np.finfo(scaling.compute_dtype).eps)
    ranges = zip(scaling.names, values.T, scaling.lower, scaling.upper, strict=True)
    remarks = [
        remark for quantity in ranges if (remark := _remark(*quantity, lengths, labels or range(len(lengths)), epsilon))
    ]
    if remarks:
        OUTSIDE[outside](
            f"inputs outside the range that the network was trained on, where it extrapolates: {'; '.join(remarks)}",
            stacklevel + 1,
        )


def _remark(name, values, lower, upper, lengths, labels, epsilon):
    """How far a quantity, given at the steps of all paths, leaves its range, or nothing where it does not."""
    excess = np.maximum(lower - values, values - upper)
    # Each time that a number passes through the precision in which the network takes it, it moves by half an epsilon at
    # most. Four times: it is stored, a unit's factor is, their product is, and one to spare.
    rounding = 2 * epsilon * max(abs(lower), abs(upper))
    leaves = ~(excess <= rounding)  # NaN lies in no range
    if not leaves.any():
        return None
    ends = np.cumsum(lengths)
    step = np.argmax(excess)
    path = int(np.searchsorted(ends, step, side="right"))
    paths = np.unique(np.searchsorted(ends, np.flatnonzero(leaves), side="right"))
    return (
        f"{name} reaches {values[step]:g} in path {labels[path]!r}, {excess[step]:.3g} beyond {lower:g} to {upper:g} "
        f"({excess[step] / (upper - lower):.3g} of that range's width), and leaves it in {len(paths)} of "
        f"{len(lengths)} paths"
    )
