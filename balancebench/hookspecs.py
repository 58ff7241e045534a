"""Every hook of balancebench. A plugin is a module (or object) that implements some of them with `@hookimpl`.

Declaring hooks are called once, when a command needs the components; they must import nothing heavy.
Observing hooks are called in the main process while a plan is executed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pluggy

from balancebench.advice import Advisor
from balancebench.component import BalancerComponent, Component, MetricComponent
from balancebench.config import JSON
from balancebench.contracts import Classifier, Dataset, Imbalancer

if TYPE_CHECKING:
    from balancebench.store import Record

__all__ = ["PROJECT", "hookimpl"]

PROJECT = "balancebench"
hookspec = pluggy.HookspecMarker(PROJECT)
hookimpl = pluggy.HookimplMarker(PROJECT)


@hookspec
def balancebench_datasets() -> Sequence[Component[Any, Dataset]]:
    """Declare datasets."""
    raise NotImplementedError


@hookspec
def balancebench_imbalancers() -> Sequence[Component[Any, Imbalancer]]:
    """Declare imbalancers, which choose the training images that stay."""
    raise NotImplementedError


@hookspec
def balancebench_balancers() -> Sequence[BalancerComponent[Any]]:
    """Declare balancers, which turn an imbalanced training set into a training plan."""
    raise NotImplementedError


@hookspec
def balancebench_classifiers() -> Sequence[Component[Any, Classifier]]:
    """Declare classifiers."""
    raise NotImplementedError


@hookspec
def balancebench_metrics() -> Sequence[MetricComponent[Any]]:
    """Declare metrics."""
    raise NotImplementedError


@hookspec
def balancebench_advisors() -> Sequence[Advisor]:
    """Declare who has something to say of a training subset before any suite is run."""
    raise NotImplementedError


@hookspec
def balancebench_run_started(suite: str, title: str, profile: str | None, steps: int) -> None:
    """Observe that a suite is run, of which `steps` steps are missing; nothing is told where none is."""


@hookspec
def balancebench_run_ended(suite: str, interrupted: bool) -> None:
    """Observe that nothing more is run; pictures are drawn after it."""


@hookspec
def balancebench_step_started(key: str, stage: str, label: str) -> None:
    """Observe that a step begins to run. `label` says for a reader what it is."""


@hookspec
def balancebench_step_progress(key: str, done: float, total: float, message: str) -> None:
    """Observe that a running step has done `done` of `total` units of its own choosing."""


@hookspec
def balancebench_epoch_ended(
    key: str, stage: str, label: str, series: str, epoch: int, values: Mapping[str, float]
) -> None:
    """Observe what is known of an epoch, counted from 0, each once.

    Classifiers' come as they end, generators' when their step ended. series: which of several trainings of one step
    ("cat"), else "". values: by the curve's name; they may be NaN.
    """


@hookspec
def balancebench_cell_scored(key: str, label: str, report: str, values: Mapping[str, JSON]) -> None:
    """Observe the suite's metrics of a cell that was scored, by label: a number, one a class, a matrix or None."""


@hookspec
def balancebench_step_finished(
    key: str, stage: str, label: str, status: str, seconds: float, message: str, record: Record | None
) -> None:
    """Observe that a step ended: `status` is done, failed, out_of_memory, timeout or skipped; `message` says why.

    record: what it left, None where it was left out because of another.
    """


@hookspec
def balancebench_picture_drawn(suite: str, path: Path, kind: str, title: str, caption: str) -> None:
    """Observe that a picture of a leaderboard was written, an SVG or PNG file."""
