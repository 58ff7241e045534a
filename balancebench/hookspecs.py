"""Every hook of balancebench. A plugin is a module (or object) that implements some of them with `@hookimpl`.

Declaring hooks are called once, when a command needs the components; they must import nothing heavy.
Observing hooks are called in the main process while a plan is executed.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pluggy

from balancebench.advice import Advisor
from balancebench.component import BalancerComponent, Component, MetricComponent
from balancebench.contracts import Classifier, Dataset, Imbalancer

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
def balancebench_step_started(key: str, stage: str, label: str) -> None:
    """Observe that a step begins to run. `label` says for a reader what it is."""


@hookspec
def balancebench_step_progress(key: str, done: float, total: float, message: str) -> None:
    """Observe that a running step has done `done` of `total` units of its own choosing."""


@hookspec
def balancebench_step_finished(key: str, stage: str, label: str, status: str, seconds: float, message: str) -> None:
    """Observe that a step ended: `status` is done, failed, out_of_memory, timeout or skipped; `message` says why."""
