"""The lines of leaderboard.csv as the page keeps them: a column at a time, and nothing that stands there already.

Axis suffixes: R rows, M metrics; a line is of one row and one metric.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Sequence
from typing import cast

from balancebench.leaderboard.page.page_data import CsvColumn, CsvField, MetricCells, PageRow

__all__ = ["csv_columns"]

Value = Callable[[PageRow, MetricCells], float | None]


def _bound(index: int) -> Value:
    def value(_row: PageRow, cells: MetricCells) -> float | None:
        interval = cells.full_interval or cells.seeds_interval
        return None if interval is None else interval[index]

    return value


def _cost(index: int) -> Value:
    return lambda row, _cells: row.costs[index].value if row.costs else None


# As `downloads.js` finds them again.
FIELDS: dict[CsvField, Value] = {
    "mean": lambda _row, cells: cells.score.value,
    "difference_mean": lambda _row, cells: cells.difference.value,
    "difference_low": _bound(0),
    "difference_high": _bound(1),
    "gap_closed": lambda _row, cells: cells.gap.value,
    "duration_seconds": _cost(0),
    "images_seen": _cost(1),
    "optimiser_steps": _cost(2),
    "peak_memory_bytes": _cost(3),
}


def csv_columns(head: str, lines_R: Sequence[str], rows: Sequence[PageRow], digits: int) -> tuple[CsvColumn, ...]:
    """Return the columns of a table's lines.

    head: the heading of the file. lines_R: of each row its lines, one a metric, in the order of `rows`. digits:
    significant ones that numbers of rows are embedded with.
    """
    lines_RM = [list(csv.DictReader(io.StringIO(head + lines))) for lines in lines_R]
    names = next(csv.reader(io.StringIO(head)))
    return tuple(_column(name, [[line[name] for line in lines] for lines in lines_RM], rows, digits) for name in names)


def _column(name: str, texts_RM: Sequence[Sequence[str]], rows: Sequence[PageRow], digits: int) -> CsvColumn:
    texts = [text for texts_M in texts_RM for text in texts_M]
    if len(set(texts)) == 1:
        return CsvColumn(name=name, all=texts[0])
    field = cast(CsvField, name)
    if field in FIELDS and _stands_in_rows(FIELDS[field], texts_RM, rows, digits):
        return CsvColumn(name=name, field=field)
    if all(len(set(texts_M)) == 1 for texts_M in texts_RM):
        return CsvColumn(name=name, rows=tuple(texts_M[0] for texts_M in texts_RM))
    if all(list(texts_M) == list(texts_RM[0]) for texts_M in texts_RM):
        return CsvColumn(name=name, metrics=tuple(texts_RM[0]))
    return CsvColumn(name=name, lines=tuple(texts))


def _stands_in_rows(value: Value, texts_RM: Sequence[Sequence[str]], rows: Sequence[PageRow], digits: int) -> bool:
    """Say whether a column is what the rows hold anyway."""
    return all(
        (number is None and text == "")
        or (number is not None and text != "" and float(text) == float(f"{number:.{digits}g}"))
        for texts_M, row in zip(texts_RM, rows, strict=True)
        for text, number in zip(texts_M, (value(row, cells) for cells in row.metrics), strict=True)
    )
