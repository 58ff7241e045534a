"""Many tasks in one number: worked numbers, test images in common, other tasks."""

import math

import pytest
from scipy.stats import t as student

from balancebench.leaderboard.aggregate import TaskDifference, over_tasks, signed_rank_p
from balancebench.leaderboard.statistics import deviation, mean


def of_task(differences, **changes):
    half_width = student.ppf(0.975, len(differences) - 1) * deviation(differences) / math.sqrt(len(differences))
    return TaskDifference(mean=mean(differences), half_width=half_width, df=len(differences) - 1, **changes)


def points(scores, first, second):
    return [100 * (a - b) for a, b in zip(scores[first], scores[second], strict=True)]


def test_two_tasks_add_up_as_worked_out(worked_scores):
    tasks = [points(worked_scores[task], "cmo + ldam_drw", "ldam_drw") for task in ("long_tail", "step")]
    total = over_tasks([of_task(task) for task in tasks])
    assert total.mean == pytest.approx(4.080, abs=5e-4)
    assert total.standard_error == pytest.approx(1.4415, abs=5e-4)
    assert total.df == pytest.approx(2.1445, abs=5e-4)
    assert (total.interval.low, total.interval.high) == (pytest.approx(-1.74, abs=0.01), pytest.approx(9.90, abs=0.01))
    assert total.p == pytest.approx(0.0975, abs=5e-5)


def test_two_tasks_against_the_floor_add_up_as_worked_out(worked_scores):
    tasks = [points(worked_scores[task], "cmo + ldam_drw", "none") for task in ("long_tail", "step")]
    total = over_tasks([of_task(task) for task in tasks])
    assert (total.mean, total.df) == (pytest.approx(19.67, abs=5e-3), pytest.approx(3.519, abs=5e-4))
    assert (total.interval.low, total.interval.high) == (pytest.approx(15.95, abs=0.01), pytest.approx(23.39, abs=0.01))
    assert over_tasks([of_task(task) for task in reversed(tasks)]) == total


def test_one_task_has_its_own_interval_back():
    task = of_task([1.0, 2.0, 4.0])
    assert over_tasks([task]).interval.high == pytest.approx(task.mean + task.half_width)


def test_tasks_on_the_same_test_images_share_what_these_add():
    apart = [of_task([1.0, 2.0, 4.0], image_variance=0.5, test_images=name) for name in ("mnist", "digits")]
    shared = [of_task([1.0, 2.0, 4.0], image_variance=0.5, test_images="mnist") for _ in range(2)]
    difference = over_tasks(shared).standard_error ** 2 - over_tasks(apart).standard_error ** 2
    assert difference == pytest.approx(2 * 0.5 / 4)  # a correlation of 1 adds 2 sqrt(v v) to the sum of two


def test_nothing_that_varies_leaves_a_point():
    still = over_tasks([of_task([1.0, 1.0])])
    assert (still.interval.low, still.interval.high, still.p) == (1.0, 1.0, 0.0)
    assert over_tasks([of_task([0.0, 0.0])]).p == 1


def test_other_tasks_are_spoken_of_from_six_on():
    assert signed_rank_p([1.0] * 5) is None
    assert signed_rank_p([1.0, 2.0, 3.0, 4.0, 5.0, 6.0]) == pytest.approx(2 / 2**6)
    assert signed_rank_p([0.0] * 6) == 1
