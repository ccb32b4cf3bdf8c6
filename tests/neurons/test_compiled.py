"""The compiled loops against NumPy: plain loops, central differences, TensorFlow's own functions."""

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
from kspike_reg.neurons.engines.cpu import functions, lif, loops, memory, sequence, slstm
from kspike_reg.neurons.engines.cpu import leaky_integrator as leaky
from kspike_reg.neurons.engines.cpu import matmul as products
from kspike_reg.neurons.engines.cpu import streaming_stores as stores
from kspike_reg.neurons.engines.cpu import surrogate_derivatives as slopes
from kspike_reg.neurons.engines.cpu.sequence import Sequence
from oracles.backend import numpy_of, torch_arrays

BACKEND = keras.backend.backend()
pytestmark = [
    torch_arrays,
    pytest.mark.skipif(BACKEND == "jax", reason="the compiled loops serve TensorFlow and PyTorch"),
]

RESETS = {"subtract": (1, 0), "zero": (0, 1), "none": (0, 0)}


def lif_of(reset="subtract", detach=True, leading=0, surrogate="atan", scale=None):
    return Sequence(lif.KERNEL, (*RESETS[reset], not detach), leading, surrogate, scale)


def slstm_of(reset="subtract", detach=True, leading=1, surrogate="atan"):
    return Sequence(slstm.KERNEL, (*RESETS[reset], not detach), leading, surrogate)


LEAKY = Sequence(leaky.KERNEL, (), 0)


# The order of what goes into `Sequence.forward`, and of the gradients that `Sequence.backward` gives.
NAMES = ("inputs", "kernel", "bias", "recurrent", "parameters", "initial")


def arrays(kind, batch, steps, units, dtype, recurrence=None, features=0, seed=0):
    """What goes into `Sequence.forward` but for `keep`, in the order of NAMES.

    Args:
        kind: "lif" (threshold, decay), "slstm" (threshold), "leaky" (decay).
        recurrence: "dense", "one_to_one" or None.
        features: of the inputs; 0: they are currents, weighed before.
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


def way_back(of, inputs, of_outputs, of_states):
    """Outputs, states, and gradients by name, each like what it is the gradient of."""
    outputs, states, kept = of.forward(True, *inputs)
    found = of.backward(kept, *inputs, of_outputs, of_states)
    for gradient, array in zip(found, inputs, strict=True):
        assert (gradient.shape, gradient.dtype) == (array.shape, array.dtype)
    return outputs, states, dict(zip(NAMES, found, strict=True))


def upstream(outputs, states, seed=1):
    generator = np.random.default_rng(seed)
    return tuple(generator.normal(0.0, 1.0, array.shape).astype(array.dtype) for array in (outputs, states))


def atan(x):
    return 1 / (1 + (np.pi * x) ** 2)


def lif_by_numpy(inputs, recurrence, reset, detach, leading, of_outputs, of_states):
    """Forward by the equations, back by the chain rule, one step after the other."""
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
    by_spikes, by_membrane = of_states
    of_currents = np.zeros_like(currents)
    of_threshold, of_decay, of_own, of_dense = (np.zeros_like(a) for a in (threshold, decay, own, dense))
    for step in reversed(range(currents.shape[1])):
        (last_spikes, last), (_, membrane) = trace[step], trace[step + 1]
        if leading == 0:
            by_spikes = by_spikes + of_outputs[:, step]
        else:
            by_membrane = by_membrane + of_outputs[:, step]
        through = atan(membrane - threshold) * by_spikes
        by_membrane = by_membrane + through
        of_threshold -= (through + subtracts * last_spikes * by_membrane).sum(axis=0)
        of_decay += (last * (1 - clears * last_spikes) * by_membrane).sum(axis=0)
        of_own += (last_spikes * by_membrane).sum(axis=0)
        of_dense += last_spikes.T @ by_membrane
        of_currents[:, step] = by_membrane
        by_spikes = by_membrane @ dense.T + own * by_membrane
        if not detach:
            by_spikes = by_spikes - (subtracts * threshold + clears * decay * last) * by_membrane
        by_membrane = decay * (1 - clears * last_spikes) * by_membrane
    found = (
        of_currents @ kernel.T if len(kernel) else of_currents,
        np.tensordot(inputs, of_currents, ((0, 1), (0, 1))) if len(kernel) else kernel,
        of_currents.sum(axis=(0, 1)),
        {"dense": of_dense, "one_to_one": of_own[None], None: recurrent}[recurrence],
        np.stack([of_threshold, of_decay]),
        np.stack([by_spikes, by_membrane]),
    )
    return outputs, np.stack(trace[-1]), dict(zip(NAMES, found, strict=True))


# Batch, steps and units: below a tile and beyond, below a block of steps, whole blocks, and blocks and a rest; units
# that fill vectors, which are stored past the cache, and others.
SHAPES = (1, 1, 1), (5, 2 * loops.STEPS + 1, 3), (19, loops.STEPS, 7), (2, loops.STEPS - 1, 9), (11, 5, 32)
every_count_of_features = pytest.mark.parametrize("features", [0, 1, 7, 16, 33])


@every_count_of_features
@pytest.mark.parametrize("recurrence", [None, "one_to_one", "dense"])
@pytest.mark.parametrize("reset", RESETS)
def test_lif_is_its_equations_and_their_chain_rule(reset, recurrence, features):
    """In double precision, so that rounding is the only difference: sums of some hundred terms of order one."""
    for detach, leading in itertools.product((True, False), (0, 1)):
        for batch, steps, units in SHAPES:
            inputs = arrays("lif", batch, steps, units, "float64", recurrence, features)
            of = lif_of(reset, detach, leading)
            of_outputs, of_states = upstream(*of.forward(False, *inputs)[:2])
            expected = lif_by_numpy(inputs, recurrence, reset, detach, leading, of_outputs, of_states)
            outputs, states, found = way_back(of, inputs, of_outputs, of_states)
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


@every_count_of_features
@pytest.mark.parametrize("kind", ["leaky", "slstm"])
def test_where_nothing_fires_the_way_back_is_that_of_central_differences(kind, features):
    """The loss sees membranes and carries alone, of neurons that nothing resets: a smooth function."""
    of = LEAKY if kind == "leaky" else slstm_of("none")
    inputs = arrays(kind, 5, 7, 3, "float64", "dense" if kind == "slstm" else None, features)
    of_outputs, of_states = upstream(*of.forward(False, *inputs)[:2])
    if kind == "slstm":
        of_states[0] = 0

    def loss(*moved):
        outputs, states, _ = of.forward(False, *moved)
        return np.sum(of_outputs * outputs) + np.sum(of_states * states)

    _, _, found = way_back(of, inputs, of_outputs, of_states)
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
                direction[0] = 0  # a spike that resets nothing changes nothing
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
            slope = np.sum(found[name] * direction)
            assert abs(slope) > 1e-3
            # Step squared times third derivatives, and rounding 1e-16 over the step, both of sums of order ten.
            assert slope == pytest.approx((there - back) / 2e-5, rel=1e-6, abs=1e-8), name


@pytest.mark.parametrize("features", [0, 3])
@pytest.mark.parametrize(("batch", "steps"), [(5, 0), (0, 5)])
def test_nothing_comes_of_no_steps_and_of_no_paths(batch, steps, features):
    for of, kind, recurrence in CASES.values():
        inputs = arrays(kind, batch, steps, 4, "float32", recurrence, features)
        of_outputs, of_states = upstream(*of.forward(False, *inputs)[:2])
        outputs, states, found = way_back(of, inputs, of_outputs, of_states)
        assert outputs.shape == (batch, steps, 4)
        np.testing.assert_array_equal(states, inputs[-1])
        np.testing.assert_array_equal(found.pop("initial"), of_states)
        assert not any(np.any(gradient) for gradient in found.values())


# The parts


# Terms and columns: none, one, fewer than a vector, vectors of every kind and a rest.
SIZES = (0, 3), (1, 1), (3, 7), (4, 8), (5, 2), (63, 5), (64, 9), (66, 33), (131, 6), (10, 64), (9, 71), (3, 151)
# The part of numbers that are not zero: all, most, as of spikes, few, none.
PARTS = 1, 0.9, 0.4, 0.05, 0


def product(left, right, result):
    """By the compiled loops' function, result = left @ right."""
    lists = products.room_for_lists(*left.shape)
    products.product(products.ADD.of(left.dtype.name), left, right, result, lists)


def accumulate(left, right, result):
    """Likewise, result += left.T @ right."""
    lists = products.room_for_lists(*left.T.shape)
    products.accumulate(products.ADD.of(left.dtype.name), left, right, result, lists)


def whole_numbers(generator, shape, part=1):
    """Small ones, whose products and sums are exact in single precision; such a part of them not zero."""
    return generator.integers(1, 9, shape) * generator.choice([-1, 1], shape) * (generator.random(shape) < part)


@pytest.mark.parametrize("part", PARTS)
@pytest.mark.parametrize("rows", [1, 3, 4, 8, 13, 16, 17])
def test_the_product(rows, part):
    generator = np.random.default_rng(rows)
    for terms, columns in SIZES:
        left, right = whole_numbers(generator, (rows, terms), part), whole_numbers(generator, (terms, columns))
        for dtype in ("float32", "float64"):
            result = np.full((rows, columns), np.nan, dtype)
            product(left.astype(dtype), right.astype(dtype), result)
            np.testing.assert_array_equal(result, left @ right)


@pytest.mark.parametrize("part", PARTS)
@pytest.mark.parametrize("rows", [1, 3, 4, 8, 13, 16, 17])
def test_products_accumulate(rows, part):
    generator = np.random.default_rng(rows)
    for terms, columns in SIZES:
        left, right = whole_numbers(generator, (terms, rows), part), whole_numbers(generator, (terms, columns))
        before = generator.integers(-99, 99, (rows, columns))
        for dtype in ("float32", "float64"):
            result = before.astype(dtype)
            accumulate(left.astype(dtype), right.astype(dtype), result)
            np.testing.assert_array_equal(result, before + left.T @ right)


@pytest.mark.parametrize("silent", [0, 3])
def test_what_a_block_leaves_out_is_zero_in_all_its_rows(silent):
    """The first rows decide whether zeros are looked for: here they are few there or many, and a row alone fires."""
    terms, columns = 37, 66
    left = np.zeros((12, terms), "float32")
    left[silent::4] = np.arange(1, terms + 1)
    left[:4, ::2] = 0
    right = np.random.default_rng(0).normal(size=(terms, columns)).astype("float32")
    wanted, found = left.astype("float64") @ right, np.empty((12, columns), "float32")
    product(left, right, found)
    # 37 terms of at most 37 times 4, and half a unit in the last place of each.
    np.testing.assert_allclose(found, wanted, atol=37 * 37 * 4 * 2**-24)
    found[:] = 0
    accumulate(np.ascontiguousarray(left.T), right, found)
    np.testing.assert_allclose(found, wanted, atol=37 * 37 * 4 * 2**-24)


@pytest.mark.parametrize("place", [5, 36])
def test_the_smallest_number_of_all_is_not_left_out(place):
    """Multiplied by a large one; within the terms that are looked at as a vector, and behind them."""
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
    """To the bit: of a product, of what accumulates at once or in two goes, and of one row, where none is left out."""
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
        assert part < 0.4 or np.any(backward != whole), "numbers whose sum depends on the order"


@pytest.mark.parametrize("part", PARTS)
@pytest.mark.skipif(BACKEND != "tensorflow", reason="compares with TensorFlow")
def test_the_product_has_the_bits_of_tensorflow(part):
    import tensorflow as tf

    generator = np.random.default_rng(0)
    for rows, terms, columns in ((16, 64, 64), (16, 100, 48), (7, 130, 24), (16, 384, 128)):
        left, right = (generator.normal(size=shape).astype("float32") for shape in ((rows, terms), (terms, columns)))
        left *= generator.random(left.shape) < part
        result = np.empty((rows, columns), "float32")
        product(left, right, result)
        np.testing.assert_array_equal(result, tf.matmul(left, right).numpy())


# Stores


@numba.njit
def store_all(source, target):
    for row in range(len(source)):
        stores.store(source, len(source) - 1 - row, target, row)
    stores.settle()


@numba.njit
def store_rows(source, source_row, target, target_row, rows):
    stores.store(source, source_row, target, target_row, rows)
    stores.settle()


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("columns", [0, 1, 7, 8, 16, 24, 31, 64, 129])
@pytest.mark.parametrize("skip", [0, 1, 5])
def test_stores_write_what_they_shall_and_nothing_else(columns, dtype, skip):
    """Wherever the target begins, at a vector's place or not."""
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
    """Single precision of every size, a multiple of eight of them: TensorFlow then takes none by itself."""
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
    """Zeros have a sign; of what is not a number the bits do not matter."""
    number = ~np.isnan(expected)
    np.testing.assert_array_equal(np.isnan(found), ~number)
    wrong = found[number].view(np.uint32) != expected[number].view(np.uint32)
    assert not wrong.any(), list(zip(x[number][wrong], found[number][wrong], expected[number][wrong], strict=True))[:5]


@pytest.mark.skipif(BACKEND != "tensorflow", reason="compares with TensorFlow")
@pytest.mark.parametrize("name", ["tanh", "sigmoid", "exp"])
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
        np.testing.assert_allclose(y, values, rtol=1e-14, err_msg=name)  # two libraries, each good to a few roundings


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
def fill(slope, rows, kept, parameters, filled, scale):
    slope(rows, kept, parameters, filled, scale)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_slopes_are_the_derivatives_of_the_surrogates(dtype):
    """Of the rows in use alone, by membranes in the first columns and thresholds first among the parameters."""
    generator = np.random.default_rng(0)
    kept = generator.normal(0.3, 1.0, (5, 3 * 8)).astype(dtype)
    parameters = generator.uniform(0.2, 0.8, (2, 8)).astype(dtype)
    x = kept[:4, :8] - parameters[0]
    for name in surrogates.names():
        for scale in (surrogates.scale_of(name), 0.7, 30.0):
            filled = np.full((5, 8), -3.0, dtype)
            fill(slopes.slope(name, dtype), 4, kept, parameters, filled, scale)
            np.testing.assert_array_equal(filled[4], -3.0)
            expected = numpy_of(surrogates.derivative(keras.ops.convert_to_tensor(x), name, scale))
            if dtype == "float32" and BACKEND == "tensorflow":
                np.testing.assert_array_equal(filled[:4], expected, err_msg=name)
                continue
            # The logistic of a surrogate far off is a small difference from one.
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
weighed_or_not = pytest.mark.parametrize("features", [0, 7])


def everything(of, inputs):
    outputs, states, _ = of.forward(False, *inputs)
    return [outputs, states, *way_back(of, inputs, *upstream(outputs, states))[2].values()]


@pytest.fixture
def threads(monkeypatch):
    """A function that sets how many threads share the work, however little, and into how many parts it is cut."""
    pools = []

    def use(count, parts=sequence.PARTS):
        pools.append(ThreadPoolExecutor(count))
        monkeypatch.setattr(sequence, "_threads", lambda: count)
        monkeypatch.setattr(sequence, "_pool", lambda: pools[-1])
        monkeypatch.setattr(sequence, "WORTH_A_THREAD", 1)
        monkeypatch.setattr(sequence, "PARTS", parts)

    yield use
    for pool in pools:
        pool.shutdown()


@weighed_or_not
@pytest.mark.parametrize("name", CASES)
def test_answers_do_not_depend_on_threads(name, features, threads):
    """To the bit, sums over the batch too."""
    of, kind, recurrence = CASES[name]
    inputs = arrays(kind, 83, 5, 9, "float32", recurrence, features)
    for parts in (1, 2, 4, 7):
        answers = []
        for count in (1, 2, 3, 5):
            threads(count, parts)
            answers.append(everything(of, inputs))
        for answer in answers[1:]:
            for found, expected in zip(answer, answers[0], strict=True):
                np.testing.assert_array_equal(found, expected)


@weighed_or_not
@pytest.mark.parametrize("name", CASES)
def test_parts_and_tiles_change_nothing_but_the_order_of_sums_over_paths(name, features, threads, monkeypatch):
    """What belongs to one path has the same bits; sums of 83 paths and 5 steps differ by some dozens of roundings."""
    of, kind, recurrence = CASES[name]
    inputs = arrays(kind, 83, 5, 9, "float32", recurrence, features)
    answers = []
    for height, parts in ((16, 1), (16, 4), (16, 8), (5, 3), (1, 8), (100, 2)):
        monkeypatch.setattr(sequence, "HEIGHT", height)
        threads(2, parts)
        outputs, states, _ = of.forward(False, *inputs)
        answers.append(way_back(of, inputs, *upstream(outputs, states)))
    for outputs, states, found in answers[1:]:
        np.testing.assert_array_equal(outputs, answers[0][0])
        np.testing.assert_array_equal(states, answers[0][1])
        for gradient, expected in ((found[key], answers[0][2][key]) for key in ("inputs", "initial")):
            np.testing.assert_array_equal(gradient, expected)
        for key in ("kernel", "bias", "recurrent", "parameters"):
            expected = answers[0][2][key]
            largest = np.max(np.abs(expected), initial=0)
            np.testing.assert_allclose(found[key], expected, rtol=0, atol=1e-5 * largest, err_msg=key)


@weighed_or_not
@pytest.mark.parametrize("name", CASES)
def test_what_was_not_kept_is_run_forward_once_more(name, features, monkeypatch):
    """Groups of paths within a part, the last one smaller; but for the order of sums it has the same bits."""
    monkeypatch.setattr(sequence, "GROUP", 2 * sequence.HEIGHT * 5)
    of, kind, recurrence = CASES[name]
    inputs = arrays(kind, 37 * sequence.PARTS, 5, 9, "float32", recurrence, features)
    outputs, states, kept = of.forward(False, *inputs)
    assert kept.size == 0
    gradients = upstream(outputs, states)
    _, _, expected = way_back(of, inputs, *gradients)
    found = dict(zip(NAMES, of.backward(kept, *inputs, *gradients), strict=True))
    for key in NAMES:
        atol = 0 if key in ("inputs", "initial") else 1e-5 * np.max(np.abs(expected[key]), initial=0)
        np.testing.assert_allclose(found[key], expected[key], rtol=0, atol=atol, err_msg=key)


@weighed_or_not
@pytest.mark.parametrize("name", CASES)
def test_a_path_does_not_depend_on_its_batch(name, features):
    """Outputs, states, and gradients of inputs and initial states, to the bit, wherever the batch is cut."""
    of, kind, recurrence = CASES[name]
    whole = arrays(kind, 37, 5, 9, "float32", recurrence, features)
    inputs, *weights, initial = whole
    outputs, states, _ = of.forward(False, *whole)
    of_outputs, of_states = upstream(outputs, states)
    _, _, of_whole = way_back(of, whole, of_outputs, of_states)
    for begin, stop in ((0, 16), (0, 5), (5, 6), (7, 37)):
        part = inputs[begin:stop], *weights, np.ascontiguousarray(initial[:, begin:stop])
        of_part = of_outputs[begin:stop], np.ascontiguousarray(of_states[:, begin:stop])
        some, ends, found = way_back(of, part, *of_part)
        np.testing.assert_array_equal(some, outputs[begin:stop])
        np.testing.assert_array_equal(ends, states[:, begin:stop])
        np.testing.assert_array_equal(found["inputs"], of_whole["inputs"][begin:stop])
        np.testing.assert_array_equal(found["initial"], of_whole["initial"][:, begin:stop])


def test_calls_at_the_same_time_do_not_disturb_each_other(threads):
    """Of several layers and sizes, from several threads of Python, each of which shares its work among threads."""
    threads(3)
    jobs = []
    for seed, (of, kind, recurrence) in enumerate(CASES.values()):
        for batch, features in ((3, 0), (20, 4), (40, 7)):
            jobs.append((of, arrays(kind, batch, 6, 5, "float32", recurrence, features, seed)))
    expected = [everything(*job) for job in jobs]
    with ThreadPoolExecutor(4) as pool:
        for _ in range(10):
            for found, right in zip(pool.map(lambda job: everything(*job), jobs), expected, strict=True):
                for one, other in zip(found, right, strict=True):
                    np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("of", [1, 3])
@pytest.mark.parametrize("name", ["lif", "slstm"])
def test_a_weight_that_is_not_finite_shows_though_its_neuron_is_silent(name, of):
    """As in `inputs @ kernel`; `of`: the kernel, the recurrent weights."""
    inputs = list(arrays(name, 5, 4, 3, np.float32, recurrence="dense", features=4))
    inputs[0][:] = 0
    inputs[5][:] = 0
    inputs[of][1, 2] = np.inf
    outputs, _, _ = {"lif": lif_of(leading=1), "slstm": slstm_of()}[name].forward(True, *inputs)
    assert np.isnan(outputs[..., 2]).all()
    assert np.isfinite(outputs[:, 0, :2]).all()


# Memory


def test_memory_that_outlives_its_module_ends_in_silence():
    """Numba holds on to a function's names until Python has taken those of other modules away."""
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


def test_memory_is_aligned_and_used_again():
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
    assert np.all(view == 7), "a view holds its memory"
    del view
    assert memory.empty(shape, dtype).ctypes.data == place
    assert memory.empty((shape[0], 2 * shape[1]), np.dtype("float32")).ctypes.data == place
    assert memory.empty((0, 5), dtype).shape == (0, 5)


def test_too_much_idle_memory_goes_back(monkeypatch):
    monkeypatch.setattr(memory, "MOST_IDLE", 0)
    size = 54321
    array = memory.empty((size,), np.dtype("uint8"))
    del array
    assert not memory._idle[size]


def test_memory_is_lent_once_whatever_the_threads_do():
    """Threads that take turns as often as Python lets them, and what would go wrong in `__del__` is heard."""
    heard, wrong = [], []
    hook, sys.unraisablehook = sys.unraisablehook, heard.append
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)

    def work(number):
        try:
            for turn in range(1000):
                size = 10 + turn % 3 if turn % 2 else 100 + 6 * turn + number  # sizes shared with others, and new ones
                array = memory.empty((size,), np.dtype("int64"))
                array[:] = number
                other = memory.empty((10 + turn % 3,), np.dtype("int64"))
                other[:] = -1
                assert np.all(array == number)
                del array, other
        except Exception as error:
            wrong.append(error)

    workers = [threading.Thread(target=work, args=(number,)) for number in range(6)]
    try:
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()
    finally:
        sys.setswitchinterval(interval)
        sys.unraisablehook = hook
    assert not wrong
    assert not heard


# Numbers that fade


@weighed_or_not
@pytest.mark.parametrize("name", CASES)
def test_over_200_steps_of_silence_no_number_is_subnormal(name, features):
    """Membranes and gradients halve at every step, and pass the smallest normal number after some 126 steps."""
    of, kind, recurrence = CASES[name]
    silence = arrays(kind, 3, 200, 4, "float32", recurrence, features)
    inputs, _, bias, recurrent, parameters, _ = silence
    inputs[:], bias[:] = 0, 0
    recurrent *= 0.01
    parameters[:] = 0.5
    outputs, states, kept = of.forward(True, *silence)
    of_outputs, of_states = upstream(outputs, states)
    of_outputs[:, :-1] = 0
    answers = [outputs, states, *way_back(of, silence, of_outputs, of_states)[2].values()]
    rows = kept[0, :, :3]
    for values in (*answers, rows):
        assert np.all(np.isfinite(values))
    for values in (outputs, states, rows):
        assert not np.any((values != 0) & (np.abs(values) < np.finfo("float32").tiny))
    assert np.any(answers[2] != 0)
