"""Follows one split of images through the epochs of a training.

Axis suffixes: N images, E epochs, K classes.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from balancebench.artefacts.arrays import write_array, write_json
from balancebench.artefacts.training_result import Split
from balancebench.classification import (
    balanced_accuracy_of,
    confusion_counts,
    mean_cross_entropy,
    predicted_classes,
)
from balancebench.data import LabelledImages
from balancebench.evaluation import Report

__all__ = ["EpochTrack"]


@dataclass(slots=True)
class EpochTrack:
    """Predictions and loss of each epoch, and the test logits of the best one."""

    split: Split
    images: LabelledImages
    predictions_EN: list[NDArray[np.int16]] = field(default_factory=list[NDArray[np.int16]])
    losses_E: list[float | None] = field(default_factory=list[float | None])
    best_score: float = -1.0
    best_epoch: int = -1
    best_logits_NK: NDArray[np.float32] | None = None  # of the test images

    @property
    def report(self) -> Report:
        """The report that the best epoch is for."""
        return "best_test" if self.split == "test" else "best_validation"

    def add(self, epoch: int, logits_NK: NDArray[np.float32], test_logits_NK: NDArray[np.float32]) -> None:
        """Take in an epoch: its logits of this split's images, and of the test images."""
        predicted_N = predicted_classes(logits_NK)
        loss = mean_cross_entropy(logits_NK, self.images.labels_N)
        self.predictions_EN.append(predicted_N.astype(np.int16))
        self.losses_E.append(loss if np.isfinite(loss) else None)
        score = self._score(predicted_N)
        if score > self.best_score:
            self.best_score, self.best_epoch, self.best_logits_NK = score, epoch, test_logits_NK

    def write(self, folder: Path) -> None:
        """Write what is known so far into an existing folder."""
        known = {"losses": self.losses_E, "best_score": self.best_score, "best_epoch": self.best_epoch}
        write_json(folder / f"{self.split}.json", known)
        if self.predictions_EN:
            write_array(folder / f"{self.split}_predictions.npy", np.stack(self.predictions_EN))
        if self.best_logits_NK is not None:
            write_array(folder / f"{self.split}_best_logits.npy", self.best_logits_NK)

    def read(self, folder: Path) -> None:
        """Go on from what `write` wrote."""
        known = json.loads((folder / f"{self.split}.json").read_bytes())
        self.losses_E, self.best_score, self.best_epoch = known["losses"], known["best_score"], known["best_epoch"]
        if self.losses_E:
            self.predictions_EN = list(np.load(folder / f"{self.split}_predictions.npy", allow_pickle=False))
        if self.best_epoch >= 0:
            self.best_logits_NK = np.load(folder / f"{self.split}_best_logits.npy", allow_pickle=False)

    def _score(self, predicted_N: NDArray[np.int64]) -> float:
        """Return top-1 accuracy on test images, as the field reports it; balanced accuracy on validation images."""
        if self.split == "test":
            return float((predicted_N == self.images.labels_N).mean())
        return balanced_accuracy_of(confusion_counts(self.images.labels_N, predicted_N, self.images.class_count))
