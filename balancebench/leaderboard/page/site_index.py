"""A folder of leaderboards as pages for a static host: an index, and the page of every suite."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from balancebench.errors import LeaderboardError
from balancebench.leaderboard.board import Leaderboard, Row, TaskTable
from balancebench.leaderboard.format import REPORT_TITLES, heading, summary_text
from balancebench.leaderboard.outcomes import Outcomes
from balancebench.leaderboard.page.build import page_html, render
from balancebench.leaderboard.page.contents import row_id, table_id
from balancebench.leaderboard.page.embedded_pictures import pictures_beside
from balancebench.leaderboard.page.words import summary_words, verdict_words
from balancebench.leaderboard.records import Records
from balancebench.leaderboard.table import build_leaderboard
from balancebench.leaderboard.training_curves import Curves

__all__ = ["SuiteSource", "write_site"]

INDEX = "index.html"


@dataclass(frozen=True, slots=True, kw_only=True)
class SuiteSource:
    """What a suite's page is made from. folder: where its pictures lie."""

    records: Records
    outcomes: Outcomes
    curves: Curves
    folder: Path


@dataclass(frozen=True, slots=True, kw_only=True)
class _Task:
    """A table as the index names it: address, task and report, its summary, and who is first."""

    address: str
    name: str
    summary: str
    first: str


@dataclass(frozen=True, slots=True, kw_only=True)
class _Suite:
    address: str
    title: str
    description: str
    profile: str
    tasks: tuple[_Task, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Standing:
    """How one method stands in one table."""

    address: str
    suite: str
    task: str
    rank: str
    score: str
    verdict: str


@dataclass(frozen=True, slots=True, kw_only=True)
class _Method:
    name: str
    citation: str
    standings: tuple[_Standing, ...]


def write_site(folder: Path, suites: Mapping[str, SuiteSource]) -> Path:
    """Write index.html and NAME/index.html of every suite to a folder; returns the index's path.

    suites: by the name of their folder. Raises LeaderboardError where the folder cannot be written.
    """
    boards = {
        name: build_leaderboard(source.records.suite, source.records.cells, source.outcomes)
        for name, source in suites.items()
    }
    pages = {
        f"{name}/{INDEX}": page_html(
            boards[name],
            source.records.cells,
            source.outcomes,
            source.curves,
            pictures_beside(source.folder, boards[name]),
        )
        for name, source in suites.items()
    }
    pages[INDEX] = render(
        "site.html.j2",
        "",
        suites=[_suite(name, board) for name, board in boards.items()],
        methods=_methods(boards),
    )
    try:
        for name, text in pages.items():
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(text.encode())
    except OSError as error:
        raise LeaderboardError(f"{folder} cannot be written: {error.strerror}") from error
    return folder / INDEX


def _suite(name: str, board: Leaderboard) -> _Suite:
    return _Suite(
        address=_address(name),
        title=board.suite.title,
        description=board.suite.description,
        profile=board.suite.profile or "",
        tasks=tuple(_task(name, board, table) for table in board.tables),
    )


def _task(name: str, board: Leaderboard, table: TaskTable) -> _Task:
    first = [row.balancer for row in table.rows if row.rank == 1]
    return _Task(
        address=f"{_address(name)}#task={table_id(table)}",
        name=_task_words(board, table),
        summary=summary_words(table),
        first=" and ".join(first) or "nobody",
    )


def _task_words(board: Leaderboard, table: TaskTable) -> str:
    report = "" if board.suite.reports == ("last",) else f", {REPORT_TITLES[table.report].lower()}"
    return f"{table.task}{report}"


def _methods(boards: Mapping[str, Leaderboard]) -> list[_Method]:
    """Return every balancer with its standings, those in most tables first, then by name."""
    standings: dict[str, list[_Standing]] = {}
    citations: dict[str, str] = {}
    for name, board in boards.items():
        for table in board.tables:
            for row in table.rows:
                if row.role != "ceiling":
                    standings.setdefault(row.balancer, []).append(_standing(name, board, table, row))
        for balancer, citation in board.suite.citations.items():
            citations.setdefault(balancer, citation)
    return [
        _Method(name=balancer, citation=citations.get(balancer, ""), standings=tuple(of_balancer))
        for balancer, of_balancer in sorted(standings.items(), key=lambda item: (-len(item[1]), item[0]))
    ]


def _standing(name: str, board: Leaderboard, table: TaskTable, row: Row) -> _Standing:
    ranks = sum(other.rank is not None for other in table.rows)
    rank = f"{row.rank} of {ranks}" if row.rank is not None else "not ranked"
    if row.rank_range is not None:
        rank += f", may be {row.rank_range[0]} to {row.rank_range[1]}"
    metric = next((metric for metric in table.metrics if metric.label == table.ranked_by), None)
    summary = None if metric is None else row.metrics[metric.label].over_seeds
    return _Standing(
        address=f"{_address(name)}#task={table_id(table)}&row={row_id(row)}",
        suite=board.suite.title,
        task=_task_words(board, table),
        rank=rank,
        score="no value"
        if metric is None or summary is None or summary.mean is None
        else f"{heading(metric)} {summary_text(summary, metric.unit)}",
        verdict=verdict_words(row) or ("the floor" if row.role == "floor" else row.unranked_because),
    )


def _address(name: str) -> str:
    """Return the address of a suite's page from the index."""
    return f"{quote(name)}/{INDEX}"
