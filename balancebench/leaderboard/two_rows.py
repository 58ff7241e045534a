"""Compares two rows of a task: one planned comparison, unadjusted, and what it costs and whom."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from balancebench.evaluation import Cost, Report
from balancebench.leaderboard.board import Difference
from balancebench.leaderboard.class_differences import (
    ClassDifference,
    GroupDifference,
    class_differences,
    group_differences,
)
from balancebench.leaderboard.comparisons import Comparisons, crossed_streams
from balancebench.leaderboard.contest import Contest, RowName, distinct
from balancebench.leaderboard.evidence import Evidence
from balancebench.leaderboard.intervals import Estimates, p_values
from balancebench.leaderboard.results import MetricHeader
from balancebench.leaderboard.statistics import mean
from balancebench.leaderboard.verdict import Verdict, confidence, next_seed_ahead, verdict_of
from balancebench.plan import Task

__all__ = ["Comparison", "RowCost", "compare_rows", "in_unit", "p_of_verdict"]

CHOSEN_BY_TEST = "the test set chose the epochs of best_test, so that its differences are no evidence"


@dataclass(frozen=True, slots=True, kw_only=True)
class RowCost:
    """What a row's cells cost on average; None where that is not known."""

    balancer: str
    cost: Cost | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """Two rows of a task. All differences are the first minus the second.

    margin: in the unit of the metric's values. reason: why they are not comparable, "" where they are. planned: seeds
    of the suite. unfinished: which of the two rows have cells that are not done. one_subset: whether several seeds
    share one training subset. crossed: whether streams of seeds cross, so that runs are not independent. confidence:
    that the row ahead is so over all seeds and images, 0.5..1. next_seed_ahead: the chance that it is in a fresh pair
    of runs, 0..1; None of crossed seeds. same_run_p: McNemar's exact p of one seed. classes: recall by class; None
    where it is not known. groups: the same of classes by their training images. class_names: of all classes.
    """

    task: Task
    report: Report
    metric: MetricHeader
    first: str
    second: str
    verdict: Verdict
    reason: str
    margin: float
    difference: Difference
    planned: int
    unfinished: tuple[str, ...]
    one_subset: bool
    crossed: bool
    confidence: float | None
    next_seed_ahead: float | None
    same_run_p: float | None
    classes: tuple[ClassDifference, ...] | None
    groups: tuple[GroupDifference, ...]
    class_names: tuple[str, ...]
    costs: tuple[RowCost, RowCost]
    estimates: Estimates


def compare_rows(
    evidence: Evidence,
    contest: Contest,
    first: str,
    second: str,
    *,
    metric: str | None = None,
    report: str | None = None,
    margin: float = 0.0,
) -> Comparison:
    """Compare two balancers of a task by a metric, by default the one that ranks, under a report, the suite's first.

    margin: >= 0, in the metric's unit as tables show it (0.5 is half a percentage point of a metric in %). Raises
    LeaderboardError where a name is not known.
    """
    under = evidence.report(report)
    header = evidence.metric(contest, under, metric)
    names = evidence.row(contest, first), evidence.row(contest, second)
    comparisons = Comparisons(contest, under)
    margin = margin / (100 if header.unit == "%" else 1)
    pairs = comparisons.of_pairs([names], header)
    pair = pairs.pairs[0]
    (difference,) = comparisons.differences([names], header) if pair.differences else [Difference(mean=None)]
    higher = bool(header.higher_is_better)
    triples = [contest.groups[names[0]][seeds].seeds for seeds in pair.differences]
    crossed = crossed_streams(triples) is not None
    reason = _why_not(contest, names, under, difference)
    known = not reason and difference.interval is not None and difference.mean is not None
    return Comparison(
        task=contest.task,
        report=under,
        metric=header,
        first=first,
        second=second,
        verdict=verdict_of(difference.interval, margin=margin, higher_is_better=higher, identical=pair.identical)
        if known and difference.interval is not None
        else "not comparable",
        reason=reason,
        margin=margin,
        difference=difference,
        planned=len({seeds for group in contest.groups.values() for seeds in group}),
        unfinished=tuple(
            name[1] for name in names if any(cell.status != "done" for cell in contest.groups[name].values())
        ),
        one_subset=len(triples) > 1 and len({triple.subset for triple in triples}) == 1,
        crossed=crossed,
        confidence=None if difference.p is None or not known else confidence(difference.p),
        next_seed_ahead=next_seed_ahead(abs(difference.mean), difference.std, difference.n)
        if known and not crossed and difference.mean is not None and difference.std is not None
        else None,
        same_run_p=_mcnemar(pair.ahead) if difference.n == 1 and pair.ahead is not None else None,
        classes=None if reason else _classes(comparisons, contest, names, header),
        groups=() if reason else _groups(comparisons, contest, names, header),
        class_names=next((subset.class_names for subset in contest.subsets.values()), ()),
        costs=(_cost(contest, names[0]), _cost(contest, names[1])),
        estimates=pairs.estimates,
    )


def in_unit(value: float, metric: MetricHeader) -> float:
    """Return a value as tables show it: 0.012 of a metric in % is 1.2."""
    return 100 * value if metric.unit == "%" else value


def p_of_verdict(comparison: Comparison, verdict: Literal["better", "worse", "level"]) -> float:
    """Return the p at which a verdict with the comparison's margin begins to hold, two-sided; 1 where it points away.

    better, worse: that the difference is no larger than the margin. level: that it is no smaller.
    """
    if comparison.difference.mean is None or comparison.difference.p is None:
        return 1.0
    ahead = comparison.difference.mean if comparison.metric.higher_is_better else -comparison.difference.mean
    if verdict == "level":
        beyond = comparison.margin - abs(ahead)
    else:
        beyond = (ahead if verdict == "better" else -ahead) - comparison.margin
    if beyond <= 0:
        return 1.0
    return float(p_values(replace(comparison.estimates, mean_P=np.array([beyond])))[0])


def _why_not(contest: Contest, names: tuple[RowName, RowName], report: Report, difference: Difference) -> str:
    if report == "best_test":
        return CHOSEN_BY_TEST
    for name in names:
        if contest.unfit[name]:
            return f"{name[1]} was {contest.unfit[name]}"
    if names[0] == names[1]:
        return "it is one row"
    if difference.mean is None:
        return "no seed has both rows with a value"
    return difference.interval_reason if difference.interval is None else ""


def _mcnemar(ahead: tuple[int, int]) -> float:
    """Return McNemar's exact p of the images that only one of two rows predicts rightly."""
    from scipy.stats import binomtest

    return 1.0 if not sum(ahead) else float(binomtest(ahead[0], sum(ahead)).pvalue)


def _classes(
    comparisons: Comparisons, contest: Contest, names: tuple[RowName, RowName], metric: MetricHeader
) -> tuple[ClassDifference, ...] | None:
    packed_S2B = _independent(comparisons, contest, names, metric)
    if packed_S2B is None or contest.outcomes is None:
        return None
    return tuple(class_differences(packed_S2B, contest.outcomes.labels_N, contest.outcomes.class_count))


def _groups(
    comparisons: Comparisons, contest: Contest, names: tuple[RowName, RowName], metric: MetricHeader
) -> tuple[GroupDifference, ...]:
    packed_S2B = _independent(comparisons, contest, names, metric)
    counts_SK = [subset.counts_K for subset in contest.subsets.values()]
    if packed_S2B is None or contest.outcomes is None or not counts_SK:
        return ()
    return tuple(group_differences(packed_S2B, contest.outcomes.labels_N, np.mean(counts_SK, axis=0)))


def _independent(
    comparisons: Comparisons, contest: Contest, names: tuple[RowName, RowName], metric: MetricHeader
) -> NDArray[np.uint8] | None:
    """Return packed correctness of the two rows; None where it is not known, or seeds are crossed."""
    packed_S2B = comparisons.packed(names, metric)
    if isinstance(packed_S2B, str) or contest.outcomes is None:
        return None
    crossed = crossed_streams([cell.seeds for cell in contest.groups[names[0]].values()])
    return None if crossed else packed_S2B


def _cost(contest: Contest, name: RowName) -> RowCost:
    costs = [cell.cost for cell in distinct(contest.groups[name].values()) if cell.cost is not None]
    if not costs:
        return RowCost(balancer=name[1], cost=None)
    cost = Cost(
        duration_seconds=mean([cost.duration_seconds for cost in costs]),
        images_seen=mean([cost.images_seen for cost in costs]),
        optimiser_steps=mean([cost.optimiser_steps for cost in costs]),
        peak_memory_bytes=mean([cost.peak_memory_bytes for cost in costs]),
    )
    return RowCost(balancer=name[1], cost=cost)
