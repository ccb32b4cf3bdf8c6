"""What the cells share: an input projection (`NeuronCell`), a leak (`LeakyCell`), a threshold (`SpikingCell`).

A cell owns weights and follows Keras's contract for RNN cells. It splits one step into `project`, which has no memory
and so may serve all steps of a path at once, and `advance`, the recurrence:

    cell(inputs, states) = advance(project(inputs), states)
"""

import contextlib
import importlib
import math

import keras
from keras import ops

# Keras draws dropout masks once a sequence, not once a step, only for cells that carry this mixin; it has no public
# name.
from keras.src.layers.rnn.dropout_rnn_cell import DropoutRNNCell

from kspike_reg.errors import InputError, require_whole
from kspike_reg.neurons import surrogates
from kspike_reg.neurons.constraints import Interval
from kspike_reg.neurons.options import constructor_options, show_full_signature

__all__ = ["LeakyCell", "NeuronCell", "SpikingCell"]

OUTPUTS = ("spikes", "membrane")
RESETS = ("subtract", "zero", "none")

# The smallest threshold: still a normal number in float16, so that mixed precision keeps it above zero.
SMALLEST_THRESHOLD = 1e-4


class NeuronCell(DropoutRNNCell, keras.layers.Layer):
    """Base of all cells: the input current `I[t] = W h[t] + b`, dropout on `h`, and the configuration.

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

    projections = 1  # input currents per neuron: one, or one for each gate
    recurrent_dropout = 0.0  # overridden by cells that have recurrent weights
    compiled = None  # module with the KERNEL of this neuron, for the compiled road; None where there is none

    def __init__(
        self,
        units,
        *,
        use_bias=True,
        kernel_initializer="glorot_uniform",
        bias_initializer="zeros",
        kernel_regularizer=None,
        bias_regularizer=None,
        kernel_constraint=None,
        bias_constraint=None,
        dropout=0.0,
        seed=None,
        **kwargs,
    ):
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

    def __init_subclass__(cls, **kwargs):
        super().__init_subclass__(**kwargs)
        show_full_signature(cls)

    def build(self, input_shape):
        self.kernel = self._add_weight("kernel", (input_shape[-1], self.projections * self.units))
        self.bias = self._add_weight("bias", (self.projections * self.units,)) if self.use_bias else None

    def project(self, inputs, training=False):
        """Input currents.

        Args:
            inputs: shape (batch, features) for one step, or (batch, time, features) for a whole sequence.
            training: whether dropout acts.

        Returns:
            `W h + b`, shape (..., projections * units).
        """
        currents = ops.matmul(self.thin(inputs, training), self.kernel)
        return currents if self.bias is None else currents + self.bias

    def thin(self, inputs, training=False):
        """The inputs with dropout, if there is any; arguments and shape as in `project`."""
        if not training or self.dropout == 0:
            return inputs
        step = inputs if len(inputs.shape) == 2 else inputs[:, 0]
        mask = self.get_dropout_mask(step)
        return inputs * (mask if len(inputs.shape) == 2 else ops.expand_dims(mask, 1))

    @property
    def width(self):
        """Number of input currents."""
        return self.projections * self.units

    def advance(self, currents, states, training=False):
        """The recurrence: one step, given the input currents; each kind of cell has its own.

        Args:
            currents: what `project` gives for this step, shape (batch, projections * units).
            states: those of the last step, a list of tensors (batch, units), the output first.
            training: whether dropout acts.

        Returns:
            The output (batch, units) and the list of new states.
        """
        raise NotImplementedError(f"{type(self).__name__}: a cell says in `advance` how it gets from step to step")

    def call(self, inputs, states, training=False):
        return self.advance(self.project(inputs, training), states, training)

    def ordered(self, states):
        """States in the cell's order from the order of the neuron's equations, and back."""
        return list(states)

    def compiled_sequence(self):
        """What runs whole paths of this cell on the compiled road, a `neurons.compiled.sequence.Sequence`."""
        # numba takes its time to load; models that are only built, saved or read do without.
        from kspike_reg.neurons.engines.cpu.sequence import Sequence

        return Sequence(importlib.import_module(self.compiled).KERNEL, **self._compiled_options())

    def compiled_weights(self):
        """The weights beside kernel and bias that the compiled road takes.

        Returns:
            The parameters in the order of the neuron's kernel, tensors (units,), and the recurrent weights (units,
            projections * units), or None.
        """
        raise NotImplementedError(f"{type(self).__name__}: a cell with a kernel says what the kernel's parameters are")

    def _compiled_options(self):
        return {"options": (), "leading": 0}

    def get_initial_state(self, batch_size=None):
        return [ops.zeros((batch_size, size), dtype=self.compute_dtype) for size in self.state_size]

    def get_config(self):
        options = {name: getattr(self, name) for name in constructor_options(type(self))}
        return super().get_config() | {
            name: keras.saving.serialize_keras_object(option) for name, option in options.items()
        }

    def _keep_weight_options(self, weight, initializer, regularizer, constraint):
        """Store what Keras lets a user choose for each weight, under the names that the constructor uses."""
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
    def masks(self):
        """The dropout masks of the call that runs, of inputs and of feedback; None where there is none."""
        return getattr(self, "_dropout_mask", None), getattr(self, "_recurrent_dropout_mask", None)

    @contextlib.contextmanager
    def holding(self, masks):
        """A context in which the cell's masks are those of an earlier call, `masks`: for what runs once more."""
        before = self.masks
        self._dropout_mask, self._recurrent_dropout_mask = masks
        try:
            yield
        finally:
            self._dropout_mask, self._recurrent_dropout_mask = before

    def _drop_recurrent(self, feedback, training):
        """What the recurrent weights see of the layer's own last step when dropout thins it."""
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
        units,
        *,
        decay_initializer=0.1,
        decay_regularizer=None,
        decay_constraint=Interval(0.0, 1.0),
        learn_decay=True,
        **options,
    ):
        super().__init__(units, **options)
        if isinstance(decay_initializer, (int, float)) and not 0 <= decay_initializer <= 1:
            raise InputError(f"{type(self).__name__}: expected a decay in [0, 1], received {decay_initializer!r}")
        self._keep_weight_options("decay", decay_initializer, decay_regularizer, decay_constraint)
        self.learn_decay = learn_decay

    def build(self, input_shape):
        super().build(input_shape)
        self.decay = self._add_weight("decay", (self.units,), trainable=self.learn_decay)


class SpikingCell(NeuronCell):
    """A cell that fires: one threshold per neuron, learned and kept above zero.

    Its state leads with its output, as Keras's loops expect: [spikes, membrane, ...] where `output` is "spikes",
    [membrane, spikes, ...] where it is "membrane".

    Args:
        output: what the cell hands on, "spikes" or "membrane".
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
        units,
        *,
        output="spikes",
        reset="subtract",
        detach_reset=True,
        surrogate="atan",
        surrogate_scale=None,
        threshold_initializer=0.1,
        threshold_regularizer=None,
        threshold_constraint=Interval(lower=SMALLEST_THRESHOLD),
        learn_threshold=True,
        **options,
    ):
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
        self.state_size = [self.units] * 2

    def build(self, input_shape):
        super().build(input_shape)
        self.threshold = self._add_weight("threshold", (self.units,), trainable=self.learn_threshold)

    def output_first(self, spikes, membrane):
        """Order the pair so that the output leads; given such a pair, back to (spikes, membrane)."""
        return (spikes, membrane) if self.output == "spikes" else (membrane, spikes)

    def ordered(self, states):
        return [*self.output_first(*states[:2]), *states[2:]]

    def spikes_of(self, outputs):
        """The spikes behind this cell's outputs, any shape (..., units): the membrane tells when it has fired."""
        if self.output == "spikes":
            return outputs
        outputs = ops.convert_to_tensor(outputs)
        return surrogates.spike(outputs - ops.cast(self.threshold, outputs.dtype), self.surrogate)

    def _compiled_options(self):
        return {
            "options": (self.reset == "subtract", self.reset == "zero", not self.detach_reset),
            "leading": OUTPUTS.index(self.output),
            "surrogate": self.surrogate,
            "scale": self.surrogate_scale,
        }

    @property
    def firing(self):
        """The options of the pure step functions that every spiking neuron shares."""
        return {
            "threshold": self.threshold,
            "reset": self.reset,
            "detach_reset": self.detach_reset,
            "surrogate": self.surrogate,
            "surrogate_scale": self.surrogate_scale,
        }
