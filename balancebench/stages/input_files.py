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
from balancebench.errors import BalancebenchError
from balancebench.large_images import ImageRows
from balancebench.step import Step, input_keys
from balancebench.store import Store

__all__ = ["InputFiles", "handed_out"]


@dataclass(frozen=True, slots=True)
class InputFiles:
    """Size and times of all files of a step's inputs, by path."""

    folders: tuple[Path, ...]
    states: dict[str, tuple[int, int, int]]

    @classmethod
    def of(cls, step: Step, store: Store) -> InputFiles:
        """Return the files as they are now."""
        folders = tuple(store.folder(key) for key in input_keys(step.inputs))
        return cls(folders, _states(folders))

    def refuse_changes(self) -> None:
        """Raise BalancebenchError where a file was written, added or deleted since."""
        now = _states(self.folders)
        changed = sorted(path for path in now.keys() | self.states.keys() if now.get(path) != self.states.get(path))
        if changed:
            raise BalancebenchError(
                f"files of the step's inputs changed while it ran: {', '.join(changed)}; what a step is handed is to "
                "be read, and its own files belong in context.artefacts or context.scratch"
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


def _states(folders: tuple[Path, ...]) -> dict[str, tuple[int, int, int]]:
    states: dict[str, tuple[int, int, int]] = {}
    for folder in folders:
        for directory, _, names in os.walk(folder):
            for name in names:
                path = os.path.join(directory, name)
                status = os.stat(path)
                states[path] = status.st_size, status.st_mtime_ns, status.st_ctime_ns
    return states


def _checksum(part: LabelledImages | NDArray[Any] | None) -> int:
    if part is None:
        return 0
    if isinstance(part, LabelledImages):
        arrays: list[NDArray[Any]] = [part.labels_N, part.origins_N]
        if not isinstance(part.images_NCHW, ImageRows) and part.images_NCHW.flags.writeable:
            arrays.append(part.images_NCHW)
        return hash(tuple(_checksum(array) for array in arrays))
    return zlib.crc32(np.ascontiguousarray(part).data)
