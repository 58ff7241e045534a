"""Every value of every cell as a line of its own: what a leaderboard sums up, for a reader's own analysis."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TextIO

from balancebench.artefacts.scores import Score
from balancebench.config import JSON
from balancebench.errors import LeaderboardError
from balancebench.leaderboard.export import spreadsheet_text
from balancebench.leaderboard.results import CellResult, SuiteHeader

__all__ = ["LongValue", "long_values", "write_long_csv"]


@dataclass(frozen=True, slots=True, kw_only=True)
class LongValue:
    """One value: a metric of one cell under one report, of one class where it has a value a class.

    profile: "" for none. epoch: the one reported, counted from 0. class_name: "" where the metric is one number; the
    true class of a matrix, whose predicted_class is "" elsewhere. value: as it is, 0.83 for 83 %; None where it is
    undefined, and reason says why.
    """

    suite: str
    profile: str
    dataset: str
    imbalancer: str
    classifier: str
    balancer: str
    role: str
    subset_seed: int
    generator_seed: int
    classifier_seed: int
    report: str
    epoch: int
    metric: str
    unit: str
    class_name: str
    predicted_class: str
    value: float | None
    reason: str


def long_values(suite: SuiteHeader, cells: Sequence[CellResult]) -> Iterator[LongValue]:
    """Yield the values of all cells that are done, in the order of the cells, reports and metrics."""
    units = {metric.label: metric.unit for metric in suite.metrics}
    for cell in cells:
        class_names = () if cell.subset is None else cell.subset.class_names
        for report, scores in cell.scores.items():
            for metric, score in scores.metrics.items():
                for class_name, predicted_class, value in _by_class(score, class_names):
                    yield LongValue(
                        suite=suite.name,
                        profile=suite.profile or "",
                        dataset=cell.task.dataset,
                        imbalancer=cell.task.imbalancer,
                        classifier=cell.task.classifier,
                        balancer=cell.balancer,
                        role=cell.role,
                        subset_seed=cell.seeds.subset,
                        generator_seed=cell.seeds.generator,
                        classifier_seed=cell.seeds.classifier,
                        report=report,
                        epoch=scores.epoch,
                        metric=metric,
                        unit=units.get(metric, ""),
                        class_name=class_name,
                        predicted_class=predicted_class,
                        value=value,
                        reason=score.reason if value is None else "",
                    )


def write_long_csv(path: Path, suite: SuiteHeader, cells: Sequence[CellResult]) -> int:
    """Write the values as CSV, a line each, and return how many. Raises LeaderboardError where it cannot be written."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("w", encoding="utf-8", newline="") as file:
            return _write(file, suite, cells)
    except OSError as error:
        raise LeaderboardError(f"{path} cannot be written: {error.strerror}") from error


def _write(file: TextIO, suite: SuiteHeader, cells: Sequence[CellResult]) -> int:
    names = [field.name for field in fields(LongValue)]
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(names)
    count = 0
    for count, of_cell in enumerate(long_values(suite, cells), start=1):  # noqa: B007 - counted to the end
        writer.writerow([_cell(getattr(of_cell, name)) for name in names])
    return count


def _cell(value: JSON) -> JSON:
    return spreadsheet_text(value) if isinstance(value, str) else value


def _by_class(score: Score, class_names: Sequence[str]) -> Iterator[tuple[str, str, float | None]]:
    """Yield true class, predicted class and value; names are "" where there is none, numbers where they are unknown."""
    value = score.value
    if not isinstance(value, list):
        yield "", "", value
        return
    names = class_names if len(class_names) == len(value) else tuple(map(str, range(len(value))))
    for true_class, of_class in zip(names, value, strict=True):
        if isinstance(of_class, list):
            for predicted_class, of_pair in zip(names, of_class, strict=True):
                yield true_class, predicted_class, of_pair
        else:
            yield true_class, "", of_class
