"""How far one gets without memory: the best guess of the stress from the strain and the step alone."""

import numpy as np

__all__ = ["memoryless_error"]


def memoryless_error(training, test, neighbours=16):
    """Error of a regressor that sees the inputs at one step, and which step it is, but nothing of the history.

    For each path of the test set it takes the mean target of the training paths whose inputs at the same step are
    nearest. What a network with memory leaves of this error is what its memory is worth.

    Args:
        training, test: `datasets.Paths` with targets, all of one length.
        neighbours: training paths in the mean.

    Returns:
        The root mean square error in standard deviations of the training targets.
    """
    squares = []
    for step in range(test.inputs.shape[1]):
        distances = np.linalg.norm(test.inputs[:, None, step] - training.inputs[None, :, step], axis=2)
        nearest = np.argpartition(distances, neighbours, axis=1)[:, :neighbours]
        squares.append((training.targets[nearest, step].mean(axis=1) - test.targets[:, step]) ** 2)
    return float(np.sqrt(np.mean(squares)) / training.targets.std())
