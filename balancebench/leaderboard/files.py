"""Writes leaderboards to folders, and checks that committed ones are what their records say.

results/NAME/            leaderboard.html, .md, .csv and .json of a run
leaderboard/             README.md, the index of what is committed
leaderboard/NAME/        records.json, leaderboard.html, .md and .csv made from it, outcomes.json, what became of each
                         test image, and curves.json, values of each epoch; NAME.PROFILE where made under a profile

Either shows the pictures that lie in its folder `pictures`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from urllib.parse import quote

from balancebench.errors import LeaderboardError
from balancebench.leaderboard.board import Leaderboard
from balancebench.leaderboard.export import csv_text, json_parts
from balancebench.leaderboard.format import STATUS_WORDS
from balancebench.leaderboard.markdown import escape, markdown, markdown_table
from balancebench.leaderboard.outcomes import (
    OUTCOMES,
    Outcomes,
    outcomes_problems,
    outcomes_text,
    read_committed_outcomes,
)
from balancebench.leaderboard.page.build import comparable, page_html
from balancebench.leaderboard.page.embedded_pictures import pictures_beside
from balancebench.leaderboard.page.site_index import SuiteSource
from balancebench.leaderboard.picture_manifest import picture_problems, shown_pictures
from balancebench.leaderboard.records import Records, read_records, records_text
from balancebench.leaderboard.results import CellResult, SuiteHeader, describe_suite
from balancebench.leaderboard.table import build_leaderboard
from balancebench.leaderboard.training_curves import (
    CURVES,
    Curves,
    curves_problems,
    curves_text,
    read_committed_curves,
)
from balancebench.plain_text import visible
from balancebench.suite.bound import BoundSuite

__all__ = [
    "check_leaderboards",
    "read_suite",
    "read_suites",
    "rewrite_leaderboards",
    "write_leaderboard",
    "write_records",
]

RECORDS = "records.json"
INDEX = "README.md"
PAGE = "leaderboard.html"
INDEX_TOP = """\
# Leaderboards

Made from the records beside them with `balancebench leaderboard SUITE --records leaderboard`; do not edit them by
hand. `balancebench leaderboard --check` finds what is stale, `balancebench regress` what has moved.
"""


def write_leaderboard(
    folder: Path,
    board: Leaderboard,
    cells: Sequence[CellResult] = (),
    outcomes: Outcomes | None = None,
    curves: Curves | None = None,
) -> Path:
    """Write leaderboard.html, .md, .csv and .json to a folder; returns the Markdown's path.

    cells, outcomes: what the leaderboard was built from, for what the page says beyond it; curves: of their trainings.
    """
    _write(folder, _tables(folder, board, cells, outcomes, curves))
    _write(folder, {"leaderboard.json": json_parts(board)})
    return folder / "leaderboard.md"


def write_records(
    folder: Path,
    suite: BoundSuite | SuiteHeader,
    cells: Sequence[CellResult],
    draw: Callable[[Path, Leaderboard], object] | None = None,
    outcomes: Outcomes | None = None,
    curves: Curves | None = None,
) -> Path:
    """Write a suite's records and tables to a folder of its own in `folder`, and the index; returns the records' path.

    Results made under a profile are no results of the suite: they get a folder NAME.PROFILE, and say so.
    draw(folder, board) writes the pictures that the tables will show. outcomes, curves: those of the cells and of their
    trainings, kept beside them; without them what lies there of earlier records goes, as those do.
    """
    header = suite if isinstance(suite, SuiteHeader) else describe_suite(suite)
    path = folder / _folder_name(header) / RECORDS
    beside: dict[str, str] = {}
    if outcomes is not None:
        beside[OUTCOMES] = outcomes_text(outcomes)
    if curves:
        beside[CURVES] = curves_text(curves)
    sealed = {name: hashlib.sha256(text.encode()).hexdigest() for name, text in beside.items()}
    _write(path.parent, {**beside, RECORDS: records_text(header, cells, sealed.get(OUTCOMES), sealed.get(CURVES))})
    for of_earlier_records in {OUTCOMES, CURVES} - beside.keys():
        (path.parent / of_earlier_records).unlink(missing_ok=True)
    records = read_records(path)  # the tables are of what was written, without absolute paths
    board = build_leaderboard(records.suite, records.cells, outcomes)
    _write(path.parent, _tables(path.parent, board, records.cells, outcomes, curves))
    if draw is not None:  # after the tables, which stand whatever a picture does, and then show it
        draw(path.parent, board)
        _write(path.parent, _tables(path.parent, board, records.cells, outcomes, curves))
    _write(folder, {INDEX: _index(_boards(folder))})
    return path


def check_leaderboards(folder: Path) -> list[str]:
    """Return the names of the suites committed in `folder`, all of whose files are as their records say.

    Raises LeaderboardError naming every file that is stale, missing or edited by hand.
    """
    if not folder.is_dir():
        raise LeaderboardError(f"there is no folder {folder}")
    problems: list[str] = []
    boards: dict[str, Leaderboard] = {}
    for suite_folder in sorted(path for path in folder.iterdir() if path.is_dir()):
        try:
            records = read_records(suite_folder / RECORDS)
        except LeaderboardError as error:
            problems.append(str(error))
            continue
        if _folder_name(records.suite) != suite_folder.name:
            problems.append(f"{suite_folder / RECORDS} holds the suite {_folder_name(records.suite)!r}")
        problems += [*outcomes_problems(suite_folder, records), *curves_problems(suite_folder, records)]
        outcomes, curves = _outcomes(suite_folder, records), _curves(suite_folder, records)
        boards[suite_folder.name] = build_leaderboard(records.suite, records.cells, outcomes)
        tables = _tables(suite_folder, boards[suite_folder.name], records.cells, outcomes, curves)
        problems += _differing(suite_folder, tables)
        problems += picture_problems(suite_folder, boards[suite_folder.name], tables["leaderboard.md"])
    if not problems:
        problems += _differing(folder, {INDEX: _index(boards)})
    if problems:
        fix = f"write them again with: balancebench leaderboard --rewrite {folder}, or SUITE --records {folder}"
        raise LeaderboardError("\n".join([f"stale leaderboards; {fix}", *(f"  {text}" for text in problems)]))
    return list(boards)


def rewrite_leaderboards(folder: Path) -> list[str]:
    """Write the pages and tables of the suites committed in `folder` again from their records; return their names.

    For when they say something in other words than before: no number changes. Pictures stay as they are. Raises
    LeaderboardError where records cannot be read, before anything is written.
    """
    suites = read_suites(folder)
    for name, suite in suites.items():
        records = suite.records
        board = build_leaderboard(records.suite, records.cells, suite.outcomes)
        _write(folder / name, _tables(folder / name, board, records.cells, suite.outcomes, suite.curves))
    _write(folder, {INDEX: _index(_boards(folder))})
    return list(suites)


def read_suites(folder: Path) -> dict[str, SuiteSource]:
    """Return the records and outcomes of every suite committed in `folder`, by the name of their folder.

    Raises LeaderboardError where there are none, or a file cannot be read.
    """
    paths = sorted(folder.glob(f"*/{RECORDS}"))
    if not paths:
        raise LeaderboardError(
            f"there are no committed leaderboards in {folder} (NAME/{RECORDS}); write one with: "
            f"balancebench leaderboard SUITE --records {folder}"
        )
    return {path.parent.name: read_suite(path.parent) for path in paths}


def read_suite(folder: Path) -> SuiteSource:
    """Return what is committed of one suite; raise LeaderboardError where a file cannot be read."""
    records = read_records(folder / RECORDS)
    return SuiteSource(
        records=records,
        outcomes=read_committed_outcomes(folder, records),
        curves=read_committed_curves(folder, records),
        folder=folder,
    )


def _folder_name(suite: SuiteHeader) -> str:
    """Return the name of a suite's folder; raise LeaderboardError where it would lie elsewhere, as no suite's does."""
    name = suite.name if suite.profile is None else f"{suite.name}.{suite.profile}"
    if name in ("", ".", "..") or any(character in name for character in "/\\\0"):
        raise LeaderboardError(f"{visible(name)!r} names no folder of a leaderboard: use letters, digits, _, . and -")
    return name


def _tables(
    folder: Path,
    board: Leaderboard,
    cells: Sequence[CellResult],
    outcomes: Outcomes | None,
    curves: Curves | None,
) -> dict[str, str]:
    return {
        "leaderboard.md": markdown(board, shown_pictures(folder, board)),
        "leaderboard.csv": csv_text(board),
        PAGE: page_html(board, cells, outcomes, curves, pictures_beside(folder, board)),
    }


def _boards(folder: Path) -> dict[str, Leaderboard]:
    boards: dict[str, Leaderboard] = {}
    for path in sorted(folder.glob(f"*/{RECORDS}")):
        records = read_records(path)
        boards[path.parent.name] = build_leaderboard(records.suite, records.cells, _outcomes(path.parent, records))
    return boards


def _outcomes(folder: Path, records: Records) -> Outcomes:
    """Return the outcomes beside records, none where they cannot be read: `outcomes_problems` says so."""
    try:
        return read_committed_outcomes(folder, records)
    except LeaderboardError:
        return {}


def _curves(folder: Path, records: Records) -> Curves:
    """Return the curves beside records, none where they cannot be read: `curves_problems` says so."""
    try:
        return read_committed_curves(folder, records)
    except LeaderboardError:
        return {}


def _index(boards: Mapping[str, Leaderboard]) -> str:
    rows: list[list[str]] = []
    for name, board in boards.items():
        tasks = {table.task for table in board.tables}
        balancers = {row.balancer for table in board.tables for row in table.rows if row.role != "ceiling"}
        cells = ", ".join(f"{count} {STATUS_WORDS[status]}" for status, count in board.counts.items())
        profile = "" if board.suite.profile is None else f", profile {escape(board.suite.profile)}"
        link = f"[{escape(board.suite.title)}]({quote(name)}/leaderboard.md){profile}"
        rows.append([link, str(len(tasks)), str(len(balancers)), cells])
    table = markdown_table(["suite", "tasks", "balancers", "cells"], [False, True, True, True], rows)
    return "\n".join([INDEX_TOP, *table]) + "\n"


def _differing(folder: Path, expected: Mapping[str, str]) -> list[str]:
    problems: list[str] = []
    for name, text in expected.items():
        path = folder / name
        if not path.is_file():
            problems.append(f"{path} is missing")
        elif not _same(name, path.read_bytes(), text):
            problems.append(f"{path} is stale or was edited by hand")
    return problems


def _same(name: str, content: bytes, text: str) -> bool:
    """Say whether a file holds a text; of a page what its blocks hold counts, however they were compressed."""
    if content == text.encode():
        return True
    return name == PAGE and comparable(content.decode(errors="replace")) == comparable(text)


def _write(folder: Path, files: Mapping[str, str | Iterable[bytes]]) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, content in files.items():
            with (folder / name).open("wb") as file:  # the same line ends everywhere
                file.writelines([content.encode()] if isinstance(content, str) else content)
    except OSError as error:
        raise LeaderboardError(f"{folder} cannot be written: {error.strerror}") from error
