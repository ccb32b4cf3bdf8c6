"""Reading a model: nodes in order, values, names, nested models, and layers that are called twice."""

import keras
import numpy as np
import pytest

from kspike_reg import InputError
from kspike_reg.network.execute import execute
from kspike_reg.network.graph import functional_of, graph_of
from kspike_reg.neurons import LIF
from oracles.backend import numpy_of, torch_arrays

pytestmark = torch_arrays


def wired(graph):
    """Each node as (name, inputs, outputs)."""
    return [(node.name, node.inputs, node.outputs) for node in graph.nodes]


def run(graph, *inputs):
    """The outputs of the model, computed with its graph."""
    values = execute(graph, dict(enumerate(inputs)))
    return [numpy_of(values[value]) for value in graph.outputs]


def test_a_chain_is_read_in_order():
    x = inputs = keras.Input((None, 3), name="strain")
    for name in ("first", "second"):
        x = keras.layers.Dense(4, name=name)(x)
    graph = graph_of(keras.Model(inputs, x, name="chain"), "test")
    assert graph.name == "chain"
    assert [tensor.name for tensor in graph.inputs] == ["strain"]
    assert wired(graph) == [("first", (0,), (1,)), ("second", (1,), (2,))]
    assert graph.outputs == (2,)
    assert graph.output_names == ("second",)
    assert graph.nodes[1].layer is graph.nodes[1].layer
    assert [tuple(tensor.shape) for tensor in (*graph.nodes[1].input_tensors, *graph.nodes[1].output_tensors)] == [
        (None, None, 4)
    ] * 2


def test_producers_and_consumers_in_a_graph():
    inputs = keras.Input((None, 3))
    trunk = keras.layers.Dense(4, name="trunk")(inputs)
    left, right = (keras.layers.Dense(4, name=name)(trunk) for name in ("left", "right"))
    graph = graph_of(keras.Model(inputs, keras.layers.Add(name="sum")([right, left])), "test")
    assert graph.producer_of(0) is None
    assert graph.producer_of(1).name == "trunk"
    assert {node.name for node in graph.consumers_of(1)} == {"left", "right"}
    (total,) = [node for node in graph.nodes if node.name == "sum"]
    assert [graph.producer_of(value).name for value in total.inputs] == ["right", "left"]


def test_a_layer_called_twice_has_two_nodes_and_two_names():
    first, second = keras.Input((None, 3), name="a"), keras.Input((None, 3), name="b")
    shared = keras.layers.Dense(2, name="shared")
    model = keras.Model([first, second], [shared(second), shared(first)])
    graph = graph_of(model, "test")
    nodes = {node.inputs: node for node in graph.nodes}
    assert {node.name for node in graph.nodes} == {"shared", "shared@2"}
    assert [node.layer_name for node in graph.nodes] == ["shared", "shared"]
    assert graph.outputs == (*nodes[(1,)].outputs, *nodes[(0,)].outputs)


def test_nested_models_are_unfolded_as_often_as_they_are_called():
    inside = keras.Sequential(
        [keras.Input((None, 2)), keras.layers.Dense(2, name="dense"), LIF(2, return_sequences=True, name="lif")],
        name="inside",
    )
    inner_input = keras.Input((None, 2))
    middle = keras.Model(inner_input, [inside(inner_input), inner_input], name="middle")
    inputs = keras.Input((None, 2))
    spikes, through = middle(inputs)
    again, _ = middle(spikes)
    graph = graph_of(keras.Model(inputs, [again, through]), "test")
    assert [node.name for node in graph.nodes] == [
        "middle/inside/dense", "middle/inside/lif", "middle/inside/dense@2", "middle/inside/lif@2"
    ]  # fmt: skip
    assert graph.outputs == (graph.nodes[3].outputs[0], 0)


def test_a_graph_run_node_by_node_gives_what_the_model_gives():
    """Branches, a nested model, a layer used twice, a mask, an output listed twice, different shapes."""
    first, second = keras.Input((5, 2), name="a"), keras.Input((5, 3), name="b")
    block_input = keras.Input((5, 4))
    block = keras.Model(block_input, LIF(4, return_sequences=True, threshold_initializer=0.3)(block_input), name="n")
    shared = keras.layers.Dense(4)
    masked = LIF(2, return_sequences=True)(keras.layers.Masking(9.0)(first))
    left = block(shared(keras.layers.Dense(4)(first)))
    right = block(keras.layers.Dense(4)(second))
    joined = keras.layers.Concatenate()([left, right, left])
    model = keras.Model([first, second], [joined, left, shared(right), left, masked])
    generator = np.random.default_rng(3)
    data = [generator.normal(size=(6, 5, width)).astype("float32") for width in (2, 3)]
    data[0][2, 3:] = 9.0
    found = run(graph_of(model, "test"), *data)
    for expected, answer in zip(model(data), found, strict=True):
        np.testing.assert_array_equal(numpy_of(expected), answer)
    assert all(answer.any() for answer in found)


def test_masks_are_not_producers():
    inputs = keras.Input((None, 3))
    spikes = LIF(2, return_sequences=True, name="lif")(keras.layers.Masking(name="masking")(inputs))
    graph = graph_of(keras.Model(inputs, spikes), "test")
    numbers = [node for node in graph.nodes if not node.makes_mask]
    assert [node.name for node in numbers] == ["masking", "lif"]
    assert numbers[1].inputs == numbers[0].outputs
    assert len(graph.nodes) > len(numbers)


def test_a_sequential_model_has_the_graph_of_its_functional_model():
    model = keras.Sequential([keras.Input((4, 2)), keras.layers.Dense(3, name="only")])
    assert wired(graph_of(model, "test")) == [("only", (0,), (1,))]
    assert functional_of(model, "test") is model._functional


class Own(keras.Model):
    def call(self, inputs):
        return inputs


@pytest.mark.parametrize(
    ("model", "found"),
    [
        (Own(name="mine"), "Own 'mine'"),
        (keras.Sequential([keras.layers.Dense(2)], name="unbuilt"), "Sequential 'unbuilt'"),
        (keras.layers.Dense(2, name="layer"), "Dense 'layer'"),
        (None, "NoneType None"),
    ],
)
def test_models_without_a_graph_are_refused(model, found):
    with pytest.raises(InputError, match=f"to_somewhere: cannot look into {found}; expected a built functional"):
        graph_of(model, "to_somewhere")


def test_a_call_that_returns_more_outputs_than_its_node_has_is_an_error():
    inputs = keras.Input((None, 3))
    graph = graph_of(keras.Model(inputs, keras.layers.Dense(2)(inputs)), "test")
    x = np.ones((1, 4, 3), "float32")
    with pytest.raises(ValueError, match="zip"):
        execute(graph, {0: x}, lambda node, arguments, keywords: (x, x))
