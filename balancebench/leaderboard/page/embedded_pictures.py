"""PNG pictures that lie beside a leaderboard and that its page carries: samples of made images, and heat-maps.

FOLDER/pictures/*.png         of kind "samples", as their manifest says
FOLDER/explanations/*.png     what `balancebench explain` wrote, a task and a method each
"""

from __future__ import annotations

import base64
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from balancebench.leaderboard.board import Leaderboard
from balancebench.leaderboard.page.page_data import PagePicture
from balancebench.leaderboard.picture_manifest import FOLDER, shown_pictures
from balancebench.plain_text import visible
from balancebench.plan import Task

__all__ = [
    "EXPLANATIONS",
    "MOST_BYTES",
    "EmbeddedPicture",
    "embedded",
    "explanation_stem",
    "pictures_beside",
    "pictures_of",
]

EXPLANATIONS = "explanations"
MOST_BYTES = 850_000  # of a page of 1 MB, as base 85; what is beyond is named with its file


@dataclass(frozen=True, slots=True, kw_only=True)
class EmbeddedPicture:
    """A picture of a task, or of all classifiers (None) or rows (None) of it. file: relative to the leaderboard."""

    dataset: str
    imbalancer: str
    classifier: str | None
    balancer: str | None
    title: str
    alt: str
    caption: str
    file: str
    content: bytes


def explanation_stem(words: str) -> str:
    """Return what a file of heat-maps is called, of a task and a method."""
    return re.sub(r"[^a-z0-9_]+", "-", words.lower()).strip("-")


def pictures_beside(folder: Path, board: Leaderboard) -> tuple[EmbeddedPicture, ...]:
    """Return the pictures in a leaderboard's folder that its page carries; files that cannot be read are left out."""
    return (*_samples(folder, board), *_explanations(folder, board))


def _samples(folder: Path, board: Leaderboard) -> Iterable[EmbeddedPicture]:
    for entry in shown_pictures(folder, board):
        path = folder / FOLDER / entry.file
        if entry.kind == "samples" and path.is_file():
            yield EmbeddedPicture(
                dataset=entry.dataset,
                imbalancer=entry.imbalancer,
                classifier=entry.classifier,
                balancer=entry.balancer,
                title=entry.title,
                alt=entry.alt,
                caption=entry.caption,
                file=f"{FOLDER}/{entry.file}",
                content=path.read_bytes(),
            )


def _explanations(folder: Path, board: Leaderboard) -> Iterable[EmbeddedPicture]:
    tasks = {explanation_stem(str(table.task)): table.task for table in board.tables}
    for path in sorted((folder / EXPLANATIONS).glob("*.png")):
        stem = next((stem for stem in sorted(tasks, key=len, reverse=True) if path.stem.startswith(f"{stem}-")), None)
        if stem is None:
            continue
        task, method = tasks[stem], visible(path.stem.removeprefix(f"{stem}-")).replace("_", " ")
        yield EmbeddedPicture(
            dataset=task.dataset,
            imbalancer=task.imbalancer,
            classifier=task.classifier,
            balancer=None,
            title=f"What the networks look at: {method}",
            alt=f"Heat-maps over test images, a column a row of the table: {task}.",
            caption="Red speaks for the true class, blue against it; below is the probability given to that class.",
            file=f"{EXPLANATIONS}/{visible(path.name)}",
            content=path.read_bytes(),
        )


def embedded(pictures: Sequence[EmbeddedPicture]) -> dict[str, str]:
    """Return file -> base 64 of the pictures that there is room for, in their order."""
    room, kept = MOST_BYTES, dict[str, str]()
    for picture in pictures:
        room -= len(picture.content) * 5 // 4
        if room < 0:
            break
        kept[picture.file] = base64.b64encode(picture.content).decode("ascii")
    return kept


def pictures_of(task: Task, pictures: Sequence[EmbeddedPicture], files: Iterable[str]) -> tuple[PagePicture, ...]:
    """Return the pictures of a task. files: those that the page carries."""
    carried = set(files)
    return tuple(
        PagePicture(
            balancer=picture.balancer or "",
            title=picture.title,
            alt=picture.alt,
            caption=picture.caption,
            file=picture.file,
            embedded=picture.file in carried,
        )
        for picture in pictures
        if (picture.dataset, picture.imbalancer) == (task.dataset, task.imbalancer)
        and picture.classifier in (None, task.classifier)
    )
