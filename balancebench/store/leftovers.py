"""What may be deleted of a store without losing a result that anybody needs, and its deletion."""

from __future__ import annotations

import os
import shutil
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from balancebench.store.step_folders import KEY, Store

__all__ = ["LEFTOVERS", "Leftover", "LeftoverKind", "delete_leftover", "find_leftovers", "running_keys", "tree_bytes"]

LeftoverKind = Literal["temporary", "checkpoints", "set_aside", "cached", "orphan"]
LEFTOVERS: dict[LeftoverKind, str] = {
    "temporary": "temporary folders of processes that have ended",
    "checkpoints": "checkpoints of finished steps",
    "set_aside": "failed or damaged results that were replaced",
    "cached": "cached arrays, which are computed again when needed",
    "orphan": "results that no suite given needs",
}
NEEDED_BY_RUNS: tuple[LeftoverKind, ...] = ("cached", "orphan")


@dataclass(frozen=True, slots=True, kw_only=True)
class Leftover:
    """A folder that may go. key: of the step that it belongs to, None where it is no step's."""

    kind: LeftoverKind
    path: Path
    size_bytes: int
    key: str | None = None


def find_leftovers(store: Store, kinds: Collection[LeftoverKind], needed: Collection[str] = ()) -> list[Leftover]:
    """Return the folders of these kinds, in the order of their paths; `needed` are the keys that are no orphans.

    While steps are running, cached arrays and orphans are none: a running step may read them.
    """
    is_running = any(kind in kinds for kind in NEEDED_BY_RUNS) and bool(running_keys(store))
    chosen = [kind for kind in LEFTOVERS if kind in kinds and not (is_running and kind in NEEDED_BY_RUNS)]
    return [leftover for kind in chosen for leftover in _FINDERS[kind](store, needed)]


def running_keys(store: Store) -> set[str]:
    """Return the keys of the steps that some process is working on."""
    running: set[str] = set()
    for path in (store.root / "locks").glob("*.lock"):
        if not KEY.fullmatch(path.stem):
            continue
        lock = store.lock(path.stem)
        if lock is None:
            running.add(path.stem)
        else:
            lock.release()
    return running


def delete_leftover(store: Store, leftover: Leftover) -> bool:
    """Delete a leftover and return True; leave what a process is working on. Raises OSError where it cannot be done."""
    lock = None if leftover.key is None else store.lock(leftover.key)
    if leftover.key is not None and lock is None:
        return False
    try:
        # Moved first: a deletion that is interrupted leaves no half of a result.
        moved = store.temporary_folder() / "deleted"
        leftover.path.rename(moved)
        shutil.rmtree(moved.parent)
    except FileNotFoundError:
        return False  # somebody else was quicker
    finally:
        if lock is not None:
            lock.release()
    return True


def tree_bytes(folder: str | Path) -> int:
    """Return how many bytes the files in a folder have; one that vanishes meanwhile counts as none."""
    total = 0
    try:
        with os.scandir(folder) as entries:
            for entry in entries:
                if entry.is_dir(follow_symlinks=False):
                    total += tree_bytes(entry.path)
                else:
                    total += entry.stat(follow_symlinks=False).st_size
    except FileNotFoundError:
        return total
    return total


def _temporary(store: Store, _needed: Collection[str]) -> Iterator[Leftover]:
    yield from _leftovers("temporary", store.abandoned_temporary())


def _checkpoints(store: Store, _needed: Collection[str]) -> Iterator[Leftover]:
    for path in sorted((store.root / "checkpoints").glob("*")):
        if KEY.fullmatch(path.name) and store.read_done(path.name) is not None:
            yield Leftover(kind="checkpoints", path=path, size_bytes=tree_bytes(path), key=path.name)


def _set_aside(store: Store, _needed: Collection[str]) -> Iterator[Leftover]:
    yield from _leftovers("set_aside", (store.root / "set_aside").glob("*"))


def _cached(store: Store, _needed: Collection[str]) -> Iterator[Leftover]:
    yield from _leftovers("cached", (store.root / "cached").glob("*/*/*"))


def _orphans(store: Store, needed: Collection[str]) -> Iterator[Leftover]:
    for key in store.step_keys():
        if key not in needed:
            path = store.folder(key)
            yield Leftover(kind="orphan", path=path, size_bytes=tree_bytes(path), key=key)


def _leftovers(kind: LeftoverKind, paths: Iterable[Path]) -> Iterator[Leftover]:
    for path in sorted(paths):
        yield Leftover(kind=kind, path=path, size_bytes=tree_bytes(path))


_FINDERS = {
    "temporary": _temporary,
    "checkpoints": _checkpoints,
    "set_aside": _set_aside,
    "cached": _cached,
    "orphan": _orphans,
}
