"""What `train` leaves: the logits of the test images, curves, and what was trained on.

Axis suffixes: N test images, E epochs, K classes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from balancebench.artefacts.arrays import map_array, write_array, write_json
from balancebench.evaluation import Report
from balancebench.store import Store

__all__ = ["Split", "TrainingDescription", "TrainingResult", "kept_weights", "weights_folder"]

DESCRIPTION, LOGITS, PREDICTIONS, WEIGHTS = "training.json", "logits", "epoch_predictions", "weights"
Split = Literal["test", "validation"]
"""The images that are predicted after each epoch where a suite reports the best one."""


class TrainingDescription(BaseModel):
    """What is known of a training without its arrays.

    curves: the values that the classifier reported, a row an epoch, with "epoch" counted from 0. epoch_losses: of each
    split that was predicted after each epoch, the mean cross-entropy, None where it is not finite. best_epochs: report
    -> epoch. phases: of each phase of the plan origin -> images of each class.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    curves: list[dict[str, float]]
    epoch_losses: dict[Split, list[float | None]]
    best_epochs: dict[Report, int]
    searched_from: dict[Report, int] = {}
    phases: list[dict[str, list[int]]]

    @classmethod
    def read(cls, store: Store, key: str) -> TrainingDescription:
        """Return the description of a finished step's training."""
        return store.files(key).parsed(DESCRIPTION, cls.model_validate_json)


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingResult:
    """A training. logits_NK: report -> float32. epoch_predictions_EN: split -> int16 class of each image."""

    description: TrainingDescription
    logits_NK: Mapping[Report, NDArray[np.float32]]
    epoch_predictions_EN: Mapping[Split, NDArray[np.int16]]

    def write(self, folder: Path) -> None:
        """Write everything but weights, which the predictor writes itself."""
        for report, logits_NK in self.logits_NK.items():
            write_array(folder / f"{LOGITS}_{report}.npy", logits_NK)
        for split, predictions_EN in self.epoch_predictions_EN.items():
            write_array(folder / f"{PREDICTIONS}_{split}.npy", predictions_EN)
        write_json(folder / DESCRIPTION, self.description.model_dump(mode="json"))

    @classmethod
    def read(cls, store: Store, key: str) -> TrainingResult:
        """Map the result of a finished step."""
        files = store.files(key)
        description = files.parsed(DESCRIPTION, TrainingDescription.model_validate_json)
        reports: list[Report] = ["last", *description.best_epochs]
        return cls(
            description=description,
            logits_NK={report: map_array(files, f"{LOGITS}_{report}.npy") for report in reports},
            epoch_predictions_EN={
                split: map_array(files, f"{PREDICTIONS}_{split}.npy") for split in description.epoch_losses
            },
        )


def weights_folder(results: Path) -> Path:
    """Make the folder that a predictor is saved to, among a step's results, and return it."""
    folder = results / WEIGHTS
    folder.mkdir()
    return folder


def kept_weights(store: Store, key: str) -> Path | None:
    """Return the folder that a training's predictor was saved to, or None where it was not."""
    files = store.files(key)
    names = files.names(f"{WEIGHTS}/")
    for name in names:
        files.mapped(name)  # only to compare it with its SHA-256
    return files.folder / WEIGHTS if names else None
