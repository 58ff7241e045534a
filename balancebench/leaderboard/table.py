"""Builds a leaderboard from results: groups cells into rows, gates and ranks them. Pure."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence

from balancebench.config import JSON
from balancebench.errors import LeaderboardError
from balancebench.evaluation import Report
from balancebench.leaderboard.aggregate_tables import aggregate_tables
from balancebench.leaderboard.board import Leaderboard, Summary, TaskTable
from balancebench.leaderboard.comparisons import Comparisons
from balancebench.leaderboard.contest import Contest, Form, Group, RowName, score_form
from balancebench.leaderboard.fingerprints import reference_subsets, why_not_comparable
from balancebench.leaderboard.outcomes import Outcomes
from balancebench.leaderboard.ranges import interval_notes, tell_apart
from balancebench.leaderboard.ranking import ranking_of
from balancebench.leaderboard.results import (
    CELL_STATUSES,
    CellResult,
    MetricHeader,
    SubsetSummary,
    SuiteHeader,
    describe_suite,
)
from balancebench.leaderboard.rows import build_row
from balancebench.leaderboard.shapes import without_misfits
from balancebench.leaderboard.statistics import mean, summarise
from balancebench.plan import CellRole, Task
from balancebench.suite.bound import BoundSuite
from balancebench.suite.schema import Axis

__all__ = ["build_leaderboard", "contests"]


def build_leaderboard(
    suite: BoundSuite | SuiteHeader, results: Sequence[CellResult], outcomes: Outcomes | None = None
) -> Leaderboard:
    """Return the tables of a suite; the order of `results` does not matter.

    outcomes: what became of each test image, see `balancebench.leaderboard.outcomes`; without them intervals are over
    seeds alone.

    Rows are ranked by the suite's first metric that is one number and has a better direction, see
    `balancebench.leaderboard.ranking`. Raises LeaderboardError where a cell occurs twice.
    """
    header = suite if isinstance(suite, SuiteHeader) else describe_suite(suite)
    results = without_misfits(results)
    tables = [
        _table(contest, report) for contest in contests(header, results, outcomes or {}) for report in header.reports
    ]
    statuses = {cell.score_key: cell.status for cell in results}
    counts = Counter(statuses.values())
    return Leaderboard(
        suite=header,
        counts={status: counts[status] for status in CELL_STATUSES if counts[status]},
        environments=_environments(results),
        aggregates=aggregate_tables(header, tables),
        tables=tuple(tables),
    )


def contests(suite: SuiteHeader, results: Sequence[CellResult], outcomes: Outcomes) -> list[Contest]:
    """Return the rows of each task as they are compared, in the order of the suite."""
    return [_contest(suite, task, groups, outcomes) for task, groups in _grouped(suite, results).items()]


def _grouped(suite: SuiteHeader, results: Sequence[CellResult]) -> dict[Task, dict[RowName, Group]]:
    """Return the cells by task and row, everything in the order of the suite."""
    positions: dict[Axis, dict[str, int]] = {
        axis: {label: index for index, label in enumerate(labels)} for axis, labels in suite.axes.items()
    }
    role_positions: dict[CellRole, int] = {"floor": 0, "entry": 1, "ceiling": 2}

    def position(axis: Axis, label: str) -> tuple[int, str]:
        return positions[axis].get(label, len(positions[axis])), label

    def order(cell: CellResult) -> tuple[object, ...]:
        return (
            position("dataset", cell.task.dataset),
            position("imbalancer", cell.task.imbalancer),
            position("classifier", cell.task.classifier),
            role_positions[cell.role],
            position("balancer", cell.balancer),
            cell.seeds,
        )

    tasks: dict[Task, dict[RowName, Group]] = {}
    for cell in sorted(results, key=order):
        group = tasks.setdefault(cell.task, {}).setdefault((cell.role, cell.balancer), Group())
        seeds = str(cell.seeds)
        if seeds in group:
            raise LeaderboardError(f"there are two results of {cell}")
        group[seeds] = cell
    return tasks


def _contest(suite: SuiteHeader, task: Task, groups: Mapping[RowName, Group], outcomes: Outcomes) -> Contest:
    loaded = {cell.steps.get("load") for group in groups.values() for cell in group.values() if cell.status == "done"}
    load_key = loaded.pop() if len(loaded) == 1 else None
    subsets = reference_subsets([list(group.values()) for group in groups.values()])
    return Contest(
        suite=suite,
        task=task,
        groups=groups,
        floor=next((group for (role, _), group in groups.items() if role == "floor"), None),
        ceiling=next((group for (role, _), group in groups.items() if role == "ceiling"), None),
        subsets=subsets,
        unfit={
            name: "" if name[0] == "ceiling" else why_not_comparable(list(group.values()), subsets)
            for name, group in groups.items()
        },
        outcomes=None if load_key is None else outcomes.get(load_key),
    )


def _table(contest: Contest, report: Report) -> TaskTable:
    cells = [cell for group in contest.groups.values() for cell in group.values()]
    forms: dict[str, Form] = {metric.label: score_form(cells, report, metric.label) for metric in contest.suite.metrics}
    metrics = tuple(metric for metric in contest.suite.metrics if forms[metric.label] == "number")
    ranked_by = next((metric for metric in metrics if metric.higher_is_better is not None), None)
    comparisons = Comparisons(contest, report)
    rows = [build_row(contest, name, report, forms, ranked_by, comparisons) for name in contest.groups]
    ranking = ranking_of(contest, report, rows, ranked_by)
    told_apart = tell_apart(ranking.rows, report, ranked_by, comparisons)
    subsets = list({subset.fingerprint: subset for subset in contest.subsets.values()}.values())
    class_names, counts_K = _training_images(subsets)
    measures = _measures(contest.suite.subset_metrics, subsets)
    return TaskTable(
        task=contest.task,
        report=report,
        metrics=metrics,
        class_metrics=tuple(metric for metric in contest.suite.metrics if forms[metric.label] == "classes"),
        ranked_by=None if ranked_by is None else ranked_by.label,
        class_names=class_names,
        train_counts_K=counts_K,
        subset_metrics=tuple(metric for metric in contest.suite.subset_metrics if metric.label in measures),
        measures=measures,
        rows=told_apart.rows,
        ranking_note=ranking.note,
        separated=told_apart.separated,
        interval_notes=interval_notes(contest, told_apart.rows, report, ranked_by),
    )


def _training_images(subsets: Sequence[SubsetSummary]) -> tuple[tuple[str, ...], tuple[float, ...]]:
    """Return the classes, and the images kept of each before balancing: the mean over subsets."""
    class_names = subsets[0].class_names if subsets else ()
    alike = {subset.fingerprint: subset.counts_K for subset in subsets if subset.class_names == class_names}
    return class_names, tuple(mean(counts) for counts in zip(*alike.values(), strict=True))


def _measures(metrics: Sequence[MetricHeader], subsets: Sequence[SubsetSummary]) -> dict[str, Summary]:
    """Return metrics of the training subset over the subsets; those with a value a class are shown as counts are."""
    measures: dict[str, Summary] = {}
    for metric in metrics:
        scores = [subset.measures[metric.label] for subset in subsets if metric.label in subset.measures]
        if any(isinstance(score.value, list) for score in scores):
            continue
        values = [score.value for score in scores if isinstance(score.value, float)]
        reasons = sorted({score.reason for score in scores if score.value is None})
        measures[metric.label] = summarise(values, "; ".join(reasons) or "it was not computed")
    return measures


def _environments(results: Sequence[CellResult]) -> tuple[Mapping[str, JSON], ...]:
    """Return the distinct software and machines that finished cells were made with."""
    objects = {id(cell.provenance): cell.provenance for cell in results if cell.status == "done" and cell.provenance}
    provenances = {json.dumps(provenance, sort_keys=True): provenance for provenance in objects.values()}
    return tuple(provenances[text] for text in sorted(provenances))
