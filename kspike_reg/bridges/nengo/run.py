"""Running a network on plain Nengo: one path after the other, from rest, in single precision."""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager

import nengo
import numpy as np
from nengo.builder import Model

from kspike_reg.bridges.progress import ProgressBar

__all__ = ["run"]


def run(
    network: nengo.Network,
    data: dict[nengo.Node, np.ndarray],
    probes: Sequence[nengo.Probe],
    progress: bool | None = None,
) -> dict[nengo.Probe, np.ndarray]:
    """Run every path on one simulator, which is reset between paths.

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
        # A model of its own keeps Nengo from writing a cache of decoders, of which there are none, to the disk. With
        # dt=1 the time is exactly the number of the step.
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
    """The output of an input node: from a time, which counts the steps from one, to that step of the current path."""

    def __init__(self, array: np.ndarray) -> None:
        self.array, self.path = array, 0

    def __call__(self, time: float) -> np.ndarray:
        return self.array[self.path, max(int(time) - 1, 0)]


@contextmanager
def _fed(feeds) -> Iterator[None]:
    """Let nodes emit data, and restore their outputs."""
    before = {node: node.output for node in feeds}
    try:
        for node, feed in feeds.items():
            node.output = feed
        yield
    finally:
        for node, output in before.items():
            node.output = output


@contextmanager
def _only(network, probes) -> Iterator[None]:
    """Remove all other probes from a network, and restore them."""
    before = list(network.probes)
    try:
        network.probes[:] = [probe for probe in before if probe in probes]
        yield
    finally:
        network.probes[:] = before


@contextmanager
def _single_precision() -> Iterator[None]:
    before = nengo.rc["precision"]["bits"]
    nengo.rc["precision"]["bits"] = "32"
    try:
        yield
    finally:
        nengo.rc["precision"]["bits"] = before
