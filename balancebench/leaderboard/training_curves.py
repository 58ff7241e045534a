"""Values of each epoch beside committed records: losses and accuracies of trainings, a training a line.

The file is JSON; records.json holds its SHA-256. Numbers have four digits that count, and of longer trainings 100
epochs are kept, evenly spread. Records made before this was kept have none.

Axis suffixes: E epochs, N test images, K classes.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Any, Literal, TypeAlias

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, model_validator

from balancebench.artefacts.splits import SplitsDescription, read_test_labels
from balancebench.artefacts.training_result import TrainingDescription, TrainingResult
from balancebench.errors import LeaderboardError, StoreError
from balancebench.leaderboard.crossfit import CrossFit, cross_fitted_best
from balancebench.leaderboard.priors import class_weights
from balancebench.leaderboard.records import Records, laid_out
from balancebench.leaderboard.results import CellResult
from balancebench.leaderboard.sealed_file import read_sealed
from balancebench.store import Store

__all__ = [
    "CURVES",
    "CurveName",
    "Curves",
    "TrainingCurves",
    "curves_in_store",
    "curves_problems",
    "curves_text",
    "kept_epochs",
    "read_committed_curves",
]

CURVES = "curves.json"
FORMAT = 1
MOST_EPOCHS = 100
MOST_TRAININGS = 2000  # a page of more is no place to look at one, and reading them would take minutes
DIGITS = 4

CurveName: TypeAlias = Literal["training loss", "validation loss", "test loss", "test accuracy"]
Value: TypeAlias = Annotated[float, Field(allow_inf_nan=False)] | None


class TrainingCurves(BaseModel):
    """The epochs of one training. epochs: how many there were. values: of the epochs of `kept_epochs`, None where not
    finite; accuracies 0..1. cross_fit: of the accuracy on test images, where they were predicted after each epoch.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    epochs: Annotated[int, Field(ge=1)]
    values: dict[CurveName, tuple[Value, ...]]
    cross_fit: CrossFit | None = None

    @model_validator(mode="after")
    def _of_one_length(self) -> TrainingCurves:
        if any(len(values_E) != len(kept_epochs(self.epochs)) for values_E in self.values.values()):
            raise ValueError(f"a curve of {self.epochs} epochs has {len(kept_epochs(self.epochs))} values")
        return self


Curves: TypeAlias = Mapping[str, TrainingCurves]
"""Key of the train step -> its curves."""


def kept_epochs(epochs: int) -> list[int]:
    """Return the epochs that are kept of a training, counted from 0: all, or 100 of them, first and last included."""
    return sorted({round(epoch) for epoch in np.linspace(0, epochs - 1, min(epochs, MOST_EPOCHS)).tolist()})


def curves_in_store(cells: Iterable[CellResult], store: Store) -> Curves:
    """Return the curves of the trainings of finished cells; those that the store lacks or that have none are left out.

    Of more than 2,000 trainings there are none.
    """
    trainings = {cell.steps["train"]: cell.steps["load"] for cell in cells if cell.status == "done"}
    curves: dict[str, TrainingCurves] = {}
    if len(trainings) > MOST_TRAININGS:
        return curves
    for key, load_key in trainings.items():
        with suppress(StoreError):
            if (of_training := _curves(store, key, load_key)) is not None:
                curves[key] = of_training
    return curves


def _curves(store: Store, key: str, load_key: str) -> TrainingCurves | None:
    description = TrainingDescription.read(store, key)
    reported = description.curves
    whole: dict[CurveName, Sequence[float | None]] = {}
    if reported and all("loss" in values for values in reported):
        whole["training loss"] = [values["loss"] for values in reported]
    if losses := description.epoch_losses.get("validation"):
        whole["validation loss"] = losses
    cross_fit = None
    if losses := description.epoch_losses.get("test"):
        whole["test loss"] = losses
        labels_N = read_test_labels(store, load_key)
        correct_EN = TrainingResult.read(store, key).epoch_predictions_EN["test"] == labels_N
        whole["test accuracy"] = correct_EN.mean(axis=1).tolist()
        classes = len(SplitsDescription.read(store, load_key).class_names)
        weights_K = class_weights(np.bincount(labels_N, minlength=classes).astype(np.float64))
        searched_from = description.searched_from.get("best_test", 0)
        with suppress(ValueError):  # a class of one image cannot be halved
            cross_fit = cross_fitted_best(correct_EN[searched_from:], labels_N, weights_K, seed=int(load_key[:8], 16))
    if not whole:
        return None
    epochs = min(len(values_E) for values_E in whole.values())
    kept = kept_epochs(epochs)
    return TrainingCurves(
        epochs=epochs,
        values={name: tuple(_rounded(values_E[epoch]) for epoch in kept) for name, values_E in whole.items()},
        cross_fit=cross_fit,
    )


def _rounded(value: float | None) -> float | None:
    return None if value is None or not math.isfinite(value) else float(f"{value:.{DIGITS}g}")


def curves_text(curves: Curves) -> str:
    """Return the file's text; the same curves give the same bytes."""
    trainings = [
        {"train": key, **of_training.model_dump(mode="json", exclude_none=True)}
        for key, of_training in sorted(curves.items())
    ]
    return laid_out({"format": FORMAT, "trainings": trainings})


def read_committed_curves(folder: Path, records: Records) -> Curves:
    """Return the curves beside records, none where the records were made without.

    Raises LeaderboardError where the file is missing, damaged, or not the one that was written with the records.
    """
    if records.curves_sha256 is None:
        return {}
    return read_sealed(folder / CURVES, records.curves_sha256, _parsed, kind="curves", version=FORMAT)


def _parsed(document: dict[str, Any]) -> Curves:
    return {
        training["train"]: TrainingCurves.model_validate({k: v for k, v in training.items() if k != "train"})
        for training in document["trainings"]
    }


def curves_problems(folder: Path, records: Records) -> list[str]:
    """Return what is wrong with the curves beside records, each with the file's path."""
    if records.curves_sha256 is None and (folder / CURVES).exists():
        return [f"{folder / CURVES} is of other records: those beside it were written without"]
    try:
        read_committed_curves(folder, records)
    except LeaderboardError as error:
        return [str(error)]
    return []
