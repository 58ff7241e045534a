"""Where the variance of results sits: which stream of seeds moves them, and what test images add."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from balancebench.evaluation import Report
from balancebench.leaderboard.comparisons import Comparisons, crossed_streams
from balancebench.leaderboard.contest import Contest, RowName
from balancebench.leaderboard.crossed_seeds import Component, full_block, mean_squares, variance_components
from balancebench.leaderboard.evidence import Evidence
from balancebench.leaderboard.results import MetricHeader
from balancebench.leaderboard.statistics import deviation, mean
from balancebench.plan import Task

__all__ = ["RowVariance", "variances"]

STREAMS = ("subset", "generator", "classifier")
TOGETHER = "its seeds vary all streams together, or one alone: no parts to tell"


@dataclass(frozen=True, slots=True, kw_only=True)
class RowVariance:
    """How much a row, or its difference from another, varies; deviations in the metric's own unit.

    name: of the row, or "a - b". over_seeds: standard deviation over all runs. components: of crossed seeds, or why
    they are not told. test_images: the standard deviation that other test images would add to the mean, of differences.
    """

    task: Task
    metric: MetricHeader
    name: str
    runs: int
    over_seeds: float | None
    components: tuple[Component, ...] | str
    test_images: float | None


def variances(evidence: Evidence, *, metric: str | None = None, report: str | None = None) -> list[RowVariance]:
    """Return the variance of every row of every task, and of its difference from the floor."""
    under = evidence.report(report)
    rows: list[RowVariance] = []
    for contest in evidence.contests:
        header = evidence.metric(contest, under, metric)
        comparisons = Comparisons(contest, under)
        floor = next((name for name in contest.groups if name[0] == "floor"), None)
        for name in contest.groups:
            rows.append(_row(contest, under, header, name))
            if floor is not None and name != floor and not contest.unfit[name]:
                rows += _difference(contest, comparisons, header, name, floor)
    return rows


def _row(contest: Contest, report: Report, metric: MetricHeader, name: RowName) -> RowVariance:
    values = contest.groups[name].numbers(report, metric.label)
    first_seeds: dict[str, str] = {}
    for seeds in values:
        first_seeds.setdefault(contest.groups[name].score_keys[seeds], seeds)
    own = {seeds: values[seeds] for seeds in first_seeds.values()}
    return _variance(contest, metric, name, name[1], own, None)


def _difference(
    contest: Contest, comparisons: Comparisons, metric: MetricHeader, name: RowName, floor: RowName
) -> list[RowVariance]:
    pairs = comparisons.of_pairs([(name, floor)], metric)
    if not pairs.pairs[0].differences:
        return []
    images = None if pairs.image_reasons[0] else math.sqrt(float(pairs.estimates.image_variance_P[0]))
    text = f"{name[1]} - {floor[1]}"
    return [_variance(contest, metric, name, text, pairs.pairs[0].differences, images)]


def _variance(
    contest: Contest,
    metric: MetricHeader,
    name: RowName,
    text: str,
    values: Mapping[str, float],
    images: float | None,
) -> RowVariance:
    triples = {seeds: contest.groups[name][seeds].seeds for seeds in values}
    crossed = crossed_streams(list(triples.values()))
    components: tuple[Component, ...] | str = TOGETHER
    if crossed is not None:
        by_levels: dict[tuple[int, int], list[float]] = {}
        for seeds, value in values.items():
            by_levels.setdefault((triples[seeds][crossed[0]], triples[seeds][crossed[1]]), []).append(value)
        block_AC = full_block({levels: mean(cells) for levels, cells in by_levels.items()})
        names = STREAMS[crossed[0]], STREAMS[crossed[1]]
        components = "the seeds cross with too many holes"
        if min(block_AC.shape) > 1:
            components = variance_components(mean_squares(block_AC), names)
    return RowVariance(
        task=contest.task,
        metric=metric,
        name=text,
        runs=len(values),
        over_seeds=deviation(list(values.values())) if len(values) > 1 else None,
        components=components,
        test_images=images,
    )
