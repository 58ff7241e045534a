"""What a step was handed is what it leaves behind: files of its inputs, and arrays in memory."""

from __future__ import annotations

import os
import zlib
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from balancebench.data import LabelledImages
from balancebench.errors import BalancebenchError, StoreError
from balancebench.large_images import ImageRows
from balancebench.step import Step, input_keys
from balancebench.store import Store
from balancebench.store.step_files import FileState, altered_since

__all__ = ["InputFiles", "handed_out"]

RUN_AGAIN = "run the suite again, and it is computed anew"


@dataclass(frozen=True, slots=True)
class InputFiles:
    """The files of a step's inputs, each as it was when it was compared with its SHA-256."""

    folders: tuple[Path, ...]
    states: tuple[FileState, ...]
    names: frozenset[str]

    @classmethod
    def of(cls, step: Step, store: Store) -> InputFiles:
        """Compare all of them; raise StoreError where one is damaged."""
        keys = tuple(dict.fromkeys(input_keys(step.inputs)))
        states = tuple(state for key in keys for state in _verified(store, key))
        folders = tuple(store.folder(key) for key in keys)
        return cls(folders, states, _names(folders))

    def refuse_changes(self) -> None:
        """Raise StoreError where one was altered since: what is mapped is read long after it was compared."""
        if (altered := altered_since(self.states)) is not None:
            raise StoreError(f"{altered} was altered while this step read it; {RUN_AGAIN}")
        if added := sorted(_names(self.folders) - self.names):
            raise StoreError(f"{added[0]} was added to an input of this step, whose own files belong elsewhere")


def _verified(store: Store, key: str) -> list[FileState]:
    files = store.files(key)
    try:
        return files.verify()
    except StoreError as error:
        raise StoreError(f"its input {files.record.stage} of {files.record.label}: {error}; {RUN_AGAIN}") from error


def _names(folders: tuple[Path, ...]) -> frozenset[str]:
    return frozenset(
        os.path.join(directory, name) for folder in folders for directory, _, names in os.walk(folder) for name in names
    )


@contextmanager
def handed_out(name: str, *inputs: LabelledImages | NDArray[Any] | None) -> Generator[None]:
    """Raise BalancebenchError where what a component was handed inside the block is not what it was.

    Large images are left out: they are mapped, and no process can write to them.
    """
    before = [_checksum(part) for part in inputs]
    yield
    if [_checksum(part) for part in inputs] != before:
        raise BalancebenchError(f"{name} wrote into the arrays it was handed: it is to change a copy of them")


def _checksum(part: LabelledImages | NDArray[Any] | None) -> int:
    if part is None:
        return 0
    if isinstance(part, LabelledImages):
        arrays: list[NDArray[Any]] = [part.labels_N, part.origins_N]
        if not isinstance(part.images_NCHW, ImageRows) and part.images_NCHW.flags.writeable:
            arrays.append(part.images_NCHW)
        return hash(tuple(_checksum(array) for array in arrays))
    return zlib.crc32(np.ascontiguousarray(part).data)
