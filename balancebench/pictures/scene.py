"""What pictures are drawn from: the rows of each task, and the files of their finished steps.

Axis suffixes: N images, E epochs, K classes.
"""

from __future__ import annotations

import io
import json
from collections.abc import Iterable
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from balancebench.errors import StoreError
from balancebench.leaderboard.board import Leaderboard, TaskTable
from balancebench.plan import Cell, CellRole, Plan, Stage, Task
from balancebench.store import Record, Store

__all__ = ["PictureRow", "Scene", "Source", "TaskScene", "named_seeds", "set_scene"]


class Source:
    """Reads finished steps; each record once."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._records: dict[str, Record | None] = {}

    def record(self, key: str) -> Record | None:
        """Return the record of a step that is done."""
        if key not in self._records:
            self._records[key] = self._store.read_done(key)
        return self._records[key]

    def digests(self, key: str, *names: str) -> dict[str, str]:
        """Return the SHA-256 of the files of a step, as recorded; what the step lacks is left out."""
        record = self.record(key)
        files = {} if record is None else record.files
        return {name: files[name].sha256 for name in names if name in files}

    def path(self, key: str, name: str) -> Path:
        """Return where a file of a step lies."""
        return self._store.folder(key) / name

    def bytes(self, key: str, name: str) -> bytes:
        """Return a file's content; raise StoreError where it is missing or not what its record says."""
        path = self.path(key, name)
        try:
            content = path.read_bytes()
        except OSError as error:
            raise StoreError(f"{path} cannot be read: {error.strerror}") from error
        if sha256(content).hexdigest() != self.digests(key, name).get(name):
            raise StoreError(f"{path} is damaged: it is not what its record says")
        return content

    def json(self, key: str, name: str) -> Any:
        """Return a file's JSON."""
        return json.loads(self.bytes(key, name))

    def array(self, key: str, name: str) -> NDArray[Any]:
        """Return an array of a step."""
        return np.load(io.BytesIO(self.bytes(key, name)), allow_pickle=False)

    def mapped(self, key: str, name: str) -> NDArray[Any]:
        """Map an array that is too large to be read whole; it is not compared with its SHA-256."""
        path = self.path(key, name)
        try:
            return np.load(path, mmap_mode="r", allow_pickle=False)
        except (OSError, ValueError) as error:
            raise StoreError(f"{path} cannot be read: {error}") from error


@dataclass(frozen=True, slots=True, kw_only=True)
class PictureRow:
    """A balancer of a task with its cells, one a seed."""

    balancer: str
    role: CellRole
    cells: tuple[Cell, ...]

    def done(self, source: Source, stage: Stage) -> dict[str, str]:
        """Return seeds -> key of the steps of this stage that are done; steps that cells share stand once."""
        found: dict[str, str] = {}
        for cell in self.cells:
            key = cell.steps.get(stage)
            if key is not None and key not in found.values() and source.record(key) is not None:
                found[str(cell.seeds)] = key
        return found

    def not_done(self, source: Source, stage: Stage) -> list[str]:
        """Return the seeds of which this stage is not done."""
        return [
            str(cell.seeds) for cell in self.cells if stage in cell.steps and source.record(cell.steps[stage]) is None
        ]


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskScene:
    """A task and its rows, in the order of the leaderboard's first table of it."""

    task: Task
    table: TaskTable
    rows: tuple[PictureRow, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Scene:
    """All that pictures of a suite are drawn from."""

    plan: Plan
    source: Source
    board: Leaderboard
    tasks: tuple[TaskScene, ...]

    def by_images(self) -> dict[tuple[str, str], list[TaskScene]]:
        """Return the tasks of each dataset and imbalancer: they differ in their classifier alone."""
        found: dict[tuple[str, str], list[TaskScene]] = {}
        for scene in self.tasks:
            found.setdefault((scene.task.dataset, scene.task.imbalancer), []).append(scene)
        return found

    def not_done_note(self, rows: Iterable[PictureRow], stage: Stage) -> str:
        """Return a sentence that names what a picture leaves out because it is not done, or ""."""
        parts = [
            f"{row.balancer} ({named_seeds(seeds)})" for row in rows if (seeds := row.not_done(self.source, stage))
        ]
        shown = parts if len(parts) <= NAMED_ROWS else [*parts[:NAMED_ROWS], f"and {len(parts) - NAMED_ROWS} more rows"]
        return f"Left out because not done: {', '.join(shown)}." if parts else ""


NAMED_ROWS = 6
NAMED_SEEDS = 5


def set_scene(plan: Plan, store: Store, board: Leaderboard) -> Scene:
    """Return the scene of a suite; the board must be of the same plan and store."""
    cells: dict[Task, dict[tuple[CellRole, str], list[Cell]]] = {}
    for cell in plan.cells:
        cells.setdefault(cell.task, {}).setdefault((cell.role, cell.balancer), []).append(cell)
    first_tables: dict[Task, TaskTable] = {}
    for table in board.tables:
        first_tables.setdefault(table.task, table)
    tasks = [
        TaskScene(
            task=task,
            table=table,
            rows=tuple(
                PictureRow(balancer=row.balancer, role=row.role, cells=tuple(cells[task][row.role, row.balancer]))
                for row in table.rows
            ),
        )
        for task, table in first_tables.items()
        if task in cells
    ]
    return Scene(plan=plan, source=Source(store), board=board, tasks=tuple(tasks))


def named_seeds(seeds: Iterable[str]) -> str:
    """Return "seed 0", "seeds 0, 1, 2" or "20 seeds"."""
    found = list(dict.fromkeys(seeds))
    if len(found) > NAMED_SEEDS:
        return f"{len(found)} seeds"
    return f"seed{'s' if len(found) > 1 else ''} {', '.join(found)}"
