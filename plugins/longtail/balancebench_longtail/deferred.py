"""Deferred re-weighting and re-sampling: plain training first, balanced training for the rest (Cao et al. 2019).

    DRW   the loss as it is, then weighted by the inverse effective number of images    their algorithm 1
    DRS   images as they are, then every class drawn equally often                      the same, otherwise balanced

Optimiser and learning-rate schedule run on across the switch. The loss (cross-entropy, focal, LDAM, balanced softmax)
is the same on both sides of it.
"""

from __future__ import annotations

import numpy as np

from balancebench import Balancer, LabelledImages, Phase, PlanContext, TrainingPlan
from balancebench_longtail.chosen_loss import choose_loss
from balancebench_longtail.class_statistics import class_counts_of, effective_number_weights, image_sampling_weights
from balancebench_longtail.options import DrsOptions, DrwOptions, LdamChoice, LdamDrwOptions
from balancebench_longtail.weighting import weighted

__all__ = ["DeferredResampling", "DeferredReweighting", "LdamDeferredReweighting"]


class DeferredReweighting(Balancer[DrwOptions]):
    """Weights the loss after the share `defer_at` of the budget."""

    def plan(self, train: LabelledImages, synthetic: LabelledImages | None, context: PlanContext) -> TrainingPlan:
        """Train with the loss, then with the weighted loss."""
        defer_at = self.options.defer_at
        chosen = choose_loss(self.options.loss, train)
        weight_K = effective_number_weights(class_counts_of(train), self.options.beta)
        return chosen.plan(
            Phase(images=train, share=defer_at, loss=chosen.loss),
            Phase(images=train, share=1 - defer_at, loss=weighted(chosen.loss, weight_K, "batch_weights")),
        )


class LdamDeferredReweighting(DeferredReweighting):
    """Deferred re-weighting with the loss of `ldam`."""

    def __init__(self, options: LdamDrwOptions) -> None:
        ldam = LdamChoice(max_margin=options.max_margin, scale=options.scale)
        super().__init__(DrwOptions(loss=ldam, defer_at=options.defer_at, beta=options.beta))


class DeferredResampling(Balancer[DrsOptions]):
    """Draws classes equally often after the share `defer_at` of the budget."""

    def plan(self, train: LabelledImages, synthetic: LabelledImages | None, context: PlanContext) -> TrainingPlan:
        """Train on images as they are, then on class-balanced batches."""
        defer_at = self.options.defer_at
        chosen = choose_loss(self.options.loss, train)
        balanced_N = image_sampling_weights(train.labels_N, np.ones_like(class_counts_of(train)))
        return chosen.plan(
            Phase(images=train, share=defer_at, loss=chosen.loss),
            Phase(images=train, share=1 - defer_at, loss=chosen.loss, sampling_weight_N=balanced_N),
        )
