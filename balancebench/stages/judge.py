"""Says how good predictions of test images are, to trainings that report their best test epoch and know no test labels.

Axis suffixes: N images, K classes.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from balancebench.artefacts.splits import read_test_labels
from balancebench.classification import (
    balanced_accuracy_of,
    confusion_counts,
    mean_cross_entropy,
    predicted_classes,
)
from balancebench.store import Store

__all__ = ["Judge", "Judgement", "TestJudge", "judge_validation"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Judgement:
    """score: what the best epoch is chosen by, 0..1. loss: the mean cross-entropy, None where it is not finite."""

    score: float
    loss: float | None


TestJudge: TypeAlias = Callable[[str, NDArray[np.float32]], Judgement]
"""judge(key of the data set, logits_NK of its test images)"""


@dataclass(slots=True)
class Judge:
    """Judges test logits by top-1 accuracy, as the field reports best test epochs. Lives where answers are read."""

    store: Store
    _labels_N: dict[str, NDArray[np.int64]] = field(default_factory=dict[str, NDArray[np.int64]])

    def __call__(self, dataset_key: str, logits_NK: NDArray[np.float32]) -> Judgement:
        """Return how good they are; raise StoreError where the labels are not there."""
        if dataset_key not in self._labels_N:
            self._labels_N[dataset_key] = read_test_labels(self.store, dataset_key)
        labels_N = self._labels_N[dataset_key]
        accuracy = float((predicted_classes(logits_NK) == labels_N).mean())
        return Judgement(score=accuracy, loss=_finite(mean_cross_entropy(logits_NK, labels_N)))


def judge_validation(logits_NK: NDArray[np.float32], labels_N: NDArray[np.int64]) -> Judgement:
    """Judge logits of validation images, which may be few of some classes, by balanced accuracy."""
    confusion_KK = confusion_counts(labels_N, predicted_classes(logits_NK), logits_NK.shape[1])
    return Judgement(score=balanced_accuracy_of(confusion_KK), loss=_finite(mean_cross_entropy(logits_NK, labels_N)))


def _finite(loss: float) -> float | None:
    return loss if np.isfinite(loss) else None
