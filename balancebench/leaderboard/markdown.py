"""A leaderboard as Markdown. The same results give the same bytes."""

from __future__ import annotations

import html
import json
import re
import shlex
from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import cast

from balancebench.config import JSON
from balancebench.leaderboard.aggregate_columns import (
    aggregate_cells,
    aggregate_headings,
    aggregate_remarks,
    aggregate_title,
)
from balancebench.leaderboard.board import AggregateTable, Leaderboard, Row, TaskTable
from balancebench.leaderboard.columns import (
    Column,
    Notes,
    class_columns,
    comparison_columns,
    main_columns,
    measure_texts,
    problem_lines,
    remark_lines,
)
from balancebench.leaderboard.format import REPORT_TITLES, STATUS_WORDS
from balancebench.leaderboard.picture_manifest import FOLDER, PictureEntry, PictureKind, pictures_of_task
from balancebench.plain_text import shown_lines, visible
from balancebench.plan import Task

__all__ = ["environment_text", "escape", "markdown", "markdown_table", "rerun_command"]

BEST_TEST_WARNING = (
    "> **The test set chose the epoch of these numbers**, so they are optimistic. They stand here because many papers "
    "report them."
)
HOW_TO_READ = (
    "Each number is a mean over seeds ± the standard deviation, or says how many seeds gave the very same. Rows are "
    "ranked by the first metric that has a better direction, on seeds that all ranked rows have. *vs floor* is the "
    "mean of the differences from the imbalanced baseline with the same seed, hence with the same training images, "
    "with its 95 % interval over seeds, and over test images where that is known. *better* and *worse* are told apart "
    "from the floor, and *range* is the ranks that a row may have, given which rows are told apart: both are adjusted "
    "over all pairs of ranked rows, the interval is not, so that it may exclude 0 beside *level*. "
    "*gap closed* is how much of the way from that floor to the ceiling, training on all images, a balancer goes, with "
    "its interval over seeds. ↓ "
    "marks metrics where lower is better. *time* covers synthesis and training. *2.9 x the images seen* stands at a "
    "balancer whose classifiers were shown that many times the images that the floor's were, repeats counted, where "
    "it is more than a tenth off: it may be better or worse for having trained longer or shorter."
)


# Kinds of which a suite may have many: they are folded, one summary for all of a task.
FOLDED: dict[PictureKind, str] = {
    "samples": "Real and made images of each class",
    "generator": "Training curves of the generators",
}


def markdown(board: Leaderboard, pictures: tuple[PictureEntry, ...] = ()) -> str:
    """Return the whole page; `pictures` lie in a folder beside it."""
    lines = _top(board)
    tables: dict[Task, list[TaskTable]] = {}
    for table in board.tables:
        tables.setdefault(table.task, []).append(table)
    for aggregate in board.aggregates:
        lines += [f"## {aggregate_title(board, aggregate)}", "", *_aggregate_lines(aggregate)]
    earlier: set[Task] = set()
    for task, reports in tables.items():
        lines += [f"## {escape(str(task))}", ""]
        for table in reports:
            if board.suite.reports != ("last",):
                lines += [f"### {REPORT_TITLES[table.report]}", ""]
            lines += _task_lines(table)
        lines += _picture_lines(pictures_of_task(pictures, task, earlier))
        earlier.add(task)
    lines += ["## How to read this", "", HOW_TO_READ]
    return "\n".join(lines) + "\n"


@lru_cache(maxsize=2**14)  # tables hold the same names and numbers again and again
def escape(text: str) -> str:
    """Return text that Markdown shows as it is, in a table's cell too."""
    one_line = visible(" ".join(text.split()))
    plain = html.escape(one_line, quote=False)
    plain = re.sub(r"([\\`*\[\]|])", r"\\\1", plain)
    return re.sub(r"(?<!\w)_|_(?!\w)", r"\\_", plain)  # an underscore inside a word is safe


def markdown_table(headings: Sequence[str], aligned_right: Sequence[bool], rows: Iterable[Sequence[str]]) -> list[str]:
    """Return the lines of a table, padded so that the source reads like one; the texts must be escaped."""
    cells = [list(headings), *(list(row) for row in rows)]
    widths = [max(3, *(len(row[column]) for row in cells)) for column in range(len(headings))]

    def line(row: Sequence[str]) -> str:
        padded = (
            text.rjust(width) if right else text.ljust(width)
            for text, width, right in zip(row, widths, aligned_right, strict=True)
        )
        return f"| {' | '.join(padded)} |"

    rule = [
        "-" * (width - 1) + ":" if right else "-" * width for width, right in zip(widths, aligned_right, strict=True)
    ]
    return [line(cells[0]), f"| {' | '.join(rule)} |", *map(line, cells[1:])]


def rerun_command(board: Leaderboard) -> str:
    """Return the command that makes these results."""
    suite = board.suite
    # Records that were made before --set was there name their profile alone.
    profile = suite.file_profile if suite.changes else suite.profile
    arguments = ["--profile", profile] if profile is not None else []
    for pattern, value in suite.changes.items():
        arguments += ["--set", f"{pattern}={json.dumps(value)}"]
    return shlex.join(["balancebench", "run", suite.file, *arguments])


def _top(board: Leaderboard) -> list[str]:
    suite = board.suite
    lines = [f"# {escape(suite.title)}", ""]
    if suite.description:
        lines += [html.escape(shown_lines(suite.description), quote=False), ""]
    if suite.profile is not None:
        changes = ", ".join(_code(f"{key} = {json.dumps(value)}") for key, value in suite.overrides.items())
        lines += [
            f"> **Made under the profile {escape(suite.profile)}**, which changes the suite"
            f"{f' ({changes})' if changes else ''}: these are no results of the full suite.",
            "",
        ]
    total = sum(board.counts.values())
    parts = ", ".join(f"{count} {STATUS_WORDS[status]}" for status, count in board.counts.items())
    lines.append(f"- {total} cells{', all done' if board.counts.get('done') == total else f': {parts}'}")
    if board.environments:
        lines.append(f"- Made {escape(environment_text(board))}")
    lines += [f"- Run it again: {_code(rerun_command(board))}", ""]
    return lines


def _code(text: str) -> str:
    """Return a code span of one line, fenced by more backticks than the text has in a row."""
    shown = visible(text)
    fence = "`" * (1 + max((len(run) for run in re.findall("`+", shown)), default=0))
    padding = " " if "`" in shown else ""
    return f"{fence}{padding}{shown}{padding}{fence}"


def environment_text(board: Leaderboard) -> str:
    """Return what the cells were made on and with, in one sentence without its verb; "" where it is not known."""

    def all_of(key: str) -> str:
        values = {str(environment[key]) for environment in board.environments if environment.get(key)}
        return " and ".join(sorted(values))

    def packages(key: str) -> list[str]:
        versions: dict[str, set[str]] = {}
        for environment in board.environments:
            for name, version in cast("dict[str, JSON]", environment.get(key) or {}).items():
                versions.setdefault(name, set()).add(str(version))
        return [
            f"{name} {' and '.join(sorted(package_versions))}" for name, package_versions in sorted(versions.items())
        ]

    machine = ", ".join(filter(None, (all_of("processor"), all_of("platform"))))
    software = [f"Python {all_of('python')}"] if all_of("python") else []
    software += packages("plugins") + packages("versions")
    commits = sorted(
        {str(environment["git_commit"]) for environment in board.environments if environment.get("git_commit")}
    )
    shown = [commit[:12] + ("+" if commit.endswith("+") else "") for commit in commits]
    parts = [
        f"on {all_of('device')}" if all_of("device") else "",
        f"({machine})" if machine else "",
        f"with {', '.join(software)}" if software else "",
        f"at commit {', '.join(shown)}" if shown else "",
    ]
    return " ".join(filter(None, parts))


def _task_lines(table: TaskTable) -> list[str]:
    lines = [BEST_TEST_WARNING, ""] if table.report == "best_test" else []
    if texts := measure_texts(table):
        lines += [f"Training images before balancing: {escape(', '.join(texts))}.", ""]
    notes = Notes(lambda number: f"<sup>{number}</sup>")
    lines += [*_rows(main_columns(table), table.rows, notes), ""]
    lines += _footnotes(notes)
    for remark in remark_lines(table):
        lines += [escape(remark), ""]
    if problems := problem_lines(table.rows):
        lines += ["**Not done:**", "", *(f"- {escape(problem)}" for problem in problems), ""]
    if columns := comparison_columns(table):
        notes = Notes(lambda number: f"<sup>{number}</sup>")
        body = [*_rows(columns, table.rows, notes), "", *_footnotes(notes)]
        lines += _folded("The other metrics against floor and ceiling", body)
    for metric in table.class_metrics:
        headings, rows = class_columns(table, metric)
        escaped = [[escape(text) for text in row] for row in rows]
        body = markdown_table([escape(text) for text in headings], [False] + [True] * (len(headings) - 1), escaped)
        unit = f" ({metric.unit})" if metric.unit else ""
        lines += _folded(f"{html.escape(metric.label)}{unit} of each class, mean over seeds", [*body, ""])
    return lines


def _aggregate_lines(table: AggregateTable) -> list[str]:
    headings = aggregate_headings(table)
    rows = [[escape(text) for text in row] for row in aggregate_cells(table)]
    lines = [*markdown_table([escape(text) for text in headings], [text != "balancer" for text in headings], rows), ""]
    for remark in aggregate_remarks(table):
        lines += [escape(remark), ""]
    return lines


def _picture_lines(pictures: Sequence[PictureEntry]) -> list[str]:
    lines = ["### Pictures", ""] if pictures else []
    for entry in pictures:
        if entry.kind not in FOLDED:
            lines += _picture(entry)
    for kind, summary in FOLDED.items():
        if body := [line for entry in pictures if entry.kind == kind for line in _picture(entry)]:
            lines += _folded(summary, body)
    return lines


def _picture(entry: PictureEntry) -> list[str]:
    return [f"![{escape(entry.alt)}]({FOLDER}/{entry.file})", "", escape(entry.caption), ""]


def _rows(columns: Sequence[Column], rows: Sequence[Row], notes: Notes) -> list[str]:
    # Labels are escaped; the marks of notes are HTML and must not be.
    def text(column: Column, row: Row) -> str:
        cell_text = column.cell(row, notes)
        return escape(cell_text) if column.align == "left" else cell_text

    return markdown_table(
        [escape(column.heading) for column in columns],
        [column.align == "right" for column in columns],
        [[text(column, row) for column in columns] for row in rows],
    )


def _footnotes(notes: Notes) -> list[str]:
    lines = [f"{number}. {escape(text)}" for number, text in enumerate(notes.texts, start=1)]
    return [*lines, ""] if lines else []


def _folded(summary: str, body: list[str]) -> list[str]:
    return ["<details>", f"<summary>{visible(summary)}</summary>", "", *body, "</details>", ""]
