"""Re-weighting: losses multiplied by a weight for each class.

    weighted cross-entropy   w_c proportional to 1 / n_c or 1 / sqrt(n_c)
    class-balanced loss      w_c proportional to (1 - beta) / (1 - beta ** n_c)           Cui et al. 2019, section 4

Weights sum to K. A batch's weighted losses are divided by the sum of its weights (PyTorch's weighted mean, the code of
LDAM-DRW) or by its number of images (Cui's own code).

Axis suffixes: N images, K classes.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from balancebench import Balancer, LabelledImages, Loss, Phase, PlanContext, TrainingPlan
from balancebench.training.optimiser_step import cross_entropy
from balancebench_longtail.class_statistics import (
    DeviceVector,
    class_counts_of,
    effective_number_weights,
    power_weights,
)
from balancebench_longtail.focal import sigmoid_focal_loss
from balancebench_longtail.options import ClassBalancedLossOptions, NormaliseBy, WeightedCrossEntropyOptions

__all__ = ["ClassBalancedLoss", "WeightedCrossEntropy", "weighted"]


def weighted(loss: Loss, weight_K: NDArray[np.float64], normalise_by: NormaliseBy) -> Loss:
    """Return loss * w[label], scaled so that its mean over a batch is sum(w * loss) / sum(w), or / N."""
    weights = DeviceVector(weight_K)

    def weighted_loss(logits_NK: Tensor, labels_N: Tensor) -> Tensor:
        weight_N = weights.on(logits_NK.device).index_select(0, labels_N)
        losses_N = weight_N * loss(logits_NK, labels_N)
        return losses_N if normalise_by == "images" else losses_N * (len(labels_N) / weight_N.sum())

    return weighted_loss


def sigmoid_loss(gamma: float) -> Loss:
    """Return the sum over classes of binary focal losses; gamma 0 is binary cross-entropy (Cui et al., section 4).

    The paper starts the head's bias at -log(K - 1), so that each class begins with probability 1 / K, and exempts the
    bias from weight decay. Here the loss adds that constant to the logits instead. It is the same for all classes, so
    predictions do not need it.
    """

    def loss(logits_NK: Tensor, labels_N: Tensor) -> Tensor:
        return sigmoid_focal_loss(logits_NK - math.log(logits_NK.shape[1] - 1), labels_N, gamma)

    return loss


class WeightedCrossEntropy(Balancer[WeightedCrossEntropyOptions]):
    """Cross-entropy weighted by inverse frequency, or by its square root."""

    def plan(self, train: LabelledImages, synthetic: LabelledImages | None, context: PlanContext) -> TrainingPlan:
        """Train with the weighted loss throughout."""
        exponent = 1.0 if self.options.weighting == "inverse_frequency" else 0.5
        weight_K = power_weights(class_counts_of(train), exponent)
        loss = weighted(cross_entropy, weight_K, self.options.normalise_by)
        return TrainingPlan(phases=(Phase(images=train, loss=loss),))


class ClassBalancedLoss(Balancer[ClassBalancedLossOptions]):
    """Cross-entropy, sigmoid or focal loss weighted by the inverse effective number of images."""

    def plan(self, train: LabelledImages, synthetic: LabelledImages | None, context: PlanContext) -> TrainingPlan:
        """Train with the weighted loss throughout."""
        weight_K = effective_number_weights(class_counts_of(train), self.options.beta)
        match self.options.form:
            case "softmax":
                unweighted = cross_entropy
            case "sigmoid":
                unweighted = sigmoid_loss(0.0)
            case "focal":
                unweighted = sigmoid_loss(self.options.gamma)
        loss = weighted(unweighted, weight_K, self.options.normalise_by)
        return TrainingPlan(phases=(Phase(images=train, loss=loss),))
