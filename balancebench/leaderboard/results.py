"""Results of cells as a leaderboard needs them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict

from balancebench.artefacts.scores import CellScores, ReportScores, SubsetMeasures
from balancebench.component import MetricComponent
from balancebench.config import JSON
from balancebench.evaluation import Cost, MeanOver, Report
from balancebench.plain_text import visible
from balancebench.plan import CellRole, Task
from balancebench.stage import Stage
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
    "describe_suite",
    "unreadable_text",
]

CellStatus = Literal["done", "failed", "out_of_memory", "timeout", "skipped", "missing"]
CELL_STATUSES: tuple[CellStatus, ...] = ("done", "failed", "out_of_memory", "timeout", "skipped", "missing")

# How a step ended that was begun and did not finish.
ENDED: Mapping[str, str] = {"failed": "failed", "timeout": "timed out", "out_of_memory": "ran out of memory"}


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


def unreadable_text(reason: str) -> str:
    """Return the message of a cell whose result is there but cannot be used."""
    return f"its result cannot be read: {reason}; run the suite again"


def _shown_path(path: Path) -> str:
    if name := shipped_name(path):
        return name
    if not path.is_absolute() and ".." not in path.parts:
        return visible(path.as_posix())
    try:
        return visible(path.resolve().relative_to(Path.cwd()).as_posix())
    except ValueError:
        return visible(path.name)
