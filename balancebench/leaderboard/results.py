"""Results of cells as a leaderboard needs them, and how they are read from the store."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Literal, TypeAlias

from pydantic import BaseModel, ConfigDict

from balancebench.component import MetricComponent
from balancebench.config import JSON
from balancebench.plan import Cell, CellRole, Plan, Stage, Task
from balancebench.store import Record, Status, Store, cell_cost
from balancebench.suite.bound import BoundSuite, SeedTriple
from balancebench.suite.schema import AXES, Axis, Report

__all__ = [
    "CELL_STATUSES",
    "CellCost",
    "CellResult",
    "CellStatus",
    "MetricHeader",
    "PublishedNumbers",
    "ReportScores",
    "Score",
    "SubsetSummary",
    "SuiteHeader",
    "collect",
    "describe_suite",
]

CellStatus = Literal["done", "failed", "out_of_memory", "timeout", "skipped", "missing"]
CELL_STATUSES: tuple[CellStatus, ...] = ("done", "failed", "out_of_memory", "timeout", "skipped", "missing")
ScoreValue: TypeAlias = float | list[float | None] | list[list[float | None]] | None

ENDED: Mapping[Status, str] = {"failed": "failed", "timeout": "timed out", "out_of_memory": "ran out of memory"}
NOT_RUN = "it has not been run"
NOT_SCORED = "it is trained but not scored; `balancebench rescore` scores it without training"
PROVENANCE_KEYS = ("device", "threads", "python", "platform", "processor", "versions", "plugins", "git_commit")


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Score(_Frozen):
    """A metric's value: a number, one a class (K), a matrix (K, K), or None with the reason."""

    value: ScoreValue
    reason: str = ""


class ReportScores(_Frozen):
    """The scores of one report, and the epoch that it reports, counted from 0."""

    epoch: int
    metrics: dict[str, Score]


class CellCost(_Frozen):
    """What a cell cost: its training and every synthesis it needed."""

    duration_seconds: float
    images_seen: int
    optimiser_steps: int
    peak_memory_bytes: int


class SubsetSummary(_Frozen):
    """The training images kept, before balancing, and how many images test them."""

    fingerprint: str
    class_names: tuple[str, ...]
    counts_K: tuple[int, ...]
    test_images: int | None = None


class CellResult(_Frozen):
    """All that is known of one cell; `message` says why it is not done.

    steps: stage -> key. identities: stage -> what that key is the hash of, the inputs' keys left out.
    """

    task: Task
    balancer: str
    seeds: SeedTriple
    role: CellRole
    status: CellStatus
    message: str = ""
    steps: dict[Stage, str]
    identities: dict[Stage, dict[str, JSON]] = {}
    subset: SubsetSummary | None = None
    scores: dict[Report, ReportScores] = {}
    cost: CellCost | None = None
    used_withheld_data: bool = False
    outside_data: tuple[str, ...] = ()
    provenance: dict[str, JSON] = {}

    @property
    def score_key(self) -> str:
        """The key of what was measured; cells that share it are one measurement."""
        return self.steps["score"]

    def __str__(self) -> str:
        return f"{self.task} / {self.balancer} / seed {self.seeds}"


class MetricHeader(_Frozen):
    """A metric of the suite; see `balancebench.component.MetricComponent`."""

    label: str
    unit: str = ""
    higher_is_better: bool | None = True


class PublishedNumbers(_Frozen):
    """A paper's numbers for the rows whose labels are listed; an axis of None matches all."""

    labels: dict[Axis, tuple[str, ...] | None]
    report: Report = "last"
    ceiling: bool = False
    values: dict[str, float]
    source: str

    def matches(self, task: Task, balancer: str, role: CellRole) -> bool:
        """Say whether the numbers are of this row."""
        if (role == "ceiling") != self.ceiling:
            return False
        of_row: dict[Axis, str] = {
            "dataset": task.dataset,
            "imbalancer": task.imbalancer,
            "classifier": task.classifier,
            "balancer": "none" if role == "ceiling" else balancer,
        }
        return all(labels is None or of_row[axis] in labels for axis, labels in self.labels.items())


class SuiteHeader(_Frozen):
    """What a leaderboard says of its suite. axes: the labels of each axis in the suite's order.

    overrides: what the profile replaced.
    """

    name: str
    title: str
    description: str = ""
    profile: str | None = None
    overrides: dict[str, JSON] = {}
    file: str
    metrics: tuple[MetricHeader, ...]
    reports: tuple[Report, ...]
    axes: dict[Axis, tuple[str, ...]]
    published: tuple[PublishedNumbers, ...] = ()


def describe_suite(suite: BoundSuite) -> SuiteHeader:
    """Return the header of a suite; its file's path is relative to the working folder, else only a name."""
    metrics: list[MetricHeader] = []
    for metric in suite.metrics:
        component = metric.component
        assert isinstance(component, MetricComponent)  # noqa: S101 - the registry has checked it
        metrics.append(
            MetricHeader(label=metric.label, unit=component.unit, higher_is_better=component.higher_is_better)
        )
    published: list[PublishedNumbers] = []
    for numbers in suite.published:
        labels: dict[Axis, tuple[str, ...] | None] = {}
        for axis in AXES:
            named: str | None = getattr(numbers.selection, axis)
            swept = tuple(entry.label for entry in suite.axes[axis] if named in (entry.label, entry.group))
            labels[axis] = None if named is None else swept or (named,)
        published.append(
            PublishedNumbers(
                labels=labels,
                report=numbers.report,
                ceiling=numbers.ceiling,
                values=dict(numbers.values),
                source=numbers.source,
            )
        )
    return SuiteHeader(
        name=suite.name,
        title=suite.title,
        description=suite.description.strip(),
        profile=suite.profile,
        overrides=dict(suite.overrides),
        file=_shown_path(suite.path),
        metrics=tuple(metrics),
        reports=suite.reports,
        axes={axis: tuple(entry.label for entry in entries) for axis, entries in suite.axes.items()},
        published=tuple(published),
    )


def collect(plan: Plan, store: Store) -> list[CellResult]:
    """Return the result of every cell of a plan, in its order; each record is read once, nothing is written."""
    reader = _Reader(plan, store)
    return [reader.result(cell) for cell in plan.cells]


class _Reader:
    """Reads a store for one plan."""

    def __init__(self, plan: Plan, store: Store) -> None:
        self._plan = plan
        self._store = store
        self._records: dict[str, Record | None] = {}
        self._subsets: dict[tuple[str, str], SubsetSummary | None] = {}
        self._test_images: dict[str, int | None] = {}
        self._measured: dict[str, dict[str, JSON]] = {}
        self._identities: dict[str, dict[str, JSON]] = {}
        self._environments: dict[str, dict[str, JSON]] = {}

    def result(self, cell: Cell) -> CellResult:
        key = cell.steps["score"]
        if key not in self._measured:
            self._measured[key] = self._measure(cell)
        # Every part has been validated, and validating 10,000 cells again would take longer than reading them.
        return CellResult.model_construct(
            task=cell.task,
            balancer=cell.balancer,
            seeds=cell.seeds,
            role=cell.role,
            steps=dict(cell.steps),
            identities={stage: self._identity(step) for stage, step in cell.steps.items()},
            subset=self._subset(cell.steps["imbalance"], cell.steps["load"]),
            **self._measured[key],
        )

    def _measure(self, cell: Cell) -> dict[str, JSON]:
        # Read for this cell alone and not kept: the records of 10,000 cells are hundreds of megabytes.
        scored, trained = self._store.read(cell.steps["score"]), self._store.read(cell.steps["train"])
        if scored is None or scored.status != "done":
            return self._why_not(cell, scored, trained)
        if (damage := self._store.damage(scored)) is not None:
            return {"status": "missing", "message": f"its result is damaged: {damage}; run the suite again"}
        return {
            "status": "done",
            "message": "",
            "scores": self._scores(cell.steps["score"]),
            "cost": None if trained is None else CellCost(**asdict(cell_cost(trained, self._record))),
            "used_withheld_data": scored.used_withheld_data,
            "outside_data": scored.outside_data,
            "provenance": self._environment(trained or scored),
        }

    def _why_not(self, cell: Cell, scored: Record | None, trained: Record | None) -> dict[str, JSON]:
        """Return status and message of a cell that is not done, from the first step on its way that has not ended."""
        for own in (scored, trained):
            if own is not None and own.status != "done":
                return {"status": own.status, "message": _message(own), "provenance": self._environment(own)}
        # A trained cell may still wait for what its metrics compare images with, which is trained by itself.
        awaited = "train" if trained is None else "score"
        for step in reversed(list(self._plan.ancestors(cell.steps[awaited]))):
            record = self._record(step.key)
            if record is not None and record.status != "done":
                ended = ENDED.get(record.status, "was skipped")
                message = f"{step.stage} of {step.label} {ended}: {_message(record)}"
                return {"status": "skipped", "message": message, "provenance": self._environment(record)}
        return {"status": "missing", "message": NOT_RUN if trained is None else NOT_SCORED}

    def _record(self, key: str) -> Record | None:
        if key not in self._records:
            self._records[key] = self._store.read(key)
        return self._records[key]

    def _environment(self, record: Record) -> dict[str, JSON]:
        """Return what a leaderboard says of where a record was made, one object for all that were made alike."""
        found = {key: record.provenance[key] for key in PROVENANCE_KEYS if key in record.provenance}
        return self._environments.setdefault(json.dumps(found), found)

    def _scores(self, key: str) -> dict[Report, ReportScores]:
        document = json.loads((self._store.folder(key) / "scores.json").read_text(encoding="utf-8"))
        return {report: ReportScores.model_validate(scores) for report, scores in document.items()}

    def _subset(self, key: str, load_key: str) -> SubsetSummary | None:
        if (key, load_key) not in self._subsets:
            self._subsets[key, load_key] = self._read_subset(key, load_key)
        return self._subsets[key, load_key]

    def _read_subset(self, key: str, load_key: str) -> SubsetSummary | None:
        record = self._record(key)
        if record is None or record.status != "done" or self._store.damage(record) is not None:
            return None
        subset = json.loads((self._store.folder(key) / "subset.json").read_text(encoding="utf-8"))
        return SubsetSummary(
            fingerprint=subset["fingerprint"],
            class_names=subset["class_names"],
            counts_K=subset["counts_K"],
            test_images=self._count_test_images(load_key),
        )

    def _count_test_images(self, load_key: str) -> int | None:
        if load_key not in self._test_images:
            splits = self._store.folder(load_key) / "splits.json"
            counts = json.loads(splits.read_text(encoding="utf-8"))["counts_K"] if splits.is_file() else None
            self._test_images[load_key] = None if counts is None else sum(counts["test"])
        return self._test_images[load_key]

    def _identity(self, key: str) -> dict[str, JSON]:
        if key not in self._identities:
            identity = dict(self._plan.steps[key].identity)
            del identity["inputs"]
            self._identities[key] = identity
        return self._identities[key]


def _message(record: Record) -> str:
    return record.failure.message if record.failure is not None else record.status


def _shown_path(path: Path) -> str:
    if not path.is_absolute() and ".." not in path.parts:
        return path.as_posix()
    try:
        return path.resolve().relative_to(Path.cwd()).as_posix()
    except ValueError:
        return path.name
