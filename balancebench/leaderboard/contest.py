"""The cells of one task as they are compared: rows by role and name, cells by seeds."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

from balancebench.artefacts.scores import Score
from balancebench.evaluation import Report
from balancebench.leaderboard.outcomes import DatasetOutcomes
from balancebench.leaderboard.results import CellResult, SubsetSummary, SuiteHeader
from balancebench.plan import CellRole, Task

__all__ = ["Contest", "Form", "Group", "RowName", "distinct", "score_form", "score_of_cell"]

RowName = tuple[CellRole, str]
Form = Literal["number", "classes", "matrix"]

NOT_SCORED = Score(value=None, reason="it was not scored")


class Group(dict[str, CellResult]):
    """The cells of a row by seeds, in the order of seeds. Complete before its numbers are read: each is read once."""

    def __init__(self) -> None:
        super().__init__()
        self._numbers: dict[tuple[Report, str], dict[str, float]] = {}

    @cached_property
    def score_keys(self) -> Mapping[str, str]:
        """Seeds -> the key of the measurement."""
        return {seeds: cell.score_key for seeds, cell in self.items()}

    def numbers(self, report: Report, label: str) -> Mapping[str, float]:
        """Return seeds -> value where a finished cell has one number."""
        if (report, label) not in self._numbers:
            self._numbers[report, label] = {
                seeds: value
                for seeds, cell in self.items()
                if cell.status == "done" and isinstance(value := score_of_cell(cell, report, label).value, float)
            }
        return self._numbers[report, label]

    def why_no_number(self, report: Report, label: str, seeds: str) -> str:
        """Return why the finished cell of these seeds has no number."""
        return score_of_cell(self[seeds], report, label).reason or "it is not one number"


@dataclass(frozen=True, slots=True, kw_only=True)
class Contest:
    """The rows of one task, and what they are measured against.

    subsets: seeds -> the images that its rows share. unfit: row -> why it cannot be compared with the others, "" where
    it can. outcomes: what became of the task's test images, None where that is not known.
    """

    suite: SuiteHeader
    task: Task
    groups: Mapping[RowName, Group]
    floor: Group | None
    ceiling: Group | None
    subsets: Mapping[str, SubsetSummary]
    unfit: Mapping[RowName, str]
    outcomes: DatasetOutcomes | None


def score_form(cells: Iterable[CellResult], report: Report, label: str) -> Form:
    """Return what values a metric has: one number, one a class, or a matrix; undefined ones do not tell."""
    for cell in cells:
        value = score_of_cell(cell, report, label).value
        if isinstance(value, list):
            return "matrix" if any(isinstance(part, list) for part in value) else "classes"
        if value is not None:
            return "number"
    return "number"


def score_of_cell(cell: CellResult, report: Report, label: str) -> Score:
    """Return a cell's value of a metric under a report."""
    scores = cell.scores.get(report)
    return NOT_SCORED if scores is None else scores.metrics.get(label, NOT_SCORED)


def distinct(cells: Iterable[CellResult]) -> list[CellResult]:
    """Return one cell of each measurement."""
    by_key: dict[str, CellResult] = {}
    for cell in cells:
        by_key.setdefault(cell.score_key, cell)
    return list(by_key.values())
