"""Builds one row of a leaderboard from the cells of one balancer in one task."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import cast

from balancebench.evaluation import Cost, Report
from balancebench.leaderboard.board import (
    ClassSummary,
    Difference,
    MetricSummary,
    Problem,
    PublishedComparison,
    Row,
    Summary,
)
from balancebench.leaderboard.comparisons import Comparisons, crossed_streams
from balancebench.leaderboard.contest import Contest, Form, Group, RowName, distinct, score_of_cell
from balancebench.leaderboard.intervals import Interval, gap_interval
from balancebench.leaderboard.results import CellResult, CellStatus, MetricHeader
from balancebench.leaderboard.statistics import gap_closed, mean, paired, summarise
from balancebench.leaderboard.suspicions import above_ceiling, at_chance
from balancebench.plan import Task
from balancebench.suite.schema import Axis

__all__ = ["build_row"]


def build_row(
    contest: Contest,
    name: RowName,
    report: Report,
    forms: Mapping[str, Form],
    ranking: MetricHeader | None,
    comparisons: Comparisons,
) -> Row:
    """Return the row of a balancer, not ranked yet; `ranking` is the metric that will rank it."""
    role, balancer = name
    group = contest.groups[name]
    done = {seeds: cell for seeds, cell in group.items() if cell.status == "done" and report in cell.scores}
    measured = distinct(done.values())
    statuses = [(cell.status, cell.score_key) for cell in group.values()]
    of_form: dict[Form, list[MetricHeader]] = {"number": [], "classes": [], "matrix": []}
    for metric in contest.suite.metrics:
        of_form[forms[metric.label]].append(metric)
    compares_with_ceiling = role == "entry" and not contest.unfit[name]
    return Row(
        balancer=balancer,
        role=role,
        rank=None,
        rank_range=None,
        level_with_first=None,
        against_floor=None,
        unranked_because=contest.unfit[name],
        planned=len({key for _, key in statuses}),
        done=len(measured),
        problems=_problems(group.values()),
        score_keys={seeds: cell.score_key for seeds, cell in done.items()},
        epochs={seeds: cell.scores[report].epoch for seeds, cell in done.items()},
        searched_from={seeds: cell.scores[report].searched_from for seeds, cell in done.items()},
        metrics={metric.label: _metric(contest, name, report, metric, comparisons) for metric in of_form["number"]},
        per_class={metric.label: _classes(done, report, metric.label) for metric in of_form["classes"]},
        matrices={
            metric.label: {seeds: score_of_cell(cell, report, metric.label).value for seeds, cell in done.items()}
            for metric in of_form["matrix"]
        },
        optimism=_optimism(contest, group, ranking) if report == "best_test" else None,
        cost=_cost(measured),
        exposure=_exposure(measured, contest.floor),
        used_withheld_data=any(cell.used_withheld_data for cell in measured),
        outside_data=tuple(sorted({text for cell in measured for text in cell.outside_data})),
        warnings=tuple(sorted({text for cell in measured for text in cell.warnings})),
        at_chance=at_chance(measured, report),
        above_ceiling=above_ceiling(group, contest.ceiling, report, ranking) if compares_with_ceiling else None,
    )


def _problems(cells: Iterable[CellResult]) -> tuple[Problem, ...]:
    seeds_of: dict[tuple[CellStatus, str], list[str]] = {}
    for cell in cells:
        if cell.status != "done":
            seeds_of.setdefault((cell.status, cell.message), []).append(str(cell.seeds))
    return tuple(
        Problem(status=status, message=message, seeds=tuple(seeds)) for (status, message), seeds in seeds_of.items()
    )


def _undefined(group: Group, report: Report, label: str) -> dict[str, str]:
    """Return seeds -> reason where a finished cell has no value."""
    if len(group.numbers(report, label)) == len(group):
        return {}
    return {
        seeds: score.reason
        for seeds, cell in group.items()
        if cell.status == "done" and (score := score_of_cell(cell, report, label)).value is None
    }


def _why_none(undefined: Mapping[str, str]) -> str:
    """Return why no cell of a row has a value."""
    return "; ".join(sorted(set(undefined.values()))) or "no cell is done"


def _metric(
    contest: Contest, name: RowName, report: Report, metric: MetricHeader, comparisons: Comparisons
) -> MetricSummary:
    label, group = metric.label, contest.groups[name]
    values = group.numbers(report, label)
    undefined = _undefined(group, report, label)
    measured: dict[str, float] = {}
    for seeds, value in values.items():
        measured.setdefault(group.score_keys[seeds], value)
    over_seeds = summarise(list(measured.values()), _why_none(undefined))
    gap, gap_bounds = _gap(contest, name, report, metric)
    published = tuple(
        PublishedComparison(
            value=numbers.values[label],
            difference=None if over_seeds.mean is None else over_seeds.mean - numbers.values[label],
            source=numbers.source,
            protocol=numbers.protocol,
        )
        for numbers in contest.suite.published
        if numbers.report == report
        and label in numbers.values
        and numbers.matches(_labels(contest.task, name), ceiling=name[0] == "ceiling")
    )
    return MetricSummary(
        values=values,
        undefined=undefined,
        over_seeds=over_seeds,
        difference=_difference(contest, name, report, metric, comparisons),
        gap_closed=None if isinstance(gap, str) else gap,
        gap_reason=gap if isinstance(gap, str) else "",
        gap_interval=None if isinstance(gap_bounds, str) else gap_bounds,
        gap_interval_reason=gap_bounds if isinstance(gap_bounds, str) else "",
        published=published,
    )


def _labels(task: Task, name: RowName) -> dict[Axis, str]:
    role, balancer = name
    return {
        "dataset": task.dataset,
        "imbalancer": task.imbalancer,
        "classifier": task.classifier,
        "balancer": "none" if role == "ceiling" else balancer,
    }


def _difference(
    contest: Contest, name: RowName, report: Report, metric: MetricHeader, comparisons: Comparisons
) -> Difference:
    if contest.groups[name] is contest.floor:
        return Difference(mean=None, reason="this is the floor")
    groups = {"this row": contest.groups[name], "the floor": contest.floor}
    if reason := contest.unfit[name] or _lacking(groups, report, metric.label):
        return Difference(mean=None, reason=reason)
    difference = comparisons.from_floor(name, metric)
    return difference or Difference(mean=None, reason="no seed has both this row and the floor")


def _gap(contest: Contest, name: RowName, report: Report, metric: MetricHeader) -> tuple[float | str, Interval | str]:
    """Return the gap closed and its interval, or why there is none."""
    groups = {"this row": contest.groups[name], "the floor": contest.floor, "the ceiling": contest.ceiling}
    if reason := contest.unfit[name] or _lacking(groups, report, metric.label):
        return reason, reason
    triples = _paired(groups.values(), report, metric.label)
    gap, reason = gap_closed(triples, metric.higher_is_better)
    if gap is None:
        return reason, reason
    if name[0] != "entry":
        return gap, "floor and ceiling are 0 and 1 by definition"
    if crossed_streams([cell.seeds for cell in contest.groups[name].values() if cell.status == "done"]):
        return gap, "its seeds are crossed, and so are not independent"
    return gap, gap_interval([row - floor for row, floor, _ in triples], [top - floor for _, floor, top in triples])


def _lacking(groups: Mapping[str, Group | None], report: Report, label: str) -> str:
    """Return which of the rows to compare is not there or has no value, and why; "" where all have some."""
    for words, group in groups.items():
        if group is None:
            return f"the suite has no {words.removeprefix('the ')}"
        if not group.numbers(report, label):
            return f"{label} of {words} has no value: {_why_none(_undefined(group, report, label))}"
    return ""


def _paired(groups: Iterable[Group | None], report: Report, label: str) -> list[tuple[float, ...]]:
    present = [group for group in groups if group is not None]
    return paired([group.score_keys for group in present], [group.numbers(report, label) for group in present])


def _optimism(contest: Contest, group: Group, metric: MetricHeader | None) -> Summary | None:
    """Return how much a metric gains when the test set chooses the epoch."""
    if metric is None or "last" not in contest.suite.reports:
        return None
    keys = group.score_keys
    best, last = group.numbers("best_test", metric.label), group.numbers("last", metric.label)
    return summarise([of_best - of_last for of_best, of_last in paired((keys, keys), (best, last))])


def _classes(done: Mapping[str, CellResult], report: Report, label: str) -> ClassSummary:
    values_K: dict[str, tuple[float | None, ...]] = {}
    for seeds, cell in done.items():
        value = score_of_cell(cell, report, label).value
        if isinstance(value, list):
            values_K[seeds] = tuple(cast("list[float | None]", value))
    measured = [values_K[str(cell.seeds)] for cell in distinct(done[seeds] for seeds in values_K)]
    mean_K: list[float | None] = []
    for of_class in zip(*measured, strict=True):
        defined = [value for value in of_class if value is not None]
        mean_K.append(mean(defined) if defined else None)
    return ClassSummary(values_K=values_K, mean_K=tuple(mean_K))


def _cost(measured: Sequence[CellResult]) -> Cost | None:
    costs = [cell.cost for cell in measured if cell.cost is not None]
    if not costs:
        return None
    classifier_images = [_classifier_images_seen(cell) for cell in measured]
    return Cost(
        duration_seconds=mean([cost.duration_seconds for cost in costs]),
        images_seen=mean([cost.images_seen for cost in costs]),
        optimiser_steps=mean([cost.optimiser_steps for cost in costs]),
        peak_memory_bytes=mean([cost.peak_memory_bytes for cost in costs]),
        classifier_images_seen=_mean_of_all(classifier_images),
    )


def _exposure(measured: Sequence[CellResult], floor: Group | None) -> float | None:
    of_floor = distinct(cell for cell in (floor or {}).values() if cell.status == "done")
    row_images = _mean_of_all([_classifier_images_seen(cell) for cell in measured])
    floor_images = _mean_of_all([_classifier_images_seen(cell) for cell in of_floor])
    return row_images / floor_images if row_images is not None and floor_images else None


def _classifier_images_seen(cell: CellResult) -> float | None:
    if cell.cost is None:
        return None
    if cell.cost.classifier_images_seen is None and not {"train_generator", "synthesise"} & set(cell.steps):
        return cell.cost.images_seen  # of older records: no other step has seen any
    return cell.cost.classifier_images_seen


def _mean_of_all(counts: Sequence[float | None]) -> float | None:
    """Return the mean, or None where there is no count or one is not known."""
    known = [count for count in counts if count is not None]
    return mean(known) if known and len(known) == len(counts) else None
