"""The options of every classifier trained by the shared loop. Light: a declaring module may import it.

A plugin's classifier inherits `TrainingOptions`, sets the defaults its paper uses, and adds fields of its own; the
types below carry bounds and description with them:

    class PaperNetOptions(TrainingOptions):
        epochs: Epochs = 50
        learning_rate: PeakLearningRate = 0.01
        width: int = Field(default=32, ge=1, description="channels of the first layer")
"""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self, cast

from pydantic import Field, model_validator

from balancebench.config import Options

__all__ = [
    "AdamBetas",
    "Augmentation",
    "BatchSize",
    "ChannelStatistics",
    "Epochs",
    "Factors",
    "Milestones",
    "Momentum",
    "Nesterov",
    "Normalisation",
    "Optimiser",
    "PeakLearningRate",
    "Recipe",
    "Schedule",
    "Steps",
    "TrainingOptions",
    "Warmup",
    "WeightDecay",
]


class ChannelStatistics(Options):
    """Mean and standard deviation of each channel, of pixels scaled to 0..1."""

    mean: tuple[float, ...] = Field(min_length=1, max_length=3, description="mean of each channel, pixels in 0..1")
    std: tuple[float, ...] = Field(
        min_length=1, max_length=3, description="standard deviation of each channel, pixels in 0..1"
    )

    @model_validator(mode="after")
    def _fit_together(self) -> Self:
        if len(self.mean) != len(self.std):
            raise ValueError(f"{len(self.mean)} means but {len(self.std)} standard deviations")
        if min(self.std) <= 0:
            raise ValueError("standard deviations must be above 0")
        return self


Epochs = Annotated[
    int | None, Field(ge=1, le=1_000_000, description="passes over the training images; not where steps are given")
]
Steps = Annotated[int | None, Field(ge=1, le=1_000_000_000, description="optimiser steps, instead of epochs")]
BatchSize = Annotated[int, Field(ge=1, description="images in a training batch")]
Optimiser = Annotated[Literal["sgd", "adam", "adamw"], Field(description="the optimiser")]
PeakLearningRate = Annotated[float, Field(gt=0, description="the learning rate that the schedule starts from")]
Momentum = Annotated[float, Field(ge=0, lt=1, description="momentum of sgd")]
Nesterov = Annotated[bool, Field(description="Nesterov's form of sgd's momentum")]
AdamBetas = Annotated[tuple[float, float], Field(description="decay rates of the moments of adam and adamw")]
WeightDecay = Annotated[float, Field(ge=0, description="weight decay, on all parameters")]
Schedule = Annotated[Literal["constant", "cosine", "multi_step"], Field(description="how the learning rate falls")]
Milestones = Annotated[
    tuple[float, ...], Field(description="multi_step: shares of the budget after which the learning rate changes")
]
Factors = Annotated[
    tuple[float, ...], Field(description="multi_step: what learning_rate is multiplied by after each milestone")
]
Warmup = Annotated[
    float, Field(ge=0, lt=1, description="share of the budget over which the learning rate rises from 0")
]
Augmentation = Annotated[
    Literal["none", "crop", "crop_flip"],
    Field(description="random crops of the image padded by an eighth, with or without random horizontal flips"),
]
Normalisation = Annotated[
    Literal["training_set", "half"] | ChannelStatistics,
    Field(description="pixels to mean 0 and deviation 1 over the training set, to -1..1, or by given mean and std"),
]

Recipe = Annotated[
    Literal["standard", "cao2019"],
    Field(
        description="standard: the warm-up rises with every step, epochs drop a last, partial batch, and heads begin "
        "as torch's linear layers; cao2019, as the code of LDAM-DRW: it rises with every epoch, the partial batch is "
        "kept, and linear heads begin as He et al. 2015 have it"
    ),
]


class TrainingOptions(Options):
    """How a network is trained. The budget is either `epochs` or `steps`; giving `steps` alone clears `epochs`."""

    epochs: Epochs = 20
    steps: Steps = None
    batch_size: BatchSize = 128
    optimiser: Optimiser = "sgd"
    learning_rate: PeakLearningRate = 0.1
    momentum: Momentum = 0.9
    nesterov: Nesterov = False
    betas: AdamBetas = (0.9, 0.999)
    weight_decay: WeightDecay = 0.0
    schedule: Schedule = "cosine"
    milestones: Milestones = (0.8, 0.9)
    factors: Factors = (0.01, 0.0001)
    warmup: Warmup = 0.0
    augmentation: Augmentation = "none"
    normalisation: Normalisation = "training_set"
    recipe: Recipe = "standard"

    @property
    def lowest_learning_rate(self) -> float:
        """What a cosine schedule falls to: 0, unless a subclass of these options says otherwise."""
        return 0.0

    @model_validator(mode="before")
    @classmethod
    def _steps_clear_default_epochs(cls, data: Any) -> Any:
        if isinstance(data, dict):
            given = cast("dict[str, Any]", data)
            if given.get("steps") is not None and "epochs" not in given:
                return {**given, "epochs": None}
        return data

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        rising = list(self.milestones) == sorted(set(self.milestones))
        if (self.epochs is None) == (self.steps is None):
            raise ValueError("give exactly one of epochs and steps")
        if self.nesterov and self.momentum == 0:
            raise ValueError("nesterov needs a momentum above 0")
        if not all(0 <= beta < 1 for beta in self.betas):
            raise ValueError("betas must lie in 0..1, 1 excluded")
        if len(self.milestones) != len(self.factors):
            raise ValueError(f"{len(self.milestones)} milestones but {len(self.factors)} factors")
        if not rising or not all(0 < milestone < 1 for milestone in self.milestones):
            raise ValueError("milestones must rise, each between 0 and 1")
        if not all(factor > 0 for factor in self.factors):
            raise ValueError("factors must be above 0")
        return self
