"""Threads that share the work of a call.

They survive what happens to processes. After a fork, the child starts threads of its own. When a signal handler raises
an exception, in whatever line, the next call works: the calling thread takes no lock of Python's, which it could leave
locked, but only passes jobs through queues, which are written in C.
"""

import _thread
import atexit
import math
import os
import sys
import threading
import time
from collections.abc import Callable, Iterable
from functools import cache
from pathlib import Path
from queue import SimpleQueue
from typing import Any

import keras

__all__ = ["limit", "share", "uninterrupted"]

CONTROL_GROUP = Path("/sys/fs/cgroup")


class Helpers:
    """Threads that wait for jobs.

    Attributes:
        jobs: functions without arguments that raise nothing; any free thread takes the next one; None ends a thread.
        count: threads that were started to wait for jobs.
        alive: identifiers of all threads that have not ended.
    """

    def __init__(self) -> None:
        self.jobs, self.count, self.alive, self.are_open = SimpleQueue(), 0, set(), True

    def call(self, job: Callable[[], None], times: int) -> None:
        """Let up to `times` threads do a job, fewer if the system starts no more."""
        while self.count < times and self.start(self._serve):
            self.count += 1
        for _ in range(min(times, self.count) if self.are_open else 0):
            self.jobs.put(job)

    def start(self, function: Callable[[], None]) -> bool:
        """Run a function in a thread of its own; returns whether the system starts one."""

        def run():
            self.alive.add(_thread.get_ident())
            try:
                function()
            finally:
                self.alive.discard(_thread.get_ident())

        try:
            # Not `threading.Thread`, whose `start` waits for a lock of Python's.
            return self.are_open and bool(_thread.start_new_thread(run, ()))
        except RuntimeError:  # the system has no more threads, or Python ends
            return False

    def end(self) -> None:
        """Wait for the threads: the end of Python frees the machine code that they run."""
        self.are_open = False
        for _ in range(len(self.alive)):
            self.jobs.put(None)
        while self.alive:
            time.sleep(0.001)

    def _serve(self):
        while (job := self.jobs.get()) is not None:
            job()
            del job  # a waiting thread keeps no arrays


def share(work: Callable, parts: Iterable[tuple], most: int) -> None:
    """Call `work(*part)` for all parts, in several threads. Compiled code runs without Python's lock.

    A thread that is done takes the next part, so that one that the system delays does not delay the others. After an
    exception, no thread takes another part.

    Args:
        work: a function.
        parts: its arguments.
        most: threads that are worth their cost.
    """
    parts = list(parts)
    expected, remaining, results = len(parts), iter(parts), SimpleQueue()

    def take_parts():
        for part in remaining:  # the iterator of a list gives each part to one thread only
            try:
                work(*part)
            except BaseException as error:
                results.put(error)
            else:
                results.put(None)

    threads = min(most, expected)
    threads = min(threads, limit()) if threads > 1 else 1
    try:
        _helpers.call(take_parts, threads - 1)
        for part in remaining:
            work(*part)
            results.put(None)
        for _ in range(expected):
            error = results.get()
            if error is not None:
                raise error
    finally:
        parts.clear()


def uninterrupted(function: Callable, *arguments: Any) -> Any:
    """Call a function where no signal handler can raise an exception.

    Python runs signal handlers in the main thread; for that thread, another one calls the function, and finishes it
    even if the main thread does not wait for the result. Numba, for one, does not recover from an exception at any
    point of a compilation.

    Args:
        function, *arguments: the call.

    Returns:
        The result of the function.

    Raises:
        BaseException: what the function, or a signal handler, raises.
    """
    results = SimpleQueue()

    def call():
        try:
            results.put((function(*arguments), None))
        except BaseException as error:
            results.put((None, error))

    if threading.get_ident() != threading.main_thread().ident or not _helpers.start(call):
        return function(*arguments)
    result, error = results.get()
    if error is not None:
        raise error
    return result


def limit() -> int:
    """The threads that a call may use.

    Returns:
        The smallest of: the processors that this process may run on, those that its container grants, OMP_NUM_THREADS,
        NUMBA_NUM_THREADS, and the threads of an operation of the backend (`torch.set_num_threads`,
        `tf.config.threading.set_intra_op_parallelism_threads`, TF_NUM_INTRAOP_THREADS).
    """
    processors = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    limits = [processors, _quota(), _variable("OMP_NUM_THREADS"), _variable("NUMBA_NUM_THREADS")]
    backend = keras.backend.backend()
    if backend == "torch":
        import torch

        limits.append(torch.get_num_threads())
    elif backend == "tensorflow":
        limits.append(_tensorflow_threads())
    return max(1, min(limits))


def _variable(name):
    """The number in a variable of the environment; of a list, the first, which is for the outermost level."""
    number = os.environ.get(name, "").split(",")[0].strip()
    return int(number) if number.isdecimal() and int(number) else sys.maxsize


@cache
def _tensorflow_threads():
    """TensorFlow fixes its threads when it starts; zero stands for all processors."""
    import tensorflow as tf

    threads = tf.config.threading.get_intra_op_parallelism_threads()
    return threads or _variable("TF_NUM_INTRAOP_THREADS")


@cache
def _quota():
    """The processors whose time a Linux container grants, rounded up."""
    for names in (("cpu.max",), ("cpu/cpu.cfs_quota_us", "cpu/cpu.cfs_period_us")):  # control groups, version 2 or 1
        try:
            quota, period = " ".join((CONTROL_GROUP / name).read_text() for name in names).split()
            if int(quota) > 0:
                return math.ceil(int(quota) / int(period))
        except (OSError, ValueError):  # no such file, or no limit, "max"
            continue
    return sys.maxsize


_helpers = Helpers()


@atexit.register
def _end_helpers():
    _helpers.end()


def _renew_helpers():
    """A forked process has none of the threads."""
    global _helpers
    _helpers = Helpers()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_renew_helpers)
