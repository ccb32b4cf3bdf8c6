"""The contract of an engine: it runs a layer over whole paths, or says why it cannot."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from kspike_reg.typing import Tensor

if TYPE_CHECKING:
    from kspike_reg.neurons.layer import NeuronLayer

__all__ = ["Call", "Engine", "Result"]


@dataclass(frozen=True, eq=False)
class Call:
    """What a layer asks an engine to compute.

    Args:
        sequences: the paths, (batch, time, features), in the cell's compute dtype.
        initial_state: a list of tensors (batch, units) in the order of `cell.state_order`.
        states: names of the states to return, the output first if it is among them.
        mask: booleans (batch, time); False skips a step. None where all steps count.
        training: whether dropout acts and gradients will be taken.
        every_step: whether the states of all steps are needed; else an engine may return the last step's alone.
    """

    sequences: Tensor
    initial_state: Sequence[Tensor]
    states: tuple[str, ...]
    mask: Tensor | None = None
    training: bool = False
    every_step: bool = True


class Result(NamedTuple):
    """What an engine returns.

    Attributes:
        last: the first of the states asked for at the last step, (batch, units); zeros where that step is masked and
            the layer says `zero_output_for_mask`.
        states: by name, as asked for, each (batch, time, units), in the order in which the steps were run.
        final: the states after the last step, a list in the order of `cell.state_order`.
    """

    last: Tensor
    states: dict[str, Tensor]
    final: list[Tensor]


class Engine(ABC):
    """Runs a layer over whole paths.

    Outputs, states and derivatives are those of `keras.layers.RNN(cell)`; a call for which that does not hold
    must be refused.

    Attributes:
        name: by which `set_engine` knows it.
    """

    name: str

    @abstractmethod
    def refusal(self, layer: "NeuronLayer", call: Call) -> str | None:
        """Why the engine cannot run a call, in one sentence that names the cell; None where it can."""

    def supports(self, layer: "NeuronLayer", call: Call) -> bool:
        """Whether the engine can run a call."""
        return self.refusal(layer, call) is None

    def pays(self, call: Call) -> bool:
        """Whether the engine should run a call that it supports when nobody asked for it by name."""
        return True

    @abstractmethod
    def run(self, layer: "NeuronLayer", call: Call) -> Result:
        """Run a call that the engine supports."""
