"""Logits shifted by the logarithm of the class prior, in the loss or after training.

    balanced softmax           cross-entropy of z + log n            Ren et al. 2020, theorem 1
    logit adjustment, loss     cross-entropy of z + tau * log pi     Menon et al. 2021, eq. 10
    logit adjustment, post hoc predict from z - tau * log pi         Menon et al. 2021, eq. 9
    posterior re-calibration   P_f proportional to P_d ** (1 - lambda) * P_r ** lambda         Tian et al. 2020

pi are the shares of the classes in the training set. Balanced softmax is the loss at tau = 1.

Posterior re-calibration: P_d = softmax(z) is the trained posterior, P_r proportional to P_d / pi is the posterior the
same likelihoods have under equal priors, and P_f minimises (1 - lambda) KL(P, P_d) + lambda KL(P, P_r) over P (the
paper's section on prior rebalancing; `rebalancing.py` of its public code). With equal priors P_f is proportional to
P_d / pi ** lambda, so it predicts what post-hoc logit adjustment with tau = lambda predicts. It is on its own here
because the paper puts it upon other methods ("CE-DRW-IC").

Axis suffixes: N images, K classes.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from balancebench import Balancer, LabelledImages, Loss, Phase, PlanContext, TrainingPlan
from balancebench.training.optimiser_step import cross_entropy
from balancebench_longtail.class_statistics import DeviceVector, class_counts_of, log_prior
from balancebench_longtail.options import LogitAdjustmentOptions, PosteriorRecalibrationOptions
from balancebench_longtail.wrapped_plans import base_plan

__all__ = [
    "LogitAdjustment",
    "PosteriorRecalibration",
    "logit_adjusted_loss",
    "post_hoc_adjustment",
    "recalibration",
]

AdjustLogits = Callable[[Tensor], Tensor]


def logit_adjusted_loss(log_prior_K: NDArray[np.float64], tau: float) -> Loss:
    """Return the cross-entropy of z + tau * log pi."""
    shift = DeviceVector(tau * log_prior_K)

    def loss(logits_NK: Tensor, labels_N: Tensor) -> Tensor:
        return cross_entropy(logits_NK + shift.on(logits_NK.device), labels_N)

    return loss


def post_hoc_adjustment(log_prior_K: NDArray[np.float64], tau: float) -> AdjustLogits:
    """Return logits_NK -> logits_NK - tau * log pi."""
    shift = DeviceVector(tau * log_prior_K)

    def adjust(logits_NK: Tensor) -> Tensor:
        return logits_NK - shift.on(logits_NK.device)

    return adjust


def recalibration(log_prior_K: NDArray[np.float64], rebalancing: float) -> AdjustLogits:
    """Return logits_NK -> log P_f up to a constant for each image; `rebalancing` is lambda."""
    prior = DeviceVector(log_prior_K)

    def adjust(logits_NK: Tensor) -> Tensor:
        trained_NK = F.log_softmax(logits_NK, dim=1)
        rebalanced_NK = F.log_softmax(trained_NK - prior.on(logits_NK.device), dim=1)
        return (1 - rebalancing) * trained_NK + rebalancing * rebalanced_NK

    return adjust


def in_turn(first: AdjustLogits, second: AdjustLogits) -> AdjustLogits:
    """Return logits_NK -> second(first(logits_NK))."""

    def adjust(logits_NK: Tensor) -> Tensor:
        return second(first(logits_NK))

    return adjust


class LogitAdjustment(Balancer[LogitAdjustmentOptions]):
    """Training with the cross-entropy of z + tau * log pi, or plain training and predictions from z - tau * log pi."""

    def plan(self, train: LabelledImages, synthetic: LabelledImages | None, context: PlanContext) -> TrainingPlan:
        """Adjust the logits in the loss, or train as the imbalanced baseline does and adjust every prediction."""
        log_prior_K = log_prior(class_counts_of(train))
        match self.options.form:
            case "loss":
                loss = logit_adjusted_loss(log_prior_K, self.options.tau)
                return TrainingPlan(phases=(Phase(images=train, loss=loss),))
            case "post_hoc":
                adjust = post_hoc_adjustment(log_prior_K, self.options.tau)
                return TrainingPlan(phases=(Phase(images=train),), adjust_logits=adjust)


class PosteriorRecalibration(Balancer[PosteriorRecalibrationOptions]):
    """Any balancer's training, and predictions re-calibrated to equal priors."""

    def plan(self, train: LabelledImages, synthetic: LabelledImages | None, context: PlanContext) -> TrainingPlan:
        """Train as the base does, and re-calibrate what it predicts, its own adjustment included."""
        adjust = recalibration(log_prior(class_counts_of(train)), self.options.rebalancing)
        plan = base_plan(train, context)
        first = plan.adjust_logits
        return replace(plan, adjust_logits=adjust if first is None else in_turn(first, adjust))
