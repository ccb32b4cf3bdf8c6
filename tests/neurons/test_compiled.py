"""The compiled loops against NumPy: plain loops, central differences, TensorFlow's own functions."""

import gc
import itertools
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import keras
import numba
import numpy as np
import pytest

from kspike_reg.neurons import surrogates
from kspike_reg.neurons.compiled import functions, leaky, lif, loops, memory, sequence, slopes, slstm
from kspike_reg.neurons.compiled.sequence import Sequence
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


def arrays(kind, batch, steps, units, dtype, recurrent=False, seed=0):
    """What goes into `Sequence.forward` but for `keep`: currents, bias, recurrent weights, parameters, initial states.

    Kinds: "lif" (threshold, decay, own), "slstm" (threshold), "leaky" (decay).
    """
    generator = np.random.default_rng(seed)
    width = 4 * units if kind == "slstm" else units
    threshold, decay = generator.uniform(0.2, 0.8, units), generator.uniform(0.2, 0.95, units)
    own = 0 * decay if recurrent else generator.normal(0.0, 0.4, units)
    parameters = {"lif": [threshold, decay, own], "slstm": [0.3 * threshold], "leaky": [decay]}[kind]
    spikes = generator.integers(0, 2, (batch, units))
    others = generator.normal(0.1, 0.6, (2, batch, units))
    states = {"lif": [spikes, others[0]], "slstm": [spikes, *others], "leaky": [others[0]]}[kind]
    found = (
        generator.normal(0.2, 0.7, (batch, steps, width)),
        generator.normal(0.1, 0.2, width),
        generator.normal(0.0, 0.4, (units, width)) if recurrent else np.zeros((0, width)),
        np.stack(parameters),
        np.stack(states),
    )
    return tuple(np.ascontiguousarray(array, dtype) for array in found)


def way_back(of, inputs, of_outputs, of_states):
    """Outputs, states, and gradients by name."""
    outputs, states, kept = of.forward(True, *inputs)
    _, _, recurrent, parameters, initial = inputs
    of_currents, of_bias, of_parameters, of_initial, fed = of.backward(
        kept, recurrent, parameters, initial, of_outputs, of_states
    )
    found = {"currents": of_currents, "bias": of_bias, "parameters": of_parameters, "initial": of_initial}
    if len(recurrent):
        units, width = recurrent.shape
        found["recurrent"] = fed.reshape(-1, units).T @ of_currents.reshape(-1, width)
    return outputs, states, found


def upstream(outputs, states, seed=1):
    generator = np.random.default_rng(seed)
    return tuple(generator.normal(0.0, 1.0, array.shape).astype(array.dtype) for array in (outputs, states))


def atan(x):
    return 1 / (1 + (np.pi * x) ** 2)


def lif_by_numpy(inputs, reset, detach, leading, of_outputs, of_states):
    """Forward by the equations, back by the chain rule, one step after the other."""
    currents, bias, recurrent, (threshold, decay, own), (spikes, membrane) = inputs
    dense = recurrent if len(recurrent) else np.zeros((len(bias), len(bias)))
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
    found = {
        "currents": of_currents,
        "bias": of_currents.sum(axis=(0, 1)),
        "parameters": np.stack([of_threshold, of_decay, of_own]),
        "initial": np.stack([by_spikes, by_membrane]),
    }
    return outputs, np.stack(trace[-1]), found | ({"recurrent": of_dense} if len(recurrent) else {})


@pytest.mark.parametrize("recurrent", [False, True])
@pytest.mark.parametrize("reset", RESETS)
def test_lif_is_its_equations_and_their_chain_rule(reset, recurrent):
    """In double precision, so that rounding is the only difference: sums of some hundred terms of order one."""
    for detach, leading in itertools.product((True, False), (0, 1)):
        for batch, steps, units in ((1, 1, 1), (5, 9, 3), (19, 4, 7)):
            inputs = arrays("lif", batch, steps, units, "float64", recurrent)
            of = lif_of(reset, detach, leading)
            of_outputs, of_states = upstream(*of.forward(False, *inputs)[:2])
            expected = lif_by_numpy(inputs, reset, detach, leading, of_outputs, of_states)
            outputs, states, found = way_back(of, inputs, of_outputs, of_states)
            if units > 1:
                assert set(np.unique(expected[1][0])) == {0.0, 1.0}
            np.testing.assert_array_equal(states[0], expected[1][0])
            np.testing.assert_allclose(outputs, expected[0], rtol=1e-12, atol=1e-12)
            np.testing.assert_allclose(states, expected[1], rtol=1e-12, atol=1e-12)
            assert found.keys() == expected[2].keys()
            for name, gradient in found.items():
                np.testing.assert_allclose(gradient, expected[2][name], rtol=1e-11, atol=1e-11, err_msg=name)


@pytest.mark.parametrize("reset", RESETS)
def test_an_slstm_is_its_equations(reset):
    inputs = arrays("slstm", 5, 9, 3, "float64", recurrent=True)
    currents, bias, recurrent, (threshold,), (spikes, membrane, carry) = inputs
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


@pytest.mark.parametrize("kind", ["leaky", "slstm"])
def test_where_nothing_fires_the_way_back_is_that_of_central_differences(kind):
    """The loss sees membranes and carries alone, of neurons that nothing resets: a smooth function."""
    of = LEAKY if kind == "leaky" else slstm_of("none")
    inputs = arrays(kind, 5, 7, 3, "float64", recurrent=kind == "slstm")
    of_outputs, of_states = upstream(*of.forward(False, *inputs)[:2])
    if kind == "slstm":
        of_states[0] = 0

    def loss(*moved):
        outputs, states, _ = of.forward(False, *moved)
        return np.sum(of_outputs * outputs) + np.sum(of_states * states)

    _, _, found = way_back(of, inputs, of_outputs, of_states)
    generator = np.random.default_rng(2)
    for place, name in enumerate(("currents", "bias", "recurrent", "parameters", "initial")):
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


# The parts


@pytest.mark.parametrize("rows", [1, 3, 4, 5, 16, 17])
def test_the_product(rows):
    """Whole numbers, whose products and sums are exact in single precision; terms beyond a block, and none."""
    generator = np.random.default_rng(rows)
    for terms, columns in ((0, 3), (1, 1), (3, 7), (4, 8), (5, 2), (63, 5), (64, 9), (66, 33), (131, 6)):
        left, right = generator.integers(-9, 9, (rows, terms)), generator.integers(-9, 9, (terms, columns))
        for dtype in ("float32", "float64"):
            result = np.full((rows, columns), np.nan, dtype)
            loops.product(left.astype(dtype), right.astype(dtype), result)
            np.testing.assert_array_equal(result, left @ right)


@pytest.mark.skipif(BACKEND != "tensorflow", reason="compares with TensorFlow")
def test_the_product_has_the_bits_of_tensorflow():
    import tensorflow as tf

    generator = np.random.default_rng(0)
    for rows, terms, columns in ((16, 64, 64), (16, 100, 48), (7, 130, 24), (16, 384, 128)):
        left, right = (generator.normal(size=shape).astype("float32") for shape in ((rows, terms), (terms, columns)))
        result = np.empty((rows, columns), "float32")
        loops.product(left, right, result)
        np.testing.assert_array_equal(result, tf.matmul(left, right).numpy())


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
    """Of the rows in use alone, by membranes in the first columns and thresholds in the first row."""
    generator = np.random.default_rng(0)
    kept = generator.normal(0.3, 1.0, (5, 3 * 7)).astype(dtype)
    parameters = generator.uniform(0.2, 0.8, (2, 7)).astype(dtype)
    x = kept[:4, :7] - parameters[0]
    for name in surrogates.names():
        for scale in (surrogates.scale_of(name), 0.7, 30.0):
            filled = np.full((5, 7), -3.0, dtype)
            fill(slopes.slope(name, dtype), 4, kept, parameters, filled, scale)
            np.testing.assert_array_equal(filled[4], -3.0)
            expected = numpy_of(surrogates.derivative(keras.ops.convert_to_tensor(x), name, scale))
            # The logistic of a surrogate far off is a small difference from one.
            tolerance = 1e-5 if dtype == "float32" else 1e-12
            np.testing.assert_allclose(filled[:4], expected, rtol=tolerance, atol=tolerance * scale, err_msg=name)


# Threads


CASES = {
    "lif": (lif_of(), "lif", False),
    "rlif": (lif_of("zero", detach=False), "lif", True),
    "slstm": (slstm_of(), "slstm", True),
    "leaky": (LEAKY, "leaky", False),
}


def everything(of, inputs):
    outputs, states, _ = of.forward(False, *inputs)
    return [outputs, states, *way_back(of, inputs, *upstream(outputs, states))[2].values()]


@pytest.fixture
def threads(monkeypatch):
    """A function that sets how many threads share the work, however little, and into how many ranges each cuts it."""
    pools = []

    def use(count, ranges=4):
        pools.append(ThreadPoolExecutor(count))
        monkeypatch.setattr(sequence, "_threads", lambda: count)
        monkeypatch.setattr(sequence, "_pool", lambda: pools[-1])
        monkeypatch.setattr(sequence, "WORTH_A_THREAD", 1)
        monkeypatch.setattr(sequence, "RANGES", ranges)

    yield use
    for pool in pools:
        pool.shutdown()


@pytest.mark.parametrize("name", CASES)
def test_answers_do_not_depend_on_threads(name, threads):
    """To the bit, sums over the batch too."""
    of, kind, recurrent = CASES[name]
    inputs = arrays(kind, 83, 5, 9, "float32", recurrent)
    answers = []
    for count, ranges in ((1, 4), (2, 1), (2, 4), (3, 2), (5, 7)):
        threads(count, ranges)
        answers.append(everything(of, inputs))
    for answer in answers[1:]:
        for found, expected in zip(answer, answers[0], strict=True):
            np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("name", CASES)
def test_a_path_does_not_depend_on_its_batch(name):
    """Outputs, states, and gradients of currents and initial states, to the bit, wherever the batch is cut."""
    of, kind, recurrent = CASES[name]
    inputs = arrays(kind, 37, 5, 9, "float32", recurrent)
    currents, *weights, initial = inputs
    outputs, states, _ = of.forward(False, *inputs)
    of_outputs, of_states = upstream(outputs, states)
    _, _, of_whole = way_back(of, inputs, of_outputs, of_states)
    for begin, stop in ((0, 16), (0, 5), (5, 6), (7, 37)):
        part = currents[begin:stop], *weights, np.ascontiguousarray(initial[:, begin:stop])
        of_part = of_outputs[begin:stop], np.ascontiguousarray(of_states[:, begin:stop])
        some, ends, found = way_back(of, part, *of_part)
        np.testing.assert_array_equal(some, outputs[begin:stop])
        np.testing.assert_array_equal(ends, states[:, begin:stop])
        np.testing.assert_array_equal(found["currents"], of_whole["currents"][begin:stop])
        np.testing.assert_array_equal(found["initial"], of_whole["initial"][:, begin:stop])


def test_calls_at_the_same_time_do_not_disturb_each_other(threads):
    """Of several layers and sizes, from several threads of Python, each of which shares its work among threads."""
    threads(3)
    jobs = []
    for seed, (of, kind, recurrent) in enumerate(CASES.values()):
        for batch in (3, 20, 40):
            jobs.append((of, arrays(kind, batch, 6, 5, "float32", recurrent, seed)))
    expected = [everything(*job) for job in jobs]
    with ThreadPoolExecutor(4) as pool:
        for _ in range(10):
            for found, right in zip(pool.map(lambda job: everything(*job), jobs), expected, strict=True):
                for one, other in zip(found, right, strict=True):
                    np.testing.assert_array_equal(one, other)


# Memory


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


@pytest.mark.parametrize("name", CASES)
def test_over_200_steps_of_silence_no_number_is_subnormal(name):
    """Membranes and gradients halve at every step, and pass the smallest normal number after some 126 steps."""
    of, kind, recurrent = CASES[name]
    currents, bias, weights, parameters, initial = arrays(kind, 3, 200, 4, "float32", recurrent)
    currents[:], bias[:] = 0, 0
    weights *= 0.01
    parameters[0] = 0.5
    if kind == "lif":
        parameters[1], parameters[2] = 0.5, 0
    outputs, states, kept = of.forward(True, currents, bias, weights, parameters, initial)
    of_outputs, of_states = upstream(outputs, states)
    of_outputs[:, :-1] = 0
    answers = [
        outputs,
        states,
        *way_back(of, (currents, bias, weights, parameters, initial), of_outputs, of_states)[2].values(),
    ]
    rows = kept[0, :, :3]
    for values in (*answers, rows):
        assert np.all(np.isfinite(values))
    for values in (outputs, states, rows):
        assert not np.any((values != 0) & (np.abs(values) < np.finfo("float32").tiny))
    assert np.any(answers[2] != 0)
