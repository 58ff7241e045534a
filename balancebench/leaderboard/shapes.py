"""Finds results whose values have another shape than those of their neighbours, which no table can hold beside them."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import cast

from balancebench.artefacts.scores import ScoreValue
from balancebench.leaderboard.results import CellResult, unreadable_text
from balancebench.plan import Task

__all__ = ["without_misfits"]

Shape = tuple[int, ...]
RAGGED: Shape = (-1,)


def without_misfits(results: Sequence[CellResult]) -> list[CellResult]:
    """Return the results, those as missing in which a metric has another shape than in most cells of the task.

    A cell of other classes than most is no misfit where its values are as many as its own classes: tables say so.
    """
    by_task: dict[Task, list[CellResult]] = {}
    for cell in results:
        by_task.setdefault(cell.task, []).append(cell)
    reasons = {id(cell): reason for of_task in by_task.values() for cell, reason in _misfits(of_task)}
    return [
        replace(cell, status="missing", message=unreadable_text(reasons[id(cell)]), scores={}, cost=None)
        if id(cell) in reasons
        else cell
        for cell in results
    ]


def _misfits(cells: Sequence[CellResult]) -> Iterator[tuple[CellResult, str]]:
    """Yield the cells of a task that do not fit, each with the reason."""
    shapes = [_shapes(cell) for cell in cells]
    counted: dict[str, Counter[Shape]] = defaultdict(Counter)
    for of_cell in shapes:
        for label, shape in of_cell:
            counted[label][shape] += 1
    usual = {
        # the smallest of several that are equally frequent, so that the order of results decides nothing
        label: min(of_metric, key=lambda shape, of_metric=of_metric: (-of_metric[shape], len(shape), shape))
        for label, of_metric in counted.items()
    }
    for cell, of_cell in zip(cells, shapes, strict=True):
        if reason := _misfit(cell, of_cell, usual):
            yield cell, reason


def _misfit(cell: CellResult, of_cell: Sequence[tuple[str, Shape]], usual: Mapping[str, Shape]) -> str:
    """Return which metric of a cell has which shape and should have another, or ""."""
    for label, shape in of_cell:
        expected = usual[label]
        own = expected if cell.subset is None else (len(cell.subset.class_names),) * len(expected)
        if shape not in (expected, own):
            return f"{label} is {_words(shape)} where it should be {_words(expected)}"
    return ""


def _shapes(cell: CellResult) -> list[tuple[str, Shape]]:
    if cell.status != "done":
        return []
    return [
        (label, _shape(score.value))
        for scores in cell.scores.values()
        for label, score in scores.metrics.items()
        if score.value is not None
    ]


def _shape(value: ScoreValue) -> Shape:
    if not isinstance(value, list):
        return ()
    rows = [row for row in value if isinstance(row, list)]
    if not rows:
        return (len(value),)
    columns = {len(row) for row in cast("Iterable[list[float | None]]", rows)}
    return (len(value), columns.pop()) if len(rows) == len(value) and len(columns) == 1 else RAGGED


def _words(shape: Shape) -> str:
    match shape:
        case ():
            return "one number"
        case (count,) if shape != RAGGED:
            return f"{count} numbers"
        case (rows, columns):
            return f"a matrix of {rows} x {columns}"
        case _:
            return "rows of different lengths"
