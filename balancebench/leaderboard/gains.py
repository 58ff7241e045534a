"""What made images gained on each task, beside how a metric of the training subset found its images.

Gains are in per cent of the floor's value: 100 * (row - floor) / floor.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from balancebench.leaderboard.board import Leaderboard, Row, TaskTable
from balancebench.leaderboard.intervals import Interval
from balancebench.leaderboard.results import CellResult

__all__ = ["RowGain", "TaskGains", "gains_of"]


@dataclass(frozen=True, slots=True, kw_only=True)
class RowGain:
    """A row's mean gain in per cent of the floor; interval: of 95 %, the floor taken as it is, None where unknown."""

    balancer: str
    gain: float
    interval: Interval | None


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskGains:
    """A task whose subset was measured. measure: the mean over subsets. metric: what gains are of.

    rows: those that added made images, best rank first.
    """

    suite: str
    task: str
    measure: float
    metric: str
    rows: tuple[RowGain, ...]


def gains_of(board: Leaderboard, cells: Sequence[CellResult], measure: str) -> list[TaskGains]:
    """Return the tasks of a board that have the measure, a floor above 0, and a ranked row that adds made images.

    measure: the label of a metric of the training subset. Of each task the first report is read.
    """
    makes_images = {(cell.task, cell.balancer) for cell in cells if "synthesise" in cell.steps}
    tasks: dict[str, TaskGains] = {}
    for table in board.tables:
        measured = table.measures.get(measure)
        rows = list(_gains(table, {balancer for task, balancer in makes_images if task == table.task}))
        if str(table.task) in tasks or measured is None or measured.mean is None or table.ranked_by is None or not rows:
            continue
        tasks[str(table.task)] = TaskGains(
            suite=board.suite.name,
            task=str(table.task),
            measure=measured.mean,
            metric=table.ranked_by,
            rows=tuple(rows),
        )
    return list(tasks.values())


def _gains(table: TaskTable, makers: set[str]) -> Iterator[RowGain]:
    """Yield the gains of the ranked rows that `makers` names, in the order of ranks."""
    floors = [row for row in table.rows if row.role == "floor"]
    higher = {metric.label: metric.higher_is_better for metric in table.metrics}
    if not floors or table.ranked_by is None or not higher[table.ranked_by]:
        return
    floor = floors[0].metrics[table.ranked_by].over_seeds.mean
    if floor is None or floor <= 0:
        return
    for row in _ranked(table.rows):
        difference = row.metrics[table.ranked_by].difference
        if row.balancer not in makers or row.role != "entry" or difference.mean is None:
            continue
        interval = difference.interval
        yield RowGain(
            balancer=row.balancer,
            gain=100 * difference.mean / floor,
            interval=None if interval is None else _in_per_cent(interval, floor),
        )


def _ranked(rows: Sequence[Row]) -> list[Row]:
    return sorted((row for row in rows if row.rank is not None), key=lambda row: row.rank or 0)


def _in_per_cent(interval: Interval, floor: float) -> Interval:
    return Interval(low=100 * interval.low / floor, high=100 * interval.high / floor)
