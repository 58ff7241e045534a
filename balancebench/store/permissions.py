"""Who may write a store: whoever may write its folder. And what is said where the disk refuses."""

from __future__ import annotations

import stat
from collections.abc import Generator
from contextlib import contextmanager, suppress
from pathlib import Path

from balancebench.errors import StoreError

__all__ = ["is_shared", "make_folder", "share", "writing"]


@contextmanager
def writing(path: Path) -> Generator[None]:
    """Turn what the disk refuses inside the block into a StoreError that names the path."""
    try:
        yield
    except OSError as error:
        raise StoreError(f"{path} cannot be written: {error.strerror or error}") from error
    except NotImplementedError as error:  # of a disk without locks
        raise StoreError(f"{path} lies on a disk without file locks; name another with --store") from error


def is_shared(root: Path) -> bool:
    """Say whether a store's group may write it."""
    try:
        return bool(root.stat().st_mode & stat.S_IWGRP)
    except OSError:
        return False


def make_folder(folder: Path, root: Path) -> None:
    """Make a folder inside a store, and those on the way; a shared store's group may write all of them."""
    if folder.is_dir():
        return
    missing = [path for path in (folder, *folder.parents) if path.is_relative_to(root) and not path.exists()]
    shared = is_shared(root if root.exists() else root.parent)  # answers lie within a store
    folder.mkdir(parents=True, exist_ok=True)
    if shared:
        for path in missing:
            share(path)


def share(path: Path) -> None:
    """Let the group read a file, and write a folder; what is another user's stays as it is."""
    with suppress(OSError):
        mode = path.stat().st_mode
        path.chmod(stat.S_IMODE(mode) | (stat.S_IRWXG if stat.S_ISDIR(mode) else stat.S_IRGRP))
