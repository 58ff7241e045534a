"""A leaderboard as CSV (long form) and as JSON (everything). Neither ever holds NaN: what is undefined is empty or
null, with its reason.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from dataclasses import replace

from pydantic import TypeAdapter

from balancebench.config import JSON
from balancebench.leaderboard.board import Difference, Leaderboard, MetricSummary, Row, TaskTable
from balancebench.leaderboard.results import MetricHeader
from balancebench.plain_text import visible

__all__ = ["csv_lines", "csv_text", "json_parts", "json_text", "json_value", "spreadsheet_text"]

FORMULA_STARTS = ("=", "+", "-", "@", "＝", "＋", "－", "＠")  # what a spreadsheet would run  # noqa: RUF001
_BOARD = TypeAdapter(Leaderboard)
_TABLE = TypeAdapter(TaskTable)


def csv_text(board: Leaderboard) -> str:
    """Return one line for each task, report, balancer and metric, values as they are: 0.83, not 83 %."""
    tables = [csv_lines(board, table) for table in board.tables]
    head = next((head for head, rows in tables if any(rows)), "suite\n")
    return head + "".join(text for _, rows in tables for text in rows)


def csv_lines(board: Leaderboard, table: TaskTable, digits: int | None = None) -> tuple[str, list[str]]:
    """Return the headings of the CSV file, and of each row of a table its lines, one a metric.

    digits: significant ones of numbers, None for all that there are.
    """

    def shown(value: JSON) -> JSON:
        return float(f"{value:.{digits}g}") if digits is not None and isinstance(value, float) else value

    of_rows = [
        [{name: shown(value) for name, value in _line(board, table, row, metric).items()} for metric in table.metrics]
        for row in table.rows
    ]
    names = next((list(lines[0]) for lines in of_rows if lines), ["suite"])
    head = io.StringIO()
    csv.DictWriter(head, fieldnames=names, lineterminator="\n").writeheader()
    texts: list[str] = []
    for lines in of_rows:
        out = io.StringIO()
        csv.DictWriter(out, fieldnames=names, lineterminator="\n").writerows(lines)
        texts.append(out.getvalue())
    return head.getvalue(), texts


def json_value(board: Leaderboard) -> JSON:
    """Return the whole structure as JSON values."""
    return _BOARD.dump_python(board, mode="json")


def json_parts(board: Leaderboard) -> Iterator[bytes]:
    """Yield the whole structure as a JSON document in UTF-8, a table at a time: that of 100,000 cells is 100 MB."""
    head = _BOARD.dump_json(replace(board, tables=()), indent=1)
    divider = head.removesuffix(b"]\n}") + b"\n  "
    for table in board.tables:
        yield divider + _TABLE.dump_json(table, indent=1).replace(b"\n", b"\n  ")
        divider = b",\n  "
    yield b"\n ]\n}\n" if board.tables else head + b"\n"


def json_text(board: Leaderboard) -> str:
    """Return the same as text."""
    return b"".join(json_parts(board)).decode()


def _line(board: Leaderboard, table: TaskTable, row: Row, metric: MetricHeader) -> dict[str, JSON]:
    summary = row.metrics[metric.label]
    interval = summary.difference.interval or summary.difference.run_interval
    against = row.against_floor if metric.label == table.ranked_by else None
    cost = row.cost
    return {
        "suite": spreadsheet_text(board.suite.name),
        "profile": spreadsheet_text(board.suite.profile or ""),
        "dataset": spreadsheet_text(table.task.dataset),
        "imbalancer": spreadsheet_text(table.task.imbalancer),
        "classifier": spreadsheet_text(table.task.classifier),
        "report": table.report,
        "rank": row.rank,
        "rank_low": None if row.rank_range is None else row.rank_range[0],
        "rank_high": None if row.rank_range is None else row.rank_range[1],
        "level_with_first": row.level_with_first,
        "balancer": spreadsheet_text(row.balancer),
        "role": row.role,
        "metric": spreadsheet_text(metric.label),
        "unit": spreadsheet_text(metric.unit),
        "higher_is_better": metric.higher_is_better,
        "mean": summary.over_seeds.mean,
        "std": summary.over_seeds.std,
        "n": summary.over_seeds.n,
        "difference_mean": summary.difference.mean,
        "difference_std": summary.difference.std,
        "difference_n": summary.difference.n,
        "difference_low": None if interval is None else _rounded(interval.low),
        "difference_high": None if interval is None else _rounded(interval.high),
        "difference_interval": _interval_of(summary.difference),
        "difference_p": _rounded(summary.difference.p),
        "floor_verdict": None if against is None else against.verdict or "level",
        "floor_p_adjusted": None if against is None else _rounded(against.p_adjusted),
        "gap_closed": summary.gap_closed,
        "gap_low": None if summary.gap_interval is None else _rounded(summary.gap_interval.low),
        "gap_high": None if summary.gap_interval is None else _rounded(summary.gap_interval.high),
        "published": " / ".join(str(number.value) for number in summary.published),
        "planned": row.planned,
        "done": row.done,
        "duration_seconds": None if cost is None else cost.duration_seconds,
        "images_seen": None if cost is None else cost.images_seen,
        "optimiser_steps": None if cost is None else cost.optimiser_steps,
        "peak_memory_bytes": None if cost is None else cost.peak_memory_bytes,
        "used_withheld_data": row.used_withheld_data,
        "outside_data": spreadsheet_text("; ".join(row.outside_data)),
        "warnings": spreadsheet_text("; ".join(row.warnings)),
        "remark": spreadsheet_text(_remark(table, row, summary)),
    }


def _interval_of(difference: Difference) -> str:
    """Return what the interval of a line is over, "" where there is none."""
    if difference.full_interval is not None:
        return "seeds and test images"
    if difference.seeds_interval is not None:
        return "seeds"
    return "" if difference.run_interval is None else "test images, this run only"


def _rounded(value: float | None) -> float | None:
    """Return six digits of a number that special functions gave: their last ones are the machine's."""
    return None if value is None else float(f"{value:.6g}")


def _remark(table: TaskTable, row: Row, summary: MetricSummary) -> str:
    """Return why something of the line is empty, and what must be known of its rank."""
    problems = [f"{problem.status} ({', '.join(problem.seeds)}): {problem.message}" for problem in row.problems]
    undefined = [f"undefined ({seeds}): {reason}" for seeds, reason in summary.undefined.items()]
    unranked = [row.unranked_because] if row.unranked_because and row.done else []
    ranking = [table.ranking_note] if table.ranking_note and row.rank is not None else []
    ranking += ["at chance"] if row.at_chance else []
    ranking += ["above its ceiling"] if row.above_ceiling is not None else []
    return " ".join("; ".join([*ranking, *unranked, *undefined, *problems]).split())


def spreadsheet_text(text: str) -> str:
    """Return a cell's text, with a quote before what a spreadsheet would run, and all of its characters showing."""
    is_formula = text.lstrip().startswith(FORMULA_STARTS)
    return visible(f"'{text}" if is_formula else text)
