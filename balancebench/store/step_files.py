"""Reads the files of a finished step, each compared with its SHA-256 first."""

from __future__ import annotations

import hashlib
import io
import json
import os
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from balancebench.errors import StoreError
from balancebench.store.record import FileEntry, Record

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["SETTLED_NS", "FileState", "StepFiles", "altered_since", "sha256_of", "unparsable", "verified_content"]

ParsedT = TypeVar("ParsedT")

SETTLED_NS = 2 * 10**9  # what changed so recently may change again without its times telling
REASON_CHARACTERS = 200  # of what a parser says; it may quote the file
HASHED_AT_ONCE_BYTES = 2**18  # file_digest clears so large a buffer for each file, however small


class FileState(NamedTuple):
    """A file, and what changes with its content: any of it may be set by a program but the time of its entry's change.

    changed_ns: that time (ctime), in ns. inode: which file it is, where one was renamed over another.
    """

    path: Path
    inode: int
    size_bytes: int
    modified_ns: int
    changed_ns: int

    @classmethod
    def of(cls, path: Path) -> FileState:
        """Return the state of a file; raises OSError where it is not there."""
        status = os.stat(path)
        return cls(path, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns)


@dataclass(frozen=True, slots=True)
class StepFiles:
    """The files of a finished step, by name; each is compared with its SHA-256 before it is read.

    Every method raises StoreError where the file is missing or not what the record says, or not of the form asked for.
    """

    folder: Path
    record: Record

    def has(self, name: str) -> bool:
        """Say whether the step left a file of this name."""
        return name in self.record.files

    def names(self, prefix: str = "", suffix: str = "") -> list[str]:
        """Return the names of the files that begin and end so, sorted."""
        return sorted(name for name in self.record.files if name.startswith(prefix) and name.endswith(suffix))

    @property
    def digest(self) -> str:
        """The SHA-256 of all that the step left."""
        content = sorted((name, entry.sha256) for name, entry in self.record.files.items())
        return hashlib.sha256(json.dumps(content).encode()).hexdigest()

    def json(self, name: str) -> Any:
        """Return a file's JSON."""
        return self.parsed(name, json.loads)

    def parsed(self, name: str, parse: Callable[[bytes], ParsedT]) -> ParsedT:
        """Return parse(what is in a file), which may raise ValueError."""
        content = self.content(name)
        try:
            return parse(content)
        except ValueError as error:
            raise unparsable(self.folder / name, error) from error

    def array(self, name: str) -> NDArray[Any]:
        """Return a .npy file, read whole."""
        import numpy as np

        return np.load(io.BytesIO(self.content(name)), allow_pickle=False)

    def mapped(self, name: str) -> Path:
        """Return the path of a file that is too large to be read whole, to be mapped.

        It is compared with its SHA-256 once in a process, and again where its size or times have changed.
        """
        path = self.folder / name
        self._verify(path, self._entry(name))
        return path

    def verify(self) -> list[FileState]:
        """Compare every file as `mapped` does; return their states, which `altered_since` compares with later ones."""
        return [self._verify(self.folder / name, entry) for name, entry in self.record.files.items()]

    def _verify(self, path: Path, entry: FileEntry) -> FileState:
        try:
            state = FileState.of(path)
            if (state, entry.sha256) not in _VERIFIED:
                if sha256_of(path) != entry.sha256:
                    raise _damaged(path)
                if state.changed_ns < time.time_ns() - SETTLED_NS:
                    _VERIFIED.add((state, entry.sha256))
        except OSError as error:
            raise StoreError(f"{path} cannot be read: {error.strerror}") from error
        return state

    def _entry(self, name: str) -> FileEntry:
        if name not in self.record.files:
            raise StoreError(f"the step {self.record.key[:12]} ({self.record.stage}) left no {name}")
        return self.record.files[name]

    def content(self, name: str) -> bytes:
        """Return what is in a file."""
        return verified_content(self.folder / name, self._entry(name).sha256)


def verified_content(path: str | Path, sha256: str) -> bytes:
    """Return what is in a file; raise StoreError where it cannot be read or has not this SHA-256, in hexadecimal."""
    try:
        with open(path, "rb") as file:
            content = file.read()
    except OSError as error:
        raise StoreError(f"{path} cannot be read: {error.strerror}") from error
    if hashlib.sha256(content).hexdigest() != sha256:
        raise _damaged(path)
    return content


def altered_since(states: Iterable[FileState]) -> Path | None:
    """Return the first file that is not in the state that it was in, or None."""
    for state in states:
        try:
            unchanged = FileState.of(state.path) == state
        except OSError:
            unchanged = False
        if not unchanged:
            return state.path
    return None


def unparsable(path: Path, error: ValueError) -> StoreError:
    """Return the error of a file that is what its record says, and yet has not the form that this version reads."""
    reason = " ".join(str(error).split())[:REASON_CHARACTERS]
    return StoreError(f"{path} cannot be parsed ({reason}): delete its folder")


def _damaged(path: str | Path) -> StoreError:
    """Return the error of a file that is not what its record says, and make the store's index doubt it.

    A file whose bits have rotted has the size and times that the index verified; a new time of change of its entry, its
    other times kept, lets the next run compare it, and compute it again.
    """
    try:
        status = os.stat(path)
        os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    except OSError:
        pass  # it is gone, or the store is somebody else's
    return StoreError(f"{path} is damaged: it is not what its record says")


_VERIFIED: set[tuple[FileState, str]] = set()  # files as they were when their SHA-256 was what it should be, and that


def sha256_of(path: str | Path) -> str:
    """Return the SHA-256 of a file, in hexadecimal."""
    with open(path, "rb") as file:
        if os.fstat(file.fileno()).st_size <= HASHED_AT_ONCE_BYTES:
            return hashlib.sha256(file.read()).hexdigest()
        return hashlib.file_digest(file, "sha256").hexdigest()
