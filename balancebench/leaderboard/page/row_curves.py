"""Values of each epoch of a task's rows, as the page draws them: mean and range over trainings.

Axis suffixes: S trainings, E epochs.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import get_args

from balancebench.evaluation import Report
from balancebench.leaderboard.board import Summary
from balancebench.leaderboard.format import signed_text, value_text
from balancebench.leaderboard.page.page_data import CellText, CurveBand, RowCurves
from balancebench.leaderboard.results import CellResult
from balancebench.leaderboard.statistics import mean
from balancebench.leaderboard.training_curves import CurveName, Curves, TrainingCurves, kept_epochs

__all__ = ["NO_CURVES", "cross_fitted_cell", "row_curves"]

NO_CURVES = "these records were made without the values of each epoch"
NAMES: tuple[CurveName, ...] = get_args(CurveName)
DIGITS = 4
RANGE_DIGITS = 3


def row_curves(cells_of: Mapping[str, Sequence[CellResult]], curves: Curves) -> dict[str, RowCurves]:
    """Return id of a row -> its curves, of the rows that have any. cells_of: id of a row -> its cells."""
    by_row = {row: [curves[key] for key in _trainings(cells) if key in curves] for row, cells in cells_of.items()}
    return {row: _banded(of_row) for row, of_row in by_row.items() if of_row}


def cross_fitted_cell(report: Report, cells: Sequence[CellResult], curves: Curves) -> CellText:
    """Return the cross-fitted best accuracy, the mean over trainings, and what it tells the test set's choice by."""
    trainings = _trainings(cells)
    fits = [curves[key].cross_fit for key in trainings if key in curves]
    known = [fit for fit in fits if fit is not None]
    if report != "best_test" or not known or len(known) < len(trainings):
        return CellText(text="-", reason="the predictions of each epoch are not kept")
    chosen, gained = (
        signed_text(Summary(mean=mean(values)), "%")
        for values in (
            [fit.chosen_by_the_test_set for fit in known],
            [fit.gained_by_stopping_early for fit in known],
        )
    )
    cross_fitted = mean([fit.cross_fitted for fit in known])
    return CellText(
        text=value_text(cross_fitted, "%"),
        value=cross_fitted,
        reason=f"accuracy, where halves of the test images choose the epoch for each other; the choice by all of them "
        f"adds {chosen}, and stopping early gains {gained} over the last epoch",
    )


def _trainings(cells: Iterable[CellResult]) -> list[str]:
    """Return the keys of the trainings of finished cells, each once."""
    return list(dict.fromkeys(cell.steps["train"] for cell in cells if cell.status == "done"))


def _banded(trainings_S: Sequence[TrainingCurves]) -> RowCurves:
    """Return mean, least and most of each epoch; where seeds differ in length, of those as long as the first."""
    epochs = trainings_S[0].epochs
    alike_S = [training for training in trainings_S if training.epochs == epochs]
    names: list[CurveName] = [name for name in NAMES if all(name in training.values for training in alike_S)]
    return RowCurves(
        epochs=tuple(epoch + 1 for epoch in kept_epochs(epochs)),
        trainings=len(alike_S),
        left_out=len(trainings_S) - len(alike_S),
        bands={name: _band([training.values[name] for training in alike_S]) for name in names},
    )


def _band(values_SE: Sequence[Sequence[float | None]]) -> CurveBand:
    known_E = [
        None if any(value is None for value in of_epoch) else [value for value in of_epoch if value is not None]
        for of_epoch in zip(*values_SE, strict=True)
    ]
    return CurveBand(
        mean=tuple(None if known is None else _rounded(mean(known)) for known in known_E),
        low=tuple(None if known is None else _rounded(min(known), RANGE_DIGITS) for known in known_E),
        high=tuple(None if known is None else _rounded(max(known), RANGE_DIGITS) for known in known_E),
    )


def _rounded(value: float, digits: int = DIGITS) -> float:
    return float(f"{value:.{digits}g}")
