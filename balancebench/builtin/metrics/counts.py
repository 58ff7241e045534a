"""Metrics of the predicted classes, all from one confusion matrix.

torchmetrics serves as the reference in the tests, not here: it gives 0 for classes that have no value, and in
torch's deterministic mode, which a worker may be in, its confusion matrix takes memory of N x K x K x 8 bytes.

In arrays of one value a class, NaN stands for a class whose value is undefined.
Axis suffixes: N images, K classes; a matrix (K, K) has the true class along its rows.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray

from balancebench.builtin.metrics.logits import mean_over_classes, predictions_from, scores_logits
from balancebench.component import Evaluation, MetricValue, Undefined
from balancebench.errors import DataError, nearest

__all__ = [
    "accuracy",
    "balanced_accuracy",
    "class_accuracy",
    "confusion_matrix",
    "f1",
    "geometric_mean",
    "precision",
    "recall",
    "shot_accuracy",
]

Average = Literal["macro", "weighted", "micro", "none"]


def _confusion_from(evaluation: Evaluation) -> NDArray[np.int64]:
    """Return how many images of each true class (rows) went to each predicted class (columns), int64 (K, K)."""
    class_count = len(evaluation.class_names)
    cells_N = evaluation.labels_N * class_count + predictions_from(evaluation)
    return np.bincount(cells_N, minlength=class_count**2).astype(np.int64).reshape(class_count, class_count)


def _ratio(numerator: NDArray[np.int64], denominator: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return numerator / denominator, NaN where the denominator is 0."""
    undefined = np.full(np.broadcast_shapes(numerator.shape, denominator.shape), np.nan)
    return np.divide(numerator, denominator, out=undefined, where=denominator > 0)


def _recall_from(confusion_KK: NDArray[np.int64]) -> NDArray[np.float64]:
    return _ratio(confusion_KK.diagonal(), confusion_KK.sum(axis=1))


def _accuracy_from(confusion_KK: NDArray[np.int64]) -> float:
    return float(confusion_KK.trace() / confusion_KK.sum())


@scores_logits
def accuracy(evaluation: Evaluation) -> MetricValue:
    """Return the share of test images whose predicted class is the true one, 0..1."""
    return _accuracy_from(_confusion_from(evaluation))


@scores_logits
def balanced_accuracy(evaluation: Evaluation) -> MetricValue:
    """Return the mean recall of the classes that have test images, 0..1 (Brodersen et al. 2010)."""
    return float(np.nanmean(_recall_from(_confusion_from(evaluation))))


@scores_logits
def recall(evaluation: Evaluation, *, average: Average) -> MetricValue:
    """Return TP / (TP + FN), 0..1: a float, or float64 (K,) where `average` is "none".

    A class without test images has no recall and is left out of every average, predicted or not: the set of
    classes is then the same for all classifiers, and macro recall is the balanced accuracy. micro is the accuracy.
    """
    confusion_KK = _confusion_from(evaluation)
    if average == "micro":
        return _accuracy_from(confusion_KK)
    recall_K = _recall_from(confusion_KK)
    return recall_K if average == "none" else mean_over_classes(recall_K, confusion_KK.sum(axis=1), average)


@scores_logits
def precision(evaluation: Evaluation, *, average: Average) -> MetricValue:
    """Return TP / (TP + FP), 0..1: a float, or float64 (K,) where `average` is "none".

    A class never predicted has no precision. In averages it counts as 0 where it has test images, as it does in
    scikit-learn and torchmetrics by default: left out, a classifier would gain by ignoring a rare class. A class
    neither predicted nor among the test images is left out. micro is the accuracy.
    """
    confusion_KK = _confusion_from(evaluation)
    if average == "micro":
        return _accuracy_from(confusion_KK)
    precision_K = _ratio(confusion_KK.diagonal(), confusion_KK.sum(axis=0))
    if average == "none":
        return precision_K
    support_K = confusion_KK.sum(axis=1)
    ignored_K = np.isnan(precision_K) & (support_K > 0)
    return mean_over_classes(np.where(ignored_K, 0.0, precision_K), support_K, average)


@scores_logits
def f1(evaluation: Evaluation, *, average: Average) -> MetricValue:
    """Return 2 TP / (2 TP + FP + FN), 0..1: a float, or float64 (K,) where `average` is "none".

    A class neither predicted nor among the test images has no F1 and is left out of averages. micro is the
    accuracy.
    """
    confusion_KK = _confusion_from(evaluation)
    if average == "micro":
        return _accuracy_from(confusion_KK)
    support_K = confusion_KK.sum(axis=1)
    f1_K = _ratio(2 * confusion_KK.diagonal(), support_K + confusion_KK.sum(axis=0))
    return f1_K if average == "none" else mean_over_classes(f1_K, support_K, average)


@scores_logits
def geometric_mean(evaluation: Evaluation) -> MetricValue:
    """Return the geometric mean of the recalls of the classes that have test images, 0..1; 0 where one is missed.

    Sun et al. 2006, the generalisation to K classes of Kubat & Matwin 1997.
    """
    recall_K = _recall_from(_confusion_from(evaluation))
    recall_present = recall_K[~np.isnan(recall_K)]
    # In logarithms, because the product of a hundred small recalls underflows; a recall of 0 becomes exp(-inf) = 0.
    with np.errstate(divide="ignore"):
        return float(np.exp(np.log(recall_present).mean()))


@scores_logits
def class_accuracy(evaluation: Evaluation, *, class_name: str | int | None) -> MetricValue:
    """Return the share of each class's test images that are predicted right, 0..1: float64 (K,), or a float.

    class_name: one class, by name or id; Undefined where it has no test images. Raises DataError where the data
    set has no such class.
    """
    class_id = None if class_name is None else _class_id(class_name, evaluation.class_names)
    recall_K = _recall_from(_confusion_from(evaluation))
    if class_id is None:
        return recall_K
    if np.isnan(recall_K[class_id]):
        return Undefined(f"class {evaluation.class_names[class_id]!r} has no test images")
    return float(recall_K[class_id])


def _class_id(wanted: str | int, class_names: tuple[str, ...]) -> int:
    if isinstance(wanted, str):
        if wanted not in class_names:
            raise DataError(f"class_accuracy: the data set has no class {wanted!r}{nearest(wanted, class_names)}")
        return class_names.index(wanted)
    if wanted >= len(class_names):
        raise DataError(f"class_accuracy: the data set has no class {wanted} (its ids are 0..{len(class_names) - 1})")
    return wanted


@scores_logits
def shot_accuracy(
    evaluation: Evaluation, *, group: Literal["many", "medium", "few"], many_above: int, few_below: int
) -> MetricValue:
    """Return the mean recall of the classes with many, a medium number of, or few training images, 0..1.

    Training images are counted before balancing. many: more than `many_above`; few: fewer than `few_below`, none
    included; medium: all others. Undefined where no class of the group has test images (Liu et al. 2019).
    """
    counts_K = evaluation.train_counts_K
    members_K, bounds = {
        "many": (counts_K > many_above, f"more than {many_above}"),
        "medium": ((counts_K >= few_below) & (counts_K <= many_above), f"{few_below} to {many_above}"),
        "few": (counts_K < few_below, f"fewer than {few_below}"),
    }[group]
    if not members_K.any():
        return Undefined(f"no class has {bounds} training images")
    recall_members = _recall_from(_confusion_from(evaluation))[members_K]
    if np.isnan(recall_members).all():
        return Undefined(f"no class with {bounds} training images has test images")
    return float(np.nanmean(recall_members))


@scores_logits
def confusion_matrix(evaluation: Evaluation, *, normalise: Literal["none", "true"]) -> MetricValue:
    """Return the counts of images by true (rows) and predicted class, int64 (K, K).

    normalise "true": each row as shares of its class, float64 0..1; the row of a class without test images is NaN.
    """
    confusion_KK = _confusion_from(evaluation)
    return _ratio(confusion_KK, confusion_KK.sum(axis=1, keepdims=True)) if normalise == "true" else confusion_KK
