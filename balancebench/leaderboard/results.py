"""Results of cells as a leaderboard needs them, and how they are read from the store."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, Required, TypedDict

from pydantic import BaseModel, ConfigDict

from balancebench.artefacts.costs import cell_cost
from balancebench.artefacts.scores import CellScores, ReportScores, SubsetMeasures, read_measures, scores_known
from balancebench.artefacts.splits import SplitsDescription
from balancebench.artefacts.subset import SubsetDescription
from balancebench.component import MetricComponent
from balancebench.config import JSON
from balancebench.errors import StoreError
from balancebench.evaluation import Cost, MeanOver, Report
from balancebench.plain_text import visible
from balancebench.plan import Cell, CellRole, Plan, Task
from balancebench.stage import Stage
from balancebench.step import BalancingInputs, input_keys, metric_key
from balancebench.store import Store
from balancebench.store.index import StoreIndex
from balancebench.store.known_step import KnownStep
from balancebench.suite.bound import BoundSuite, PublishedNumbers, SeedTriple
from balancebench.suite.schema import Axis
from balancebench.suite.shipped import shipped_name

__all__ = [
    "CELL_STATUSES",
    "ENDED",
    "CellResult",
    "CellStatus",
    "MetricHeader",
    "SubsetSummary",
    "SuiteHeader",
    "collect",
    "describe_suite",
    "unreadable_text",
]

CellStatus = Literal["done", "failed", "out_of_memory", "timeout", "skipped", "missing"]
CELL_STATUSES: tuple[CellStatus, ...] = ("done", "failed", "out_of_memory", "timeout", "skipped", "missing")

# How a step ended that was begun and did not finish.
ENDED: Mapping[str, str] = {"failed": "failed", "timeout": "timed out", "out_of_memory": "ran out of memory"}
NOT_RUN = "it has not been run"
NOT_SCORED = "it is trained but not scored; `balancebench rescore` scores it without training"
PROVENANCE_KEYS = ("device", "threads", "python", "platform", "processor", "versions", "plugins", "git_commit")


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class SubsetSummary(_Frozen):
    """The training images kept, before balancing, how many images test them, and the subset's own metrics by label."""

    fingerprint: str
    class_names: tuple[str, ...]
    counts_K: tuple[int, ...]
    test_images: int | None = None
    measures: SubsetMeasures = {}


@dataclass(frozen=True, slots=True, kw_only=True)
class CellResult:
    """All that is known of one cell; `message` says why it is not done.

    steps: stage -> key. identities: stage -> what that key is the hash of, the inputs' keys left out.
    warnings: what readers must know of the steps that it was made by. balancer_failed: it was skipped because a step of
    its own balancer, such as its synthesis, did not finish; False in records made before this was kept.
    """

    __pydantic_config__ = ConfigDict(extra="forbid", allow_inf_nan=False)

    task: Task
    balancer: str
    seeds: SeedTriple
    role: CellRole
    status: CellStatus
    message: str = ""
    steps: Mapping[Stage, str]
    identities: dict[Stage, dict[str, JSON]] = field(default_factory=dict[Stage, dict[str, JSON]])
    subset: SubsetSummary | None = None
    scores: CellScores = field(default_factory=dict[Report, ReportScores])
    cost: Cost | None = None
    used_withheld_data: bool = False
    outside_data: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    balancer_failed: bool = False
    provenance: dict[str, JSON] = field(default_factory=dict[str, JSON])

    @property
    def score_key(self) -> str:
        """The key of what was measured; cells that share it are one measurement."""
        return self.steps["score"]

    def __str__(self) -> str:
        return f"{self.task} / {self.balancer} / seed {self.seeds}"


class MetricHeader(_Frozen):
    """A metric of the suite; see `balancebench.component.MetricComponent`.

    mean_over: None also in records made before it was kept.
    """

    label: str
    unit: str = ""
    higher_is_better: bool | None = True
    mean_over: MeanOver | None = None


class SuiteHeader(_Frozen):
    """What a leaderboard says of its suite. axes: the labels of each axis in the suite's order.

    profile, file_profile, changes, overrides: see `BoundSuite`; records made before there were changes have none.
    subset_metrics: those of the training subset, which stand with the task.
    citations: label of a balancer -> where it was published; none in records made before they were kept.
    """

    name: str
    title: str
    description: str = ""
    profile: str | None = None
    file_profile: str | None = None
    changes: dict[str, JSON] = {}
    overrides: dict[str, JSON] = {}
    file: str
    metrics: tuple[MetricHeader, ...]
    subset_metrics: tuple[MetricHeader, ...] = ()
    reports: tuple[Report, ...]
    axes: dict[Axis, tuple[str, ...]]
    published: tuple[PublishedNumbers, ...] = ()
    citations: dict[str, str] = {}


def describe_suite(suite: BoundSuite) -> SuiteHeader:
    """Return the header of a suite; its file's path is relative to the working folder, else only a name.

    A suite that ships inside the package is known by its name.
    """
    headers: dict[str, list[MetricHeader]] = {"row": [], "task": []}
    for metric in suite.metrics:
        component = metric.component
        assert isinstance(component, MetricComponent)  # noqa: S101 - the registry has checked it
        headers["task" if component.of == "subset" else "row"].append(
            MetricHeader(
                label=metric.label,
                unit=component.unit,
                higher_is_better=component.higher_is_better,
                mean_over=component.mean_over(metric.options),
            )
        )
    return SuiteHeader(
        name=suite.name,
        title=suite.title,
        description=suite.description.strip(),
        profile=suite.profile,
        file_profile=suite.file_profile,
        changes=dict(suite.changes),
        overrides=dict(suite.overrides),
        file=_shown_path(suite.path),
        metrics=tuple(headers["row"]),
        subset_metrics=tuple(headers["task"]),
        reports=suite.reports,
        axes={axis: tuple(entry.label for entry in entries) for axis, entries in suite.axes.items()},
        published=suite.published,
        citations={
            entry.label: entry.component.citation for entry in suite.axes["balancer"] if entry.component.citation
        },
    )


def collect(plan: Plan, store: Store) -> list[CellResult]:
    """Return the result of every cell of a plan, in its order; nothing is written but the store's index."""
    with StoreIndex(store) as index:
        reader = _Reader(plan, store, index)
        reader.measure_all()
        return [reader.result(cell) for cell in plan.cells]


class _Measured(TypedDict, total=False):
    """What a result says of its score."""

    status: Required[CellStatus]
    message: Required[str]
    scores: CellScores
    cost: Cost | None
    used_withheld_data: bool
    outside_data: tuple[str, ...]
    warnings: tuple[str, ...]
    balancer_failed: bool
    provenance: dict[str, JSON]


class _Reader:
    """Reads a store for one plan."""

    def __init__(self, plan: Plan, store: Store, index: StoreIndex) -> None:
        self._plan = plan
        self._store = store
        self._index = index
        self._metric_keys = {metric.label: metric_key(metric.reference) for metric in plan.suite.metrics}
        self._known: dict[str, KnownStep | None] = {}
        self._subsets: dict[tuple[str, str, str | None], SubsetSummary | None] = {}
        self._test_images: dict[str, int | None] = {}
        self._measured: dict[str, _Measured] = {}
        self._identities: dict[str, dict[str, JSON]] = {}
        self._environments: dict[str, dict[str, JSON]] = {}

    def measure_all(self) -> None:
        """Read trainings and scores, each once."""
        cells = {cell.steps["score"]: cell for cell in self._plan.cells}
        for key in self._index.prefetched({cell.steps["train"] for cell in cells.values()}):
            self._known[key] = self._index.step(key)
        for key in self._index.prefetched(cells, contents=True):
            self._measured[key] = self._measure(cells[key])

    def result(self, cell: Cell) -> CellResult:
        """Return the result of a cell, once all are measured."""
        return CellResult(
            task=cell.task,
            balancer=cell.balancer,
            seeds=cell.seeds,
            role=cell.role,
            steps=cell.steps,
            identities={stage: self._identity(step) for stage, step in cell.steps.items()},
            subset=self._subset(cell),
            **self._measured[cell.steps["score"]],
        )

    def _measure(self, cell: Cell) -> _Measured:
        trained, scored = self._known[cell.steps["train"]], self._index.step(cell.steps["score"])
        if scored is None or scored.status != "done":
            return self._why_not(cell, scored, trained)
        try:
            scores = scores_known(self._index, scored, self._metric_keys)
        except StoreError as error:
            return {"status": "missing", "message": unreadable_text(str(error))}
        balancer = self._training_inputs(cell).balancer
        return {
            "status": "done",
            "message": "",
            "scores": scores,
            "cost": None if trained is None else cell_cost(trained, balancer, self._step),
            "used_withheld_data": bool(scored.used_withheld_data),
            "outside_data": tuple(json.loads(scored.outside_data)),
            "warnings": tuple(json.loads(scored.warnings)),
            "provenance": self._environment(trained or scored),
        }

    def _why_not(self, cell: Cell, scored: KnownStep | None, trained: KnownStep | None) -> _Measured:
        """Return status and message of a cell that is not done, from the first step on its way that has not ended."""
        for key, own in ((cell.steps["score"], scored), (cell.steps["train"], trained)):
            if own is None and os.path.exists(self._store.folder(key)) and (problem := self._store.record_problem(key)):
                return {"status": "missing", "message": unreadable_text(f"{self._store.folder(key)}/{problem}")}
        for own in (scored, trained):
            if own is not None and own.status != "done":
                return {"status": own.status, "message": _message(own), "provenance": self._environment(own)}
        # A trained cell may still wait for what its metrics compare images with, which is trained by itself.
        awaited = "train" if trained is None else "score"
        training = self._training_inputs(cell)
        for step in reversed(list(self._plan.ancestors(cell.steps[awaited]))):
            known = self._step(step.key)
            if known is not None and known.status != "done":
                ended = ENDED.get(known.status, "was skipped")
                message = f"{step.stage} of {step.label} {ended}: {_message(known)}"
                return {
                    "status": "skipped",
                    "message": message,
                    "balancer_failed": known.status in ENDED and step.key in input_keys(training.balancer),
                    "provenance": self._environment(known),
                }
        return {"status": "missing", "message": NOT_RUN if trained is None else NOT_SCORED}

    def _training_inputs(self, cell: Cell) -> BalancingInputs:
        inputs = self._plan.steps[cell.steps["train"]].inputs
        assert isinstance(inputs, BalancingInputs)  # noqa: S101 - what trainings read
        return inputs

    def _step(self, key: str) -> KnownStep | None:
        if key not in self._known:
            self._known[key] = self._index.step(key)
        return self._known[key]

    def _environment(self, known: KnownStep) -> dict[str, JSON]:
        """Return what a leaderboard says of where a step was run, one object for all that were run alike."""
        text = known.provenance
        if text not in self._environments:
            provenance = json.loads(text)
            self._environments[text] = {key: provenance[key] for key in PROVENANCE_KEYS if key in provenance}
        return self._environments[text]

    def _subset(self, cell: Cell) -> SubsetSummary | None:
        keys = cell.steps["load"], cell.steps["imbalance"], cell.steps.get("measure")
        if keys not in self._subsets:
            self._subsets[keys] = self._read_subset(*keys)
        return self._subsets[keys]

    def _read_subset(self, dataset_key: str, key: str, measures_key: str | None) -> SubsetSummary | None:
        try:
            description = SubsetDescription.read(self._store, key)
        except StoreError:
            return None
        try:
            measures = {} if measures_key is None else read_measures(self._store, measures_key, self._metric_keys)
        except StoreError:
            measures = {}
        return SubsetSummary(
            fingerprint=description.fingerprint,
            class_names=description.class_names,
            counts_K=description.counts_K,
            test_images=self._count_test_images(dataset_key),
            measures=measures,
        )

    def _count_test_images(self, key: str) -> int | None:
        if key not in self._test_images:
            try:
                self._test_images[key] = sum(SplitsDescription.read(self._store, key).counts_K["test"])
            except StoreError:
                self._test_images[key] = None
        return self._test_images[key]

    def _identity(self, key: str) -> dict[str, JSON]:
        """Return what a step's key is the hash of, its inputs left out: one object for all steps that have it so."""
        text = self._plan.steps[key].own_identity
        if text not in self._identities:
            self._identities[text] = json.loads(text)
        return self._identities[text]


def unreadable_text(reason: str) -> str:
    """Return the message of a cell whose result is there but cannot be used."""
    return f"its result cannot be read: {reason}; run the suite again"


def _message(known: KnownStep) -> str:
    return known.failure or known.status


def _shown_path(path: Path) -> str:
    if name := shipped_name(path):
        return name
    if not path.is_absolute() and ".." not in path.parts:
        return visible(path.as_posix())
    try:
        return visible(path.resolve().relative_to(Path.cwd()).as_posix())
    except ValueError:
        return visible(path.name)
