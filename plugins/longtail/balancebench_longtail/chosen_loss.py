"""The losses that an option can name, their head, how their logits are read, and training with one throughout."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from torch import Tensor

from balancebench import Balancer, LabelledImages, Loss, Phase, PlanContext, TrainingPlan
from balancebench.training.optimiser_step import cross_entropy
from balancebench_longtail.class_statistics import class_counts_of, log_prior, refuse_single_class
from balancebench_longtail.focal import focal_loss
from balancebench_longtail.ldam import ldam_loss, margins
from balancebench_longtail.logit_adjustment import logit_adjusted_loss
from balancebench_longtail.options import (
    BalancedSoftmaxOptions,
    CrossEntropyOptions,
    FocalOptions,
    LdamOptions,
    LossOptions,
)

__all__ = ["ChosenLoss", "TrainsWithLoss", "choose_loss"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ChosenLoss:
    """A loss for one training set, the head it is for, and what turns that head's output into logits."""

    loss: Loss
    head: Literal["linear", "cosine"] = "linear"
    adjust_logits: Callable[[Tensor], Tensor] | None = None

    def plan(self, *phases: Phase) -> TrainingPlan:
        """Return a plan of these phases with this loss's head."""
        return TrainingPlan(phases=phases, head=self.head, adjust_logits=self.adjust_logits)


def choose_loss(options: LossOptions, train: LabelledImages) -> ChosenLoss:
    """Return the loss that `options` describe, for the class counts of `train`.

    Raises BalancerError where fewer than two classes have images, or the loss needs an image of every class.
    """
    refuse_single_class(train)
    match options:
        case FocalOptions(gamma=gamma):
            return ChosenLoss(loss=focal_loss(gamma))
        case LdamOptions(max_margin=max_margin, scale=scale):
            return ChosenLoss(
                loss=ldam_loss(margins(class_counts_of(train), max_margin), scale),
                head="cosine",
                adjust_logits=lambda cosines_NK: scale * cosines_NK,
            )
        case BalancedSoftmaxOptions():
            return ChosenLoss(loss=logit_adjusted_loss(log_prior(class_counts_of(train)), 1.0))
        case CrossEntropyOptions():
            return ChosenLoss(loss=cross_entropy)


class TrainsWithLoss(Balancer[LossOptions]):
    """`focal`, `ldam` and `balanced_softmax`: trains on the images as they are, with that one loss throughout."""

    def plan(self, train: LabelledImages, synthetic: LabelledImages | None, context: PlanContext) -> TrainingPlan:
        """Train with the loss; raises BalancerError where the training set does not allow it."""
        chosen = choose_loss(self.options, train)
        return chosen.plan(Phase(images=train, loss=chosen.loss))
