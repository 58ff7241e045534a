"""Chooses cells of a plan by the labels of their row and by their seeds, to run some of a suite and not all."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from balancebench.errors import BalancebenchError, nearest
from balancebench.plan import Cell, Plan
from balancebench.suite.schema import AXES, Axis

__all__ = ["choose_cells"]


def choose_cells(plan: Plan, only: Iterable[str] = (), seeds: Iterable[str] = ()) -> list[Cell]:
    """Return the cells of a plan that match, in its order; all of them where nothing is asked.

    only: "AXIS=LABEL" each. Of one axis any of the labels will do; every axis that is named must match. The label of a
    sweep stands for all its entries, "none" for the floor, "no imbalance" for the ceiling. seeds: as tables show them,
    "0" or "0/1/2" for subset, generator and classifier.

    Raises BalancebenchError where a label or a seed is none of the suite's, and where nothing matches.
    """
    wanted = _wanted_labels(plan, only)
    wanted_seeds = set(seeds)
    known_seeds = [str(triple) for triple in plan.suite.seeds]
    for seed in wanted_seeds:
        if seed not in known_seeds:
            raise BalancebenchError(
                f"--seeds: {seed!r} is no seed of this suite{nearest(seed, known_seeds)}; "
                f"--set 'run.seeds=[{seed}]' runs it with others than its own"
            )
    cells = [
        cell
        for cell in plan.cells
        if (not wanted_seeds or str(cell.seeds) in wanted_seeds)
        and all(_labels(cell)[axis] in labels for axis, labels in wanted.items())
    ]
    if not cells:
        raise BalancebenchError("no cell of this suite matches what --only and --seeds name")
    return cells


_AXES_BY_NAME: Mapping[str, Axis] = {axis: axis for axis in AXES}


def _wanted_labels(plan: Plan, only: Iterable[str]) -> Mapping[Axis, set[str]]:
    wanted: dict[Axis, set[str]] = {}
    for choice in only:
        name, equals, label = choice.partition("=")
        axis = _AXES_BY_NAME.get(name.strip())
        if axis is None or not equals:
            raise BalancebenchError(
                f"--only {choice!r}: write AXIS=LABEL, as in --only balancer=smote; AXIS is one of {', '.join(AXES)}"
            )
        labels = _entries_called(plan, axis, label.strip())
        wanted.setdefault(axis, set()).update(labels)
    return wanted


def _entries_called(plan: Plan, axis: Axis, name: str) -> Sequence[str]:
    groups = {entry.label: entry.group for entry in plan.suite.axes[axis]}
    groups |= {_labels(cell)[axis]: _labels(cell)[axis] for cell in plan.cells if _labels(cell)[axis] not in groups}
    labels = [label for label, group in groups.items() if name in (label, group)]
    if not labels:
        raise BalancebenchError(
            f"--only {axis}={name}: there is no {axis} of that label{nearest(name, {*groups, *groups.values()})}"
        )
    return labels


def _labels(cell: Cell) -> Mapping[Axis, str]:
    return {
        "dataset": cell.task.dataset,
        "imbalancer": cell.task.imbalancer,
        "balancer": cell.balancer,
        "classifier": cell.task.classifier,
    }
