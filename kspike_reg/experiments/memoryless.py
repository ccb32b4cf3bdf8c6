"""The error without memory: the best guess of the stress from the strain and the step alone."""

import numpy as np

from kspike_reg.datasets import Paths
from kspike_reg.errors import InputError

__all__ = ["memoryless_error"]


def memoryless_error(training: Paths, test: Paths, neighbours: int = 16) -> float:
    """Error of a regressor that receives the inputs at one step, and the number of the step, but no history.

    For each path of the test set it takes the mean target of the training paths whose inputs at the same step are
    nearest. The memory of a network is worth the difference between this error and the error of the network.

    Args:
        training, test: `datasets.Paths` with targets, all of one length.
        neighbours: training paths in the mean.

    Returns:
        The root mean square error in standard deviations of the training targets.

    Raises:
        InputError: there are not more training paths than neighbours.
    """
    if len(training) <= neighbours:
        raise InputError(
            f"memoryless_error: expected more than {neighbours} training paths, received {len(training)}; use more "
            "training paths or fewer neighbours"
        )
    squares = []
    for step in range(test.inputs.shape[1]):
        distances = np.linalg.norm(test.inputs[:, None, step] - training.inputs[None, :, step], axis=2)
        nearest = np.argpartition(distances, neighbours, axis=1)[:, :neighbours]
        squares.append((training.targets[nearest, step].mean(axis=1) - test.targets[:, step]) ** 2)
    return float(np.sqrt(np.mean(squares)) / training.targets.std())
