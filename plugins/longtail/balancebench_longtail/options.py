"""The options of every balancer of this plugin; what several share is defined once. Imports nothing heavy."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field

from balancebench import BalancerReference, Options

__all__ = [
    "BalancedSoftmaxOptions",
    "ClassBalancedLossOptions",
    "CmoOptions",
    "CrossEntropyOptions",
    "CrtOptions",
    "CutMixOptions",
    "DrsOptions",
    "DrwOptions",
    "FocalOptions",
    "InfluenceBalancedOptions",
    "LdamChoice",
    "LdamDrwOptions",
    "LdamOptions",
    "LogitAdjustmentOptions",
    "LossOptions",
    "MixupOptions",
    "NormaliseBy",
    "PosteriorRecalibrationOptions",
    "ProgressiveSamplingOptions",
    "RemixOptions",
    "SamplingOptions",
    "TauNormOptions",
    "WeightedCrossEntropyOptions",
]

NormaliseBy = Literal["batch_weights", "images"]

Normalisation = Annotated[
    NormaliseBy,
    Field(description="what a batch's weighted losses are divided by: the sum of its weights, or its number of images"),
]
Gamma = Annotated[
    float, Field(ge=0, description="how strongly images that are classified well lose weight; 0 is cross-entropy")
]
EffectiveNumberBeta = Annotated[
    float,
    Field(
        ge=0,
        le=1,
        description="beta of the effective number of images: 0 weights all classes alike, 1 by inverse frequency",
    ),
]
DeferAt = Annotated[
    float,
    Field(gt=0, lt=1, description="share of the budget after which the balancing begins: 0.8 is epoch 160 of 200"),
]
Alpha = Annotated[float, Field(gt=0, description="the share of the first image is drawn from Beta(alpha, alpha)")]
BoxProbability = Annotated[float, Field(ge=0, le=1, description="share of the batches that get a pasted box")]
MixedBase = Annotated[
    BalancerReference | None,
    Field(description="the balancer whose batches are mixed, as { use = ... }; left out: the imbalanced baseline"),
]
TrainedBase = Annotated[
    BalancerReference | None,
    Field(
        description="the balancer that trains the network first, as { use = ... }; left out: the imbalanced baseline"
    ),
]


class CrossEntropyOptions(Options):
    """The options of plain cross-entropy: there are none."""


class FocalOptions(Options):
    """The options of `focal`."""

    gamma: Gamma = 2.0


class LdamOptions(Options):
    """The options of `ldam`."""

    max_margin: float = Field(default=0.5, gt=0, description="margin of the smallest class, in units of the cosine")
    scale: float = Field(default=30.0, gt=0, description="what the cosines are multiplied by before the softmax")


class BalancedSoftmaxOptions(Options):
    """The options of `balanced_softmax`: there are none."""


class CrossEntropyChoice(CrossEntropyOptions):
    """Plain cross-entropy, where an option asks for a loss."""

    use: Literal["cross_entropy"] = Field(default="cross_entropy", description="which loss")


class FocalChoice(FocalOptions):
    """The loss of `focal`, where an option asks for a loss."""

    use: Literal["focal"] = Field(default="focal", description="which loss")


class LdamChoice(LdamOptions):
    """The loss of `ldam`, where an option asks for a loss."""

    use: Literal["ldam"] = Field(default="ldam", description="which loss")


class BalancedSoftmaxChoice(BalancedSoftmaxOptions):
    """The loss of `balanced_softmax`, where an option asks for a loss."""

    use: Literal["balanced_softmax"] = Field(default="balanced_softmax", description="which loss")


LossOptions = CrossEntropyOptions | FocalOptions | LdamOptions | BalancedSoftmaxOptions
LossTable = Annotated[CrossEntropyChoice | FocalChoice | LdamChoice | BalancedSoftmaxChoice, Field(discriminator="use")]
LossName = Literal["cross_entropy", "focal", "ldam", "balanced_softmax"]


def _table_of_name(value: Any) -> Any:
    return {"use": value} if isinstance(value, str) else value


LossChoice = Annotated[
    LossTable,
    BeforeValidator(_table_of_name, json_schema_input_type=LossName | LossTable),
    Field(
        description="cross_entropy, focal, ldam or balanced_softmax; a table gives it options: "
        '{ use = "focal", gamma = 1.0 }'
    ),
]


class WeightedCrossEntropyOptions(Options):
    """The options of `weighted_cross_entropy`."""

    weighting: Literal["inverse_frequency", "inverse_square_root"] = Field(
        default="inverse_frequency", description="weight of a class: one over its images, or over their square root"
    )
    normalise_by: Normalisation = "batch_weights"


class ClassBalancedLossOptions(Options):
    """The options of `class_balanced_loss`."""

    form: Literal["softmax", "sigmoid", "focal"] = Field(
        default="softmax",
        description="the loss that is weighted: cross-entropy, one binary cross-entropy a class, or its focal form",
    )
    beta: EffectiveNumberBeta = 0.9999
    gamma: float = Field(default=1.0, ge=0, description="gamma of the focal form; the other forms have none")
    normalise_by: Normalisation = "batch_weights"


class LogitAdjustmentOptions(Options):
    """The options of `logit_adjustment`."""

    form: Literal["loss", "post_hoc"] = Field(
        default="loss", description="adjust the logits inside the training loss, or after plain training"
    )
    tau: float = Field(default=1.0, ge=0, description="strength of the adjustment; 1 is consistent with balanced error")


class PosteriorRecalibrationOptions(Options):
    """The options of `posterior_recalibration`."""

    rebalancing: float = Field(
        default=1.0,
        ge=0,
        description="lambda: 0 keeps the trained posterior, 1 is the posterior under equal priors, more overshoots it",
    )
    base: TrainedBase = None


class DrwOptions(Options):
    """The options of `drw`."""

    loss: LossChoice = CrossEntropyChoice()
    defer_at: DeferAt = 0.8
    beta: EffectiveNumberBeta = 0.9999


class LdamDrwOptions(LdamOptions):
    """The options of `ldam_drw`."""

    defer_at: DeferAt = 0.8
    beta: EffectiveNumberBeta = 0.9999


class DrsOptions(Options):
    """The options of `drs`."""

    loss: LossChoice = CrossEntropyChoice()
    defer_at: DeferAt = 0.8


class InfluenceBalancedOptions(Options):
    """The options of `influence_balanced`; the defaults are the authors' program's."""

    defer_at: DeferAt = 0.5
    alpha: float = Field(default=1000.0, gt=0, description="what the losses of the fine-tuning are multiplied by")
    learning_rate: Annotated[float, Field(gt=0)] | Literal["keep"] = Field(
        default=0.001,
        description="learning rate that the fine-tuning starts anew from; keep: optimiser and schedule go on",
    )


class CrtOptions(Options):
    """The options of `crt`."""

    head_share: float = Field(
        default=0.1, gt=0, description="budget of the second stage, as a share of the classifier's; spent on top of it"
    )
    learning_rate: float | None = Field(
        default=None, gt=0, description="learning rate the second stage starts from; left out: the classifier's"
    )
    batch_norm: Literal["train", "frozen"] = Field(
        default="train",
        description="batch normalisation of the second stage, train: goes by its batches, and its running statistics "
        "move, as in the authors' code; frozen: stays as the first stage left it",
    )
    base: TrainedBase = None


class TauNormOptions(Options):
    """The options of `tau_norm`."""

    tau: float = Field(
        default=1.0, ge=0, description="0 keeps the trained head, 1 gives every class a weight of length 1"
    )
    base: TrainedBase = None


class SamplingOptions(Options):
    """The options of `class_balanced_sampling` and `square_root_sampling`: there are none."""


class ProgressiveSamplingOptions(Options):
    """The options of `progressive_sampling`."""

    stages: int = Field(
        default=10,
        ge=2,
        le=1000,
        description="steps from the images as they are to balanced classes; each lasts one epoch at least",
    )


class MixupOptions(Options):
    """The options of `mixup`."""

    alpha: Alpha = 1.0
    base: MixedBase = None


class RemixOptions(Options):
    """The options of `remix`."""

    alpha: Alpha = 1.0
    kappa: float = Field(
        default=3.0, ge=1, description="how many times larger a class must be for its label to give way"
    )
    tau: float = Field(default=0.5, ge=0, le=1, description="the larger class gives way where its share is below this")
    label_share: Literal["each_image", "batch_mean"] = Field(
        default="each_image",
        description="each_image: each pair's losses are mixed by its own share, as in the paper; batch_mean: those of "
        "all pairs by the mean of the batch's shares, as in the code of BagofTricks-LT",
    )
    base: MixedBase = None


class CutMixOptions(Options):
    """The options of `cutmix`."""

    alpha: Alpha = 1.0
    probability: BoxProbability = 0.5
    base: MixedBase = None


class CmoOptions(Options):
    """The options of `cmo`."""

    alpha: Alpha = 1.0
    probability: BoxProbability = 0.5
    base: MixedBase = None
