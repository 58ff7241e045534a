"""A leaderboard as a notebook shows it: plain HTML tables, every text escaped."""

from __future__ import annotations

from collections.abc import Iterable
from html import escape

from balancebench.leaderboard.aggregate_columns import (
    aggregate_cells,
    aggregate_headings,
    aggregate_remarks,
    aggregate_title,
)
from balancebench.leaderboard.board import AggregateTable, Leaderboard, TaskTable
from balancebench.leaderboard.columns import Notes, main_columns, measure_texts, problem_lines, remark_lines
from balancebench.leaderboard.format import REPORT_TITLES

__all__ = ["leaderboard_html"]


def leaderboard_html(board: Leaderboard) -> str:
    """Return the title and a table for each task and report, with its notes."""
    profile = "" if board.suite.profile is None else f" <em>(profile {escape(board.suite.profile)})</em>"
    parts = [f"<h3>{escape(board.suite.title)}{profile}</h3>"]
    for aggregate in board.aggregates:
        parts += [f"<h4>{escape(aggregate_title(board, aggregate))}</h4>", _aggregate_html(aggregate)]
    for table in board.tables:
        report = "" if board.suite.reports == ("last",) else f", {REPORT_TITLES[table.report].lower()}"
        parts += [f"<h4>{escape(f'{table.task}{report}')}</h4>", _table_html(table)]
    return "\n".join(parts)


def _table_html(table: TaskTable) -> str:
    columns = main_columns(table)
    notes = Notes(lambda number: f" [{number}]")
    heads = "".join(f"<th>{escape(column.heading)}</th>" for column in columns)
    rows = "".join(
        "<tr>"
        + "".join(
            f'<td style="text-align: {column.align}">{escape(column.cell(row, notes))}</td>' for column in columns
        )
        + "</tr>"
        for row in table.rows
    )
    measures = measure_texts(table)
    lines = [
        *([f"Training images before balancing: {', '.join(measures)}."] if measures else []),
        *(f"[{number}] {text}" for number, text in enumerate(notes.texts, start=1)),
        *remark_lines(table),
        *problem_lines(table.rows),
    ]
    return f"<table><thead><tr>{heads}</tr></thead><tbody>{''.join(rows)}</tbody></table>{_paragraphs(lines)}"


def _aggregate_html(table: AggregateTable) -> str:
    heads = "".join(f"<th>{escape(heading)}</th>" for heading in aggregate_headings(table))
    rows = "".join(
        f"<tr>{''.join(f'<td>{escape(text)}</td>' for text in cells)}</tr>" for cells in aggregate_cells(table)
    )
    return f"<table><thead><tr>{heads}</tr></thead><tbody>{rows}</tbody></table>{_paragraphs(aggregate_remarks(table))}"


def _paragraphs(lines: Iterable[str]) -> str:
    return "".join(f"<p><small>{escape(line)}</small></p>" for line in lines)
