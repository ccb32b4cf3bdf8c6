"""Running a graph node by node: the only interpreter of models in the package."""

from abc import abstractmethod
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import keras
import numpy as np

from kspike_reg.network.graph import Graph, Node
from kspike_reg.typing import Tensor

__all__ = ["GraphModel", "call_layer", "execute"]


def call_layer(node: Node, arguments: Sequence[Any], keywords: dict[str, Any]) -> Any:
    """Call a node's layer as the model does."""
    return node.layer(*arguments, **keywords)


def execute(
    graph: Graph,
    values: dict[int, Tensor],
    call: Callable[[Node, Sequence[Any], dict[str, Any]], Any] = call_layer,
) -> dict[int, Tensor]:
    """Run the nodes of a graph in their order, as far as their inputs are known.

    Args:
        graph: the model.
        values: tensors by the numbers of their values, those of the inputs for a whole run; filled in place. A node
            whose outputs are known already is not run, nor is one whose inputs are unknown.
        call: a function of a node and of the arguments and keywords of its call that returns its outputs; or None to
            leave them unknown. By default it calls the layer.

    Returns:
        `values`.
    """
    for node in graph.nodes:
        if node.outputs[0] in values or any(number not in values for _, number in node.values):
            continue
        arguments, keywords = node.arguments.fill_in({symbol: values[number] for symbol, number in node.values})
        outputs = call(node, arguments, keywords)
        if outputs is not None:
            values.update(zip(node.outputs, keras.tree.flatten(outputs), strict=True))
    return values


class GraphModel(keras.Model):
    """A model made of another one's layers that runs its graph in a way of its own, compiled by `predict_on_batch`.

    A subclass says in `run` what happens. It holds the layers of the graph, not the model, so that it may be kept for
    as long as the model lives.

    Args:
        graph: of the other model.
        name: of this one.
    """

    def __init__(self, graph: Graph, name: str) -> None:
        super().__init__(name=name, dtype="float32", autocast=False)
        # Keras looks here for the variables.
        self.members = list({id(node.layer): node.layer for node in graph.nodes}.values())
        self.graph = graph
        # A functional model without a single call of its own: it knows what its inputs may look like.
        self._fit = keras.Model(graph.input_structure, graph.output_structure)._standardize_inputs
        self.built = True

    def call(self, data: Any) -> Any:
        return self.run(dict(enumerate(self._fit(data))))

    @abstractmethod
    def run(self, values: dict[int, Tensor]) -> Any:
        """From the inputs by the numbers of their values to what the model returns."""

    def in_batches(self, arrays: Sequence[np.ndarray], batch_size: int) -> Iterator[Any]:
        """What the model returns for arrays of all inputs, in the order of the graph, batch after batch."""
        structure = self.graph.input_structure
        for start in range(0, len(arrays[0]), batch_size):
            batch = [array[start : start + batch_size] for array in arrays]
            yield self.predict_on_batch(keras.tree.pack_sequence_as(structure, batch))
