"""The options of the metrics of synthetic images, and what they say of the extractor. Light."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, StringConstraints

from balancebench import Options
from balancebench.synthesis.inception import inception_weights

__all__ = [
    "AuthenticityOptions",
    "CopyOptions",
    "DataCopyingOptions",
    "DistanceOptions",
    "FrechetOptions",
    "KynkaanniemiOptions",
    "LikelihoodOptions",
    "NaeemOptions",
    "OverlapOptions",
    "PairOptions",
    "QualityOptions",
    "needs_classifier",
    "ready",
]

Extractor = Annotated[str, StringConstraints(pattern=r"^(classifier|inception|pixels|timm:.+)$")]
Neighbour = Annotated[int, Field(ge=1, le=1000, description="the neighbour that the ball around each image reaches to")]


class QualityOptions(Options):
    """What all metrics of synthetic images have in common."""

    extractor: Extractor = Field(
        default="classifier",
        description="what images are compared by: classifier: the suite's own, trained without imbalance; inception: "
        "Inception-v3 as in FID; timm:NAME: a pre-trained model of timm; pixels",
    )
    images: int = Field(
        default=10_000, ge=2, description="at most so many images, drawn evenly from the classes; per_class: of each"
    )
    per_class: bool = Field(default=False, description="one value a class instead of one for all together")
    drawn_per_class: int | None = Field(
        default=None,
        ge=2,
        description="measure so many images of each class that was filled, drawn anew from the balancer's generator, "
        "instead of those the classifier was trained on",
    )


class PairOptions(QualityOptions):
    """Options of metrics that compare synthetic images with as many real ones of the same classes."""

    reference: Literal["full_train", "kept", "test"] = Field(
        default="full_train",
        description="the real images: full_train: all training images, the withheld ones too; kept: those that the "
        "imbalancer left; test",
    )


class FrechetOptions(PairOptions):
    """Options of fid."""

    correction: Literal["none", "extrapolated"] = Field(
        default="none", description="extrapolated: FID-infinity, free of the bias of few synthetic images"
    )


class OverlapOptions(PairOptions):
    """Options of metrics of how two sets overlap."""

    k: Neighbour


class KynkaanniemiOptions(OverlapOptions):
    """Options of generative_precision and generative_recall."""

    k: Neighbour = 3


class NaeemOptions(OverlapOptions):
    """Options of density and coverage."""

    k: Neighbour = 5


class CopyOptions(QualityOptions):
    """Options of memorisation."""


class AuthenticityOptions(CopyOptions):
    """Options of authpct."""

    of: Literal["synthetic", "test"] = Field(
        default="synthetic",
        description="whose share: test is what images that were never copied reach, to be read beside the other",
    )


class DataCopyingOptions(CopyOptions):
    """Options of data_copying."""

    images_per_cell: int = Field(
        default=50, ge=2, description="training images for each cell that the space is first cut into, on average"
    )
    dimensions: int = Field(
        default=64, ge=1, description="features are cut to so many principal components of the training images first"
    )
    least_share: float = Field(
        default=0.0, ge=0, lt=1, description="cells count that hold more than this share of the synthetic images"
    )


class LikelihoodOptions(CopyOptions):
    """Options of fld."""

    images: int = Field(
        default=2000,
        ge=2,
        description="at most so many images of each side, drawn evenly from the classes; per_class: of each. Time and "
        "memory grow with its square",
    )


class DistanceOptions(CopyOptions):
    """Options of nearest_neighbour_distance."""

    to: Literal["train", "test"] = Field(
        default="train", description="train: the training images that the generator could see; test: the test images"
    )


def needs_classifier(options: QualityOptions) -> bool:
    """Say whether images are compared by the suite's own classifier."""
    return options.extractor == "classifier"


def ready(options: QualityOptions) -> None:
    """Raise DataError where Inception's weights are asked for and not there."""
    if options.extractor == "inception":
        inception_weights()
