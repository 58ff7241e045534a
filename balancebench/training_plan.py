"""What a balancer asks of a classifier: a sequence of phases over images, with losses, weights and a head.

One phase over a fuller set is oversampling or a GAN; a second phase with other weights is deferred
re-weighting; a phase that trains a reset head with class-balanced sampling is cRT; synthetic images first and
real ones second is pre-training and fine-tuning; `adjust_logits` is post-hoc logit adjustment. A plan with one
phase and nothing else is the imbalanced baseline.

This module imports no torch; the types of tensors are for readers and checkers.
Axis suffixes: N images of a batch, C channels, H rows, W columns, K classes, D features.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from balancebench.data import LabelledImages
from balancebench.errors import BalancerError

if TYPE_CHECKING:
    import torch

__all__ = [
    "Batch",
    "BatchSource",
    "BatchTransform",
    "FeatureLoss",
    "Loss",
    "LossContext",
    "Phase",
    "Restart",
    "TrainingPlan",
]

Loss = Callable[["torch.Tensor", "torch.Tensor"], "torch.Tensor"]
"""loss(logits_NK float32, labels_N int64) -> losses_N float32; the step minimises their mean.

A loss for each image, not a scalar, lets mixing methods weight the losses of their two labels per image. A
weighted mean that divides by the batch's weights multiplies by N / weights.sum() itself.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class LossContext:
    """What a `FeatureLoss` may read.

    features_ND: float32, what the last layer reads, with its gradient; detach what no gradient is to pass through.
    generator: the training run's, on the device of the features; draw from no other.
    """

    features_ND: torch.Tensor
    generator: torch.Generator


FeatureLoss = Callable[["torch.Tensor", "torch.Tensor", LossContext], "torch.Tensor"]
"""loss(logits_NK float32, labels_N int64, context) -> losses_N float32: influence-balanced loss, and whatever else
reads features or draws random numbers."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """One training batch on the device, after augmentation and normalisation.

    images_NCHW: float, normalised. labels_N: int64.
    second_labels_N, first_weight_N: for mixed images the other label and the share (0..1) of the first one's
    loss: first_weight * loss(logits, labels) + (1 - first_weight) * loss(logits, second_labels). None: unmixed.
    """

    images_NCHW: torch.Tensor
    labels_N: torch.Tensor
    second_labels_N: torch.Tensor | None = None
    first_weight_N: torch.Tensor | None = None


class BatchSource(Protocol):
    """What a batch transform may draw from: the step's generator, and further batches of the phase's images."""

    @property
    def generator(self) -> torch.Generator:
        """The training run's generator on the images' device; draw from no other."""
        ...

    def draw(self, size: int, sampling_weight_N: NDArray[np.float64] | None = None) -> Batch:
        """Draw `size` images with replacement, weighted by `sampling_weight_N` (one weight an image of the phase)."""
        ...


BatchTransform = Callable[[Batch, BatchSource], Batch]
"""transform(batch, source) -> batch: mixup, CutMix, Remix. Called once a step, after augmentation."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Restart:
    """A phase that starts afresh: a new optimiser, and a schedule of its own over the phase.

    learning_rate: None keeps the classifier's. schedule: None keeps the classifier's kind of schedule.
    """

    learning_rate: float | None = None
    schedule: Literal["constant", "cosine", "multi_step"] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Phase:
    """A stretch of training over one set of images.

    share: of the classifier's budget (epochs or steps), > 0. Shares may sum to more than 1 where a method spends
    more (cRT's second stage); the record counts what was spent.
    loss: None is the mean cross-entropy. feature_loss: one that reads features too, instead of `loss`.
    sampling_weight_N: float64 >= 0, one for each image; batches are drawn with replacement in proportion. None
    visits every image once an epoch, shuffled.
    trainable: "head" freezes the parameters of everything but the last linear layer.
    batch_norm: "train": batches are normalised by their own statistics, and the running ones that predictions use move;
    "frozen": by the running ones, which stay. None: "train" where all is trainable, "frozen" for the head alone. A
    backbone frozen with its batch normalisation is in evaluation mode altogether: it drops nothing.
    reset_head: initialise the head afresh before the phase.
    restart: None continues optimiser and schedule across the phase's beginning.

    >>> from balancebench import LabelledImages
    >>> grey_NCHW = np.zeros((3, 1, 8, 8), dtype=np.uint8)
    >>> images = LabelledImages(images_NCHW=grey_NCHW, labels_N=np.array([0, 0, 1]), class_names=("cat", "dog"))
    >>> balanced = Phase(images=images, sampling_weight_N=1 / images.counts_K[images.labels_N])
    >>> balanced.sampling_weight_N
    array([0.5, 0.5, 1. ])
    """

    images: LabelledImages
    share: float = 1.0
    loss: Loss | None = None
    feature_loss: FeatureLoss | None = None
    sampling_weight_N: NDArray[np.float64] | None = None
    batch_transform: BatchTransform | None = None
    trainable: Literal["all", "head"] = "all"
    batch_norm: Literal["train", "frozen"] | None = None
    reset_head: bool = False
    restart: Restart | None = None

    @property
    def begins_stage(self) -> bool:
        """Whether training begins anew with this phase: a best epoch is searched from here on, not before."""
        return self.reset_head or self.restart is not None

    def __post_init__(self) -> None:
        if not self.share > 0:
            raise BalancerError(f"a phase's share of the budget must be above 0, got {self.share}")
        if len(self.images) == 0:
            raise BalancerError("a phase needs at least one image")
        if self.loss is not None and self.feature_loss is not None:
            raise BalancerError("a phase has either a loss or a feature_loss, not both")
        weight_N = self.sampling_weight_N
        if weight_N is not None:
            if weight_N.shape != (len(self.images),):
                raise BalancerError(f"{len(self.images)} images but sampling weights of shape {weight_N.shape}")
            if not (np.isfinite(weight_N).all() and (weight_N >= 0).all() and weight_N.sum() > 0):
                raise BalancerError("sampling weights must be finite, not negative, and not all zero")

    @property
    def trains_batch_norm(self) -> bool:
        """Whether batch normalisation goes by its batches, and its running statistics move."""
        return self.trainable == "all" if self.batch_norm is None else self.batch_norm == "train"


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingPlan:
    """How to train a classifier on a (re-)balanced training set.

    phases: at least one; all over the same classes.
    head: "linear", or "cosine" for a head of normalised features and weights (LDAM).
    adjust_head: weight_KD -> weight_KD after training (tau-normalisation), or None. A head with a bias loses it.
    adjust_logits: logits_NK -> logits_NK applied to every prediction (post-hoc logit adjustment), or None.
    normalise_on: the images whose mean and deviation all pixels are normalised by, where the classifier normalises by
    its training set. None: those of the phases, which must then all be the same.

    >>> from balancebench import LabelledImages
    >>> grey_NCHW = np.zeros((3, 1, 8, 8), dtype=np.uint8)
    >>> images = LabelledImages(images_NCHW=grey_NCHW, labels_N=np.array([0, 0, 1]), class_names=("cat", "dog"))
    >>> second = Phase(images=images, share=0.1, trainable="head", reset_head=True, restart=Restart(learning_rate=0.05))
    >>> [phase.trainable for phase in TrainingPlan(phases=(Phase(images=images), second)).phases]
    ['all', 'head']
    """

    phases: tuple[Phase, ...]
    head: Literal["linear", "cosine"] = "linear"
    adjust_head: Callable[[torch.Tensor], torch.Tensor] | None = None
    adjust_logits: Callable[[torch.Tensor], torch.Tensor] | None = None
    normalise_on: LabelledImages | None = None

    def __post_init__(self) -> None:
        if not self.phases:
            raise BalancerError("a training plan needs at least one phase")
        first = self.phases[0].images
        for phase in self.phases[1:]:
            if phase.images.class_names != first.class_names:
                raise BalancerError("all phases of a training plan must have the same classes")
            if phase.images is not first and self.normalise_on is None:
                raise BalancerError(
                    "the phases train on different images: say by which of them pixels are normalised, with "
                    "normalise_on=train"
                )

    @property
    def class_names(self) -> tuple[str, ...]:
        """The K class names of the plan's images."""
        return self.phases[0].images.class_names

    @property
    def normalising_images(self) -> LabelledImages:
        """The images that pixels are normalised by."""
        return self.phases[0].images if self.normalise_on is None else self.normalise_on
