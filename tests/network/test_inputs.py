"""The inputs of a model as arrays: what fits, in which order and precision, and what is refused, with its place."""

import re
from types import SimpleNamespace

import numpy as np
import pytest

from kspike_reg import InputError
from kspike_reg.datasets import Paths
from kspike_reg.network.inputs import arrays_for, checked_inputs

STRAIN = SimpleNamespace(name="strain", shape=(None, None, 2), dtype="float32")
STEEL = SimpleNamespace(name="steel", shape=(None, 3), dtype="int8")
FIXED = SimpleNamespace(name="fixed", shape=(None, 4, 2), dtype="float32")
ONE, OTHER = np.arange(40.0).reshape(5, 4, 2), np.arange(15).reshape(5, 3)


@pytest.mark.parametrize("inputs", [ONE, ONE.tolist(), [ONE], (ONE,), {"strain": ONE}])
def test_one_input_is_an_array_or_a_list_or_a_dictionary_of_one(inputs):
    (found,) = checked_inputs([STRAIN], inputs, "test")
    np.testing.assert_array_equal(found, ONE)
    assert found.dtype == "float32"


def test_a_single_path_is_an_array_and_no_list_of_one():
    (found,) = checked_inputs([STEEL], [[7, 8, 9]], "test")
    np.testing.assert_array_equal(found, [[7, 8, 9]])


@pytest.mark.parametrize("inputs", [[ONE, OTHER], {"steel": OTHER, "strain": ONE}])
def test_several_inputs_are_in_the_order_of_the_model_and_in_its_precisions(inputs):
    found = checked_inputs([STRAIN, STEEL], inputs, "test")
    np.testing.assert_array_equal(found[0], ONE)
    np.testing.assert_array_equal(found[1], OTHER)
    assert [array.dtype for array in found] == ["float32", "int8"]


def test_the_padding_of_paths_becomes_zero():
    inputs = np.full((2, 3, 2), 7.0)
    inputs[0, 2] = np.nan
    paths = Paths(inputs, None, ("strain", "heat"), lengths=np.array([2, 3]))
    expected = np.where([[[True], [True], [False]], [[True], [True], [True]]], 7.0, 0.0) * np.ones(2)
    np.testing.assert_array_equal(checked_inputs([STRAIN], paths, "test")[0], expected)


@pytest.mark.parametrize(
    ("ports", "inputs", "words"),
    [
        ([STRAIN], None, r"test: no data; give inputs of shape \(n, T, features\)"),
        ([STRAIN], np.ones((0, 4, 2)), "test: no data; give at least one path"),
        ([STRAIN, STEEL], {"strain": ONE}, r"takes the inputs \['strain', 'steel'\], received \['strain'\]"),
        ([STRAIN, STEEL], [ONE], "takes 2 inputs, .*; give a list of as many arrays"),
        ([STRAIN, STEEL], ONE, "takes 2 inputs"),
        ([STRAIN, STEEL], [ONE, OTHER, ONE], "takes 2 inputs"),
        ([STRAIN, STEEL], [ONE, OTHER[:4]], r"as many paths in every input, received \[5, 4\] for"),
        ([STRAIN], [[[1.0, 2.0]], [[1.0]]], "expected numbers for the input 'strain', received dtype object"),
        ([STRAIN], [[[[1.0, 2.0]], [[1.0]]]], "expected numbers for the input 'strain', received dtype object"),
        ([STRAIN], ONE.astype(str), "expected numbers for the input 'strain', received dtype <U"),
        ([STRAIN], ONE[..., :1], r"'strain' of shape \(n, T, 2\), received \(5, 4, 1\)"),
        ([STRAIN], ONE[0], r"'strain' of shape \(n, T, 2\), received \(4, 2\)"),
        ([STRAIN], ONE[:, :0], r"'strain' of shape \(n, T, 2\), received \(5, 0, 2\)"),
        ([FIXED], ONE[:, :3], r"'fixed' of shape \(n, 4, 2\), received \(5, 3, 2\)"),
        ([STEEL], OTHER[..., None], r"'steel' of shape \(n, 3\), received \(5, 3, 1\)"),
    ],
)
def test_inputs_that_do_not_fit_are_refused(ports, inputs, words):
    with pytest.raises(InputError, match=words):
        arrays_for(ports, inputs, "test")


@pytest.mark.parametrize("wrong", [np.nan, -np.inf, 1e39])
def test_a_number_that_is_not_finite_in_the_precision_of_the_model_is_refused_with_its_place(wrong):
    """The largest number of single precision is 3.4e38."""
    inputs = ONE.copy()
    inputs[3, 1, 0] = wrong
    with pytest.raises(
        InputError, match=rf"test: the input 'strain' is {re.escape(str(wrong))} at \(3, 1, 0\); .* float32"
    ):
        checked_inputs([STRAIN], inputs, "test")
