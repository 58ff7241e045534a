"""Where a step that is interrupted finds what an earlier attempt at it left. Light: it imports no torch.

FOLDER/...             free for a plugin's own files; write each under another name and rename it
FOLDER/saved.N/        the last state that was saved whole; N counts up
"""

from __future__ import annotations

import shutil
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

__all__ = ["Checkpoints"]

PREFIX = "saved."


@dataclass(slots=True, kw_only=True)
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
        """Let `write` fill an empty folder, which then replaces the state saved before, whole or not at all."""
        unfinished = self.folder / f"unfinished.{uuid.uuid4().hex}"
        unfinished.mkdir(parents=True)
        write(unfinished)
        earlier = self._saved()
        unfinished.rename(self.folder / f"{PREFIX}{1 + (_number(earlier[-1]) if earlier else 0)}")
        for folder in earlier:
            shutil.rmtree(folder, ignore_errors=True)
        self._last = time.monotonic()

    def latest(self) -> Path | None:
        """Return the folder of the state saved last, or None; what a dying process left unfinished is deleted."""
        for folder in self.folder.glob("unfinished.*"):
            shutil.rmtree(folder, ignore_errors=True)
        saved = self._saved()
        return saved[-1] if saved else None

    def _saved(self) -> list[Path]:
        return sorted(self.folder.glob(f"{PREFIX}*"), key=_number)


def _number(folder: Path) -> int:
    return int(folder.name.removeprefix(PREFIX))
