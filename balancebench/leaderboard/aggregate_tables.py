"""The rows of a suite over all of its tasks, by the metric that ranks."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from balancebench.evaluation import Report
from balancebench.leaderboard.aggregate import TaskDifference, over_tasks, signed_rank_p
from balancebench.leaderboard.board import AggregateRow, AggregateTable, Difference, Row, TaskTable
from balancebench.leaderboard.results import MetricHeader, SuiteHeader
from balancebench.leaderboard.statistics import mean
from balancebench.plan import CellRole, Task

__all__ = ["aggregate_tables"]

SAME_RANK_DECIMALS = 12
NO_DIFFERENCE = "it has no difference from the floor in any task"
ONE_SEED = "one seed in a task tells nothing of others"


def aggregate_tables(suite: SuiteHeader, tables: Sequence[TaskTable]) -> tuple[AggregateTable, ...]:
    """Return a table of each report that ranks two or more rows in two or more tasks by the same metric.

    There is none of best_test, whose epochs the test set chose.
    """
    aggregates: list[AggregateTable] = []
    for report in suite.reports:
        if report == "best_test":
            continue
        of_report = [table for table in tables if table.report == report]
        labels = {table.ranked_by for table in of_report}
        if len(of_report) > 1 and len(labels) == 1 and (label := labels.pop()) is not None:
            ranked_by = next(metric for metric in suite.metrics if metric.label == label)
            aggregates.append(_aggregate(report, of_report, ranked_by))
    return tuple(table for table in aggregates if sum(row.mean_rank is not None for row in table.rows) > 1)


def _aggregate(report: Report, tables: Sequence[TaskTable], ranked_by: MetricHeader) -> AggregateTable:
    by_name: dict[tuple[CellRole, str], dict[Task, Row]] = {}
    for table in tables:
        for row in table.rows:
            if row.role != "ceiling":
                by_name.setdefault((row.role, row.balancer), {})[table.task] = row
    tasks = tuple(table.task for table in tables)
    ranks = _ranks([of_tasks for of_tasks in by_name.values() if not _lacks(of_tasks, tasks)], tables)
    rooms = {table.task: _room(table, ranked_by) for table in tables}
    rows = [_row(name, of_tasks, tasks, ranks.get(name), rooms, ranked_by) for name, of_tasks in by_name.items()]
    direction = 1 if ranked_by.higher_is_better else -1

    def order(row: AggregateRow) -> tuple[float, float, str]:
        difference = 0.0 if row.difference.mean is None else row.difference.mean
        return math.inf if row.mean_rank is None else row.mean_rank, -direction * difference, row.balancer

    return AggregateTable(report=report, ranked_by=ranked_by, tasks=tasks, rows=tuple(sorted(rows, key=order)))


def _lacks(of_tasks: Mapping[Task, Row], tasks: Sequence[Task]) -> tuple[Task, ...]:
    return tuple(task for task in tasks if task not in of_tasks or of_tasks[task].rank is None)


def _ranks(complete: Sequence[Mapping[Task, Row]], tables: Sequence[TaskTable]) -> dict[tuple[CellRole, str], float]:
    """Return the mean rank over tasks of rows that have all, among themselves."""
    ranks: dict[tuple[CellRole, str], list[int]] = {}
    for table in tables:
        rows = [of_tasks[table.task] for of_tasks in complete]
        standings = sorted(row.rank for row in rows if row.rank is not None)
        for row in rows:
            assert row.rank is not None  # noqa: S101 - of complete rows
            ranks.setdefault((row.role, row.balancer), []).append(1 + standings.index(row.rank))
    return {name: round(sum(of_row) / len(of_row), SAME_RANK_DECIMALS) for name, of_row in ranks.items()}


def _room(table: TaskTable, metric: MetricHeader) -> float | None:
    """Return the ceiling's mean difference from the floor."""
    ceiling = next((row for row in table.rows if row.role == "ceiling"), None)
    return None if ceiling is None else ceiling.metrics[metric.label].difference.mean


def _row(
    name: tuple[CellRole, str],
    of_tasks: Mapping[Task, Row],
    tasks: Sequence[Task],
    mean_rank: float | None,
    rooms: Mapping[Task, float | None],
    metric: MetricHeader,
) -> AggregateRow:
    role, balancer = name
    differences = {
        task: difference
        for task, row in of_tasks.items()
        if (difference := row.metrics[metric.label].difference).mean is not None
    }
    against = [row.against_floor for row in of_tasks.values() if row.against_floor is not None]
    verdicts = [verdict.verdict for verdict in against]
    of_floor = role == "floor"
    return AggregateRow(
        balancer=balancer,
        role=role,
        mean_rank=mean_rank,
        difference=_over_tasks(differences),
        gap_closed=_gap_closed(differences, rooms, metric),
        won=None if of_floor else verdicts.count("better"),
        level=None if of_floor else verdicts.count(None),
        lost=None if of_floor else verdicts.count("worse"),
        lacks=_lacks(of_tasks, tasks),
        signed_rank_p=signed_rank_p([task.mean for task in differences.values() if task.mean is not None]),
    )


def _over_tasks(differences: Mapping[Task, Difference]) -> Difference:
    if not differences:
        return Difference(mean=None, reason=NO_DIFFERENCE)
    means = [difference.mean for difference in differences.values() if difference.mean is not None]
    known = {task: interval for task, difference in differences.items() if (interval := difference.interval)}
    if len(known) < len(differences):
        return Difference(mean=mean(means), n=len(means), interval_reason=ONE_SEED)
    total = over_tasks(
        [
            TaskDifference(
                mean=difference.mean or 0.0,
                half_width=(known[task].high - known[task].low) / 2,
                df=difference.df or 1.0,
                image_variance=difference.image_variance,
                test_images=task.dataset,
            )
            for task, difference in differences.items()
        ]
    )
    reasons = sorted({difference.interval_reason for difference in differences.values() if difference.interval_reason})
    return Difference(
        mean=mean(means),
        n=len(means),
        seeds_interval=total.interval if reasons else None,
        full_interval=None if reasons else total.interval,
        p=total.p,
        interval_reason="; ".join(reasons),
    )


def _gap_closed(
    differences: Mapping[Task, Difference], rooms: Mapping[Task, float | None], metric: MetricHeader
) -> float | None:
    """Return the sum of gains over the sum of rooms, None where a room is not known or there is none in all."""
    gains = [difference.mean for difference in differences.values() if difference.mean is not None]
    room = [rooms[task] for task in differences]
    known = [value for value in room if value is not None]
    if not gains or metric.higher_is_better is None or len(known) < len(room):
        return None
    total = math.fsum(known)
    return math.fsum(gains) / total if (total if metric.higher_is_better else -total) > 0 else None
