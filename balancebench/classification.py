"""Counts of right and wrong predictions, and what follows from them. NumPy alone.

In arrays of one value a class, NaN stands for a class whose value is undefined.
Axis suffixes: N images, K classes; a matrix (K, K) has the true class along its rows.
"""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

__all__ = [
    "balanced_accuracy_of",
    "confusion_counts",
    "f1_of_classes",
    "mean_cross_entropy",
    "mean_over_classes",
    "predicted_classes",
    "ratio",
    "recall_of_classes",
]


def predicted_classes(logits_NK: NDArray[np.floating[Any]]) -> NDArray[np.int64]:
    """Return the class of the largest logit of each image, int64 (N,); among equal logits the lowest class id."""
    return logits_NK.argmax(axis=1).astype(np.int64)


def confusion_counts(
    labels_N: NDArray[np.int64], predicted_N: NDArray[np.integer[Any]], class_count: int
) -> NDArray[np.int64]:
    """Return how many images of each true class (rows) went to each predicted class (columns), int64 (K, K)."""
    cells_N = labels_N * class_count + predicted_N
    return np.bincount(cells_N, minlength=class_count**2).astype(np.int64).reshape(class_count, class_count)


def ratio(numerator: NDArray[np.int64], denominator: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return numerator / denominator, NaN where the denominator is 0."""
    undefined = np.full(np.broadcast_shapes(numerator.shape, denominator.shape), np.nan)
    return np.divide(numerator, denominator, out=undefined, where=denominator > 0)


def recall_of_classes(confusion_KK: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return TP / (TP + FN) of each class, float64 (K,); a class without images has none."""
    return ratio(confusion_KK.diagonal(), confusion_KK.sum(axis=1))


def f1_of_classes(confusion_KK: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return 2 TP / (2 TP + FP + FN) of each class, float64 (K,); a class neither there nor predicted has none."""
    return ratio(2 * confusion_KK.diagonal(), confusion_KK.sum(axis=1) + confusion_KK.sum(axis=0))


def balanced_accuracy_of(confusion_KK: NDArray[np.int64]) -> float:
    """Return the mean recall of the classes that have images, 0..1; there must be one."""
    return float(np.nanmean(recall_of_classes(confusion_KK)))


def mean_over_classes(
    values_K: NDArray[np.float64], support_K: NDArray[np.int64], average: Literal["macro", "weighted"]
) -> float:
    """Return the mean of the values that are not NaN, at least one.

    macro: every class counts the same. weighted: by its test images, `support_K`.
    """
    defined_K = ~np.isnan(values_K)
    weights = support_K[defined_K] if average == "weighted" else None
    return float(np.average(values_K[defined_K], weights=weights))


def mean_cross_entropy(logits_NK: NDArray[np.floating[Any]], labels_N: NDArray[np.int64]) -> float:
    """Return the mean cross-entropy in nats, in float64; NaN or infinite where a logit is."""
    with np.errstate(invalid="ignore", over="ignore"):
        shifted_NK = logits_NK.astype(np.float64) - logits_NK.max(axis=1, keepdims=True)
        losses_N = np.log(np.exp(shifted_NK).sum(axis=1)) - shifted_NK[np.arange(len(labels_N)), labels_N]
        return float(losses_N.mean())
