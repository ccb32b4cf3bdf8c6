"""What the cells share: an input projection (`NeuronCell`), a leak (`LeakyCell`), a threshold (`SpikingCell`).

A cell owns weights and follows Keras's contract for RNN cells. It splits one step into `project`, which has no memory
and so may serve all steps of a path at once, and `advance`, the recurrence:

    cell(inputs, states) = advance(project(inputs), states)

A cell also states the facts of its neuron: its states by name, its gates, its parameters, what feeds back, what it
emits. Engines, the energy profiler, probes, bridges and tests ask the cell and know no neuron by its class.
"""

import contextlib
import math
from collections import namedtuple
from collections.abc import Iterator, Sequence
from typing import Any

import keras
from keras import ops

# Keras draws dropout masks once a sequence, not once a step, only for cells that carry this mixin; it has no public
# name.
from keras.src.layers.rnn.dropout_rnn_cell import DropoutRNNCell

from kspike_reg.errors import InputError, require_whole
from kspike_reg.neurons import surrogates
from kspike_reg.neurons.constraints import Interval
from kspike_reg.neurons.options import constructor_options, show_full_signature, with_names
from kspike_reg.neurons.precision import matmul
from kspike_reg.neurons.registry import OUTPUTS, RESETS, kind_of
from kspike_reg.typing import Tensor

__all__ = ["SMALLEST_THRESHOLD", "LeakyCell", "NeuronCell", "SpikingCell"]

# The smallest threshold: still a normal number in float16, so that mixed precision keeps it above zero.
SMALLEST_THRESHOLD = 1e-4


class NeuronCell(DropoutRNNCell, keras.layers.Layer):
    """Base of all cells: the input current `I[t] = W h[t] + b`, dropout on `h`, the configuration, and the facts.

    Facts that a subclass states, as class attributes:

    - `state_names`: its states in the order of its equations, "spikes" among them if it fires;
    - `projections`: input currents per neuron, one, or one for each gate;
    - `parameter_names`: its weights of one number per neuron;
    - `feeds_back`: the state that its recurrent weights read, by name; None without recurrent weights;
    - `starts`: what `kspike_reg.build` starts "threshold" and "readout_decay" from unless told otherwise: a number, or
      the two ends of a uniform draw.

    Facts that follow from them and from the options: `kind`, `fires`, `emits`, `output_state`, `state_order`,
    `State`, `width`, `recurrent_fan_out`.

    Args:
        units: number of neurons, > 0.
        use_bias: whether the projection adds a bias.
        kernel_initializer, bias_initializer: as in `keras.layers.Dense`; a number stands for a constant.
        kernel_regularizer, bias_regularizer, kernel_constraint, bias_constraint: as in `keras.layers.Dense`.
        dropout: fraction of the inputs to drop in training, in [0, 1); one mask for all steps of a sequence.
        seed: seed of the dropout masks.
        **kwargs: name, dtype and trainable, as for every Keras layer.

    Raises:
        InputError: an option is out of its range.
    """

    state_names: tuple[str, ...] = ()
    projections = 1
    parameter_names: tuple[str, ...] = ()
    feeds_back: str | None = None
    starts: dict[str, Any] = {}  # noqa: RUF012 - read only

    recurrent_dropout = 0.0  # overridden by cells that have recurrent weights

    def __init__(
        self,
        units: int,
        *,
        use_bias: bool = True,
        kernel_initializer: Any = "glorot_uniform",
        bias_initializer: Any = "zeros",
        kernel_regularizer: Any = None,
        bias_regularizer: Any = None,
        kernel_constraint: Any = None,
        bias_constraint: Any = None,
        dropout: float = 0.0,
        seed: int | None = None,
        **kwargs: Any,
    ) -> None:
        require_whole(type(self).__name__, units=units)
        super().__init__(**kwargs)
        self.units = int(units)
        self.use_bias = use_bias
        self._keep_weight_options("kernel", kernel_initializer, kernel_regularizer, kernel_constraint)
        self._keep_weight_options("bias", bias_initializer, bias_regularizer, bias_constraint)
        self.dropout = self._rate("dropout", dropout)
        self.seed = seed
        self.seed_generator = keras.random.SeedGenerator(seed)
        self.output_size = self.units
        self.state_size = [self.units] * len(self.state_names)

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        show_full_signature(cls)
        #: The states of a step by name, in the order of the equations.
        cls.State = namedtuple(f"{cls.__name__.removesuffix('Cell')}State", cls.state_names)

    # ------------------------------------------------------------------------------------------------------- facts

    @property
    def kind(self) -> str | None:
        """The registered name of the neuron; None for a class that nobody registered."""
        return kind_of(type(self))

    @property
    def fires(self) -> bool:
        """Whether the neuron has spikes."""
        return "spikes" in self.state_names

    @property
    def output_state(self) -> str:
        """The state that the cell emits, by name."""
        return self.state_names[0]

    @property
    def emits(self) -> str:
        """The values that the cell emits: "binary" spikes, or "real" numbers."""
        return "binary" if self.output_state == "spikes" else "real"

    @property
    def state_order(self) -> tuple[str, ...]:
        """The states by name in the order in which Keras keeps them: the output first."""
        return (self.output_state, *(name for name in self.state_names if name != self.output_state))

    @property
    def width(self) -> int:
        """Number of input currents."""
        return self.projections * self.units

    @property
    def recurrent_fan_out(self) -> int:
        """Recurrent connections that leave each neuron; 0 where nothing feeds back."""
        return self.width if self.feeds_back else 0

    def unpack(self, states: Sequence[Any]) -> Any:
        """The states by name.

        Args:
            states: in the order of `state_order`, as Keras keeps them.

        Returns:
            A `State`, a named tuple in the order of the neuron's equations.
        """
        return self.State(**dict(zip(self.state_order, states, strict=True)))

    def pack(self, states: Sequence[Any]) -> list[Any]:
        """The states in the order in which Keras keeps them, from that of the neuron's equations."""
        state = self.State(*states)
        return [getattr(state, name) for name in self.state_order]

    # ---------------------------------------------------------------------------------------------------- one step

    def build(self, input_shape: Any) -> None:
        self.kernel = self._add_weight("kernel", (input_shape[-1], self.width))
        self.bias = self._add_weight("bias", (self.width,)) if self.use_bias else None

    def project(self, inputs: Tensor, training: bool = False) -> Tensor:
        """Input currents.

        Args:
            inputs: shape (batch, features) for one step, or (batch, time, features) for a whole sequence.
            training: whether dropout acts.

        Returns:
            `W h + b`, shape (..., projections * units).
        """
        currents = matmul(self.thin(inputs, training), self.kernel)
        return currents if self.bias is None else currents + self.bias

    def thin(self, inputs: Tensor, training: bool = False) -> Tensor:
        """The inputs with dropout, if there is any; arguments and shape as in `project`."""
        if not training or self.dropout == 0:
            return inputs
        step = inputs if len(inputs.shape) == 2 else inputs[:, 0]
        mask = self.get_dropout_mask(step)
        return inputs * (mask if len(inputs.shape) == 2 else ops.expand_dims(mask, 1))

    def advance(
        self, currents: Tensor, states: Sequence[Tensor], training: bool = False
    ) -> tuple[Tensor, list[Tensor]]:
        """The recurrence: one step, given the input currents; every cell class defines its own.

        Args:
            currents: what `project` gives for this step, shape (batch, projections * units).
            states: those of the last step, a list of tensors (batch, units) in the order of `state_order`.
            training: whether dropout acts.

        Returns:
            The output (batch, units) and the list of new states.
        """
        raise NotImplementedError(f"{type(self).__name__}: expected the cell to define `advance`, one step")

    def call(self, inputs: Tensor, states: Sequence[Tensor], training: bool = False) -> tuple[Tensor, list[Tensor]]:
        return self.advance(self.project(inputs, training), states, training)

    def get_initial_state(self, batch_size: Any = None) -> list[Tensor]:
        return [ops.zeros((batch_size, size), dtype=self.compute_dtype) for size in self.state_size]

    def get_config(self) -> dict[str, Any]:
        options = {name: getattr(self, name) for name in constructor_options(type(self))}
        return super().get_config() | {
            name: keras.saving.serialize_keras_object(option) for name, option in options.items()
        }

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> "NeuronCell":
        return cls(**with_names(config))

    def _keep_weight_options(self, weight, initializer, regularizer, constraint):
        """Store the options that Keras offers for each weight, under the names that the constructor uses."""
        if isinstance(initializer, (int, float)):
            initializer = keras.initializers.Constant(initializer)
        setattr(self, f"{weight}_initializer", keras.initializers.get(initializer))
        setattr(self, f"{weight}_regularizer", keras.regularizers.get(regularizer))
        setattr(self, f"{weight}_constraint", keras.constraints.get(constraint))

    def _add_weight(self, name, shape, options=None, trainable=True):
        options = options or name
        return self.add_weight(
            name=name,
            shape=shape,
            initializer=self._start(options),
            regularizer=getattr(self, f"{options}_regularizer"),
            constraint=getattr(self, f"{options}_constraint"),
            trainable=trainable,
        )

    def _start(self, options):
        """The initializer of a weight by the name of its options."""
        return getattr(self, f"{options}_initializer")

    def _rate(self, name, rate):
        if not 0 <= rate < 1:
            raise InputError(f"{type(self).__name__}: expected {name} in [0, 1), received {name}={rate!r}")
        return rate

    def _choice(self, name, value, choices):
        if value not in choices:
            raise InputError(
                f"{type(self).__name__}: unknown {name} {value!r}; choose one of {', '.join(map(repr, choices))}"
            )
        return value

    @property
    def masks(self) -> tuple[Tensor | None, Tensor | None]:
        """The dropout masks of the current call, of inputs and of feedback; None where there is none."""
        return getattr(self, "_dropout_mask", None), getattr(self, "_recurrent_dropout_mask", None)

    @contextlib.contextmanager
    def holding(self, masks: tuple[Tensor | None, Tensor | None]) -> Iterator[None]:
        """A context in which the cell uses the masks of an earlier call, `masks`, to repeat it."""
        before = self.masks
        self._dropout_mask, self._recurrent_dropout_mask = masks
        try:
            yield
        finally:
            self._dropout_mask, self._recurrent_dropout_mask = before

    def _drop_recurrent(self, feedback, training):
        """The layer's own last state as the recurrent weights read it, thinned by dropout."""
        if training and self.recurrent_dropout > 0:
            return feedback * self.get_recurrent_dropout_mask(feedback)
        return feedback


class LeakyCell(NeuronCell):
    """A cell whose membrane leaks: one decay per neuron, learned and kept in [0, 1].

    Args:
        decay_initializer: leak per step that training starts from: a number in [0, 1] or a Keras initializer.
        decay_regularizer, decay_constraint: as for every Keras weight.
        learn_decay: whether the decay is trained.
    """

    def __init__(
        self,
        units: int,
        *,
        decay_initializer: Any = 0.1,
        decay_regularizer: Any = None,
        decay_constraint: Any = Interval(0.0, 1.0),
        learn_decay: bool = True,
        **options: Any,
    ) -> None:
        super().__init__(units, **options)
        if isinstance(decay_initializer, (int, float)) and not 0 <= decay_initializer <= 1:
            raise InputError(f"{type(self).__name__}: expected a decay in [0, 1], received {decay_initializer!r}")
        self._keep_weight_options("decay", decay_initializer, decay_regularizer, decay_constraint)
        self.learn_decay = learn_decay

    def build(self, input_shape: Any) -> None:
        super().build(input_shape)
        self.decay = self._add_weight("decay", (self.units,), trainable=self.learn_decay)


class SpikingCell(NeuronCell):
    """A cell that fires: one threshold per neuron, learned and kept above zero.

    Its state leads with its output, as Keras's loops expect: [spikes, membrane, ...] where `output` is "spikes",
    [membrane, spikes, ...] where it is "membrane".

    Args:
        output: the state that the cell emits, "spikes" or "membrane".
        reset: what a spike does to the membrane one step later: "subtract" takes the threshold off, "zero" clears
            it, "none" leaves it.
        detach_reset: whether gradients stop at the spike that resets.
        surrogate, surrogate_scale: derivative of the spike in the backward pass, see `neurons.surrogates`; a scale
            of None takes the surrogate's default.
        threshold_initializer: firing level that training starts from: a number of 1e-4 or more, or a Keras
            initializer.
        threshold_regularizer, threshold_constraint: as for every Keras weight.
        learn_threshold: whether the threshold is trained.
    """

    # Hides Keras's property of this name, the symbolic tensor of a layer in a functional model, which a cell inside
    # an RNN never has.
    output = None

    def __init__(
        self,
        units: int,
        *,
        output: str = "spikes",
        reset: str = "subtract",
        detach_reset: bool = True,
        surrogate: str = "atan",
        surrogate_scale: float | None = None,
        threshold_initializer: Any = 0.1,
        threshold_regularizer: Any = None,
        threshold_constraint: Any = Interval(lower=SMALLEST_THRESHOLD),
        learn_threshold: bool = True,
        **options: Any,
    ) -> None:
        super().__init__(units, **options)
        self.output = self._choice("output", output, OUTPUTS)
        self.reset = self._choice("reset", reset, RESETS)
        self.detach_reset = detach_reset
        surrogates.check(surrogate, surrogate_scale)
        self.surrogate = surrogate
        self.surrogate_scale = surrogate_scale
        number = isinstance(threshold_initializer, (int, float))
        if number and not SMALLEST_THRESHOLD <= threshold_initializer < math.inf:
            raise InputError(
                f"{type(self).__name__}: expected a threshold > 0, received {threshold_initializer!r}; "
                f"the smallest is {SMALLEST_THRESHOLD}"
            )
        self._keep_weight_options("threshold", threshold_initializer, threshold_regularizer, threshold_constraint)
        self.learn_threshold = learn_threshold

    def build(self, input_shape: Any) -> None:
        super().build(input_shape)
        self.threshold = self._add_weight("threshold", (self.units,), trainable=self.learn_threshold)

    @property
    def output_state(self) -> str:
        return self.output

    def firing_levels(self, state: Any) -> Any:
        """The thresholds at which a state's spikes were decided, in the membrane's units.

        Args:
            state: a `State` of arrays (..., units).

        Returns:
            Shape (units,); (..., units) for neurons whose thresholds move.
        """
        return self.threshold

    @property
    def firing(self) -> dict[str, Any]:
        """The options that the pure step functions of all spiking neurons share."""
        return {
            "threshold": self.threshold,
            "reset": self.reset,
            "detach_reset": self.detach_reset,
            "surrogate": self.surrogate,
            "surrogate_scale": self.surrogate_scale,
        }
