"""Influence-balanced loss (Park, Lim, Jeon and Choi, ICCV 2021), a fine-tuning after ordinary training.

An image's influence on the decision boundary is approximated by the gradient of the cross-entropy with respect to the
head's weights: its L1 norm is the product of ||p - y||_1 and ||h||_1 (section 3.3), with p the softmax of the logits, y
the one-hot label and h the features that the head reads. The fine-tuning divides each image's loss by its influence,

    losses_N = w_y * alpha * CE(z, y) / (||p - y||_1 * ||h||_1 + epsilon),     w_c proportional to 1 / n_c

so that images that bend the boundary most, those of large classes that are fitted already, count least. Gradients pass
through the influence too, as the formula reads and the authors' program does. As there, the weights w sum to K (the
text: to 1), epsilon is 0.001, and the learning rate of the fine-tuning starts from a hundredth of the training's 0.1.

Axis suffixes: N images of a batch, D features, K classes.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from balancebench import Balancer, FeatureLoss, LabelledImages, LossContext, Phase, PlanContext, Restart, TrainingPlan
from balancebench.training.optimiser_step import cross_entropy
from balancebench_longtail.class_statistics import DeviceVector, class_counts_of, power_weights
from balancebench_longtail.options import InfluenceBalancedOptions

__all__ = ["InfluenceBalanced", "influence_balanced_loss"]

EPSILON = 1e-3


class InfluenceBalanced(Balancer[InfluenceBalancedOptions]):
    """Trains with cross-entropy, and with influence-balanced loss after the share `defer_at` of the budget."""

    def plan(self, train: LabelledImages, synthetic: LabelledImages | None, context: PlanContext) -> TrainingPlan:
        """Raises BalancerError where a class has no images."""
        defer_at, learning_rate = self.options.defer_at, self.options.learning_rate
        weights = DeviceVector(power_weights(class_counts_of(train), 1.0))
        fine_tuning = Phase(
            images=train,
            share=1 - defer_at,
            feature_loss=influence_balanced_loss(weights, self.options.alpha),
            restart=None if learning_rate == "keep" else Restart(learning_rate=learning_rate),
        )
        return TrainingPlan(phases=(Phase(images=train, share=defer_at), fine_tuning))


def influence_balanced_loss(weights: DeviceVector, alpha: float) -> FeatureLoss:
    """Return the loss; weights: w_K, of mean 1."""

    def loss(logits_NK: Tensor, labels_N: Tensor, context: LossContext) -> Tensor:
        one_hot_NK = F.one_hot(labels_N, logits_NK.shape[1])
        influence_N = (torch.softmax(logits_NK, dim=1) - one_hot_NK).abs().sum(1) * context.features_ND.abs().sum(1)
        weight_N = weights.on(logits_NK.device).index_select(0, labels_N)
        return weight_N * alpha * cross_entropy(logits_NK, labels_N) / (influence_N + EPSILON)

    return loss
