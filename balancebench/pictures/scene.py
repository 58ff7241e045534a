"""What pictures are drawn from: the rows of each task, and the finished steps of their cells."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from balancebench.errors import StoreError
from balancebench.leaderboard.board import Leaderboard, TaskTable
from balancebench.plan import Cell, CellRole, Plan, Task
from balancebench.stage import Stage
from balancebench.step import BalancingInputs
from balancebench.store import Store

__all__ = ["PictureRow", "Scene", "TaskScene", "named_seeds", "set_scene"]


@dataclass(frozen=True, slots=True, kw_only=True)
class PictureRow:
    """A balancer of a task with its cells, one a seed."""

    balancer: str
    role: CellRole
    cells: tuple[Cell, ...]


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
    store: Store
    board: Leaderboard
    tasks: tuple[TaskScene, ...]
    _digests: dict[str, str | None] = field(default_factory=dict[str, "str | None"])

    def digest(self, key: str) -> str | None:
        """Return the SHA-256 of all that a step left, or None where it is not done."""
        if key not in self._digests:
            try:
                self._digests[key] = self.store.files(key).digest
            except StoreError:
                self._digests[key] = None
        return self._digests[key]

    def done(self, row: PictureRow, stage: Stage) -> dict[str, str]:
        """Return seeds -> key of the row's steps of a stage that are done; steps that cells share stand once."""
        steps: dict[str, str] = {}
        for cell in row.cells:
            key = cell.steps.get(stage)
            if key is not None and key not in steps.values() and self.digest(key) is not None:
                steps[str(cell.seeds)] = key
        return steps

    def inputs(self, key: str) -> BalancingInputs:
        """Return the keys of what a training, a synthesis or a generator's training reads."""
        inputs = self.plan.steps[key].inputs
        assert isinstance(inputs, BalancingInputs)  # noqa: S101 - as their stages have them
        return inputs

    def by_images(self) -> dict[tuple[str, str], list[TaskScene]]:
        """Return the tasks of each dataset and imbalancer: they differ in their classifier alone."""
        tasks_by_images: dict[tuple[str, str], list[TaskScene]] = {}
        for scene in self.tasks:
            tasks_by_images.setdefault((scene.task.dataset, scene.task.imbalancer), []).append(scene)
        return tasks_by_images

    def not_done_note(self, rows: Iterable[PictureRow], stage: Stage) -> str:
        """Return a sentence that names what a picture leaves out because it is not done, or ""."""
        parts = [f"{row.balancer} ({named_seeds(seeds)})" for row in rows if (seeds := self._not_done(row, stage))]
        shown = parts if len(parts) <= NAMED_ROWS else [*parts[:NAMED_ROWS], f"and {len(parts) - NAMED_ROWS} more rows"]
        return f"Left out because not done: {', '.join(shown)}." if parts else ""

    def _not_done(self, row: PictureRow, stage: Stage) -> list[str]:
        """Return the seeds of which a stage is not done."""
        return [str(cell.seeds) for cell in row.cells if stage in cell.steps and self.digest(cell.steps[stage]) is None]


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
    return Scene(plan=plan, store=store, board=board, tasks=tuple(tasks))


def named_seeds(seeds: Iterable[str]) -> str:
    """Return "seed 0", "seeds 0, 1, 2" or "20 seeds"."""
    distinct = list(dict.fromkeys(seeds))
    if len(distinct) > NAMED_SEEDS:
        return f"{len(distinct)} seeds"
    return f"seed{'s' if len(distinct) > 1 else ''} {', '.join(distinct)}"
