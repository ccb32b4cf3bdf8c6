"""What several studies read off finished cases: errors, the best case, means over seeds."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np

from kspike_reg.experiments.case import Case

__all__ = ["best", "error_of", "mean_over", "minutes_of", "validation_error"]


def error_of(case: Case, data: str = "test", steps: str = "all", metric: str = "mean_relative_error") -> float:
    """An error of a finished case on standardised data.

    Args:
        case: a finished case.
        data: "test", "validation" or "untrained", the untrained network on the test set.
        steps: "all" or "last".
        metric: the name of a function in `kspike_reg.metrics`.

    Returns:
        The error; NaN where it is undefined.
    """
    error = case.metrics[data]["errors"]["standardised"][metric][steps]
    return np.nan if error is None else error


def validation_error(metrics: Mapping[str, Any]) -> float:
    """The root mean square error on validation data, by which studies choose among cases.

    Args:
        metrics: the content of a metrics.json.

    Returns:
        The error in standard deviations.
    """
    return metrics["validation"]["errors"]["standardised"]["root_mean_squared_error"]["all"]


def best(cases: Iterable[Case]) -> Case:
    """Choose the case with the smallest root mean square error on validation data.

    Args:
        cases: finished cases, at least one.

    Returns:
        One of them.
    """
    return min(cases, key=lambda case: validation_error(case.metrics))


def minutes_of(case: Case) -> float:
    """The duration of the training.

    Args:
        case: a finished case.

    Returns:
        Minutes.
    """
    return case.metrics["training"]["seconds"] / 60


def mean_over(cases: Iterable[Case], measure: Callable[[Case], float]) -> float:
    """Average a measure over cases, over the seeds of one setting for instance.

    Args:
        cases: finished cases.
        measure: a function from a case to a number.

    Returns:
        The mean.
    """
    return float(np.mean([measure(case) for case in cases]))
