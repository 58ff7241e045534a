"""The matrix of a suite: which balancers compete on which tasks, with floors and ceilings. Pure; imports no torch."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import product
from typing import Literal

from balancebench.suite.bound import BoundComponent, BoundSuite
from balancebench.suite.schema import AXES, Axis

__all__ = ["CellRole", "Task", "is_plain", "matrix_points"]

CellRole = Literal["floor", "entry", "ceiling"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """What balancers compete on: a dataset, an imbalancer and a classifier, by label."""

    dataset: str
    imbalancer: str
    classifier: str

    def __str__(self) -> str:
        return f"{self.dataset} / {self.imbalancer} / {self.classifier}"


def matrix_points(suite: BoundSuite) -> Iterator[tuple[Task, Mapping[Axis, BoundComponent], CellRole]]:
    """Yield the matrix without seeds: for each task its floor, its entries, its ceiling."""
    tasks: dict[Task, list[Mapping[Axis, BoundComponent]]] = {}
    for values in product(*(suite.axes[axis] for axis in AXES)):
        entries = dict(zip(AXES, values, strict=True))
        excluded = any(selection.matches(entries) for selection in suite.exclude)
        if not excluded or any(selection.matches(entries) for selection in suite.include):
            tasks.setdefault(_task(entries), []).append(entries)
    for task, members in tasks.items():
        unbalanced: Mapping[Axis, BoundComponent] = {**members[0], "balancer": suite.no_balancer}
        if suite.floor and not any(is_plain(entries["balancer"], suite.no_balancer) for entries in members):
            yield task, unbalanced, "floor"
        for entries in members:
            yield task, entries, "floor" if is_plain(entries["balancer"], suite.no_balancer) else "entry"
        if suite.ceiling and not _is_natural(members[0]["imbalancer"], suite):
            yield task, unbalanced, "ceiling"


def _is_natural(imbalancer: BoundComponent, suite: BoundSuite) -> bool:
    """Say whether a task has the imbalance that its data set came with: training on all images is its floor."""
    return imbalancer.reference.identity == suite.no_imbalance.reference.identity


def is_plain(balancer: BoundComponent, no_balancer: BoundComponent) -> bool:
    """Say whether a balancer is the core's `none`, whatever its label: the floor of its task."""
    return balancer.qualified_name == no_balancer.qualified_name


def _task(entries: Mapping[Axis, BoundComponent]) -> Task:
    return Task(
        dataset=entries["dataset"].label,
        imbalancer=entries["imbalancer"].label,
        classifier=entries["classifier"].label,
    )
