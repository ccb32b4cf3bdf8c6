"""Reading a model: uses in order, slots, names, nested models and layers used twice."""

import keras
import numpy as np
import pytest

from kspike_reg import InputError
from kspike_reg.network.graph import functional_of, graph_of
from kspike_reg.neurons import LIF
from oracles.backend import numpy_of, torch_arrays

pytestmark = torch_arrays


def wired(graph):
    """Each use as (name, what it hears, what it fills)."""
    return [(use.name, use.inputs, use.outputs) for use in graph.uses]


def carry_out(graph, *inputs):
    """The model's answers by its uses one after the other, each with what its slots hold."""
    values = dict(enumerate(inputs))
    for use in graph.uses:
        args, kwargs = use.arguments.fill_in({symbol: values[slot] for symbol, slot in use.slots})
        given = keras.tree.flatten(use.layer(*args, **kwargs))
        values.update(zip(use.outputs, given, strict=True))
    return [numpy_of(values[slot]) for slot in graph.outputs]


def test_a_chain_is_read_in_its_order():
    x = inputs = keras.Input((None, 3), name="strain")
    for name in ("first", "second"):
        x = keras.layers.Dense(4, name=name)(x)
    graph = graph_of(keras.Model(inputs, x, name="chain"), "test")
    assert graph.name == "chain"
    assert [tensor.name for tensor in graph.inputs] == ["strain"]
    assert wired(graph) == [("first", (0,), (1,)), ("second", (1,), (2,))]
    assert graph.outputs == (2,)
    assert graph.output_names == ("second",)
    assert graph.uses[1].layer is graph.uses[1].layer
    assert [tuple(tensor.shape) for tensor in (*graph.uses[1].heard, *graph.uses[1].given)] == [(None, None, 4)] * 2


def test_neighbours_in_a_graph():
    inputs = keras.Input((None, 3))
    trunk = keras.layers.Dense(4, name="trunk")(inputs)
    left, right = (keras.layers.Dense(4, name=name)(trunk) for name in ("left", "right"))
    graph = graph_of(keras.Model(inputs, keras.layers.Add(name="sum")([right, left])), "test")
    assert graph.filler_of(0) is None
    assert graph.filler_of(1).name == "trunk"
    assert {use.name for use in graph.hearers_of(1)} == {"left", "right"}
    (total,) = [use for use in graph.uses if use.name == "sum"]
    assert [graph.filler_of(slot).name for slot in total.inputs] == ["right", "left"]


def test_a_layer_used_twice_has_two_uses_and_two_names():
    first, second = keras.Input((None, 3), name="a"), keras.Input((None, 3), name="b")
    shared = keras.layers.Dense(2, name="shared")
    model = keras.Model([first, second], [shared(second), shared(first)])
    graph = graph_of(model, "test")
    uses = {use.inputs: use for use in graph.uses}
    assert {use.name for use in graph.uses} == {"shared", "shared@2"}
    assert [use.layer_name for use in graph.uses] == ["shared", "shared"]
    assert graph.outputs == (*uses[(1,)].outputs, *uses[(0,)].outputs)


def test_nested_models_are_unfolded_as_often_as_they_are_used():
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
    assert [use.name for use in graph.uses] == [
        "middle/inside/dense", "middle/inside/lif", "middle/inside/dense@2", "middle/inside/lif@2"
    ]  # fmt: skip
    assert graph.outputs == (graph.uses[3].outputs[0], 0)


def test_the_uses_carried_out_give_what_the_model_gives():
    """Branches, a nested model, a layer used twice, a mask, an output listed twice, shapes that differ."""
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
    found = carry_out(graph_of(model, "test"), *data)
    for expected, answer in zip(model(data), found, strict=True):
        np.testing.assert_array_equal(numpy_of(expected), answer)
    assert all(answer.any() for answer in found)


def test_masks_are_no_sources():
    inputs = keras.Input((None, 3))
    spikes = LIF(2, return_sequences=True, name="lif")(keras.layers.Masking(name="masking")(inputs))
    graph = graph_of(keras.Model(inputs, spikes), "test")
    numbers = [use for use in graph.uses if not use.makes_mask]
    assert [use.name for use in numbers] == ["masking", "lif"]
    assert numbers[1].inputs == numbers[0].outputs
    assert len(graph.uses) > len(numbers)


def test_a_sequential_model_is_its_functional_one():
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
def test_what_cannot_be_looked_into_is_refused(model, found):
    with pytest.raises(InputError, match=f"to_somewhere: cannot look into {found}; expected a built functional"):
        graph_of(model, "to_somewhere")
