"""Declares the built-in metrics: their options, and where each is implemented."""

from __future__ import annotations

from functools import partial
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from balancebench.component import Metric, MetricComponent
from balancebench.config import Options

__all__ = [
    "METRICS",
    "AveragedOptions",
    "CalibrationOptions",
    "ClassAccuracyOptions",
    "ConfusionMatrixOptions",
    "LossOptions",
    "RankingOptions",
    "ShotAccuracyOptions",
]


class AveragedOptions(Options):
    """Options of precision, recall and F1."""

    average: Literal["macro", "weighted", "micro", "none"] = Field(
        default="macro",
        description="macro: all classes count the same; weighted: by their test images; micro: over all images; "
        "none: one value a class",
    )


class RankingOptions(Options):
    """Options of metrics that rank the images by their probability of each class."""

    average: Literal["macro", "weighted", "none"] = Field(
        default="macro",
        description="macro: all classes count the same; weighted: by their test images; none: one value a class",
    )


class ClassAccuracyOptions(Options):
    """Options of class_accuracy."""

    class_name: str | Annotated[int, Field(ge=0, strict=True)] | None = Field(
        default=None, description="the one class to report, by name or by id from 0; left out: every class"
    )


class ShotAccuracyOptions(Options):
    """Options of shot_accuracy."""

    group: Literal["many", "medium", "few"] = Field(
        default="few", description="which classes, by their training images before balancing"
    )
    many_above: int = Field(
        default=100, ge=0, description="a class with more training images than this is a many-shot class"
    )
    few_below: int = Field(
        default=20, ge=0, description="a class with fewer training images than this is a few-shot class"
    )

    @model_validator(mode="after")
    def _groups_do_not_overlap(self) -> Self:
        if self.few_below > self.many_above + 1:
            raise ValueError(
                f"few_below {self.few_below} and many_above {self.many_above} put a class into two groups; "
                f"few_below must be at most {self.many_above + 1}"
            )
        return self


class CalibrationOptions(Options):
    """Options of expected_calibration_error."""

    bins: int = Field(default=15, ge=1, le=10_000, description="the number of equally wide bins of confidence")


class LossOptions(Options):
    """Options of loss."""

    of: Literal["logits", "probabilities"] = Field(
        default="logits",
        description="logits: the cross-entropy; probabilities: what papers report whose network ends in a softmax and "
        "whose cross-entropy takes a second one of its probabilities, never below 1.461 for ten classes",
    )


class ConfusionMatrixOptions(Options):
    """Options of confusion_matrix."""

    normalise: Literal["none", "true"] = Field(
        default="none", description="none: counts of images; true: shares of each true class"
    )


def _build_accuracy(_options: Options) -> Metric:
    from balancebench.builtin.metrics.counts import accuracy

    return accuracy


def _build_balanced_accuracy(_options: Options) -> Metric:
    from balancebench.builtin.metrics.counts import balanced_accuracy

    return balanced_accuracy


def _build_f1(options: AveragedOptions) -> Metric:
    from balancebench.builtin.metrics.counts import f1

    return partial(f1, average=options.average)


def _build_precision(options: AveragedOptions) -> Metric:
    from balancebench.builtin.metrics.counts import precision

    return partial(precision, average=options.average)


def _build_recall(options: AveragedOptions) -> Metric:
    from balancebench.builtin.metrics.counts import recall

    return partial(recall, average=options.average)


def _build_class_accuracy(options: ClassAccuracyOptions) -> Metric:
    from balancebench.builtin.metrics.counts import class_accuracy

    return partial(class_accuracy, class_name=options.class_name)


def _build_shot_accuracy(options: ShotAccuracyOptions) -> Metric:
    from balancebench.builtin.metrics.counts import shot_accuracy

    return partial(shot_accuracy, group=options.group, many_above=options.many_above, few_below=options.few_below)


def _build_geometric_mean(_options: Options) -> Metric:
    from balancebench.builtin.metrics.counts import geometric_mean

    return geometric_mean


def _build_confusion_matrix(options: ConfusionMatrixOptions) -> Metric:
    from balancebench.builtin.metrics.counts import confusion_matrix

    return partial(confusion_matrix, normalise=options.normalise)


def _build_roc_auc(options: RankingOptions) -> Metric:
    from balancebench.builtin.metrics.probabilities import roc_auc

    return partial(roc_auc, average=options.average)


def _build_average_precision(options: RankingOptions) -> Metric:
    from balancebench.builtin.metrics.probabilities import average_precision

    return partial(average_precision, average=options.average)


def _build_expected_calibration_error(options: CalibrationOptions) -> Metric:
    from balancebench.builtin.metrics.probabilities import expected_calibration_error

    return partial(expected_calibration_error, bins=options.bins)


def _build_loss(options: LossOptions) -> Metric:
    from balancebench.builtin.metrics.probabilities import loss

    return partial(loss, of=options.of)


def _build_duration_seconds(_options: Options) -> Metric:
    from balancebench.builtin.metrics.cost import duration_seconds

    return duration_seconds


def _build_images_seen(_options: Options) -> Metric:
    from balancebench.builtin.metrics.cost import images_seen

    return images_seen


def _build_optimiser_steps(_options: Options) -> Metric:
    from balancebench.builtin.metrics.cost import optimiser_steps

    return optimiser_steps


def _build_peak_memory(_options: Options) -> Metric:
    from balancebench.builtin.metrics.cost import peak_memory

    return peak_memory


METRICS: tuple[MetricComponent[Metric], ...] = (
    MetricComponent(
        name="accuracy",
        summary="Share of test images predicted right.",
        options=Options,
        build=_build_accuracy,
        unit="%",
    ),
    MetricComponent(
        name="balanced_accuracy",
        summary="Mean recall of the classes that have test images.",
        options=Options,
        build=_build_balanced_accuracy,
        unit="%",
        citation="Brodersen, Ong, Stephan & Buhmann. The balanced accuracy and its posterior distribution. ICPR 2010",
    ),
    MetricComponent(
        name="f1",
        summary="Harmonic mean of precision and recall, averaged over classes or one value a class.",
        options=AveragedOptions,
        build=_build_f1,
        unit="%",
    ),
    MetricComponent(
        name="precision",
        summary="Share of the images predicted as a class that are of it, averaged over classes or one value a class.",
        options=AveragedOptions,
        build=_build_precision,
        unit="%",
    ),
    MetricComponent(
        name="recall",
        summary="Share of a class's test images predicted as it, averaged over classes or one value a class.",
        options=AveragedOptions,
        build=_build_recall,
        unit="%",
    ),
    MetricComponent(
        name="class_accuracy",
        summary="Share of test images predicted right within one class, or within each.",
        options=ClassAccuracyOptions,
        build=_build_class_accuracy,
        unit="%",
    ),
    MetricComponent(
        name="shot_accuracy",
        summary="Mean recall of the classes with many, a medium number of, or few training images.",
        options=ShotAccuracyOptions,
        build=_build_shot_accuracy,
        unit="%",
        citation="Liu, Miao, Zhan, Wang, Gong & Yu. Large-scale long-tailed recognition in an open world. CVPR 2019",
    ),
    MetricComponent(
        name="geometric_mean",
        summary="Geometric mean of the classes' recalls; 0 where a class is never predicted right.",
        options=Options,
        build=_build_geometric_mean,
        unit="%",
        citation="Sun, Kamel & Wang. Boosting for learning multiple classes with imbalanced class distribution. "
        "ICDM 2006",
    ),
    MetricComponent(
        name="roc_auc",
        summary="Area under the ROC curve of each class against all others, averaged or one value a class.",
        options=RankingOptions,
        build=_build_roc_auc,
        unit="%",
    ),
    MetricComponent(
        name="average_precision",
        summary="Average precision of each class against all others, averaged or one value a class.",
        options=RankingOptions,
        build=_build_average_precision,
        unit="%",
    ),
    MetricComponent(
        name="expected_calibration_error",
        summary="Mean gap between confidence and accuracy over bins of confidence.",
        options=CalibrationOptions,
        build=_build_expected_calibration_error,
        higher_is_better=False,
        unit="%",
        citation="Guo, Pleiss, Sun & Weinberger. On calibration of modern neural networks. ICML 2017",
    ),
    MetricComponent(
        name="loss",
        summary="Mean cross-entropy over the test images.",
        options=LossOptions,
        build=_build_loss,
        higher_is_better=False,
    ),
    MetricComponent(
        name="confusion_matrix",
        summary="Test images by true class (rows) and predicted class (columns).",
        options=ConfusionMatrixOptions,
        build=_build_confusion_matrix,
        higher_is_better=None,
    ),
    MetricComponent(
        name="duration_seconds",
        summary="Seconds of synthesis and training.",
        options=Options,
        build=_build_duration_seconds,
        higher_is_better=False,
        unit="s",
    ),
    MetricComponent(
        name="images_seen",
        summary="Training images seen, each as often as it was seen.",
        options=Options,
        build=_build_images_seen,
        higher_is_better=False,
        unit="images",
    ),
    MetricComponent(
        name="optimiser_steps",
        summary="Optimiser steps taken.",
        options=Options,
        build=_build_optimiser_steps,
        higher_is_better=False,
        unit="steps",
    ),
    MetricComponent(
        name="peak_memory",
        summary="Peak memory of synthesis and training.",
        options=Options,
        build=_build_peak_memory,
        higher_is_better=False,
        unit="MiB",
    ),
)
