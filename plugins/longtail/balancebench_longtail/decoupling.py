"""Decoupling: the network is trained on images as they are, and only its head is balanced (Kang et al. 2020).

    cRT        a second stage trains a new head on class-balanced batches; the rest is frozen (section 4.1). Its batch
               normalisation is not: the authors' code leaves all networks in training mode, so that it goes by the
               balanced batches, and so do its running statistics in the end
    tau-norm   w_c / ||w_c|| ** tau for the weights w_c of each class; the bias is left out (section 4.3)

Axis suffixes: K classes, D features.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from balancebench import Balancer, BalancerError, LabelledImages, Phase, PlanContext, Restart, TrainingPlan
from balancebench_longtail.class_statistics import class_counts_of, image_sampling_weights
from balancebench_longtail.options import CrtOptions, TauNormOptions
from balancebench_longtail.wrapped_plans import base_plan

__all__ = ["ClassifierRetraining", "TauNormalisation", "tau_normalised"]


def tau_normalised(tau: float) -> Callable[[Tensor], Tensor]:
    """Return weight_KD -> weight_KD with row c divided by its length to the power tau."""

    def adjust(weight_KD: Tensor) -> Tensor:
        length_K1 = torch.linalg.vector_norm(weight_KD, dim=1, keepdim=True)
        return weight_KD / length_K1.clamp_min(torch.finfo(weight_KD.dtype).tiny) ** tau

    return adjust


def linear_base_plan(name: str, train: LabelledImages, context: PlanContext) -> TrainingPlan:
    """Return the base's plan; raises BalancerError where its head is not linear or is adjusted after training."""
    plan = base_plan(train, context)
    if plan.head != "linear":
        raise BalancerError(f"{name} needs a base with a linear head, and this one's is {plan.head} (as LDAM's is)")
    if plan.adjust_head is not None or plan.adjust_logits is not None:
        raise BalancerError(f"{name} balances the head, and its base balances it after training already")
    return plan


class ClassifierRetraining(Balancer[CrtOptions]):
    """Trains as the base does, then a new head on class-balanced batches with a cosine schedule of its own."""

    def plan(self, train: LabelledImages, synthetic: LabelledImages | None, context: PlanContext) -> TrainingPlan:
        """Add the second stage to the base's phases; it is spent on top of the classifier's budget."""
        plan = linear_base_plan("crt", train, context)
        balanced_N = image_sampling_weights(train.labels_N, np.ones_like(class_counts_of(train)))
        second_stage = Phase(
            images=train,
            share=self.options.head_share,
            sampling_weight_N=balanced_N,
            trainable="head",
            batch_norm=self.options.batch_norm,
            reset_head=True,
            restart=Restart(learning_rate=self.options.learning_rate, schedule="cosine"),
        )
        return replace(plan, phases=(*plan.phases, second_stage), normalise_on=plan.normalising_images)


class TauNormalisation(Balancer[TauNormOptions]):
    """Trains as the base does, and predicts with normalised weights."""

    def plan(self, train: LabelledImages, synthetic: LabelledImages | None, context: PlanContext) -> TrainingPlan:
        """Leave the base's phases as they are and adjust the head after them."""
        return replace(linear_base_plan("tau_norm", train, context), adjust_head=tau_normalised(self.options.tau))
