"""The rows of a suite over all of its tasks as text: Markdown, the terminal and notebooks show the same."""

from __future__ import annotations

from balancebench.leaderboard.aggregate import FEWEST_TASKS
from balancebench.leaderboard.board import AggregateRow, AggregateTable, Leaderboard
from balancebench.leaderboard.format import REPORT_TITLES, difference_text, gap_text

__all__ = ["aggregate_cells", "aggregate_headings", "aggregate_remarks", "aggregate_title"]

NOTHING = "-"
NAMED_TASKS = 3


def aggregate_title(board: Leaderboard, table: AggregateTable) -> str:
    """Return "All 2 tasks", with the report where a suite has other ones than the last epoch."""
    report = "" if board.suite.reports == ("last",) else f", {REPORT_TITLES[table.report].lower()}"
    return f"All {len(table.tasks)} tasks{report}"


def aggregate_headings(table: AggregateTable) -> list[str]:
    """Return the headings; all but the second column are aligned right."""
    unit = f" ({table.ranked_by.unit})" if table.ranked_by.unit else ""
    headings = ["mean rank", "balancer", f"{table.ranked_by.label} vs floor{unit}", "gap closed", "won / level / lost"]
    return [*headings, "p over tasks"] if len(table.tasks) >= FEWEST_TASKS else headings


def aggregate_cells(table: AggregateTable) -> list[list[str]]:
    """Return the texts of each row that has all tasks, under the headings."""
    return [_cells(table, row) for row in table.rows if row.mean_rank is not None]


def _cells(table: AggregateTable, row: AggregateRow) -> list[str]:
    difference = row.difference
    counts = (row.won, row.level, row.lost)
    cells = [
        "" if row.mean_rank is None else f"{row.mean_rank:.1f}",
        row.balancer + (" (floor)" if row.role == "floor" else ""),
        NOTHING if difference.mean is None else difference_text(difference, table.ranked_by.unit),
        NOTHING if row.gap_closed is None else gap_text(row.gap_closed),
        NOTHING if row.role == "floor" or not any(counts) else " / ".join(map(str, counts)),
    ]
    if len(table.tasks) >= FEWEST_TASKS:
        cells.append(NOTHING if row.signed_rank_p is None else f"{row.signed_rank_p:.3f}")
    return cells


def _named(row: AggregateRow) -> str:
    if len(row.lacks) > NAMED_TASKS:
        return f"{len(row.lacks)} tasks"
    return ", ".join(map(str, row.lacks))


def aggregate_remarks(table: AggregateTable) -> list[str]:
    """Return what the table is about, and which rows lack a task."""
    count = len(table.tasks)
    about = (
        f"About these {count} tasks, which were chosen, not drawn: mean over tasks of the difference from the floor "
        "[95 %], gains over rooms, and tasks in which a row is better than the floor, level with it, or worse."
    )
    if count < FEWEST_TASKS:
        about += f" {count} tasks allow no claim about others."
    lines = [about]
    differences = [row.difference for row in table.rows]
    if any(difference.seeds_interval is not None for difference in differences):
        lines.append("Its intervals are over seeds alone where those of a task are.")
    if lacking := [row for row in table.rows if row.lacks]:
        texts = (f"{row.balancer} ({_named(row)})" for row in lacking)
        lines.append(f"Not compared here, for they have no rank in: {'; '.join(texts)}.")
    return lines
