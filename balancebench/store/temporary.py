"""Temporary folders of a store, and whether the process that made one still lives.

STORE/temporary/MACHINE.OWNER.lock       locked by the process that OWNER stands for, as long as it lives
STORE/temporary/MACHINE.OWNER.FOLDER/    what it writes

A lock tells the living from the dead across containers, whose process numbers and host names are their own. MACHINE
stands for the running kernel: locks of another one may not reach here, so its folders must have lain still for a day.
"""

from __future__ import annotations

import atexit
import os
import shutil
import socket
import threading
import time
import uuid
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from filelock import BaseFileLock, FileLock, Timeout

from balancebench.store.permissions import is_shared, make_folder, share

__all__ = ["abandoned_folders", "clear_temporary", "lock_mode", "owned_folder"]

FOLDER = "temporary"
STILL_SECONDS = 24 * 3600.0
BOOT = Path("/proc/sys/kernel/random/boot_id")


@dataclass(frozen=True, slots=True)
class _Owner:
    """This process as the owner of temporary folders in one store; its lock is never released but by `_retire`."""

    name: str
    lock: BaseFileLock


_OWNERS: dict[tuple[int, Path], _Owner] = {}  # by process, since forks inherit the table
_GUARD = threading.Lock()


def owned_folder(root: Path) -> Path:
    """Make an empty folder on the disk of the store at `root`. Raises OSError where that cannot be written."""
    with _GUARD:
        owner = _owner(root)
        folder = root / FOLDER / f"{owner.name}.{uuid.uuid4().hex}"
        folder.mkdir()
    if is_shared(root):
        share(folder)
    return folder


def abandoned_folders(root: Path) -> list[Path]:
    """Return the temporary folders whose processes have ended."""
    own = _OWNERS.get((os.getpid(), root))
    owners: dict[str, bool] = {} if own is None else {own.name: False}
    abandoned: list[Path] = []
    for folder in sorted((root / FOLDER).glob("*")):
        if folder.suffix == ".lock" or not folder.is_dir():
            continue
        owner = folder.name.rpartition(".")[0]
        if owner not in owners:
            owners[owner] = _is_free(root / FOLDER / f"{owner}.lock")
        if owners[owner] and (owner.startswith(f"{_machine()}.") or _lies_still(folder)):
            abandoned.append(folder)
    return abandoned


def clear_temporary(root: Path) -> None:
    """Delete what processes that have ended left, and the locks of those of which nothing is left."""
    for folder in abandoned_folders(root):
        shutil.rmtree(folder, ignore_errors=True)
    with _GUARD:
        _retire(root)
    left = {path.name.rpartition(".")[0] for path in (root / FOLDER).glob("*") if path.suffix != ".lock"}
    for path in (root / FOLDER).glob(f"{_machine()}.*.lock"):
        if path.stem not in left and _is_free(path):
            with suppress(OSError):
                path.unlink()


def lock_mode(root: Path) -> int:
    """Return the rights of a lock's file: who may write the store may take it, and who may read it see it."""
    try:
        return 0o600 | (root.stat().st_mode & 0o066)
    except OSError:
        return 0o600


def _owner(root: Path) -> _Owner:
    known = _OWNERS.get((os.getpid(), root))
    if known is not None and os.path.exists(known.lock.lock_file):
        return known
    make_folder(root / FOLDER, root)
    while True:
        name = f"{_machine()}.{uuid.uuid4().hex}"
        lock = FileLock(root / FOLDER / f"{name}.lock", mode=lock_mode(root), thread_local=False)
        lock.acquire(blocking=False)
        if os.path.exists(lock.lock_file):  # else somebody took it for left behind before it was locked
            _OWNERS[os.getpid(), root] = _Owner(name, lock)
            atexit.register(_retire, root)
            return _OWNERS[os.getpid(), root]
        lock.release(force=True)


def _retire(root: Path) -> None:
    """Give up this process's lock where it has no folder any more."""
    own = _OWNERS.get((os.getpid(), root))
    if own is None or any(path.suffix != ".lock" for path in (root / FOLDER).glob(f"{own.name}.*")):
        return
    del _OWNERS[os.getpid(), root]
    with suppress(OSError):
        os.unlink(own.lock.lock_file)
    own.lock.release(force=True)


def _is_free(lock_file: Path) -> bool:
    """Say whether nobody holds a lock; one that is not there is free."""
    if not lock_file.exists():
        return True
    lock = FileLock(lock_file, mode=lock_mode(lock_file.parents[1]), thread_local=False)
    try:
        lock.acquire(blocking=False)
    except (Timeout, OSError, NotImplementedError):
        return False
    lock.release(force=True)
    return True


def _lies_still(folder: Path) -> bool:
    changed = [path.lstat().st_mtime for path in (folder, *folder.rglob("*")) if not path.is_symlink()]
    return max(changed) < time.time() - STILL_SECONDS


@cache
def _machine() -> str:
    """Return what names the running kernel, in containers too; where it has no name, the host's."""
    try:
        return BOOT.read_text(encoding="ascii").strip().replace("-", "")
    except OSError:
        return socket.gethostname().replace(".", "-")
