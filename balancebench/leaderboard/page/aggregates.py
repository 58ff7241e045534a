"""Rows over all tasks of a suite, as the page shows them."""

from __future__ import annotations

from balancebench.leaderboard.board import AggregateRow, AggregateTable, Summary
from balancebench.leaderboard.format import REPORT_TITLES, gap_text, heading, signed_text
from balancebench.leaderboard.page.data import Aggregate, AggregateLine
from balancebench.leaderboard.results import MetricHeader

__all__ = ["aggregate_of"]

NOTHING = "-"
FEWEST_FOR_OTHERS = 6  # tasks; below, no test over tasks can say anything of others
NOTE = (
    "Means over these {count} tasks, which were chosen and not drawn: about these, and no others. Won, level and lost "
    "count the tasks in which a row is better than the floor, not told apart from it, and worse."
)


def aggregate_of(table: AggregateTable) -> Aggregate:
    """Return the texts of an aggregate table."""
    count = len(table.tasks)
    return Aggregate(
        title=f"Over all {count} tasks: {REPORT_TITLES[table.report].lower()}",
        heading=f"{heading(table.ranked_by)} vs floor",
        note=NOTE.format(count=count),
        lines=tuple(_line(row, table.ranked_by, count) for row in table.rows),
    )


def _line(row: AggregateRow, metric: MetricHeader, tasks: int) -> AggregateLine:
    parts = (row.won, row.level, row.lost)
    signed_rank = ""
    if row.signed_rank_p is not None and tasks >= FEWEST_FOR_OTHERS:
        signed_rank = f"; signed rank over tasks p = {row.signed_rank_p:.3f}"
    return AggregateLine(
        name=row.balancer,
        role=row.role,
        mean_rank=NOTHING if row.mean_rank is None else f"{row.mean_rank:.1f}",
        difference=_difference(row, metric) + signed_rank,
        gap=NOTHING if row.gap_closed is None else gap_text(row.gap_closed),
        against_floor=NOTHING if None in parts else " / ".join(map(str, parts)),
        lacks=", ".join(map(str, row.lacks)),
    )


def _difference(row: AggregateRow, metric: MetricHeader) -> str:
    if row.difference.mean is None:
        return NOTHING
    text = signed_text(Summary(mean=row.difference.mean), metric.unit)
    interval = row.difference.interval
    if interval is None:
        return text
    bounds = (signed_text(Summary(mean=bound), metric.unit) for bound in (interval.low, interval.high))
    return f"{text} [{', '.join(bounds)}]"
