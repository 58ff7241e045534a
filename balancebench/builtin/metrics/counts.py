"""Metrics of the predicted classes, all from one confusion matrix.

torchmetrics serves as the reference in the tests, not here: it gives 0 for classes that have no value, and in
torch's deterministic mode, which a worker may be in, its confusion matrix takes memory of N x K x K x 8 bytes.

In arrays of one value a class, NaN stands for a class whose value is undefined.
Axis suffixes: N images, K classes; a matrix (K, K) has the true class along its rows.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from balancebench.builtin.metrics.logits import PredictionMetric
from balancebench.builtin.metrics.options import (
    AveragedOptions,
    ClassAccuracyOptions,
    ConfusionMatrixOptions,
    ShotAccuracyOptions,
)
from balancebench.classification import (
    balanced_accuracy_of,
    confusion_counts,
    f1_of_classes,
    mean_over_classes,
    predicted_classes,
    ratio,
    recall_of_classes,
)
from balancebench.config import Options
from balancebench.errors import DataError, nearest
from balancebench.evaluation import Evaluation, MetricValue, Undefined

__all__ = [
    "F1",
    "Accuracy",
    "BalancedAccuracy",
    "ClassAccuracy",
    "ConfusionMatrix",
    "GeometricMean",
    "Precision",
    "Recall",
    "ShotAccuracy",
]


def _confusion_from(evaluation: Evaluation) -> NDArray[np.int64]:
    predicted_N = predicted_classes(evaluation.logits_NK)
    return confusion_counts(evaluation.labels_N, predicted_N, len(evaluation.class_names))


def _accuracy_from(confusion_KK: NDArray[np.int64]) -> float:
    return float(confusion_KK.trace() / confusion_KK.sum())


class Accuracy(PredictionMetric[Options]):
    """The share of test images predicted right."""

    def score(self, evaluation: Evaluation) -> MetricValue:
        """Return the share of test images whose predicted class is the true one, 0..1."""
        return _accuracy_from(_confusion_from(evaluation))


class BalancedAccuracy(PredictionMetric[Options]):
    """The mean recall."""

    def score(self, evaluation: Evaluation) -> MetricValue:
        """Return the mean recall of the classes that have test images, 0..1 (Brodersen et al. 2010)."""
        return balanced_accuracy_of(_confusion_from(evaluation))


class Recall(PredictionMetric[AveragedOptions]):
    """The share of a class's test images that are predicted as it."""

    def score(self, evaluation: Evaluation) -> MetricValue:
        """Return TP / (TP + FN), 0..1: a float, or float64 (K,) where `average` is "none".

        A class without test images has no recall and is left out of every average, predicted or not: the set of
        classes is then the same for all classifiers, and macro recall is the balanced accuracy. micro is the accuracy.
        """
        average = self.options.average
        confusion_KK = _confusion_from(evaluation)
        if average == "micro":
            return _accuracy_from(confusion_KK)
        recall_K = recall_of_classes(confusion_KK)
        return recall_K if average == "none" else mean_over_classes(recall_K, confusion_KK.sum(axis=1), average)


class Precision(PredictionMetric[AveragedOptions]):
    """The share of the images predicted as a class that are of it."""

    def score(self, evaluation: Evaluation) -> MetricValue:
        """Return TP / (TP + FP), 0..1: a float, or float64 (K,) where `average` is "none".

        A class never predicted has no precision. In averages it counts as 0 where it has test images, as it does in
        scikit-learn and torchmetrics by default: left out, a classifier would gain by ignoring a rare class. A class
        neither predicted nor among the test images is left out. micro is the accuracy.
        """
        average = self.options.average
        confusion_KK = _confusion_from(evaluation)
        if average == "micro":
            return _accuracy_from(confusion_KK)
        precision_K = ratio(confusion_KK.diagonal(), confusion_KK.sum(axis=0))
        if average == "none":
            return precision_K
        support_K = confusion_KK.sum(axis=1)
        ignored_K = np.isnan(precision_K) & (support_K > 0)
        return mean_over_classes(np.where(ignored_K, 0.0, precision_K), support_K, average)


class F1(PredictionMetric[AveragedOptions]):
    """The harmonic mean of precision and recall."""

    def score(self, evaluation: Evaluation) -> MetricValue:
        """Return 2 TP / (2 TP + FP + FN), 0..1: a float, or float64 (K,) where `average` is "none".

        A class neither predicted nor among the test images has no F1 and is left out of averages. micro is the
        accuracy.
        """
        average = self.options.average
        confusion_KK = _confusion_from(evaluation)
        if average == "micro":
            return _accuracy_from(confusion_KK)
        f1_K = f1_of_classes(confusion_KK)
        return f1_K if average == "none" else mean_over_classes(f1_K, confusion_KK.sum(axis=1), average)


class GeometricMean(PredictionMetric[Options]):
    """The geometric mean of the recalls."""

    def score(self, evaluation: Evaluation) -> MetricValue:
        """Return the geometric mean of the recalls of the classes that have test images, 0..1; 0 where one is missed.

        Sun et al. 2006, the generalisation to K classes of Kubat & Matwin 1997.
        """
        recall_K = recall_of_classes(_confusion_from(evaluation))
        recall_present = recall_K[~np.isnan(recall_K)]
        # In logarithms, because the product of a hundred small recalls underflows; a recall of 0 becomes exp(-inf) = 0.
        with np.errstate(divide="ignore"):
            return float(np.exp(np.log(recall_present).mean()))


class ClassAccuracy(PredictionMetric[ClassAccuracyOptions]):
    """The recall of each class, or of one."""

    def score(self, evaluation: Evaluation) -> MetricValue:
        """Return the share of each class's test images that are predicted right, 0..1: float64 (K,), or a float.

        class_name: one class, by name or id; Undefined where it has no test images. Raises DataError where the data
        set has no such class.
        """
        class_name = self.options.class_name
        class_id = None if class_name is None else _class_id(class_name, evaluation.class_names)
        recall_K = recall_of_classes(_confusion_from(evaluation))
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


class ShotAccuracy(PredictionMetric[ShotAccuracyOptions]):
    """The mean recall of the classes with many, a medium number of, or few training images."""

    def score(self, evaluation: Evaluation) -> MetricValue:
        """Return the mean recall of the classes with many, a medium number of, or few training images, 0..1.

        Training images are counted before balancing. many: more than `many_above`; few: fewer than `few_below`, none
        included; medium: all others. Undefined where no class of the group has test images (Liu et al. 2019).
        """
        many_above, few_below = self.options.many_above, self.options.few_below
        counts_K = evaluation.train_counts_K
        members_K, bounds = {
            "many": (counts_K > many_above, f"more than {many_above}"),
            "medium": ((counts_K >= few_below) & (counts_K <= many_above), f"{few_below} to {many_above}"),
            "few": (counts_K < few_below, f"fewer than {few_below}"),
        }[self.options.group]
        if not members_K.any():
            return Undefined(f"no class has {bounds} training images")
        recall_members = recall_of_classes(_confusion_from(evaluation))[members_K]
        if np.isnan(recall_members).all():
            return Undefined(f"no class with {bounds} training images has test images")
        return float(np.nanmean(recall_members))


class ConfusionMatrix(PredictionMetric[ConfusionMatrixOptions]):
    """Test images by true and predicted class."""

    def score(self, evaluation: Evaluation) -> MetricValue:
        """Return the counts of images by true (rows) and predicted class, int64 (K, K).

        normalise "true": each row as shares of its class, float64 0..1; the row of a class without test images is NaN.
        """
        confusion_KK = _confusion_from(evaluation)
        if self.options.normalise == "none":
            return confusion_KK
        return ratio(confusion_KK, confusion_KK.sum(axis=1, keepdims=True))
