"""What intervals, ranges and verdicts of a table say and leave out, in a line or two."""

from __future__ import annotations

from balancebench.leaderboard.board import TaskTable

__all__ = ["interval_lines"]


def interval_lines(table: TaskTable) -> list[str]:
    """Return what the intervals are of, how many pairs are told apart, and what must be known of both."""
    if table.ranked_by is None:
        return []
    differences = [row.metrics[table.ranked_by].difference for row in table.rows]
    lines: list[str] = []
    if any(difference.interval is not None for difference in differences):
        over = "seeds" if all(difference.full_interval is None for difference in differences) else "seeds and images"
        lines.append(f"vs floor: mean difference [95 % over {over}], each by itself.{_separated_text(table)}")
    return [*lines, *(f"{note}." for note in table.interval_notes)]


def _separated_text(table: TaskTable) -> str:
    separated = table.separated
    if separated is None or not separated.tested:
        return ""
    level = sum(row.level_with_first is True for row in table.rows)
    verb = "is" if len(separated.pairs) == 1 else "are"
    first = "nobody is level with the first" if level == 1 else f"{level} rows are level with the first, it included"
    adjusted = "better, worse, level and range are adjusted over all pairs"
    return f" The words {adjusted}: {len(separated.pairs)} of {separated.tested} pairs {verb} separated; {first}."
