"""Draws the pictures of a suite into the folder of its leaderboard, those that are new or changed."""

from __future__ import annotations

import hashlib
import os
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from balancebench.errors import BalancebenchError, LeaderboardError, StoreError
from balancebench.leaderboard.board import Leaderboard
from balancebench.leaderboard.picture_manifest import (
    FOLDER,
    MANIFEST,
    Manifest,
    PictureEntry,
    manifest_text,
    read_manifest,
    results_digest,
)
from balancebench.pictures.class_curves import curves_orders
from balancebench.pictures.classes import classes_orders
from balancebench.pictures.confusion import confusion_orders
from balancebench.pictures.drawing import PictureOrder, file_stems
from balancebench.pictures.epochs import epochs_orders
from balancebench.pictures.generator_curves import generator_orders
from balancebench.pictures.samples import samples_orders
from balancebench.pictures.scene import Scene, set_scene
from balancebench.pictures.score_chart import scores_orders
from balancebench.plan import Plan
from balancebench.store import Store

__all__ = ["Gallery", "OnDrawn", "OnPicture", "Which", "write_pictures"]

OnPicture = Callable[[int, int, str], None]
"""on_picture(done, total, title): before each picture that is drawn, and once at the end."""
OnDrawn = Callable[[Path, PictureEntry], None]
"""on_drawn(path, entry): after each picture that was written."""

KINDS: tuple[Callable[[Scene], list[PictureOrder]], ...] = (
    scores_orders,
    classes_orders,
    epochs_orders,
    confusion_orders,
    curves_orders,
    samples_orders,
    generator_orders,
)
ELSEWHERE = "another process is drawing these pictures; nothing was drawn here"


@dataclass(frozen=True, slots=True, kw_only=True)
class Gallery:
    """The pictures of a leaderboard's folder. problems: one line for each picture that could not be drawn."""

    pictures: tuple[PictureEntry, ...]
    drawn: int
    problems: tuple[str, ...]


def _nobody(_path: Path, _entry: PictureEntry) -> None:
    return


Which = Literal["changed", "all", "none"]
"""Which pictures are drawn. Those from before that still are of the same data stay, with "none" too."""


def write_pictures(
    plan: Plan,
    store: Store,
    folder: Path,
    board: Leaderboard,
    *,
    which: Which = "changed",
    on_picture: OnPicture,
    on_drawn: OnDrawn = _nobody,
) -> Gallery:
    """Bring FOLDER/pictures up to date with the store and return what lies there.

    A picture that cannot be drawn is a problem and not an error. Files of an earlier manifest that are no longer
    wanted are deleted, others never. Raises LeaderboardError where the folder cannot be written.
    """
    pictures_folder = folder / FOLDER
    try:
        lock = store.lock(f"pictures-{hashlib.sha256(os.fsencode(pictures_folder.resolve())).hexdigest()[:32]}")
        if lock is None:
            return Gallery(pictures=_earlier(folder), drawn=0, problems=(ELSEWHERE,))
    except StoreError:  # it cannot be written, and nobody is kept out
        lock = None
    try:
        return _write(plan, store, folder, board, which, on_picture, on_drawn)
    except OSError as error:
        raise LeaderboardError(f"{pictures_folder} cannot be written: {error.strerror}") from error
    finally:
        if lock is not None:
            lock.release()


def _write(
    plan: Plan,
    store: Store,
    folder: Path,
    board: Leaderboard,
    which: Which,
    on_picture: OnPicture,
    on_drawn: OnDrawn,
) -> Gallery:
    pictures_folder = folder / FOLDER
    earlier = _earlier(folder)
    if which == "none" and not earlier:  # nothing to keep either: 10,000 cells need not be looked at for that
        return Gallery(pictures=(), drawn=0, problems=())
    problems: list[str] = []
    orders = _orders(set_scene(plan, store, board), problems)
    standing = {} if which == "all" else _standing(pictures_folder, earlier)
    entries: dict[int, PictureEntry] = {}
    to_draw: list[int] = []
    stems = file_stems(orders)
    for index, (order, stem) in enumerate(zip(orders, stems, strict=True)):
        entry = standing.get(stem)
        if entry is not None and entry.source_sha256 == order.source_sha256:
            entries[index] = entry
        elif which != "none":
            to_draw.append(index)
    drawn = 0
    for done, index in enumerate(to_draw):
        on_picture(done, len(to_draw), orders[index].picture.title)
        if (entry := _drawn(orders[index], stems[index], pictures_folder, problems)) is not None:
            entries[index] = entry
            drawn += 1
            on_drawn(pictures_folder / entry.file, entry)
    if to_draw:
        on_picture(len(to_draw), len(to_draw), "")
    pictures = tuple(entries[index] for index in sorted(entries))
    if pictures or earlier:
        _replace(
            pictures_folder / MANIFEST,
            manifest_text(Manifest(results_sha256=results_digest(board), pictures=pictures)).encode(),
        )
    for file in {entry.file for entry in earlier} - {entry.file for entry in pictures}:
        (pictures_folder / file).unlink(missing_ok=True)
    return Gallery(pictures=pictures, drawn=drawn, problems=tuple(problems))


def _orders(scene: Scene, problems: list[str]) -> Sequence[PictureOrder]:
    orders: list[PictureOrder] = []
    for of_kind in KINDS:
        try:
            orders += of_kind(scene)
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # noqa: BLE001 - a picture is never worth the end of a run, and a panic no Exception
            kind = of_kind.__name__.removesuffix("_orders")
            problems.append(f"pictures of kind {kind} are not drawn: {_error_text(error)}")
    return orders


def _drawn(order: PictureOrder, stem: str, pictures_folder: Path, problems: list[str]) -> PictureEntry | None:
    try:
        drawing = order.draw()
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # noqa: BLE001 - a picture is never worth the end of a run, and a panic no Exception
        problems.append(f"{order.picture.title}: not drawn: {_error_text(error)}")
        return None
    if drawing is None:
        return None
    file = f"{stem}.{drawing.suffix}"
    _replace(pictures_folder / file, drawing.content)
    return order.entry(file, drawing)


def _earlier(folder: Path) -> tuple[PictureEntry, ...]:
    try:
        manifest = read_manifest(folder)
    except LeaderboardError:
        return ()  # damaged: everything is drawn again
    return () if manifest is None else manifest.pictures


def _standing(pictures_folder: Path, earlier: Sequence[PictureEntry]) -> Mapping[str, PictureEntry]:
    """Return stem -> entry of the pictures from before whose files are what the manifest says."""
    return {
        entry.file.rpartition(".")[0]: entry
        for entry in earlier
        if (pictures_folder / entry.file).is_file()
        and hashlib.sha256((pictures_folder / entry.file).read_bytes()).hexdigest() == entry.sha256
    }


def _replace(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex}")
    temporary.write_bytes(content)
    temporary.replace(path)


def _error_text(error: BaseException) -> str:
    name = "" if isinstance(error, BalancebenchError) else f"{type(error).__name__}: "
    return " ".join(f"{name}{error}".split())
