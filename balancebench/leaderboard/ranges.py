"""Which ranked rows of a table are told apart: ranges of ranks, rows level with the first, who beats the floor."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import combinations

import numpy as np

from balancebench.evaluation import Report
from balancebench.leaderboard.board import AgainstFloor, Row, SeparatedPairs
from balancebench.leaderboard.comparisons import Comparisons
from balancebench.leaderboard.contest import Contest, RowName
from balancebench.leaderboard.results import MetricHeader
from balancebench.leaderboard.separation import SEPARATED, Separation, separate

__all__ = ["ToldApart", "interval_notes", "tell_apart"]

ONE_SUBSET = "All seeds share one training subset: intervals, ranges and verdicts are of this subset alone"
CHOSEN_BY_TEST = "No range and no verdict: the test set chose these epochs"
TWO_SEEDS = "Two seeds rarely tell rows apart"


@dataclass(frozen=True, slots=True, kw_only=True)
class ToldApart:
    """Rows with what is told apart; `separated` is None where nobody is ranked."""

    rows: tuple[Row, ...]
    separated: SeparatedPairs | None


def tell_apart(rows: Sequence[Row], report: Report, metric: MetricHeader | None, comparisons: Comparisons) -> ToldApart:
    """Return the rows of a table, in their order, with ranges and verdicts by the metric that ranks.

    Only ranked rows take part. Those that share fewer than two seeds with all others have no range, and nobody has one
    where the test set chose the epochs.
    """
    ranked = [row for row in rows if row.rank is not None]
    if metric is None or not ranked or report == "best_test":
        return ToldApart(rows=tuple(rows), separated=None)
    separation = _separation(ranked, metric, comparisons)
    tested_R = (~np.isnan(separation.q_RR)).any(axis=1)
    floor = next((index for index, row in enumerate(ranked) if row.role == "floor"), None)
    first = next(index for index, row in enumerate(ranked) if row.rank == 1)
    changed: dict[str, Row] = {}
    for index in np.flatnonzero(tested_R).tolist():
        row = ranked[index]
        assert row.rank is not None  # noqa: S101 - of ranked rows
        # Of rows that lack seeds, means over all shared seeds and over those of a pair may be in another order.
        lowest = min(row.rank, int(separation.lowest_R[index]))
        highest = max(row.rank, int(separation.highest_R[index]))
        changed[row.balancer] = replace(
            row,
            rank_range=(lowest, highest),
            level_with_first=not separation.above_RR[first, index],
            against_floor=None if floor is None or floor == index else _against(separation, row, index, floor, metric),
        )
    pairs = tuple((ranked[a].balancer, ranked[b].balancer) for a, b in np.argwhere(separation.above_RR).tolist())
    return ToldApart(
        rows=tuple(changed.get(row.balancer, row) if row.rank is not None else row for row in rows),
        separated=SeparatedPairs(tested=separation.tested, pairs=pairs),
    )


def _separation(ranked: Sequence[Row], metric: MetricHeader, comparisons: Comparisons) -> Separation:
    indices = list(combinations(range(len(ranked)), 2))
    names: list[RowName] = [(row.role, row.balancer) for row in ranked]
    p_RR = np.full((len(ranked), len(ranked)), np.nan)
    better_by_RR = np.zeros_like(p_RR)
    if indices:
        estimated = comparisons.of_pairs([(names[a], names[b]) for a, b in indices], metric)
        first_P, second_P = np.array(indices).T
        mean_P = estimated.estimates.mean_P * (1 if metric.higher_is_better else -1)
        p_RR[first_P, second_P] = p_RR[second_P, first_P] = estimated.p_P
        better_by_RR[first_P, second_P], better_by_RR[second_P, first_P] = mean_P, -mean_P
    return separate(better_by_RR, p_RR)


def _against(separation: Separation, row: Row, index: int, floor: int, metric: MetricHeader) -> AgainstFloor | None:
    q, p = float(separation.q_RR[index, floor]), row.metrics[metric.label].difference.p
    if math.isnan(q) or p is None:
        return None
    better = bool(separation.above_RR[index, floor])
    return AgainstFloor(verdict=None if q >= SEPARATED else "better" if better else "worse", p=p, p_adjusted=q)


def interval_notes(
    contest: Contest, rows: Sequence[Row], report: Report, metric: MetricHeader | None
) -> tuple[str, ...]:
    """Return what the intervals of a table leave out, a sentence each without its full stop."""
    if metric is None:
        return ()
    differences = [row.metrics[metric.label].difference for row in rows if row.role == "entry"]
    notes = sorted(
        {
            f"Intervals are over seeds alone: {difference.interval_reason}"
            for difference in differences
            if difference.seeds_interval is not None and difference.full_interval is None
        }
    )
    if report == "best_test":
        notes.append(CHOSEN_BY_TEST)
    seeds = {cell.seeds for group in contest.groups.values() for cell in group.values()}
    if len(seeds) > 1 and len({triple.subset for triple in seeds}) == 1:
        notes.append(ONE_SUBSET)
    if any(difference.n == 2 for difference in differences):
        notes.append(TWO_SEEDS)
    return tuple(notes)
