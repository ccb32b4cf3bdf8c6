"""From cell to layer: one subclass of `keras.layers.RNN` that all neuron layers share."""

import itertools
import math

import keras
from keras import ops

from kspike_reg.errors import InputError, require_whole
from kspike_reg.neurons import roads
from kspike_reg.neurons.options import constructor_options, show_full_signature

__all__ = ["NeuronLayer"]

# Input weights of up to so many numbers stay in the processor's cache beside a tile of paths, so that the compiled road
# weighs the inputs itself; larger ones are multiplied by the backend, for all steps at once. So are sums that the
# backend would not take in the order of their terms.
LARGEST_KERNEL, LONGEST_SUM = 2**18, 384


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
        unroll: whether to lay out the loop step by step in the backend's operations; None takes the fastest road
            (see `neurons.roads`).
        recompute: into how many pieces to cut the path so as to save memory in training: the backward pass runs each
            piece forward once more, and needs the memory of one piece in place of the whole path. The compiled road
            cuts the batch instead, into groups of a few paths, whatever the number. None keeps all.
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
        recompute=None,
        zero_output_for_mask=False,
        **options,
    ):
        if recompute is not None:
            require_whole(type(self).__name__, recompute=recompute)
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
        self.recompute = recompute

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
        road = roads.choose(self.cell, sequences, mask, self.unroll, training)
        if road == "compiled":
            return self._run_compiled(sequences, initial_state, training)
        # Masked steps repeat the output before them, which may lie in the piece before.
        if training and self.recompute is not None and mask is None:
            return self._run_in_pieces(sequences, initial_state)
        return self._run_by_backend(road, sequences, initial_state, mask, training)

    def _run_in_pieces(self, sequences, initial_state):
        steps = ops.shape(sequences)[1]
        count = self.recompute if sequences.shape[1] is None else min(self.recompute, sequences.shape[1])
        ends = [steps * number // count for number in range(count + 1)]
        pieces = [sequences[:, start:stop] for start, stop in itertools.pairwise(ends)]
        masks = self.cell.masks  # the way back, long after this call, needs the same ones

        @keras.remat
        def again(piece, *states):
            with self.cell.holding(masks):
                road = roads.choose(self.cell, piece, None, self.unroll, True)
                return self._run_by_backend(road, piece, list(states), None, True)

        parts, states = [], initial_state
        for piece in reversed(pieces) if self.go_backwards else pieces:
            last_output, outputs, states = again(piece, *states)
            parts.append(outputs)
        return last_output, ops.concatenate(parts, axis=1), states

    def _run_by_backend(self, road, sequences, initial_state, mask, training):
        loop = keras.layers.RNN(
            _Recurrence(self.cell, training),
            return_sequences=self.return_sequences,
            go_backwards=self.go_backwards,
            stateful=self.stateful,
            unroll=road == "unrolled",
            zero_output_for_mask=self.zero_output_for_mask,
            name=self.name,
        )
        return loop.inner_loop(self.cell.project(sequences, training), initial_state, mask)

    def _run_compiled(self, sequences, initial_state, training):
        # numba takes its time to load; models that are only built, saved or read do without.
        from kspike_reg.neurons.engines.cpu import paths

        cell = self.cell
        if self.go_backwards:
            sequences = ops.flip(sequences, axis=1)
        none = ops.zeros((0, cell.width), cell.compute_dtype)
        inputs, kernel = cell.thin(sequences, training), cell.kernel
        is_large = self.recompute is None and math.prod(cell.kernel.shape) > LARGEST_KERNEL  # else save the currents
        if cell.kernel.shape[0] > LONGEST_SUM or is_large:
            inputs, kernel = ops.matmul(inputs, kernel), none
        parameters, recurrent = cell.compiled_weights()
        outputs, states = paths.run(
            cell.compiled_sequence(),
            training and self.recompute is None,
            inputs,
            kernel,
            ops.zeros((cell.width,), cell.compute_dtype) if cell.bias is None else cell.bias,
            none if recurrent is None else recurrent,
            ops.stack([ops.cast(parameter, cell.compute_dtype) for parameter in parameters]),
            ops.stack([ops.cast(state, cell.compute_dtype) for state in cell.ordered(initial_state)]),
        )
        states = cell.ordered(ops.unstack(states, len(initial_state)))
        return states[0], outputs, states  # the output leads the state, even where a piece has no steps

    def get_config(self):
        config = super().get_config()
        del config["cell"]
        of_cell = self.cell.get_config()
        config["recompute"] = self.recompute
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
