"""Follows one split of images through the epochs of a training.

Axis suffixes: N images, E epochs, K classes.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from balancebench.artefacts.arrays import write_array, write_json
from balancebench.artefacts.training_result import Split
from balancebench.classification import predicted_classes
from balancebench.evaluation import Report
from balancebench.stages.judge import Judgement

__all__ = ["EpochTrack"]


@dataclass(slots=True)
class EpochTrack:
    """Predictions and loss of each epoch, and the test logits of the best one.

    judge: logits of the split's images -> how good they are. searched_from: the first epoch that may be the best one.
    """

    split: Split
    judge: Callable[[NDArray[np.float32]], Judgement]
    predictions_EN: list[NDArray[np.int16]] = field(default_factory=list[NDArray[np.int16]])
    losses_E: list[float | None] = field(default_factory=list[float | None])
    searched_from: int = 0
    best_score: float = -1.0
    best_epoch: int = -1
    best_logits_NK: NDArray[np.float32] | None = None  # of the test images

    @property
    def report(self) -> Report:
        """The report that the best epoch is for."""
        return "best_test" if self.split == "test" else "best_validation"

    def add(self, epoch: int, logits_NK: NDArray[np.float32], test_logits_NK: NDArray[np.float32]) -> None:
        """Take in an epoch: its logits of this split's images, and of the test images."""
        judgement = self.judge(logits_NK)
        self.predictions_EN.append(predicted_classes(logits_NK).astype(np.int16))
        self.losses_E.append(judgement.loss)
        if judgement.score > self.best_score:
            self.best_score, self.best_epoch, self.best_logits_NK = judgement.score, epoch, test_logits_NK

    def search_from(self, epoch: int) -> None:
        """Forget the best epoch so far: from this one on a new stage is trained, and the row is of that one."""
        self.searched_from, self.best_score, self.best_epoch, self.best_logits_NK = epoch, -1.0, -1, None

    def write(self, folder: Path) -> None:
        """Write what is known so far into an existing folder."""
        known = {
            "losses": self.losses_E,
            "searched_from": self.searched_from,
            "best_score": self.best_score,
            "best_epoch": self.best_epoch,
        }
        write_json(folder / f"{self.split}.json", known)
        if self.predictions_EN:
            write_array(folder / f"{self.split}_predictions.npy", np.stack(self.predictions_EN))
        if self.best_logits_NK is not None:
            write_array(folder / f"{self.split}_best_logits.npy", self.best_logits_NK)

    def read(self, folder: Path) -> None:
        """Go on from what `write` wrote."""
        known = json.loads((folder / f"{self.split}.json").read_bytes())
        self.losses_E, self.searched_from = known["losses"], known["searched_from"]
        self.best_score, self.best_epoch = known["best_score"], known["best_epoch"]
        if self.losses_E:
            self.predictions_EN = list(np.load(folder / f"{self.split}_predictions.npy", allow_pickle=False))
        if self.best_epoch >= 0:
            self.best_logits_NK = np.load(folder / f"{self.split}_best_logits.npy", allow_pickle=False)
