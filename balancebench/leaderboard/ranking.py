"""Ranks the rows of a table, all on the same seeds, and says in words what that leaves out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from balancebench.evaluation import Report
from balancebench.leaderboard.board import Row, Seeds
from balancebench.leaderboard.contest import Contest, Group
from balancebench.leaderboard.format import seeds_text
from balancebench.leaderboard.results import ENDED, MetricHeader
from balancebench.leaderboard.statistics import mean

__all__ = ["Ranking", "ranking_of"]

SAME_RANK_DECIMALS = 12  # means that differ by rounding alone share a rank
NAMED_ROWS = 5  # in the line that says why nobody is ranked


@dataclass(frozen=True, slots=True, kw_only=True)
class Ranking:
    """Rows with their ranks, best first, then what cannot be ranked.

    note: which seeds rank, where not all do; "" elsewhere.
    """

    rows: tuple[Row, ...]
    note: str


@dataclass(frozen=True, slots=True, kw_only=True)
class _Contender:
    """A row that may be ranked. values: of the ranking metric. failures: where its method has none, in words."""

    row: Row
    group: Group
    values: Mapping[Seeds, float]
    failures: Sequence[str]
    higher_is_better: bool

    def standing(self, over: Sequence[Seeds] | None = None) -> float:
        """Return the mean over seeds, all it has by default, turned so that smaller is better; infinite without any."""
        keys = self.group.score_keys
        measured = {keys[seeds]: value for seeds, value in self.values.items() if over is None or seeds in over}
        if not measured:
            return float("inf")
        over_seeds = mean(list(measured.values()))
        return round(-over_seeds if self.higher_is_better else over_seeds, SAME_RANK_DECIMALS)


def ranking_of(contest: Contest, report: Report, rows: Sequence[Row], metric: MetricHeader | None) -> Ranking:
    """Rank rows by the mean of a metric over the seeds that all of them have; equal means share a rank.

    Unranked, in this order: rows whose method failed in a seed or left the metric undefined there, rows of other images
    than the floor, the ceiling, and rows with nothing done. metric: None where the suite has none that ranks.
    """
    nothing_done = [replace(row, unranked_because="no cell is done") for row in rows if row.done == 0]
    ceiling = [row for row in rows if row.done and row.role == "ceiling"]
    unfit = [row for row in rows if row.done and row.role != "ceiling" and row.unranked_because]
    fit = [row for row in rows if row.done and row.role != "ceiling" and not row.unranked_because]
    last = (*unfit, *ceiling, *nothing_done)
    if metric is None:
        unmeasured = [replace(row, unranked_because="the suite has no metric that ranks") for row in fit]
        return Ranking(rows=(*unmeasured, *last), note="")
    contenders = [_contender(contest.groups[row.role, row.balancer], row, report, metric) for row in fit]
    planned = {seeds: None for name, group in contest.groups.items() if name[0] != "ceiling" for seeds in group}
    whole = [contender for contender in contenders if not contender.failures]
    common = [seeds for seeds in planned if whole and all(seeds in contender.values for contender in whole)]
    standings = sorted(contender.standing(common) for contender in whole)
    ranked = [
        replace(
            contender.row,
            rank=1 + standings.index(contender.standing(common)) if common else None,
            unranked_because="" if common else "no seed is done in every row",
        )
        for contender in (sorted(whole, key=lambda contender: contender.standing(common)) if common else whole)
    ]
    apart = [
        replace(contender.row, unranked_because=_unranked_text(contender, len(planned), common))
        for contender in sorted(contenders, key=_Contender.standing)
        if contender.failures
    ]
    return Ranking(rows=(*ranked, *apart, *last), note=_note(whole, list(planned), common))


def _contender(group: Group, row: Row, report: Report, metric: MetricHeader) -> _Contender:
    values = group.numbers(report, metric.label)
    ended: dict[str, list[Seeds]] = {}
    undefined: dict[str, list[Seeds]] = {}
    for seeds, cell in group.items():
        if cell.status in ENDED or cell.balancer_failed:
            ended.setdefault(ENDED.get(cell.status, "failed"), []).append(seeds)
        elif cell.status == "done" and seeds not in values:
            undefined.setdefault(group.why_no_number(report, metric.label, seeds), []).append(seeds)
    return _Contender(
        row=row,
        group=group,
        values=values,
        failures=[
            *(f"{seeds_text(tuple(seeds))} {how}" for how, seeds in ended.items()),
            *(
                f"{metric.label} is undefined in {seeds_text(tuple(seeds))} ({reason})"
                for reason, seeds in undefined.items()
            ),
        ],
        higher_is_better=bool(metric.higher_is_better),
    )


def _unranked_text(contender: _Contender, planned: int, common: Sequence[Seeds]) -> str:
    others = ""
    if common and planned > 1:
        others = "; ranked rows " + (f"have all {planned} seeds" if len(common) == planned else "failed in none")
    return f"not ranked: {', '.join(contender.failures)}{others}"


def _note(whole: Sequence[_Contender], planned: Sequence[Seeds], common: Sequence[Seeds]) -> str:
    if not whole or len(common) == len(planned):
        return ""
    if common:
        seeds = seeds_text(tuple(common))
        return f"Ranked on {seeds}, which every ranked row has; the means shown are over each row's own seeds"
    lacking: list[str] = []
    for contender in whole:
        if lacked := tuple(seeds for seeds in planned if seeds not in contender.values):
            lacking.append(f"{contender.row.balancer} lacks {seeds_text(lacked)}")
    more = f", and {len(lacking) - NAMED_ROWS} more rows" if len(lacking) > NAMED_ROWS else ""
    return f"Nobody is ranked: no seed is done in every row ({', '.join(lacking[:NAMED_ROWS])}{more})"
