"""The options of the built-in metrics; imports nothing heavy."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from balancebench.config import Options

__all__ = [
    "AveragedOptions",
    "CalibrationOptions",
    "ClassAccuracyOptions",
    "ConfusionMatrixOptions",
    "LossOptions",
    "NearDuplicatesOptions",
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


class NearDuplicatesOptions(Options):
    """Options of near_duplicates."""

    # Of CIFAR-10's test images, matched with what is nearest among its training images, three in four of those that
    # lie within 2 bits correlate with it to more than 0.9; of those at 4 it is one in two, at 8 one in twelve.
    distance: int = Field(
        default=2, ge=0, le=64, description="how many of the 64 bits of two images' hashes may differ at most"
    )
