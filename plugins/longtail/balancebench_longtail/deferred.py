"""Deferred re-weighting and re-sampling: plain training first, balanced training for the rest (Cao et al. 2019).

    DRW   the loss as it is, then weighted by the inverse effective number of images    their algorithm 1
    DRS   images as they are, then every class drawn equally often                      the same, otherwise balanced

Optimiser and learning-rate schedule run on across the switch. The loss (cross-entropy, focal, LDAM, balanced softmax)
is the same on both sides of it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from balancebench import LabelledImages, Phase, PlanContext, TrainingPlan
from balancebench_longtail.chosen_loss import choose_loss
from balancebench_longtail.class_statistics import (
    class_counts_of,
    effective_number_weights,
    image_sampling_weights,
)
from balancebench_longtail.options import LossOptions
from balancebench_longtail.planning import PlansOnly
from balancebench_longtail.weighting import weighted

__all__ = ["DeferredResampling", "DeferredReweighting"]


@dataclass(frozen=True, slots=True, kw_only=True)
class DeferredReweighting(PlansOnly):
    """Weights the loss after the share `defer_at` of the budget."""

    loss: LossOptions
    defer_at: float
    beta: float

    def plan(self, train: LabelledImages, synthetic: LabelledImages | None, context: PlanContext) -> TrainingPlan:
        """Train with the loss, then with the weighted loss."""
        chosen = choose_loss(self.loss, train)
        weight_K = effective_number_weights(class_counts_of(train), self.beta)
        return chosen.plan(
            Phase(images=train, share=self.defer_at, loss=chosen.loss),
            Phase(images=train, share=1 - self.defer_at, loss=weighted(chosen.loss, weight_K, "batch_weights")),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class DeferredResampling(PlansOnly):
    """Draws classes equally often after the share `defer_at` of the budget."""

    loss: LossOptions
    defer_at: float

    def plan(self, train: LabelledImages, synthetic: LabelledImages | None, context: PlanContext) -> TrainingPlan:
        """Train on images as they are, then on class-balanced batches."""
        chosen = choose_loss(self.loss, train)
        balanced_N = image_sampling_weights(train.labels_N, np.ones_like(class_counts_of(train)))
        return chosen.plan(
            Phase(images=train, share=self.defer_at, loss=chosen.loss),
            Phase(images=train, share=1 - self.defer_at, loss=chosen.loss, sampling_weight_N=balanced_N),
        )
