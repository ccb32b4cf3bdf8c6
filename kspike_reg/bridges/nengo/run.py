"""Running a network on plain Nengo: one path after the other, from rest, in single precision."""

from contextlib import ExitStack, contextmanager

import nengo
import numpy as np
from nengo.builder import Model

from kspike_reg.bridges.progress import ProgressBar

__all__ = ["run"]


def run(network, data, probes, progress=None):
    """Run every path on one simulator, which is reset in between.

    Args:
        network: a `nengo.Network`.
        data: arrays (n, T, width) by input node.
        probes: probes of the network.
        progress: see `simulate`.

    Returns:
        Arrays (n, T, width) by probe.
    """
    paths, steps = next(iter(data.values())).shape[:2]
    feeds = {node: _Feed(array) for node, array in data.items()}
    records = {probe: np.empty((paths, steps, probe.size_in), "float32") for probe in probes}
    with ExitStack() as stack:
        for context in (_fed(feeds), _only(network, probes), _single_precision()):
            stack.enter_context(context)
        # A model of its own keeps Nengo's cache of decoders, of which there are none, off the disk. With dt=1 the time
        # is the number of the step, exactly.
        simulator = stack.enter_context(nengo.Simulator(network, model=Model(dt=1.0), progress_bar=False))
        bar = stack.enter_context(ProgressBar("Nengo", paths, progress))
        for path in range(paths):
            for feed in feeds.values():
                feed.path = path
            simulator.reset()
            simulator.run_steps(steps, progress_bar=False)
            for probe, record in records.items():
                record[path] = simulator.data[probe]
            bar.done(path + 1)
    return records


class _Feed:
    """What an input node gives at a time: the step of that number, from one, of the path at hand."""

    def __init__(self, array):
        self.array, self.path = array, 0

    def __call__(self, time):
        return self.array[self.path, max(int(time) - 1, 0)]


@contextmanager
def _fed(feeds):
    """Let nodes give data, and give back what they gave before."""
    before = {node: node.output for node in feeds}
    try:
        for node, feed in feeds.items():
            node.output = feed
        yield
    finally:
        for node, output in before.items():
            node.output = output


@contextmanager
def _only(network, probes):
    """Leave out the probes that nobody asks for, and bring them back."""
    before = list(network.probes)
    try:
        network.probes[:] = [probe for probe in before if probe in probes]
        yield
    finally:
        network.probes[:] = before


@contextmanager
def _single_precision():
    before = nengo.rc["precision"]["bits"]
    nengo.rc["precision"]["bits"] = "32"
    try:
        yield
    finally:
        nengo.rc["precision"]["bits"] = before
