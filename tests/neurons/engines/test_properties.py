"""Every layer against `keras.layers.RNN` of its cell, for whatever a caller may pass: drawn by hypothesis.

Weights and inputs lie on a grid, so that sums are exact in single precision and no rounding decides a spike.
"""

import dataclasses
import os

import hypothesis
import keras
import numpy as np
import pytest
from hypothesis import strategies as st
from keras import ops

from kspike_reg import neurons
from kspike_reg.neurons import INTEGRATORS, SPIKING
from kspike_reg.neurons.registry import OUTPUTS, RESETS
from oracles.backend import gradients, numpy_of, torch_arrays
from oracles.weights import assign, draw_on_a_grid

pytestmark = torch_arrays

BACKEND = keras.backend.backend()
LAYERS = dict(SPIKING.items()) | dict(INTEGRATORS.items())
# JAX compiles every case, which takes a second; the engines there are Keras's own loops.
CASES = int(os.environ.get("PROPERTY_CASES", {"tensorflow": 200, "torch": 200, "jax": 10}[BACKEND]))

INPUTS = ("float32", "float64", "float16", "int32", "int8", "bool")
POLICIES = ("float32", "float32", "float64", "float64", "mixed_float16", "mixed_bfloat16")
POLICIES = POLICIES if BACKEND != "jax" else ("float32",)
# Views of an array, which share its memory in another order.
STRIDES = {
    "contiguous": lambda array: array,
    "transposed": lambda array: np.asfortranarray(array),
    "reversed": lambda array: array[::-1, ::-1, ::-1].copy()[::-1, ::-1, ::-1],
    "every second": lambda array: np.repeat(np.repeat(array, 2, axis=1), 2, axis=2)[:, ::2, ::2],
}
STATES = ("none", "given", "for all paths", "as a variable")
# Rounding of membranes of order one: a sum of some dozens of terms for single precision, one step for half precision.
ROUNDING = {"float32": 2e-5, "float64": 1e-12, "float16": 2e-2, "bfloat16": 1e-1}


@dataclasses.dataclass(frozen=True)
class Case:
    """One call of one layer."""

    kind: str
    cell: dict
    loop: dict
    policy: str
    dtype: str
    strides: str
    shape: tuple
    states: str
    masked: bool
    training: bool
    engine: str | None
    seed: int


@st.composite
def cases(draw):
    kind = draw(st.sampled_from(sorted(LAYERS)))
    flag = st.booleans()
    cell = {"use_bias": draw(flag)}
    if kind in SPIKING:
        cell |= {
            "reset": draw(st.sampled_from(RESETS)),
            "output": draw(st.sampled_from(OUTPUTS)),
            "detach_reset": draw(flag),
            "surrogate": draw(st.sampled_from(("atan", "triangle"))),
        }
    if kind == "rlif":
        cell["recurrence"] = draw(st.sampled_from(("dense", "one_to_one")))
    loop = {name: draw(flag) for name in ("return_sequences", "return_state", "go_backwards", "stateful")}
    masked = draw(st.integers(0, 5)) == 5
    if masked:
        loop["zero_output_for_mask"] = draw(flag)
    shape = [draw(st.integers(1, most)) for most in (19, 6, 5, 19)]
    return Case(
        kind,
        cell,
        loop,
        draw(st.sampled_from(POLICIES)),
        draw(st.sampled_from(INPUTS)),
        draw(st.sampled_from(sorted(STRIDES))),
        tuple(shape),
        draw(st.sampled_from(STATES)),
        masked,
        draw(flag),
        draw(st.sampled_from((None, "compiled", "compiled", "unrolled", "loop"))),
        draw(st.integers(0, 2**16)),
    )


def inputs_of(case):
    """Inputs on a grid of 1/4, of the case's type and in its order in memory."""
    batch, time, features, _ = case.shape
    drawn = np.random.default_rng(case.seed).integers(-6, 9, (batch, time, features)) / 4
    drawn = drawn > 0 if case.dtype == "bool" else drawn
    return STRIDES[case.strides](np.ascontiguousarray(drawn.astype(case.dtype)))


def states_of(case, cell):
    """Initial states, of one path or of all, as Keras's RNN takes them, and as the layer does."""
    if case.states == "none":
        return {}, {}
    generator = np.random.default_rng(case.seed + 1)
    rows = 1 if case.states == "for all paths" else case.shape[0]
    drawn = [generator.integers(0, 3, (rows, cell.units)) / 2 for _ in cell.state_names]
    whole = [np.broadcast_to(state, (case.shape[0], cell.units)).astype(cell.compute_dtype) for state in drawn]
    given = [keras.Variable(state, trainable=False) for state in drawn] if case.states == "as a variable" else drawn
    return {"initial_state": whole}, {"initial_state": given}


def outcome(recurrent, case, inputs, states, mask):
    """Outputs and final states of one call, those of a stateful layer's next call, and gradients of the weights."""
    features = case.shape[2]
    recurrent.build((case.shape[0] if recurrent.stateful else None, None, features))
    assign(recurrent.cell, draw_on_a_grid(recurrent.cell, features, seed=case.seed))

    def call():
        found = recurrent(ops.convert_to_tensor(inputs), mask=mask, training=case.training, **states)
        return list(found) if isinstance(found, (list, tuple)) else [found]

    results = call()
    if recurrent.stateful:
        results += [state.value for state in recurrent.states]
    results = [numpy_of(ops.stop_gradient(ops.cast(result, "float32"))) for result in results]
    if not case.training:
        return results
    if recurrent.stateful:
        recurrent.reset_state()
    weights = recurrent.cell.trainable_weights
    slopes = gradients(lambda: sum(ops.sum(ops.square(ops.cast(part, "float32") + 0.5)) for part in call()), weights)
    return results + [np.asarray(slope, "float32") for slope in slopes]


def check(case):
    """The layer and Keras's loop around its cell agree."""
    layer_class = LAYERS[case.kind]
    inputs = inputs_of(case)
    batch, time, _, units = case.shape
    mask = np.random.default_rng(case.seed + 2).integers(0, 3, (batch, time)) > 0 if case.masked else None
    reference = keras.layers.RNN(
        layer_class.cell_class(units, dtype=case.policy, **case.cell), dtype=case.policy, **case.loop
    )
    layer = layer_class(units, dtype=case.policy, **case.cell, **case.loop)
    whole, given = states_of(case, layer.cell)
    compute = layer.compute_dtype
    # Keras's loop multiplies integers by weights in single precision, whatever the policy.
    expected = outcome(
        reference, case, inputs.astype(compute) if compute != "bfloat16" else inputs.astype("float32"), whole, mask
    )
    neurons.set_engine(case.engine)
    try:
        found = outcome(layer, case, inputs, given, mask)
    finally:
        neurons.set_engine(None)
    assert len(found) == len(expected)
    rounding = ROUNDING[compute]
    for number, (one, other) in enumerate(zip(found, expected, strict=True)):
        assert one.shape == other.shape, f"result {number} of {case}"
        largest = max(1.0, np.max(np.abs(other), initial=0.0))
        np.testing.assert_allclose(one, other, rtol=0, atol=rounding * largest, err_msg=f"result {number} of {case}")


def run(times):
    """Draw cases, check them, and return how many."""
    drawn = []

    @hypothesis.given(cases())
    @hypothesis.settings(times)
    def one(case):
        drawn.append(case)
        check(case)

    one()
    return len(drawn)


@pytest.mark.attack(
    "Compiled engine", "types, shapes, strides, options, states and masks of a call, against Keras's RNN"
)
def test_a_layer_is_keras_rnn_around_its_cell(record_property):
    record_property("times", run(hypothesis.settings(max_examples=CASES)))


@pytest.mark.nightly
@pytest.mark.attack(
    "Compiled engine", "types, shapes, strides, options, states and masks of a call, against Keras's RNN"
)
def test_a_layer_is_keras_rnn_around_its_cell_in_many_more_cases(record_property):
    record_property("times", run(hypothesis.settings.get_profile("nightly")))
