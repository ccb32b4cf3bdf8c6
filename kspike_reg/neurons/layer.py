"""From cell to layer: one subclass of `keras.layers.RNN` that all neuron layers share."""

from collections.abc import Sequence
from typing import Any

import keras
from keras import ops

# Keras's own layers enter it in `__call__`; it has no public name.
from keras.src.backend import AutocastScope

from kspike_reg.errors import InputError, require_whole
from kspike_reg.neurons import engines
from kspike_reg.neurons.cell import NeuronCell
from kspike_reg.neurons.engines import Call
from kspike_reg.neurons.initial_state import fit_initial_state
from kspike_reg.neurons.observation import observing
from kspike_reg.neurons.options import constructor_options, show_full_signature, with_names
from kspike_reg.typing import Tensor

__all__ = ["NeuronLayer"]


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
        unroll: whether to lay out the loop step by step in the backend's operations; None takes the fastest engine
            (see `neurons.engines`).
        recompute: number of pieces into which to cut the path to save memory in training: the backward pass runs each
            piece forward once more, and needs the memory of one piece instead of the whole path. The compiled engine
            cuts the batch instead, into groups of a few paths, whatever the number. None keeps all residuals.
        zero_output_for_mask: whether masked steps give zeros; by default they repeat the last valid output.
        **options: the options of the cell, and name, dtype, trainable and activity_regularizer as for every layer.

    Call arguments:
        sequences: shape (batch, time, features).
        initial_state: a list of tensors (batch, units), or (1, units) for all paths alike, the output first; zeros by
            default.
        mask: booleans (batch, time); False skips a step: the state stays as it was.
        training: whether dropout acts.
    """

    cell_class: type[NeuronCell]

    def __init__(
        self,
        units: int,
        *,
        return_sequences: bool = False,
        return_state: bool = False,
        go_backwards: bool = False,
        stateful: bool = False,
        unroll: bool | None = None,
        recompute: int | None = None,
        zero_output_for_mask: bool = False,
        **options: Any,
    ) -> None:
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

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        show_full_signature(cls, extra=constructor_options(cls.cell_class).values())

    def build(self, sequences_shape: Any, initial_state_shape: Any = None) -> None:
        if len(sequences_shape) != 3:
            raise InputError(
                f"{type(self).__name__}: expected paths of shape (batch, time, features), "
                f"received shape {tuple(sequences_shape)}"
            )
        super().build(sequences_shape, initial_state_shape)

    @property
    def units(self) -> int:
        """Number of neurons."""
        return self.cell.units

    def call(
        self,
        sequences: Tensor,
        initial_state: Sequence[Tensor] | None = None,
        mask: Tensor | None = None,
        training: bool = False,
    ) -> Any:
        # Keras casts only inputs that are floats, and nothing where a wrapper such as TimeDistributed calls `call`.
        sequences = ops.cast(sequences, self.cell.compute_dtype)
        if initial_state is not None:
            initial_state = fit_initial_state(self.cell, sequences, initial_state)
        elif self.stateful:
            initial_state = fit_initial_state(self.cell, sequences, self.states, stateful=True)
        with AutocastScope(self.cell.compute_dtype):  # of the weights
            return super().call(sequences, initial_state, mask, training)

    def inner_loop(
        self, sequences: Tensor, initial_state: Sequence[Tensor], mask: Tensor | None, training: bool = False
    ) -> tuple[Tensor, Tensor, list[Tensor]]:
        output = self.cell.output_state
        call = Call(sequences, initial_state, (output,), mask, training, every_step=self.return_sequences)
        found = engines.choose(self, call).run(self, call)
        return found.last, found.states[output], found.final

    def observe(
        self,
        sequences: Tensor,
        states: Sequence[str],
        initial_state: Sequence[Tensor] | None = None,
        mask: Tensor | None = None,
    ) -> dict[str, Tensor]:
        """States of the neurons at every step, in prediction, whatever the layer itself emits.

        Args:
            sequences: shape (batch, time, features).
            states: names among `cell.state_names`.
            initial_state, mask: as in a call.

        Returns:
            By name, (batch, time, units), in the order in which the layer runs the steps.
        """
        call = observing(self, sequences, states, initial_state, mask)
        return engines.choose(self, call).run(self, call).states

    def get_config(self) -> dict[str, Any]:
        config = super().get_config()
        del config["cell"]
        of_cell = self.cell.get_config()
        config["recompute"] = self.recompute
        return config | {name: of_cell[name] for name in constructor_options(self.cell_class)}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> "NeuronLayer":
        return cls(**with_names(config))
