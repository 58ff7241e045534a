"""Many tasks in one number: about these tasks, which somebody chose, and no others.

Of T tasks with a mean difference m_t, the variance v_t of it and S_t seeds:

    M = mean_t m_t    V = sum_t v_t / T^2    df = V^2 / sum_t ((v_t / T^2)^2 / (S_t - 1))    M +- t(df) sqrt(V)

v_t is h_t^2 / t^2 of the task's own interval. Tasks that are tested on the same images share what those images add: the
variances by images of such tasks are added as if correlated 1, the square of the sum of their roots.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

from balancebench.leaderboard.intervals import LEVEL, Interval

__all__ = ["FEWEST_TASKS", "OverTasks", "TaskDifference", "over_tasks", "signed_rank_p"]

FEWEST_TASKS = 6  # Wilcoxon's least p is 2 / 2^T: 0.0625 of five tasks


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskDifference:
    """A mean difference in one task.

    mean, half_width: of the task's own interval, over seeds alone or with images. df: its degrees of freedom over
    seeds, >= 1. image_variance: the part v of test images, 0 where not known. test_images: what names the test set;
    tasks of equal ones share it.
    """

    mean: float
    half_width: float
    df: float
    image_variance: float = 0.0
    test_images: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class OverTasks:
    """The mean difference over tasks. df: infinite where nothing varies over seeds. p: two-sided, of no difference."""

    mean: float
    standard_error: float
    df: float
    interval: Interval
    p: float


def over_tasks(differences: Sequence[TaskDifference]) -> OverTasks:
    """Return the mean over T >= 1 tasks; the order of tasks changes no bit."""
    from scipy.special import stdtr, stdtrit

    count = len(differences)
    tail = (1 - LEVEL) / 2
    mean = math.fsum(task.mean for task in differences) / count
    of_tasks = [(task.half_width / -float(stdtrit(task.df, tail))) ** 2 / count**2 for task in differences]
    variance = math.fsum([*of_tasks, _shared(differences) / count**2])
    spread = math.fsum(part**2 / task.df for part, task in zip(of_tasks, differences, strict=True))
    df = variance**2 / spread if spread > 0 else math.inf
    error = math.sqrt(variance)
    critical = -float(stdtrit(df, tail))
    p = 2 * float(stdtr(df, -abs(mean) / error)) if error > 0 else float(mean == 0)
    return OverTasks(mean=mean, standard_error=error, df=df, interval=Interval.around(mean, critical * error), p=p)


def _shared(differences: Sequence[TaskDifference]) -> float:
    """Return what tasks on the same test images add to the sum of their variances: twice the products of roots."""
    by_images: dict[str, list[float]] = {}
    for task in differences:
        if task.test_images:
            by_images.setdefault(task.test_images, []).append(task.image_variance)
    return math.fsum(
        max(0.0, math.fsum(map(math.sqrt, variances)) ** 2 - math.fsum(variances)) for variances in by_images.values()
    )


def signed_rank_p(means: Sequence[float]) -> float | None:
    """Return Wilcoxon's signed rank p over the tasks' means, two-sided, exact up to 50; None below six tasks.

    Below six it cannot be smaller than 0.05, whatever the means: no claim about other tasks is possible.
    """
    from scipy.stats import wilcoxon

    if len(means) < FEWEST_TASKS:
        return None
    if not any(means):
        return 1.0
    _statistic, p = cast("tuple[float, float]", wilcoxon(list(means), method="auto"))
    return float(p)
