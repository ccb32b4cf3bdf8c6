"""From cell to layer: one subclass of `keras.layers.RNN` that all neuron layers share."""

import keras

from kspike_reg.errors import InputError
from kspike_reg.neurons.options import constructor_options, show_full_signature

__all__ = ["NeuronLayer"]

# Up to this many steps the loop is laid out step by step where the number of steps is known: half the time of a
# symbolic loop, at a cost in tracing that grows with the steps.
LONGEST_UNROLLED = 32


class NeuronLayer(keras.layers.RNN):
    """A layer of neurons over a whole path: `keras.layers.RNN` around the class's cell, with a shorter loop.

    The input currents of all steps are one matrix product; only the recurrence stays in the loop. Spikes and
    membranes are those of `keras.layers.RNN(cell)`.

    Args:
        units: number of neurons, > 0.
        return_sequences: whether to return the outputs of all steps, (batch, time, units), or the last one's,
            (batch, units).
        return_state: whether to return the final states too.
        go_backwards: whether to run through the path from its end.
        stateful: whether the final state of one call is the initial state of the next.
        unroll: whether to lay out the loop step by step; None does so for short paths of known length.
        zero_output_for_mask: whether masked steps give zeros; by default they repeat the last valid output.
        **options: the options of the cell, and name, dtype, trainable and activity_regularizer as for every layer.

    Call arguments:
        sequences: shape (batch, time, features).
        initial_state: a list of tensors (batch, units), the output first; zeros by default.
        mask: booleans (batch, time); False skips a step: the state stays as it was.
        training: whether dropout acts.
    """

    cell_class = None

    def __init__(
        self,
        units,
        *,
        return_sequences=False,
        return_state=False,
        go_backwards=False,
        stateful=False,
        unroll=None,
        zero_output_for_mask=False,
        **options,
    ):
        known = constructor_options(self.cell_class)
        cell = self.cell_class(
            units,
            name="cell",
            dtype=options.get("dtype"),
            trainable=options.get("trainable", True),
            **{name: options.pop(name) for name in list(options) if name in known},
        )
        super().__init__(
            cell,
            return_sequences=return_sequences,
            return_state=return_state,
            go_backwards=go_backwards,
            stateful=stateful,
            unroll=unroll,
            zero_output_for_mask=zero_output_for_mask,
            **options,
        )

    def __init_subclass__(cls, **kwargs):
        super().__init_subclass__(**kwargs)
        show_full_signature(cls, extra=constructor_options(cls.cell_class).values())

    def build(self, sequences_shape, initial_state_shape=None):
        if len(sequences_shape) != 3:
            raise InputError(
                f"{type(self).__name__}: expected paths of shape (batch, time, features), "
                f"received shape {tuple(sequences_shape)}"
            )
        super().build(sequences_shape, initial_state_shape)

    @property
    def units(self):
        return self.cell.units

    def inner_loop(self, sequences, initial_state, mask, training=False):
        steps = sequences.shape[1]
        # Laid-out loops treat masks differently from backend to backend, so masked paths take the symbolic one.
        short = mask is None and steps is not None and steps <= LONGEST_UNROLLED
        loop = keras.layers.RNN(
            _Recurrence(self.cell, training),
            return_sequences=self.return_sequences,
            go_backwards=self.go_backwards,
            stateful=self.stateful,
            unroll=short if self.unroll is None else self.unroll,
            zero_output_for_mask=self.zero_output_for_mask,
            name=self.name,
        )
        return loop.inner_loop(self.cell.project(sequences, training), initial_state, mask)

    def get_config(self):
        config = super().get_config()
        del config["cell"]
        of_cell = self.cell.get_config()
        return config | {name: of_cell[name] for name in constructor_options(self.cell_class)}

    @classmethod
    def from_config(cls, config):
        return cls(**config)


class _Recurrence:
    """The part of a cell that belongs in the loop, in the form that Keras's loop calls."""

    def __init__(self, cell, training):
        self.cell, self.training = cell, training
        self.state_size = cell.state_size

    def call(self, currents, states):
        return self.cell.advance(currents, states, self.training)

    __call__ = call
