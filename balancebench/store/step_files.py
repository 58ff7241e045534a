"""Reads the files of a finished step, each compared with its SHA-256 first."""

from __future__ import annotations

import hashlib
import io
import json
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from balancebench.errors import StoreError
from balancebench.store.record import FileEntry, Record

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["StepFiles", "sha256_of", "unparsable"]

ParsedT = TypeVar("ParsedT")

REASON_CHARACTERS = 200  # of what a parser says; it may quote the file
HASHED_AT_ONCE_BYTES = 2**18  # file_digest clears so large a buffer for each file, however small


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

        It is compared with its SHA-256 once in a process, and again where its size or time has changed.
        """
        path, entry = self.folder / name, self._entry(name)
        try:
            status = os.stat(path)
            file_state = (str(path), status.st_size, status.st_mtime_ns, entry.sha256)
            if file_state not in _VERIFIED and sha256_of(path) != entry.sha256:
                raise StoreError(f"{path} is damaged: it is not what its record says")
        except OSError as error:
            raise StoreError(f"{path} cannot be read: {error.strerror}") from error
        _VERIFIED.add(file_state)
        return path

    def _entry(self, name: str) -> FileEntry:
        if name not in self.record.files:
            raise StoreError(f"the step {self.record.key[:12]} ({self.record.stage}) left no {name}")
        return self.record.files[name]

    def content(self, name: str) -> bytes:
        """Return what is in a file."""
        path, entry = self.folder / name, self._entry(name)
        try:
            content = path.read_bytes()
        except OSError as error:
            raise StoreError(f"{path} cannot be read: {error.strerror}") from error
        if hashlib.sha256(content).hexdigest() != entry.sha256:
            raise StoreError(f"{path} is damaged: it is not what its record says")
        return content


def unparsable(path: Path, error: ValueError) -> StoreError:
    """Return the error of a file that is what its record says, and yet has not the form that this version reads."""
    reason = " ".join(str(error).split())[:REASON_CHARACTERS]
    return StoreError(f"{path} cannot be parsed ({reason}): delete its folder")


_VERIFIED: set[tuple[str, int, int, str]] = set()  # mapped files: path, size, time of change, SHA-256


def sha256_of(path: str | Path) -> str:
    """Return the SHA-256 of a file, in hexadecimal."""
    with open(path, "rb") as file:
        if os.fstat(file.fileno()).st_size <= HASHED_AT_ONCE_BYTES:
            return hashlib.sha256(file.read()).hexdigest()
        return hashlib.file_digest(file, "sha256").hexdigest()
