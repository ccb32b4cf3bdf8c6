"""Losses over the course of training."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes

from kspike_reg.escape import plot_text
from kspike_reg.plotting.style import BLACK, BLUE, OUTSIDE, VERMILION, own_axes, styles

__all__ = ["learning_curves", "loss_curves"]


def loss_curves(history: Mapping[str, Sequence[float]], axes: Axes | None = None) -> Axes:
    """Training and validation loss over the epochs, with the best epoch marked.

    Args:
        history: lists `epoch`, `loss` and `val_loss`, as `training.fit` returns them.
        axes: matplotlib axes to draw on; None makes a figure.

    Returns:
        The axes.
    """
    axes = own_axes(axes)
    epochs = np.asarray(history["epoch"]) + 1
    best = int(np.nanargmin(history["val_loss"]))  # an epoch may have diverged
    axes.semilogy(epochs, history["loss"], color=BLUE, linewidth=1, label="training")
    axes.semilogy(epochs, history["val_loss"], color=VERMILION, linewidth=1, linestyle="--", label="validation")
    axes.plot(epochs[best], history["val_loss"][best], "o", color=BLACK, label=f"best, epoch {epochs[best]:.0f}")
    axes.set(xlabel="epoch", ylabel="mean squared error (standardised)", xlim=(1, max(2, epochs[-1])))
    axes.grid(alpha=0.3)
    axes.legend()
    return axes


def learning_curves(histories: Mapping[str, Mapping[str, Sequence[float]]], axes: Axes | None = None) -> Axes:
    """Validation loss of several runs over the share of their training.

    Args:
        histories: for each name a dictionary of lists with `val_loss`.
        axes: matplotlib axes to draw on; None makes a figure.

    Returns:
        The axes.
    """
    axes = own_axes(axes)
    for name, history, style in zip(histories, histories.values(), styles(), strict=False):
        losses = np.minimum.accumulate(history["val_loss"])  # the loss of the model that training would keep
        axes.semilogy(np.arange(1, len(losses) + 1) / len(losses), losses, linewidth=1, label=plot_text(name), **style)
    axes.set(xlabel="share of the training", ylabel="lowest validation loss so far (standardised)", xlim=(0, 1))
    axes.grid(alpha=0.3)
    # Next to the axes where the legend is too long to fit inside.
    axes.legend(fontsize="x-small", **({} if len(histories) <= 6 else OUTSIDE))
    return axes
