"""Declares the built-in metrics."""

from __future__ import annotations

from typing import Any

from balancebench.builtin.metrics.options import (
    AveragedOptions,
    CalibrationOptions,
    ClassAccuracyOptions,
    ConfusionMatrixOptions,
    LossOptions,
    NearDuplicatesOptions,
    RankingOptions,
    ShotAccuracyOptions,
)
from balancebench.component import MetricComponent
from balancebench.config import Options
from balancebench.evaluation import MeanOver

__all__ = ["METRICS"]

IMAGES, CLASSES = MeanOver(each="image"), MeanOver(each="class")


def _of_recall(options: AveragedOptions) -> MeanOver | None:
    return {"macro": CLASSES, "weighted": IMAGES, "micro": IMAGES, "none": None}[options.average]


def _of_micro(options: AveragedOptions) -> MeanOver | None:
    return IMAGES if options.average == "micro" else None


def _of_class(options: ClassAccuracyOptions) -> MeanOver | None:
    return None if options.class_name is None else MeanOver(each="class", class_name=options.class_name)


def _of_shot(options: ShotAccuracyOptions) -> MeanOver:
    if options.group == "many":
        return MeanOver(each="class", fewest_train=options.many_above + 1)
    if options.group == "few":
        return MeanOver(each="class", most_train=options.few_below - 1)
    return MeanOver(each="class", fewest_train=options.few_below, most_train=options.many_above)


METRICS: tuple[MetricComponent[Any], ...] = (
    MetricComponent(
        name="accuracy",
        summary="Share of test images predicted right.",
        options=Options,
        build="balancebench.builtin.metrics.counts:Accuracy",
        unit="%",
        mean_over=lambda _: IMAGES,
    ),
    MetricComponent(
        name="balanced_accuracy",
        summary="Mean recall of the classes that have test images.",
        options=Options,
        build="balancebench.builtin.metrics.counts:BalancedAccuracy",
        unit="%",
        mean_over=lambda _: CLASSES,
        citation="Brodersen, Ong, Stephan & Buhmann. The balanced accuracy and its posterior distribution. ICPR 2010",
    ),
    MetricComponent(
        name="f1",
        summary="Harmonic mean of precision and recall, averaged over classes or one value a class.",
        options=AveragedOptions,
        build="balancebench.builtin.metrics.counts:F1",
        unit="%",
        mean_over=_of_micro,
    ),
    MetricComponent(
        name="precision",
        summary="Share of the images predicted as a class that are of it, averaged over classes or one value a class.",
        options=AveragedOptions,
        build="balancebench.builtin.metrics.counts:Precision",
        unit="%",
        mean_over=_of_micro,
    ),
    MetricComponent(
        name="recall",
        summary="Share of a class's test images predicted as it, averaged over classes or one value a class.",
        options=AveragedOptions,
        build="balancebench.builtin.metrics.counts:Recall",
        unit="%",
        mean_over=_of_recall,
    ),
    MetricComponent(
        name="class_accuracy",
        summary="Share of test images predicted right within one class, or within each.",
        options=ClassAccuracyOptions,
        build="balancebench.builtin.metrics.counts:ClassAccuracy",
        unit="%",
        mean_over=_of_class,
    ),
    MetricComponent(
        name="shot_accuracy",
        summary="Mean recall of the classes with many, a medium number of, or few training images.",
        options=ShotAccuracyOptions,
        build="balancebench.builtin.metrics.counts:ShotAccuracy",
        unit="%",
        mean_over=_of_shot,
        citation="Liu, Miao, Zhan, Wang, Gong & Yu. Large-scale long-tailed recognition in an open world. CVPR 2019",
    ),
    MetricComponent(
        name="geometric_mean",
        summary="Geometric mean of the classes' recalls; 0 where a class is never predicted right.",
        options=Options,
        build="balancebench.builtin.metrics.counts:GeometricMean",
        unit="%",
        citation="Sun, Kamel & Wang. Boosting for learning multiple classes with imbalanced class distribution. "
        "ICDM 2006",
    ),
    MetricComponent(
        name="roc_auc",
        summary="Area under the ROC curve of each class against all others, averaged or one value a class.",
        options=RankingOptions,
        build="balancebench.builtin.metrics.probabilities:RocAuc",
        unit="%",
    ),
    MetricComponent(
        name="average_precision",
        summary="Average precision of each class against all others, averaged or one value a class.",
        options=RankingOptions,
        build="balancebench.builtin.metrics.probabilities:AveragePrecision",
        unit="%",
    ),
    MetricComponent(
        name="expected_calibration_error",
        summary="Mean gap between confidence and accuracy over bins of confidence.",
        options=CalibrationOptions,
        build="balancebench.builtin.metrics.probabilities:ExpectedCalibrationError",
        higher_is_better=False,
        unit="%",
        citation="Guo, Pleiss, Sun & Weinberger. On calibration of modern neural networks. ICML 2017",
    ),
    MetricComponent(
        name="loss",
        summary="Mean cross-entropy over the test images.",
        options=LossOptions,
        build="balancebench.builtin.metrics.probabilities:Loss",
        higher_is_better=False,
    ),
    MetricComponent(
        name="confusion_matrix",
        summary="Test images by true class (rows) and predicted class (columns).",
        options=ConfusionMatrixOptions,
        build="balancebench.builtin.metrics.counts:ConfusionMatrix",
        higher_is_better=None,
    ),
    MetricComponent(
        name="duration_seconds",
        summary="Seconds of synthesis and training.",
        options=Options,
        build="balancebench.builtin.metrics.cost:DurationSeconds",
        higher_is_better=False,
        unit="s",
    ),
    MetricComponent(
        name="images_seen",
        summary="Training images seen, each as often as it was seen.",
        options=Options,
        build="balancebench.builtin.metrics.cost:ImagesSeen",
        higher_is_better=False,
        unit="images",
    ),
    MetricComponent(
        name="optimiser_steps",
        summary="Optimiser steps taken.",
        options=Options,
        build="balancebench.builtin.metrics.cost:OptimiserSteps",
        higher_is_better=False,
        unit="steps",
    ),
    MetricComponent(
        name="peak_memory",
        summary="Peak memory of synthesis and training.",
        options=Options,
        build="balancebench.builtin.metrics.cost:PeakMemory",
        higher_is_better=False,
        unit="MiB",
    ),
    MetricComponent(
        name="class_counts",
        summary="Training images of each class, before balancing.",
        options=Options,
        build="balancebench.builtin.metrics.subset_counts:ClassCounts",
        of="subset",
        higher_is_better=None,
        unit="images",
    ),
    MetricComponent(
        name="imbalance_ratio",
        summary="Training images of the largest class over those of the smallest, before balancing.",
        options=Options,
        build="balancebench.builtin.metrics.subset_counts:ImbalanceRatio",
        of="subset",
        higher_is_better=None,
        citation="Cui, Jia, Lin, Song & Belongie. Class-balanced loss based on effective number of samples. CVPR 2019",
    ),
    MetricComponent(
        name="gini_coefficient",
        summary="Gini coefficient of the classes' training images, before balancing: 0 where all have the same.",
        options=Options,
        build="balancebench.builtin.metrics.subset_counts:GiniCoefficient",
        of="subset",
        higher_is_better=None,
        citation="Yang, Jiang, Song & Guo. A survey on long-tailed visual recognition. IJCV 2022",
    ),
    MetricComponent(
        name="near_duplicates",
        summary="Share of test images that have a near-duplicate among the training images, mirrored ones included.",
        options=NearDuplicatesOptions,
        build="balancebench.builtin.metrics.near_duplicates:NearDuplicates",
        of="subset",
        higher_is_better=None,
        unit="%",
        citation="Barz & Denzler. Do we train on test data? Purging CIFAR of near-duplicates. Journal of Imaging 2020",
    ),
)
