"""The components of variance as tables for a terminal."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from rich.table import Table
from rich.text import Text

from balancebench.leaderboard.crossed_seeds import Component
from balancebench.leaderboard.results import MetricHeader
from balancebench.leaderboard.two_rows import in_unit
from balancebench.leaderboard.variance import RowVariance

__all__ = ["variance_table"]

NOTHING = "-"


def variance_table(rows: Sequence[RowVariance]) -> Iterator[Text | Table]:
    """Yield a heading, a table and the reasons for what is not told, task by task; standard deviations as shown."""
    tasks = dict.fromkeys(row.task for row in rows)
    for task in tasks:
        of_task = [row for row in rows if row.task == task]
        metric = of_task[0].metric
        yield Text(f"\n{task}, {metric.label}: standard deviations{_unit(metric)}", style="bold")
        yield _table(of_task, metric)
        for reason in sorted({row.components for row in of_task if isinstance(row.components, str)}):
            yield Text(f"Parts are not told: {reason}.", style="dim")


def _table(rows: Sequence[RowVariance], metric: MetricHeader) -> Table:
    names = list(
        dict.fromkeys(part.name for row in rows if not isinstance(row.components, str) for part in row.components)
    )
    table = Table(box=None, header_style="dim")
    table.add_column("row")
    for heading in ("runs", "all runs", *names, "test images"):
        table.add_column(heading, justify="right")
    for row in rows:
        parts = {} if isinstance(row.components, str) else {part.name: part for part in row.components}
        table.add_row(
            Text(row.name),
            str(row.runs),
            _deviation(row.over_seeds, metric),
            *(_component(parts.get(name), metric) for name in names),
            _deviation(row.test_images, metric),
        )
    return table


def _component(part: Component | None, metric: MetricHeader) -> str:
    if part is None:
        return NOTHING
    low, high = in_unit(part.interval.low, metric), in_unit(part.interval.high, metric)
    return f"{in_unit(part.deviation, metric):.3g} ({low:.2g}-{high:.2g})"


def _deviation(value: float | None, metric: MetricHeader) -> str:
    return NOTHING if value is None else f"{in_unit(value, metric):.3g}"


def _unit(metric: MetricHeader) -> str:
    return {"%": " in points", "": ""}.get(metric.unit, f" in {metric.unit}")
