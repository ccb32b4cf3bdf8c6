"""The CPU engine against NumPy loops, central differences, and the functions of TensorFlow."""

import dataclasses
import gc
import itertools
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import keras
import numba
import numpy as np
import pytest

from kspike_reg.neurons import surrogates
from kspike_reg.neurons.engines.cpu import (
    functions,
    leaky_integrator,
    lif,
    loops,
    matmul,
    memory,
    sequence,
    slstm,
    streaming_stores,
    surrogate_derivatives,
)
from kspike_reg.neurons.engines.cpu.sequence import Sequence
from oracles.backend import numpy_of, torch_arrays

BACKEND = keras.backend.backend()
# The loops also run in Python (see test_bounds.py), where fused instructions and infinities differ.
machine_code_alone = pytest.mark.skipif(bool(numba.config.DISABLE_JIT), reason="bits of machine code")
pytestmark = [
    torch_arrays,
    pytest.mark.skipif(BACKEND == "jax", reason="the compiled loops serve TensorFlow and PyTorch"),
]

RESETS = {"subtract": (1, 0), "zero": (0, 1), "none": (0, 0)}


def lif_of(reset="subtract", detach=True, leading=0, surrogate="atan", scale=None):
    return Sequence(lif.KERNEL, (*RESETS[reset], not detach), leading, surrogate, scale)


def slstm_of(reset="subtract", detach=True, leading=1, surrogate="atan"):
    return Sequence(slstm.KERNEL, (*RESETS[reset], not detach), leading, surrogate)


LEAKY = Sequence(leaky_integrator.KERNEL, (), 0)


# The arrays that `Sequence.forward` takes, in the order in which `Sequence.backward` returns their gradients.
NAMES = ("inputs", "kernel", "bias", "recurrent", "parameters", "initial")


def arrays(kind, batch, steps, units, dtype, recurrence=None, features=0, seed=0):
    """The arrays that `Sequence.forward` takes, in the order of NAMES.

    Args:
        kind: "lif" (threshold, decay), "slstm" (threshold), "leaky" (decay).
        recurrence: "dense", "one_to_one" or None.
        features: features of the inputs; 0 if they are currents, projected before.
    """
    generator = np.random.default_rng(seed)
    width = 4 * units if kind == "slstm" else units
    threshold, decay = generator.uniform(0.2, 0.8, units), generator.uniform(0.2, 0.95, units)
    parameters = {"lif": [threshold, decay], "slstm": [0.3 * threshold], "leaky": [decay]}[kind]
    spikes = generator.integers(0, 2, (batch, units))
    others = generator.normal(0.1, 0.6, (2, batch, units))
    states = {"lif": [spikes, others[0]], "slstm": [spikes, *others], "leaky": [others[0]]}[kind]
    found = (
        generator.normal(0.2, 0.7, (batch, steps, features or width)),
        generator.normal(0.1, 0.9 / max(features, 1) ** 0.5, (features, width)),
        generator.normal(0.1, 0.2, width),
        generator.normal(0.0, 0.4, ({"dense": units, "one_to_one": 1, None: 0}[recurrence], width)),
        np.stack(parameters),
        np.stack(states),
    )
    return tuple(np.ascontiguousarray(array, dtype) for array in found)


def run_backward(layer, inputs, outputs_gradient, states_gradient):
    """Outputs, states, and gradients by name. A gradient has the shape and the dtype of its array."""
    outputs, states, residuals = layer.forward(True, *inputs)
    found = layer.backward(residuals, *inputs, outputs_gradient, states_gradient)
    for gradient, array in zip(found, inputs, strict=True):
        assert (gradient.shape, gradient.dtype) == (array.shape, array.dtype)
    return outputs, states, dict(zip(NAMES, found, strict=True))


def upstream(outputs, states, seed=1):
    generator = np.random.default_rng(seed)
    return tuple(generator.normal(0.0, 1.0, array.shape).astype(array.dtype) for array in (outputs, states))


def atan(x):
    return 1 / (1 + (np.pi * x) ** 2)


def lif_by_numpy(inputs, recurrence, reset, detach, leading, outputs_gradient, states_gradient):
    """Forward by the equations and backward by the chain rule, step by step."""
    inputs, kernel, bias, recurrent, (threshold, decay), (spikes, membrane) = inputs
    currents = inputs @ kernel if len(kernel) else inputs
    dense = recurrent if recurrence == "dense" else np.zeros((len(bias), len(bias)))
    own = recurrent[0] if recurrence == "one_to_one" else np.zeros(len(bias))
    subtracts, clears = RESETS[reset]
    trace = [(spikes, membrane)]
    for step in range(currents.shape[1]):
        current = currents[:, step] + bias + spikes @ dense + own * spikes
        membrane = decay * membrane * (1 - clears * spikes) + current - subtracts * threshold * spikes
        spikes = (membrane >= threshold).astype(currents.dtype)
        trace.append((spikes, membrane))
    outputs = np.stack([states[leading] for states in trace[1:]], axis=1)
    spikes_gradient, membrane_gradient = states_gradient
    currents_gradient = np.zeros_like(currents)
    threshold_gradient, decay_gradient, own_gradient, dense_gradient = (
        np.zeros_like(a) for a in (threshold, decay, own, dense)
    )
    for step in reversed(range(currents.shape[1])):
        (last_spikes, last), (_, membrane) = trace[step], trace[step + 1]
        if leading == 0:
            spikes_gradient = spikes_gradient + outputs_gradient[:, step]
        else:
            membrane_gradient = membrane_gradient + outputs_gradient[:, step]
        through = atan(membrane - threshold) * spikes_gradient
        membrane_gradient = membrane_gradient + through
        threshold_gradient -= (through + subtracts * last_spikes * membrane_gradient).sum(axis=0)
        decay_gradient += (last * (1 - clears * last_spikes) * membrane_gradient).sum(axis=0)
        own_gradient += (last_spikes * membrane_gradient).sum(axis=0)
        dense_gradient += last_spikes.T @ membrane_gradient
        currents_gradient[:, step] = membrane_gradient
        spikes_gradient = membrane_gradient @ dense.T + own * membrane_gradient
        if not detach:
            spikes_gradient = spikes_gradient - (subtracts * threshold + clears * decay * last) * membrane_gradient
        membrane_gradient = decay * (1 - clears * last_spikes) * membrane_gradient
    found = (
        currents_gradient @ kernel.T if len(kernel) else currents_gradient,
        np.tensordot(inputs, currents_gradient, ((0, 1), (0, 1))) if len(kernel) else kernel,
        currents_gradient.sum(axis=(0, 1)),
        {"dense": dense_gradient, "one_to_one": own_gradient[None], None: recurrent}[recurrence],
        np.stack([threshold_gradient, decay_gradient]),
        np.stack([spikes_gradient, membrane_gradient]),
    )
    return outputs, np.stack(trace[-1]), dict(zip(NAMES, found, strict=True))


# Batch, steps and units. Batches are smaller and larger than a tile; steps are fewer than a block, whole blocks, and
# blocks with a remainder; units fill whole vectors, which bypass the cache, or do not.
SHAPES = (
    (1, 1, 1),
    (5, 2 * loops.BLOCK_STEPS + 1, 3),
    (19, loops.BLOCK_STEPS, 7),
    (2, loops.BLOCK_STEPS - 1, 9),
    (11, 5, 32),
)
every_count_of_features = pytest.mark.parametrize("features", [0, 1, 7, 16, 33])


@every_count_of_features
@pytest.mark.parametrize("recurrence", [None, "one_to_one", "dense"])
@pytest.mark.parametrize("reset", RESETS)
def test_lif_is_its_equations_and_their_chain_rule(reset, recurrence, features):
    """In double precision, rounding is the only difference: sums of some hundred terms of order one."""
    for detach, leading in itertools.product((True, False), (0, 1)):
        for batch, steps, units in SHAPES:
            inputs = arrays("lif", batch, steps, units, "float64", recurrence, features)
            layer = lif_of(reset, detach, leading)
            outputs_gradient, states_gradient = upstream(*layer.forward(False, *inputs)[:2])
            expected = lif_by_numpy(inputs, recurrence, reset, detach, leading, outputs_gradient, states_gradient)
            outputs, states, found = run_backward(layer, inputs, outputs_gradient, states_gradient)
            if units > 1:
                assert set(np.unique(expected[1][0])) == {0.0, 1.0}
            np.testing.assert_array_equal(states[0], expected[1][0])
            np.testing.assert_allclose(outputs, expected[0], rtol=1e-12, atol=1e-12)
            np.testing.assert_allclose(states, expected[1], rtol=1e-12, atol=1e-12)
            assert found.keys() == expected[2].keys()
            for name, gradient in found.items():
                np.testing.assert_allclose(gradient, expected[2][name], rtol=1e-11, atol=1e-11, err_msg=name)


@every_count_of_features
@pytest.mark.parametrize("reset", RESETS)
def test_an_slstm_is_its_equations(reset, features):
    inputs = arrays("slstm", 5, 9, 3, "float64", "dense", features)
    currents, kernel, bias, recurrent, (threshold,), (spikes, membrane, carry) = inputs
    currents = currents @ kernel if features else currents
    subtracts, clears = RESETS[reset]
    trace = []
    for step in range(9):
        entry, forget, candidate, out = np.split(currents[:, step] + bias + membrane @ recurrent, 4, axis=-1)
        entry, forget, out = (1 / (1 + np.exp(-gate)) for gate in (entry, forget, out))
        carry = forget * carry + entry * np.tanh(candidate)
        membrane = out * np.tanh(carry) * (1 - clears * spikes) - subtracts * threshold * spikes
        spikes = (membrane >= threshold).astype("float64")
        trace.append((spikes, membrane))
    assert set(np.unique(spikes)) == {0.0, 1.0}
    for leading, keep in itertools.product((0, 1), (True, False)):
        outputs, states, _ = slstm_of(reset, leading=leading).forward(keep, *inputs)
        np.testing.assert_allclose(outputs, np.stack([pair[leading] for pair in trace], axis=1), atol=1e-13)
        np.testing.assert_allclose(states, np.stack([spikes, membrane, carry]), atol=1e-13)


def test_a_sequence_chooses_the_state_that_feeds_back():
    """By default, it is the state that the kernel names."""
    inputs = arrays("slstm", 5, 9, 3, "float64", "dense")
    other_default = dataclasses.replace(slstm.KERNEL, feedback=0)
    by_default, explicit, other = (
        Sequence(kernel, (1, 0, 0), 1, "atan", feedback=feedback)
        for kernel, feedback in ((slstm.KERNEL, None), (other_default, 1), (other_default, None))
    )
    gradients = upstream(*by_default.forward(False, *inputs)[:2])
    expected, found, differing = (
        [*run_backward(layer, inputs, *gradients)[2].values()] for layer in (by_default, explicit, other)
    )
    for one, same, different in zip(expected, found, differing, strict=True):
        np.testing.assert_array_equal(same, one)
        assert one.size == 0 or np.any(different != one)


@every_count_of_features
@pytest.mark.parametrize("kind", ["leaky", "slstm"])
def test_without_spikes_the_backward_pass_agrees_with_central_differences(kind, features):
    """The loss depends on membranes and carries of neurons without reset, so it is smooth."""
    layer = LEAKY if kind == "leaky" else slstm_of("none")
    inputs = arrays(kind, 5, 7, 3, "float64", "dense" if kind == "slstm" else None, features)
    outputs_gradient, states_gradient = upstream(*layer.forward(False, *inputs)[:2])
    if kind == "slstm":
        states_gradient[0] = 0

    def loss(*moved):
        outputs, states, _ = layer.forward(False, *moved)
        return np.sum(outputs_gradient * outputs) + np.sum(states_gradient * states)

    _, _, found = run_backward(layer, inputs, outputs_gradient, states_gradient)
    generator = np.random.default_rng(2)
    for place, name in enumerate(NAMES):
        if not inputs[place].size:
            continue
        if kind == "slstm" and name == "parameters":
            np.testing.assert_array_equal(found[name], 0)
            continue
        for _ in range(3):
            direction = generator.normal(size=inputs[place].shape)
            if kind == "slstm" and name == "initial":
                direction[0] = 0  # without a reset, initial spikes have no effect
                np.testing.assert_array_equal(found[name][0], 0)
            there, back = (
                loss(
                    *(
                        array + sign * 1e-5 * direction * (at == place) if at == place else array
                        for at, array in enumerate(inputs)
                    )
                )
                for sign in (1, -1)
            )
            derivative = np.sum(found[name] * direction)
            assert abs(derivative) > 1e-3
            # Errors: the step squared times third derivatives, and rounding of 1e-16 over the step; sums of order ten.
            assert derivative == pytest.approx((there - back) / 2e-5, rel=1e-6, abs=1e-8), name


@pytest.mark.parametrize("features", [0, 3])
@pytest.mark.parametrize(("batch", "steps"), [(5, 0), (0, 5)])
def test_empty_batches_and_empty_paths(batch, steps, features):
    for layer, kind, recurrence in CASES.values():
        inputs = arrays(kind, batch, steps, 4, "float32", recurrence, features)
        outputs_gradient, states_gradient = upstream(*layer.forward(False, *inputs)[:2])
        outputs, states, found = run_backward(layer, inputs, outputs_gradient, states_gradient)
        assert outputs.shape == (batch, steps, 4)
        np.testing.assert_array_equal(states, inputs[-1])
        np.testing.assert_array_equal(found.pop("initial"), states_gradient)
        assert not any(np.any(gradient) for gradient in found.values())


# Matrix products


# Terms and columns: none, one, fewer than a vector, and blocks of every kind with a remainder.
SIZES = (0, 3), (1, 1), (3, 7), (4, 8), (5, 2), (63, 5), (64, 9), (66, 33), (131, 6), (10, 64), (9, 71), (3, 151)
# Fraction of nonzero numbers: all, most, as many as spikes, few, none.
PARTS = 1, 0.9, 0.4, 0.05, 0


def product(left, right, result):
    """result = left @ right, by the engine."""
    lists = matmul.empty_term_lists(*left.shape)
    matmul.multiply(matmul.GEMM.machine_code(left.dtype.name), left, right, result, lists)


def accumulate(left, right, result):
    """result += left.T @ right, by the engine."""
    lists = matmul.empty_term_lists(*left.T.shape)
    matmul.accumulate(matmul.GEMM.machine_code(left.dtype.name), left, right, result, lists)


def whole_numbers(generator, shape, part=1):
    """Small whole numbers, whose products and sums are exact in single precision. `part` is the nonzero fraction."""
    return generator.integers(1, 9, shape) * generator.choice([-1, 1], shape) * (generator.random(shape) < part)


@pytest.mark.parametrize("part", PARTS)
@pytest.mark.parametrize("rows", [1, 3, 4, 8, 13, 16, 17])
def test_multiply(rows, part):
    generator = np.random.default_rng(rows)
    for terms, columns in SIZES:
        left, right = whole_numbers(generator, (rows, terms), part), whole_numbers(generator, (terms, columns))
        for dtype in ("float32", "float64"):
            result = np.full((rows, columns), np.nan, dtype)
            product(left.astype(dtype), right.astype(dtype), result)
            np.testing.assert_array_equal(result, left @ right)


@pytest.mark.parametrize("part", PARTS)
@pytest.mark.parametrize("rows", [1, 3, 4, 8, 13, 16, 17])
def test_accumulate(rows, part):
    generator = np.random.default_rng(rows)
    for terms, columns in SIZES:
        left, right = whole_numbers(generator, (terms, rows), part), whole_numbers(generator, (terms, columns))
        before = generator.integers(-99, 99, (rows, columns))
        for dtype in ("float32", "float64"):
            result = before.astype(dtype)
            accumulate(left.astype(dtype), right.astype(dtype), result)
            np.testing.assert_array_equal(result, before + left.T @ right)


@pytest.mark.parametrize("silent", [0, 3])
def test_a_block_skips_only_terms_that_are_zero_in_all_its_rows(silent):
    """The first rows decide whether terms are listed. Here, one row of each block is nonzero; few or many rows are."""
    terms, columns = 37, 66
    left = np.zeros((12, terms), "float32")
    left[silent::4] = np.arange(1, terms + 1)
    left[:4, ::2] = 0
    right = np.random.default_rng(0).normal(size=(terms, columns)).astype("float32")
    wanted, found = left.astype("float64") @ right, np.empty((12, columns), "float32")
    product(left, right, found)
    # 37 terms of at most 37 times 4, with half a unit in the last place each.
    np.testing.assert_allclose(found, wanted, atol=37 * 37 * 4 * 2**-24)
    found[:] = 0
    accumulate(np.ascontiguousarray(left.T), right, found)
    np.testing.assert_allclose(found, wanted, atol=37 * 37 * 4 * 2**-24)


@pytest.mark.parametrize("place", [5, 36])
def test_the_smallest_subnormal_number_is_not_skipped(place):
    """Its product with a large number is visible. It is in a vector of terms, or in the remainder."""
    smallest, large = np.float32([1e-45, 1e38])
    left, found = np.zeros((4, 37), "float32"), np.zeros((4, 16), "float32")
    left[2, place] = smallest
    wanted = np.zeros_like(found)
    wanted[2] = smallest * large
    assert wanted[2, 0] > 1e-7
    right = np.full((37, 16), large, "float32")
    product(left, right, found)
    np.testing.assert_array_equal(found, wanted)
    found[:] = 0
    accumulate(np.ascontiguousarray(left.T), right, found)
    np.testing.assert_array_equal(found, wanted)


@pytest.mark.parametrize("part", PARTS)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_sums_are_taken_in_the_order_of_their_terms(dtype, part):
    """The bits of a product, of an accumulation in one or two calls, and of single rows, which skip no terms, agree."""
    generator = np.random.default_rng(0)
    for rows, terms, columns in ((16, 64, 64), (7, 131, 27), (5, 9, 71)):
        left, right = (generator.normal(size=shape).astype(dtype) for shape in ((terms, rows), (terms, columns)))
        left *= generator.random((terms, rows)) < part
        whole, parts, found, alone = np.zeros((4, rows, columns), dtype)
        accumulate(left, right, whole)
        for some in (slice(0, 5), slice(5, terms)):
            accumulate(left[some], right[some], parts)
        product(np.ascontiguousarray(left.T), right, found)
        for row in range(rows):
            product(np.ascontiguousarray(left.T[row : row + 1]), right, alone[row : row + 1])
        for other in (parts, found, alone):
            np.testing.assert_array_equal(other, whole)
        backward = np.zeros_like(whole)
        accumulate(np.ascontiguousarray(left[::-1]), np.ascontiguousarray(right[::-1]), backward)
        assert part < 0.4 or np.any(backward != whole), "the sum must depend on the order"


@pytest.mark.parametrize("part", PARTS)
@pytest.mark.skipif(BACKEND != "tensorflow", reason="compares with TensorFlow")
@machine_code_alone
def test_multiply_has_the_bits_of_tensorflow(part):
    import tensorflow as tf

    generator = np.random.default_rng(0)
    for rows, terms, columns in ((16, 64, 64), (16, 100, 48), (7, 130, 24), (16, 384, 128)):
        left, right = (generator.normal(size=shape).astype("float32") for shape in ((rows, terms), (terms, columns)))
        left *= generator.random(left.shape) < part
        result = np.empty((rows, columns), "float32")
        product(left, right, result)
        np.testing.assert_array_equal(result, tf.matmul(left, right).numpy())


# Streaming stores


@numba.njit
def store_all(source, target):
    for row in range(len(source)):
        streaming_stores.store(source, len(source) - 1 - row, target, row)
    streaming_stores.fence()


@numba.njit
def store_rows(source, source_row, target, target_row, rows):
    streaming_stores.store(source, source_row, target, target_row, rows)
    streaming_stores.fence()


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("columns", [0, 1, 7, 8, 16, 24, 31, 64, 129])
@pytest.mark.parametrize("skip", [0, 1, 5])
def test_streaming_stores_write_their_rows_and_nothing_else(columns, dtype, skip):
    """The target may start at any alignment."""
    source = np.random.default_rng(columns).normal(size=(5, columns)).astype(dtype)
    around = memory.empty((skip + source.size + 3,), np.dtype(dtype))
    around[:] = -7
    target = around[skip : skip + source.size].reshape(source.shape)
    store_all(source, target)
    np.testing.assert_array_equal(target, source[::-1])
    store_rows(source, 1, target, 2, 3)
    np.testing.assert_array_equal(target, [*source[:-3:-1], *source[1:4]])
    assert np.all(around[:skip] == -7)
    assert np.all(around[skip + source.size :] == -7)


@numba.njit
def apply(function, x, y):
    for index in range(x.size):
        y[index] = function(x[index])


def floats():
    """Single precision of all magnitudes. Their number is a multiple of eight, so TensorFlow vectorises all of them."""
    generator = np.random.default_rng(0)
    bits = generator.integers(0, 2**32, 2**15, dtype=np.uint32).view(np.float32)
    usual = np.concatenate([generator.normal(0, scale, 2**14) for scale in (1e-3, 0.3, 1, 5, 30, 100)])
    limits = np.concatenate([point + np.linspace(-1e-3, 1e-3, 512) for point in (0, 7.905, 16.6355, 87.3, 88.72, -104)])
    tiny = np.float32(np.finfo("float32").tiny)
    special = [0.0, np.inf, np.nan, tiny, np.nextafter(tiny, np.float32(0)), np.float32(1e-45), np.float32(3.4e38), 1.0]
    special = np.float32([*special, *(-np.float32(special))])
    found = np.concatenate([bits, np.float32(usual), np.float32(limits), special])
    assert found.size % 8 == 0
    return found


def assert_same_bits(found, expected, x):
    """Bits agree, including the sign of zeros. The bits of nan do not matter."""
    number = ~np.isnan(expected)
    np.testing.assert_array_equal(np.isnan(found), ~number)
    wrong = found[number].view(np.uint32) != expected[number].view(np.uint32)
    assert not wrong.any(), list(zip(x[number][wrong], found[number][wrong], expected[number][wrong], strict=True))[:5]


@pytest.mark.skipif(BACKEND != "tensorflow", reason="compares with TensorFlow")
@pytest.mark.parametrize("name", ["tanh", "sigmoid", "exp"])
@machine_code_alone
def test_functions_have_the_bits_of_tensorflow(name):
    import tensorflow as tf

    x = floats()
    y = np.empty_like(x)
    apply(getattr(functions, name), x, y)
    assert_same_bits(y, {"tanh": tf.tanh, "sigmoid": tf.sigmoid, "exp": tf.exp}[name](x).numpy(), x)


def test_functions_in_double_precision():
    x = np.concatenate([np.linspace(-50, 50, 2001), [0.0, -0.0, 1e-300, 700.0]])
    expected = {"tanh": np.tanh(x), "sigmoid": 1 / (1 + np.exp(-x)), "exp": np.exp(x), "flushed": x}
    for name, values in expected.items():
        y = np.empty_like(x)
        apply(getattr(functions, name), x, y)
        np.testing.assert_allclose(
            y, values, rtol=1e-14, err_msg=name
        )  # two libraries, each correct to a few roundings


def test_subnormal_numbers_are_flushed():
    x = floats()
    y = np.empty_like(x)
    apply(functions.flushed, x, y)
    small = np.abs(x) < np.finfo("float32").tiny
    assert small.sum() > 50
    np.testing.assert_array_equal(y[small], 0)
    np.testing.assert_array_equal(np.signbit(y[small]), np.signbit(x[small]))
    np.testing.assert_array_equal(y[~small], x[~small])


@numba.njit
def fill(derivative, rows, residuals, parameters, filled, scale):
    derivative(rows, residuals, parameters, filled, scale)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_surrogate_derivatives_are_those_of_the_surrogates(dtype):
    """Only rows in use are filled. Membranes are the first columns, thresholds the first parameters."""
    generator = np.random.default_rng(0)
    residuals = generator.normal(0.3, 1.0, (5, 3 * 8)).astype(dtype)
    parameters = generator.uniform(0.2, 0.8, (2, 8)).astype(dtype)
    x = residuals[:4, :8] - parameters[0]
    for name in surrogates.names():
        for scale in (surrogates.scale_of(name), 0.7, 30.0):
            filled = np.full((5, 8), -3.0, dtype)
            fill(surrogate_derivatives.surrogate_derivative(name, dtype), 4, residuals, parameters, filled, scale)
            np.testing.assert_array_equal(filled[4], -3.0)
            expected = numpy_of(surrogates.derivative(keras.ops.convert_to_tensor(x), name, scale))
            if dtype == "float32" and BACKEND == "tensorflow":
                np.testing.assert_array_equal(filled[:4], expected, err_msg=name)
                continue
            # Far from the threshold, the derivative of the logistic is a small difference from one.
            tolerance = 1e-5 if dtype == "float32" else 1e-12
            np.testing.assert_allclose(filled[:4], expected, rtol=tolerance, atol=tolerance * scale, err_msg=name)


# Threads


CASES = {
    "lif": (lif_of(), "lif", None),
    "rlif-dense": (lif_of("zero", detach=False), "lif", "dense"),
    "rlif-one_to_one": (lif_of("subtract", detach=False), "lif", "one_to_one"),
    "slstm": (slstm_of(), "slstm", "dense"),
    "leaky": (LEAKY, "leaky", None),
}
projected_or_not = pytest.mark.parametrize("features", [0, 7])


def everything(layer, inputs):
    outputs, states, _ = layer.forward(False, *inputs)
    return [outputs, states, *run_backward(layer, inputs, *upstream(outputs, states))[2].values()]


@pytest.fixture
def threads(monkeypatch):
    """A function that sets the number of threads, which share even little work, and of parts."""

    def use(count, parts=sequence.PARTS):
        monkeypatch.setattr(sequence.threads, "limit", lambda: count)
        monkeypatch.setattr(sequence, "NEURON_STEPS_PER_THREAD", 1)
        monkeypatch.setattr(sequence, "PARTS", parts)

    return use


@projected_or_not
@pytest.mark.parametrize("name", CASES)
def test_results_do_not_depend_on_the_number_of_threads(name, features, threads):
    """Bits agree, also for sums over the batch."""
    layer, kind, recurrence = CASES[name]
    inputs = arrays(kind, 83, 5, 9, "float32", recurrence, features)
    for parts in (1, 2, 4, 7):
        answers = []
        for count in (1, 2, 3, 5):
            threads(count, parts)
            answers.append(everything(layer, inputs))
        for answer in answers[1:]:
            for found, expected in zip(answer, answers[0], strict=True):
                np.testing.assert_array_equal(found, expected)


@projected_or_not
@pytest.mark.parametrize("name", CASES)
def test_parts_and_tiles_change_only_the_order_of_sums_over_paths(name, features, threads, monkeypatch):
    """Arrays of single paths have equal bits. Sums over 83 paths and 5 steps differ by some dozens of roundings."""
    layer, kind, recurrence = CASES[name]
    inputs = arrays(kind, 83, 5, 9, "float32", recurrence, features)
    answers = []
    for height, parts in ((16, 1), (16, 4), (16, 8), (5, 3), (1, 8), (100, 2)):
        monkeypatch.setattr(sequence, "TILE_HEIGHT", height)
        threads(2, parts)
        outputs, states, _ = layer.forward(False, *inputs)
        answers.append(run_backward(layer, inputs, *upstream(outputs, states)))
    for outputs, states, found in answers[1:]:
        np.testing.assert_array_equal(outputs, answers[0][0])
        np.testing.assert_array_equal(states, answers[0][1])
        for gradient, expected in ((found[key], answers[0][2][key]) for key in ("inputs", "initial")):
            np.testing.assert_array_equal(gradient, expected)
        for key in ("kernel", "bias", "recurrent", "parameters"):
            expected = answers[0][2][key]
            largest = np.max(np.abs(expected), initial=0)
            np.testing.assert_allclose(found[key], expected, rtol=0, atol=1e-5 * largest, err_msg=key)


@projected_or_not
@pytest.mark.parametrize("name", CASES)
def test_residuals_that_were_not_saved_are_recomputed(name, features, monkeypatch):
    """Each part has several groups of paths, the last one smaller. Only the order of sums changes."""
    monkeypatch.setattr(sequence, "RECOMPUTED_STEPS", 2 * sequence.TILE_HEIGHT * 5)
    layer, kind, recurrence = CASES[name]
    inputs = arrays(kind, 37 * sequence.PARTS, 5, 9, "float32", recurrence, features)
    outputs, states, residuals = layer.forward(False, *inputs)
    assert residuals.size == 0
    gradients = upstream(outputs, states)
    _, _, expected = run_backward(layer, inputs, *gradients)
    found = dict(zip(NAMES, layer.backward(residuals, *inputs, *gradients), strict=True))
    for key in NAMES:
        atol = 0 if key in ("inputs", "initial") else 1e-5 * np.max(np.abs(expected[key]), initial=0)
        np.testing.assert_allclose(found[key], expected[key], rtol=0, atol=atol, err_msg=key)


@projected_or_not
@pytest.mark.parametrize("name", CASES)
def test_a_path_does_not_depend_on_its_batch(name, features):
    """Bits of outputs, states, and gradients of inputs and initial states agree for any part of the batch."""
    layer, kind, recurrence = CASES[name]
    whole = arrays(kind, 37, 5, 9, "float32", recurrence, features)
    inputs, *weights, initial = whole
    outputs, states, _ = layer.forward(False, *whole)
    outputs_gradient, states_gradient = upstream(outputs, states)
    _, _, whole_gradients = run_backward(layer, whole, outputs_gradient, states_gradient)
    for begin, stop in ((0, 16), (0, 5), (5, 6), (7, 37)):
        part = inputs[begin:stop], *weights, np.ascontiguousarray(initial[:, begin:stop])
        part_gradients = outputs_gradient[begin:stop], np.ascontiguousarray(states_gradient[:, begin:stop])
        some, ends, found = run_backward(layer, part, *part_gradients)
        np.testing.assert_array_equal(some, outputs[begin:stop])
        np.testing.assert_array_equal(ends, states[:, begin:stop])
        np.testing.assert_array_equal(found["inputs"], whole_gradients["inputs"][begin:stop])
        np.testing.assert_array_equal(found["initial"], whole_gradients["initial"][:, begin:stop])


def test_concurrent_calls_are_independent(threads):
    """Several Python threads call layers of several sizes, and each call uses threads of its own."""
    threads(3)
    jobs = []
    for seed, (layer, kind, recurrence) in enumerate(CASES.values()):
        for batch, features in ((3, 0), (20, 4), (40, 7)):
            jobs.append((layer, arrays(kind, batch, 6, 5, "float32", recurrence, features, seed)))
    expected = [everything(*job) for job in jobs]
    with ThreadPoolExecutor(4) as pool:
        for _ in range(10):
            for found, right in zip(pool.map(lambda job: everything(*job), jobs), expected, strict=True):
                for one, other in zip(found, right, strict=True):
                    np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("weights", [1, 3])
@pytest.mark.parametrize("name", ["lif", "slstm"])
def test_a_weight_that_is_not_finite_shows_although_its_input_is_silent(name, weights):
    """As in `inputs @ kernel`. The weights are the kernel or the recurrent weights."""
    inputs = list(arrays(name, 5, 4, 3, np.float32, recurrence="dense", features=4))
    inputs[0][:] = 0
    inputs[5][:] = 0
    inputs[weights][1, 2] = np.inf
    outputs, _, _ = {"lif": lif_of(leading=1), "slstm": slstm_of()}[name].forward(True, *inputs)
    assert np.isnan(outputs[..., 2]).all()
    assert np.isfinite(outputs[:, 0, :2]).all()


# Memory


def test_memory_that_outlives_its_module_is_freed_without_errors():
    """At exit, numba holds references to arrays until Python has cleared the names of other modules."""
    program = """
import numba, numpy
from kspike_reg.neurons.engines.cpu import memory
array = memory.empty((3,), numpy.dtype("float32"))
@numba.njit
def first(array):
    return array[0]
first(array)
"""
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert "Exception ignored" not in ended.stderr


def test_memory_is_aligned_and_reused():
    shape = 1237, 3
    dtype = np.dtype("float64")
    gc.collect()
    first = memory.empty(shape, dtype)
    assert (first.shape, first.dtype, first.flags.c_contiguous, first.flags.writeable) == (shape, dtype, True, True)
    assert first.ctypes.data % memory.ALIGNMENT == 0
    second = memory.empty(shape, dtype)
    assert not np.shares_memory(first, second)
    place, view = first.ctypes.data, first[3:, 1]
    view[:] = 7
    del first
    third = memory.empty(shape, dtype)
    third[:] = 0
    assert np.all(view == 7), "a view keeps its memory in use"
    del view
    assert memory.empty(shape, dtype).ctypes.data == place
    assert memory.empty((shape[0], 2 * shape[1]), np.dtype("float32")).ctypes.data == place
    assert memory.empty((0, 5), dtype).shape == (0, 5)


def test_idle_memory_beyond_the_limit_is_freed(monkeypatch):
    monkeypatch.setattr(memory, "MOST_IDLE", 0)
    size = 54321
    array = memory.empty((size,), np.dtype("uint8"))
    del array
    assert not memory._idle[size]


def test_threads_never_get_the_same_memory():
    """Threads switch as often as Python allows. Errors in `__del__` reach `sys.unraisablehook`."""
    unraisable, errors = [], []
    hook, sys.unraisablehook = sys.unraisablehook, unraisable.append
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)

    def work(number):
        try:
            for turn in range(1000):
                size = (
                    10 + turn % 3 if turn % 2 else 100 + 6 * turn + number
                )  # some sizes are shared with other threads
                array = memory.empty((size,), np.dtype("int64"))
                array[:] = number
                other = memory.empty((10 + turn % 3,), np.dtype("int64"))
                other[:] = -1
                assert np.all(array == number)
                del array, other
        except Exception as error:
            errors.append(error)

    workers = [threading.Thread(target=work, args=(number,)) for number in range(6)]
    try:
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()
    finally:
        sys.setswitchinterval(interval)
        sys.unraisablehook = hook
    assert not errors
    assert not unraisable


# Subnormal numbers


@projected_or_not
@pytest.mark.parametrize("name", CASES)
def test_no_number_is_subnormal_after_200_silent_steps(name, features):
    """Membranes and gradients halve at every step, and reach the smallest normal number after some 126 steps."""
    layer, kind, recurrence = CASES[name]
    silence = arrays(kind, 3, 200, 4, "float32", recurrence, features)
    inputs, _, bias, recurrent, parameters, _ = silence
    inputs[:], bias[:] = 0, 0
    recurrent *= 0.01
    parameters[:] = 0.5
    outputs, states, residuals = layer.forward(True, *silence)
    outputs_gradient, states_gradient = upstream(outputs, states)
    outputs_gradient[:, :-1] = 0
    answers = [outputs, states, *run_backward(layer, silence, outputs_gradient, states_gradient)[2].values()]
    rows = residuals[0, :, :3]
    for values in (*answers, rows):
        assert np.all(np.isfinite(values))
    for values in (outputs, states, rows):
        assert not np.any((values != 0) & (np.abs(values) < np.finfo("float32").tiny))
    assert np.any(answers[2] != 0)
