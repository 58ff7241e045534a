"""Draws pictures for a command: progress where it takes its time, a warning for each that cannot be drawn."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from balancebench.cli.shared import errors_console
from balancebench.errors import LeaderboardError

if TYPE_CHECKING:
    from rich.console import Console
    from rich.status import Status

    from balancebench.leaderboard.board import Leaderboard
    from balancebench.leaderboard.outcomes import Outcomes
    from balancebench.leaderboard.picture_manifest import PictureEntry
    from balancebench.leaderboard.results import CellResult
    from balancebench.pictures.picture_files import Gallery, Which
    from balancebench.plan import Plan
    from balancebench.store import Store

    Results = tuple[Sequence[CellResult], Outcomes]

__all__ = ["PicturesFlag", "draw_pictures", "write_with_pictures"]

QUIET_SECONDS = 2.0
PLAIN_SECONDS = 15.0

PicturesFlag = Annotated[
    bool, typer.Option("--pictures/--no-pictures", help="Draw the pictures that are new or changed.")
]


def draw_pictures(plan: Plan, store: Store, folder: Path, board: Leaderboard, which: Which) -> Gallery:
    """Bring the pictures of a leaderboard's folder up to date."""
    from balancebench.execution.observers import Observers
    from balancebench.pictures.picture_files import Gallery, write_pictures
    from balancebench.registry import load_registry

    err = errors_console()
    observers = Observers(load_registry().hooks.hook, plan, store)

    def on_drawn(path: Path, entry: PictureEntry) -> None:
        observers.picture_drawn(path, entry.kind, entry.title, entry.caption)

    with _Progress(err) as progress:
        try:
            gallery = write_pictures(
                plan, store, folder, board, which=which, on_picture=progress.on_picture, on_drawn=on_drawn
            )
        except LeaderboardError as error:  # the tables stand without
            gallery = Gallery(pictures=(), drawn=0, problems=(str(error),))
    for problem in gallery.problems:
        err.print(f"Picture: {problem}", style="yellow", markup=False, soft_wrap=True)
    return gallery


def write_with_pictures(
    plan: Plan, store: Store, folder: Path, board: Leaderboard, cells: Results, which: Which
) -> tuple[Path, Gallery]:
    """Write a leaderboard, draw its pictures, and write it again where it shows others now; return the Markdown's path.

    The tables come first: whatever a picture does, they stand. cells: the results and outcomes it was built from.
    """
    from balancebench.leaderboard.files import write_leaderboard
    from balancebench.leaderboard.picture_manifest import shown_pictures
    from balancebench.leaderboard.training_curves import curves_in_store

    curves = curves_in_store(cells[0], store)
    markdown = write_leaderboard(folder, board, *cells, curves)
    shown = shown_pictures(folder, board)
    gallery = draw_pictures(plan, store, folder, board, which)
    if shown_pictures(folder, board) != shown:
        write_leaderboard(folder, board, *cells, curves)
    return markdown, gallery


class _Progress:
    """Silent for two seconds; then a line that moves on a terminal, one line every 15 seconds elsewhere."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._status: Status | None = None
        self._next = time.monotonic() + QUIET_SECONDS

    def __enter__(self) -> _Progress:
        return self

    def __exit__(self, *_: object) -> None:
        if self._status is not None:
            self._status.stop()

    def on_picture(self, done: int, total: int, title: str) -> None:
        if time.monotonic() < self._next or done == total:
            return
        text = f"Drawing pictures, {done + 1} of {total}"
        if not self._console.is_terminal:
            self._next = time.monotonic() + PLAIN_SECONDS
            self._console.print(f"{text}: {title}", markup=False, soft_wrap=True)
        elif self._status is None:
            self._status = self._console.status(text)
            self._status.start()
        else:
            self._status.update(text)
