"""Where a step that is interrupted finds what an earlier attempt at it left. Light: it imports no torch.

FOLDER/...                       free for a plugin's own files; write each under another name and rename it
FOLDER/saved.N/state/            the last state that was saved whole; N counts up
FOLDER/saved.N/sha256.json       the SHA-256 of each of its files
"""

from __future__ import annotations

import hashlib
import json
import logging
import shutil
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

__all__ = ["Checkpoints"]

PREFIX, STATE, DIGESTS = "saved.", "state", "sha256.json"

logger = logging.getLogger(__name__)


@dataclass(kw_only=True)
class Checkpoints:
    """The checkpoints of one step.

    folder: stays when the step fails or is interrupted, and is there again at the next attempt with the same key; it
    is deleted when the step is done. The process may end at any time.
    seconds: how much time passes from one saved state to the next.
    """

    folder: Path
    seconds: float = 180.0
    _last: float = field(default_factory=time.monotonic)

    def due(self) -> bool:
        """Say whether it is time to save. Cheap to ask at every step."""
        return time.monotonic() - self._last >= self.seconds

    def save(self, write: Callable[[Path], None]) -> None:
        """Let `write` fill an empty folder, which then replaces the state saved before, whole or not at all.

        Where the disk refuses, the state saved before stays, the log says why, and the step goes on.
        """
        for leftover in self.folder.glob("unfinished.*"):  # of an attempt that died while it saved
            shutil.rmtree(leftover, ignore_errors=True)
        unfinished = self.folder / f"unfinished.{uuid.uuid4().hex}"
        try:
            (unfinished / STATE).mkdir(parents=True)
            write(unfinished / STATE)
            (unfinished / DIGESTS).write_text(json.dumps(_digests(unfinished / STATE)), encoding="utf-8")
            earlier = self._saved()
            unfinished.rename(self.folder / f"{PREFIX}{1 + (_number(earlier[-1]) if earlier else 0)}")
        except OSError as error:
            logger.warning("no checkpoint was saved to %s: %s", self.folder, error)
            shutil.rmtree(unfinished, ignore_errors=True)
        else:
            for folder in earlier:
                shutil.rmtree(folder, ignore_errors=True)
        self._last = time.monotonic()

    def latest(self) -> Path | None:
        """Return the folder of the state saved last, or None where there is none or its files are damaged."""
        saved = self._saved()
        if not saved:
            return None
        state = saved[-1] / STATE
        try:
            whole = json.loads((saved[-1] / DIGESTS).read_bytes()) == _digests(state)
        except (OSError, ValueError):
            whole = False
        if not whole:
            self._ignore(saved[-1], "its files are damaged")
            return None
        return state

    def _ignore(self, saved: Path, reason: str) -> None:
        logger.warning("the checkpoint %s is not gone on from: %s", saved, reason)

    def _saved(self) -> list[Path]:
        return sorted(self.folder.glob(f"{PREFIX}*"), key=_number)


def _number(folder: Path) -> int:
    return int(folder.name.removeprefix(PREFIX))


def _digests(folder: Path) -> dict[str, str]:
    """Return the SHA-256 of every file below a folder."""
    digests: dict[str, str] = {}
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            with path.open("rb") as file:
                digests[path.relative_to(folder).as_posix()] = hashlib.file_digest(file, "sha256").hexdigest()
    return digests
