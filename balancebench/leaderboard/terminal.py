"""A leaderboard on a terminal: one compact table a task, with as many columns as fit."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from balancebench.leaderboard.aggregate_columns import (
    aggregate_cells,
    aggregate_headings,
    aggregate_remarks,
    aggregate_title,
)
from balancebench.leaderboard.board import AggregateTable, Leaderboard, Row, TaskTable
from balancebench.leaderboard.columns import Column, Notes, main_columns, measure_texts, problem_lines, remark_lines
from balancebench.leaderboard.format import REPORT_TITLES, exposure_text

__all__ = ["print_leaderboard"]

COLUMN_GAP = 2  # of which one is the table's divider
MAX_BALANCER_WIDTH = 28  # longer ones go on in the next line
SHOWN_PROBLEMS = 5
SHOWN_TABLES = 20


def print_leaderboard(console: Console, board: Leaderboard) -> None:
    """Print a leaderboard's tables; columns that do not fit the width are left to the Markdown.

    So are tables after the twentieth in which nothing went wrong.
    """
    if board.suite.profile is not None:
        console.print(f"Profile {board.suite.profile}: no results of the full suite.", style="yellow", markup=False)
    for aggregate in board.aggregates:
        console.print()
        console.print(Text(aggregate_title(board, aggregate), style="bold"))
        _print_aggregate(console, aggregate)
    left_out = 0
    for index, table in enumerate(board.tables):
        if index >= SHOWN_TABLES and not problem_lines(table.rows):
            left_out += 1
            continue
        console.print()
        console.print(Text(_title(board, table), style="bold"))
        _print_table(console, table)
    if left_out:
        console.print(f"\n{left_out} more tables are in the Markdown file.", style="dim")


def _title(board: Leaderboard, table: TaskTable) -> str:
    report = "" if board.suite.reports == ("last",) else f", {REPORT_TITLES[table.report].lower()}"
    return f"{table.task}{report}"


def _print_aggregate(console: Console, table: AggregateTable) -> None:
    drawn = Table(box=box.SIMPLE_HEAD, padding=(0, COLUMN_GAP - 1, 0, 0), header_style="dim", show_edge=False)
    for heading in aggregate_headings(table):
        left = heading == "balancer"
        drawn.add_column(heading.replace("_", " "), justify="left" if left else "right", overflow="fold")
    for cells in aggregate_cells(table):
        drawn.add_row(*map(Text, cells))
    console.print(drawn)
    for remark in aggregate_remarks(table):
        console.print(Text(remark, style="dim"))


def _print_table(console: Console, table: TaskTable) -> None:
    columns = main_columns(table)
    shown = _fitting(columns, _texts(columns, table.rows, _notes()), console.width)
    notes = _notes()  # only of the columns shown
    texts = _texts(shown, table.rows, notes)
    drawn = Table(box=box.SIMPLE_HEAD, padding=(0, COLUMN_GAP - 1, 0, 0), header_style="dim", show_edge=False)
    for column, column_texts in zip(shown, texts, strict=True):
        drawn.add_column(
            Text(_heading(column, column_texts)),
            justify=column.align,
            no_wrap=column.align == "right",
            overflow="fold",
            max_width=MAX_BALANCER_WIDTH if column.align == "left" else None,
        )
    for row, line in zip(table.rows, zip(*texts, strict=True), strict=True):
        drawn.add_row(*map(Text, line), style=_style(row))
    console.print(drawn)
    if hidden := [column.heading for column in columns if column not in shown]:
        console.print(Text(f"Not shown here: {', '.join(hidden)}.", style="dim"))
    for number, note in enumerate(notes.texts, start=1):
        console.print(Text(f"[{number}] {note}", style="dim"))
    if texts := measure_texts(table):
        console.print(Text(f"Training images before balancing: {', '.join(texts)}.", style="dim"))
    for remark in remark_lines(table):
        console.print(Text(remark, style="dim"))
    problems = problem_lines(table.rows)
    for problem in problems[:SHOWN_PROBLEMS]:
        console.print(Text(problem, style="red"))
    if len(problems) > SHOWN_PROBLEMS:
        console.print(Text(f"and {len(problems) - SHOWN_PROBLEMS} more reasons why cells are not done", style="red"))


def _notes() -> Notes:
    return Notes(lambda number: f" [{number}]")


def _texts(columns: Sequence[Column], rows: Sequence[Row], notes: Notes) -> list[list[str]]:
    def text(column: Column, row: Row) -> str:
        cell_text = column.cell(row, notes)
        if column.align != "left":
            return cell_text
        if exposure := exposure_text(row.exposure):
            name = cell_text.removesuffix(exposure).rstrip()
            return f"{_broken(name)}\n{exposure}"
        return _broken(cell_text)

    return [[text(column, row) for row in rows] for column in columns]


def _broken(name: str) -> str:
    """Return "class_balanced_loss(beta=0.9999)", which is long by what was swept, on two lines."""
    return name.replace("(", "\n(", 1) if len(name) > MAX_BALANCER_WIDTH else name


def _fitting(columns: Sequence[Column], texts: Sequence[Sequence[str]], width: int) -> list[Column]:
    """Return the columns to show, in their order: the most important ones that fit together."""
    remaining_width = width
    chosen: set[int] = set()
    for index in sorted(range(len(columns)), key=lambda index: columns[index].priority):
        column = columns[index]
        needed = _width(column, texts[index])
        remaining_width -= COLUMN_GAP + (min(needed, MAX_BALANCER_WIDTH) if column.align == "left" else needed)
        if remaining_width < 0 and column.priority > 0:
            break
        chosen.add(index)
    return [column for index, column in enumerate(columns) if index in chosen]


def _width(column: Column, texts: Sequence[str]) -> int:
    return max(len(line) for text in (*texts, _heading(column, texts)) for line in text.split("\n"))


def _heading(column: Column, texts: Sequence[str]) -> str:
    """Return the heading on several lines, no wider than the cells where its words allow."""
    words = column.heading.replace("_", " ")
    widest = max([len(text) for text in texts] + [len(word) for word in words.split()])
    return "\n".join(textwrap.wrap(words, widest))


def _style(row: Row) -> str:
    if row.done == 0:
        return "red"
    if row.done < row.planned or (row.rank is None and row.role != "ceiling"):
        return "yellow"
    return "bold green" if row.rank == 1 else "" if row.role == "entry" else "dim"
