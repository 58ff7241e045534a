"""The options of this plugin's balancers and of `fruit_cnn`. Light."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from balancebench import BalancerReference, Options
from balancebench.synthesis.fit_options import SyntheticFitOptions
from balancebench.training.options import (
    BatchSize,
    Epochs,
    Normalisation,
    Optimiser,
    PeakLearningRate,
    Recipe,
    Schedule,
    TrainingOptions,
)

__all__ = ["FruitCnnOptions", "MarginsOptions", "MixOptions", "PretrainSyntheticOptions", "SyntheticOnlyOptions"]

SyntheticBase = Annotated[
    BalancerReference,
    Field(
        description="the balancer that makes the synthetic images, as { use = ... }; it makes as many as its `target` "
        "exceeds the real images of a class"
    ),
]


class MixOptions(Options):
    """The options of `mix`."""

    base: SyntheticBase
    synthetic_share: float = Field(
        default=0.5, ge=0, le=1, description="share of each class's images that is synthetic; the rest is real"
    )
    total: Literal["training_set"] | Annotated[int, Field(ge=1, strict=True)] = Field(
        default="training_set",
        description="images in all: as many of each class as the training set has, or a number, split evenly over the "
        "classes",
    )


class SyntheticOnlyOptions(Options):
    """The options of `synthetic_only`."""

    base: SyntheticBase


class PretrainSyntheticOptions(Options):
    """The options of `pretrain_synthetic`."""

    base: SyntheticBase
    pretrain_share: float = Field(
        default=0.5, gt=0, lt=1, description="share of the classifier's budget that is spent on the synthetic images"
    )
    learning_rate: float | None = Field(
        default=None, gt=0, description="learning rate of the second phase, on real images; left out: the classifier's"
    )


class MarginsOptions(SyntheticFitOptions):
    """The options of `margins`; the defaults are the published margins."""

    base: SyntheticBase
    fit: Literal["stretch", "crop", "letterbox"] = Field(
        default="letterbox", description="how what is left of an image is made to fit; a margin wants letterbox"
    )
    margin_probability: float = Field(
        default=0.5, ge=0, le=1, description="share of the images that get a margin: strips of opposite sides are cut"
    )


class FruitCnnOptions(TrainingOptions):
    """The options of `fruit_cnn`; the defaults are the published recipe.

    `recipe` "cao2019" stands for its batches alone, the last and partial one included: there is no warm-up, and weights
    begin as published in any recipe.
    """

    dropout: float = Field(default=0.5, ge=0, le=0.99, description="share dropped before the last layer")
    epochs: Epochs = 10
    batch_size: BatchSize = 32
    optimiser: Optimiser = "adam"
    learning_rate: PeakLearningRate = 1e-3
    schedule: Schedule = "constant"
    normalisation: Normalisation = "half"
    recipe: Recipe = "cao2019"

    @model_validator(mode="after")
    def _no_warmup(self) -> Self:
        if self.warmup > 0 and self.recipe == "cao2019":
            raise ValueError('a warm-up wants recipe = "standard": the published recipe has none')
        return self
