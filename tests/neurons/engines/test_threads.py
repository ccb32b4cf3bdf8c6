"""The threads of a call: their number, forks, exceptions from signal handlers, the end of Python."""

import os
import subprocess
import sys
import threading
import time
from importlib.util import find_spec
from pathlib import Path

import keras
import numpy as np
import pytest

from kspike_reg.neurons.engines.cpu import threads

pytestmark = pytest.mark.skipif(keras.backend.backend() == "jax", reason="there are no compiled loops on JAX")
ROOT = Path(__file__).parents[3]
posix = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork and signals of POSIX")

# A layer that two threads share, forward and backward, and the bits of its results.
CALL = """
import os, random, signal, sys, threading
os.environ["NUMBA_NUM_THREADS"] = "3"
import numpy as np
from kspike_reg.neurons.engines.cpu import lif, sequence
from kspike_reg.neurons.engines.cpu.sequence import Sequence

os.sched_getaffinity = lambda process: range(3)  # three threads, whatever the machine
sequence.NEURON_STEPS_PER_THREAD = 1
generator = np.random.default_rng(0)
layer = Sequence(lif.KERNEL, (True, False, True), leading=1, surrogate="atan", scale=2.0)
shapes = (83, 20, 7), (7, 33), (33,), (33, 33), (2, 33), (2, 83, 33)
arrays = [generator.normal(0, 0.3, shape).astype("float32") for shape in shapes]

def call():
    outputs, states, residuals = layer.forward(True, *arrays)
    return [outputs, states, *layer.backward(residuals, *arrays, outputs, states)]

def agree(found, expected):
    return all(np.array_equal(left, right) for left, right in zip(found, expected, strict=True))
"""
FIRST = "\nexpected = call()\n"

# Keras loads fastest on NumPy, for which it asks for JAX.
LIGHT = "numpy" if find_spec("jax") else keras.backend.backend()


def run(script, backend="tensorflow", seconds=300, **variables):
    """Run a script in a process of its own; returns its output, and fails if it hangs."""
    environment = os.environ | {"TF_CPP_MIN_LOG_LEVEL": "3", "KERAS_BACKEND": backend} | variables
    done = subprocess.run(
        [sys.executable, "-W", "ignore::DeprecationWarning", "-c", script],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=seconds,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-5000:]
    assert "Fatal" not in done.stderr
    return done.stdout


# Sharing


@pytest.fixture
def many(monkeypatch):
    monkeypatch.setattr(threads, "limit", lambda: 4)


def test_each_part_is_done_once(many):
    parts = [(n, f"part {n}") for n in range(50)]
    done, places = [], set()

    def work(*part):
        time.sleep(0.001)
        done.append(part)
        places.add(threading.get_ident())

    threads.share(work, parts, 3)
    assert sorted(done) == parts
    assert 1 < len(places) <= 3
    places.clear()
    threads.share(work, parts[:5], 1)
    assert places == {threading.get_ident()}
    threads.share(work, [], 3)


@pytest.mark.parametrize("in_caller", [True, False])
def test_an_exception_ends_the_call(many, in_caller):
    """From the calling thread and from others. Parts that nobody has taken are left."""
    done, caller = [], threading.get_ident()

    def work(n):
        done.append(n)
        if (threading.get_ident() == caller) == in_caller:
            raise ZeroDivisionError(n)
        time.sleep(0.01)

    with pytest.raises(ZeroDivisionError):
        threads.share(work, [(n,) for n in range(1000)], 2)
    if in_caller:
        time.sleep(0.05)
        assert len(done) < 10
    threads.share(done.append, [(n,) for n in range(5)], 2)


def test_waiting_threads_keep_no_arrays(many):
    import weakref

    array = np.zeros(3)
    gone = weakref.ref(array)
    threads.share(lambda n, array=array: time.sleep(0.001), [(n,) for n in range(9)], 3)
    del array
    deadline = time.monotonic() + 10  # the other threads may find out late that nothing is left
    while gone() is not None and time.monotonic() < deadline:
        time.sleep(0.01)
    assert gone() is None


def test_a_system_without_further_threads_does_with_fewer(many, monkeypatch):
    def refuse(*arguments):
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threads, "_helpers", threads.Helpers())
    monkeypatch.setattr(threads._thread, "start_new_thread", refuse)
    done = []
    threads.share(done.append, [(n,) for n in range(7)], 3)
    assert done == list(range(7))
    assert threads.uninterrupted(divmod, 7, 2) == (3, 1)


def test_uninterrupted_calls_return_and_raise():
    assert threads.uninterrupted(threading.get_ident) != threading.get_ident()
    with pytest.raises(ZeroDivisionError):
        threads.uninterrupted(divmod, 1, 0)


# Limits


@pytest.fixture
def sixteen(monkeypatch):
    """A machine with 16 processors and no limits."""
    if not hasattr(os, "sched_getaffinity"):
        monkeypatch.setattr(os, "cpu_count", lambda: 16)
    else:
        monkeypatch.setattr(os, "sched_getaffinity", lambda process: range(16))
    for name in ("OMP_NUM_THREADS", "NUMBA_NUM_THREADS", "TF_NUM_INTRAOP_THREADS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(threads, "_quota", lambda: 1000)
    if keras.backend.backend() == "torch":
        import torch

        before = torch.get_num_threads()
        torch.set_num_threads(16)
        yield
        torch.set_num_threads(before)
    else:
        yield


@pytest.mark.attack("Processes", "limits of threads")
@pytest.mark.parametrize("name", ["OMP_NUM_THREADS", "NUMBA_NUM_THREADS"])
@pytest.mark.parametrize(
    ("value", "expected"), [("3", 3), ("5,2", 5), (" 1 ", 1), ("99", 16), ("", 16), ("0", 16), ("-2", 16), ("x", 16)]
)
def test_the_environment_limits_the_threads(name, value, expected, sixteen, monkeypatch):
    monkeypatch.setenv(name, value)
    assert threads.limit() == expected


@pytest.mark.attack("Processes", "limits of threads")
def test_the_processors_of_the_process_limit_the_threads(sixteen, monkeypatch):
    assert threads.limit() == 16
    monkeypatch.setattr(threads, "_quota", lambda: 6)
    assert threads.limit() == 6
    if hasattr(os, "sched_getaffinity"):
        monkeypatch.setattr(os, "sched_getaffinity", lambda process: {5, 7})
        assert threads.limit() == 2


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({"cpu.max": "250000 100000\n"}, 3),
        ({"cpu.max": "max 100000\n"}, sys.maxsize),
        ({"cpu/cpu.cfs_quota_us": "50000\n", "cpu/cpu.cfs_period_us": "100000\n"}, 1),
        ({"cpu/cpu.cfs_quota_us": "-1\n", "cpu/cpu.cfs_period_us": "100000\n"}, sys.maxsize),
        ({"cpu.max": "nonsense"}, sys.maxsize),
        ({}, sys.maxsize),
    ],
)
def test_containers_limit_the_threads(files, expected, tmp_path, monkeypatch):
    """The files as Linux writes them, control groups version 2 and 1."""
    monkeypatch.setattr(threads, "CONTROL_GROUP", tmp_path)
    for name, content in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(content)
    assert threads._quota.__wrapped__() == expected


BACKENDS = {
    "torch": "import torch; torch.set_num_threads({count})",
    "tensorflow": "import tensorflow as tf; tf.config.threading.set_intra_op_parallelism_threads({count})",
}
backends = [
    pytest.param(name, marks=pytest.mark.skipif(not find_spec(name), reason=f"{name} is not installed"))
    for name in BACKENDS
]


@pytest.mark.attack("Processes", "limits of threads")
@pytest.mark.parametrize("backend", backends)
def test_the_backend_limits_the_threads(backend):
    """Counted by the threads that calls leave waiting; results do not depend on their number."""
    report = "\nfrom kspike_reg.neurons.engines.cpu import threads\nprint(threads._helpers.count, call()[3].tobytes())"
    found = {}
    for count in (1, 2):
        output = run(BACKENDS[backend].format(count=count) + CALL + FIRST + report, backend)
        waiting, found[count] = output.split(" ", 1)
        assert int(waiting) == count - 1
    assert found[1] == found[2]


# Forks


FORKS = (
    CALL
    + FIRST
    + """
ended = False
def calls():
    while not ended:
        call()
other = threading.Thread(target=calls)
if {busy}:
    other.start()
for _ in range({times}):
    child = os.fork()
    if child == 0:
        signal.alarm(60)  # a child that hangs is killed
        os._exit(0 if agree(call(), expected) else 3)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert agree(call(), expected)
ended = True
print("done")
"""
)


@posix
@pytest.mark.attack("Processes", "forks between calls, and during calls in other threads")
@pytest.mark.parametrize("busy", [False, True])
def test_a_forked_process_gives_the_same_bits(busy, record_property):
    times = 10
    record_property("times", times)
    assert run(FORKS.format(busy=busy, times=times), LIGHT) == "done\n"


@posix
@pytest.mark.nightly
@pytest.mark.attack("Processes", "forks during calls in other threads, many times")
def test_many_forked_processes_give_the_same_bits(record_property):
    record_property("times", 500)
    assert run(FORKS.format(busy=True, times=500), LIGHT, seconds=3000) == "done\n"


LAYER = """
import multiprocessing, os, signal
import keras, numpy as np
from kspike_reg import neurons
from kspike_reg.neurons.engines.cpu import sequence

os.sched_getaffinity = lambda process: range(3)
sequence.NEURON_STEPS_PER_THREAD = 1
neurons.set_engine("compiled")
layer = neurons.LIF(5, return_sequences=True)
inputs = np.random.default_rng(0).normal(size=(83, 4, 3)).astype("float32")

def outputs(index=None):
    signal.alarm(60)  # a process that hangs is killed
    return keras.ops.convert_to_numpy(layer(inputs))

expected = outputs()
assert 0 < expected.mean() < 1
"""
IN_CHILDREN = {
    "tensorflow": """
with multiprocessing.get_context("fork").Pool(2) as pool:
    found = pool.map_async(outputs, range(4)).get(timeout=100)
""",
    "torch": """
import torch

class Paths(torch.utils.data.Dataset):
    __len__ = lambda self: 4
    __getitem__ = lambda self, index: outputs(index)

loader = torch.utils.data.DataLoader(Paths(), num_workers=2, timeout=100, multiprocessing_context="fork")
found = [batch[0].numpy() for batch in loader]
""",
}
COMPARE = """
assert len(found) == 4 and all(np.array_equal(each, expected) for each in found)
print("done")
"""


@posix
@pytest.mark.attack("Processes", "layers in processes of multiprocessing and of PyTorch's data loaders")
@pytest.mark.parametrize("backend", backends)
def test_layers_run_in_forked_processes(backend):
    assert run(LAYER + IN_CHILDREN[backend] + COMPARE, backend) == "done\n"


# Signals


# Signals arrive at random moments, up to twice the time of a call.
SIGNALS = """
import time

class Interruption(Exception): pass
def interrupt(*_): raise Interruption
signal.signal(signal.SIGALRM, interrupt)
random.seed(1)

def interrupted_call(longest):
    '''Whether a signal ended the call.'''
    try:
        signal.setitimer(signal.ITIMER_REAL, random.uniform(1e-6, longest))
        call()
        return False
    except Interruption:
        return True
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)

def all_interrupted(times, longest):
    count = 0
    while count < times:
        try:
            count += interrupted_call(longest)
        except Interruption:  # within `finally`
            count += 1
"""
RUNNING = """
times = []
for _ in range(3):
    start = time.perf_counter()
    call()
    times.append(time.perf_counter() - start)
for _ in range({times}):
    all_interrupted(1, 2 * min(times))
    assert agree(call(), expected)
from kspike_reg.neurons.engines.cpu import threads
print("done", threads._helpers.count)
"""


@posix
@pytest.mark.attack("Processes", "exceptions from signal handlers at random moments of a call")
def test_an_exception_from_a_signal_handler_leaves_the_next_call_working(record_property):
    times = 20
    record_property("times", times)
    threads_left = run(CALL + FIRST + SIGNALS + RUNNING.format(times=times), LIGHT)
    assert threads_left == "done 2\n" or LIGHT == "torch", "on PyTorch, as many as it was told, perhaps none"


@posix
@pytest.mark.nightly
@pytest.mark.attack("Processes", "exceptions from signal handlers at random moments of a call, many times")
def test_exceptions_from_signal_handlers_leave_the_next_call_working(record_property):
    record_property("times", 500)
    assert run(CALL + FIRST + SIGNALS + RUNNING.format(times=500), LIGHT).startswith("done")


# The first call compiles everything, since there is no machine code on disk.
COMPILING = """
from kspike_reg.neurons.engines.cpu import machine_code, surrogate_derivatives
machine_code.folder = lambda: None
all_interrupted({times}, 0.2)
found = call()
assert surrogate_derivatives.surrogate_derivative("atan", "float32") is not None
assert agree(call(), found)
np.save({file!r}, np.concatenate([part.reshape(-1) for part in found]))
print("done")
"""
SAVED = "\nassert np.array_equal(np.load({file!r}), np.concatenate([part.reshape(-1) for part in call()]))\n"


@posix
@pytest.mark.attack("Processes", "exceptions from signal handlers while machine code is made")
def test_an_exception_from_a_signal_handler_leaves_numba_working(tmp_path, record_property):
    times = 20
    record_property("times", times)
    file = str(tmp_path / "found.npy")
    assert run(CALL + SIGNALS + COMPILING.format(times=times, file=file), LIGHT) == "done\n"
    run(CALL + SAVED.format(file=file), LIGHT)


END = """
import sys, time
from kspike_reg.neurons.engines.cpu import threads
threads.limit = lambda: 3
started = time.monotonic()
def work(part):
    if threading.current_thread() is threading.main_thread():
        raise KeyboardInterrupt
    for _ in range(3):
        call()
    print(part, flush=True)
call()
try:
    threads.share(work, [("a",), ("b",), ("c",)], 3)
except KeyboardInterrupt:
    sys.exit()
"""


@posix
def test_python_ends_after_the_work_that_an_exception_left():
    """Threads that run machine code while Python frees it would end in a segmentation fault."""
    assert len(run(CALL + END, LIGHT).split()) <= 2
