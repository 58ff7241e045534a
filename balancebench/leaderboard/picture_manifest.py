"""The pictures that stand beside a leaderboard: what a folder holds of them, and whether that is intact.

    FOLDER/leaderboard.md            shows them
    FOLDER/pictures/pictures.json    the manifest: of each picture its place, texts and digests
    FOLDER/pictures/*.svg, *.png

They are drawn by `balancebench.pictures`; what is here reads and checks, and imports nothing that draws.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from balancebench.errors import LeaderboardError
from balancebench.leaderboard.board import Leaderboard
from balancebench.plan import Task

__all__ = [
    "FOLDER",
    "KINDS",
    "MANIFEST",
    "Manifest",
    "Picture",
    "PictureEntry",
    "PictureKind",
    "manifest_text",
    "picture_problems",
    "pictures_of_task",
    "read_manifest",
    "results_digest",
    "shown_pictures",
]

FOLDER = "pictures"
MANIFEST = "pictures.json"

PictureKind = Literal["scores", "classes", "epochs", "confusion", "curves", "samples", "generator"]
KINDS: tuple[PictureKind, ...] = ("scores", "classes", "epochs", "confusion", "curves", "samples", "generator")
"""In the order in which a leaderboard shows them."""

Digest = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class Picture(BaseModel):
    """What a picture is about. classifier, balancer: None where it is about all of them.

    title: what is shown, and of what. alt: for who cannot see it.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: PictureKind
    dataset: str
    imbalancer: str
    classifier: str | None = None
    balancer: str | None = None
    title: str
    alt: str


class PictureEntry(Picture):
    """A picture that lies in a folder, with its caption.

    sha256: of the file. source_sha256: of the data and texts it was drawn from and the revision of the drawing.
    """

    file: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9._-]*\.(svg|png)$")]
    caption: str
    sha256: Digest
    source_sha256: Digest


class Manifest(BaseModel):
    """The pictures of a leaderboard.

    results_sha256: which results they belong to, see `results_digest`. sha256: of everything else, in the file alone.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    format: Literal[1] = 1
    sha256: str = ""
    results_sha256: Digest
    pictures: tuple[PictureEntry, ...]


def results_digest(board: Leaderboard) -> str:
    """Return the SHA-256 of the keys of all measurements of a leaderboard, by task, row and seeds."""
    keys = [
        [str(table.task), row.role, row.balancer, sorted(row.score_keys.items())]
        for table in board.tables
        for row in table.rows
    ]
    return hashlib.sha256(json.dumps(sorted(keys)).encode()).hexdigest()


def manifest_text(manifest: Manifest) -> str:
    """Return the manifest's file; the same pictures give the same bytes."""
    document = manifest.model_dump(mode="json", exclude_none=True, exclude={"sha256"})
    digest = hashlib.sha256(json.dumps(document, sort_keys=True).encode()).hexdigest()
    return json.dumps({"sha256": digest, **document}, indent=1, ensure_ascii=False) + "\n"


def read_manifest(folder: Path) -> Manifest | None:
    """Return the manifest of a leaderboard's folder, or None where it has no pictures.

    Raises LeaderboardError where the file is damaged.
    """
    path = folder / FOLDER / MANIFEST
    try:
        return Manifest.model_validate_json(path.read_bytes())
    except FileNotFoundError:
        return None
    except (OSError, ValidationError) as error:
        raise LeaderboardError(f"{path} is no manifest of pictures: {str(error).splitlines()[0]}") from error


def shown_pictures(folder: Path, board: Leaderboard) -> tuple[PictureEntry, ...]:
    """Return the pictures in a folder that are of this leaderboard's results; damaged manifests have none."""
    try:
        manifest = read_manifest(folder)
    except LeaderboardError:
        return ()
    if manifest is None or manifest.results_sha256 != results_digest(board):
        return ()
    return manifest.pictures


def pictures_of_task(pictures: tuple[PictureEntry, ...], task: Task, earlier: set[Task]) -> list[PictureEntry]:
    """Return the pictures to show with a task; one that is about all classifiers stands with the first of them."""
    repeated = any((task.dataset, task.imbalancer) == (other.dataset, other.imbalancer) for other in earlier)
    return [
        entry
        for kind in KINDS
        for entry in pictures
        if entry.kind == kind
        and (entry.dataset, entry.imbalancer) == (task.dataset, task.imbalancer)
        and (entry.classifier == task.classifier or (entry.classifier is None and not repeated))
    ]


def picture_problems(folder: Path, board: Leaderboard, markdown: str) -> list[str]:
    """Return what is wrong with the committed pictures of a leaderboard, whose page is `markdown`."""
    pictures = folder / FOLDER
    if not pictures.exists():
        return []
    try:
        manifest = read_manifest(folder)
    except LeaderboardError as error:
        return [str(error)]
    if manifest is None:
        return [f"{pictures} has no {MANIFEST}, which says what lies there"]
    problems: list[str] = []
    if (pictures / MANIFEST).read_bytes() != manifest_text(manifest).encode():
        problems.append(f"{pictures / MANIFEST} was edited by hand")
    if manifest.results_sha256 != results_digest(board):
        problems.append(f"{pictures / MANIFEST} is of other results than the records beside it")
    for entry in manifest.pictures:
        path = pictures / entry.file
        if not path.is_file():
            problems.append(f"{path} is missing")
        elif hashlib.sha256(path.read_bytes()).hexdigest() != entry.sha256:
            problems.append(f"{path} is not the picture that {MANIFEST} names")
        if f"({FOLDER}/{entry.file})" not in markdown:
            problems.append(f"{path} is shown by no page")
    manifest_files = {MANIFEST, *(entry.file for entry in manifest.pictures)}
    problems += [
        f"{path} is no picture of this leaderboard"
        for path in sorted(pictures.iterdir())
        if path.name not in manifest_files
    ]
    return problems
