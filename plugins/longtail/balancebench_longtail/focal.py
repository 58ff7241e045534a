"""Focal loss: images that are classified well count less (Lin et al. 2017, eq. 4).

    focal(z, y) = (1 - p_y) ** gamma * -log(p_y),     p = softmax(z)

p comes from the loss itself, before any class weight: several public implementations take it from the weighted
cross-entropy, which is no probability. Lin et al. give every class a sigmoid of its own, as `sigmoid_focal_loss`
does; the form with a softmax is the one of the code of LDAM-DRW. At gamma = 0 they are binary and plain cross-entropy.

Axis suffixes: N images, K classes.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from balancebench import Loss
from balancebench.training.optimiser_step import cross_entropy

__all__ = ["focal_loss", "sigmoid_focal_loss"]


def focal_loss(gamma: float) -> Loss:
    """Return the softmax form; gamma >= 0."""

    def loss(logits_NK: Tensor, labels_N: Tensor) -> Tensor:
        cross_entropy_N = cross_entropy(logits_NK, labels_N)
        # 1 - p without cancellation; above 0, where a power below 1 has no gradient.
        missing_N = -torch.expm1(-cross_entropy_N)
        missing_N = missing_N.clamp_min(torch.finfo(missing_N.dtype).tiny)
        return missing_N**gamma * cross_entropy_N

    return loss


def sigmoid_focal_loss(logits_NK: Tensor, labels_N: Tensor, gamma: float) -> Tensor:
    """Return the sum over classes of (1 - p_t) ** gamma * -log(p_t), losses_N.

    p_t is the probability that a class's own sigmoid gives to the truth: sigmoid(z) for the label, 1 - sigmoid(z)
    for the other classes.
    """
    classes_K = torch.arange(logits_NK.shape[1], device=logits_NK.device)
    towards_truth_NK = torch.where(labels_N[:, None] == classes_K, logits_NK, -logits_NK)
    # log(1 - p_t) is logsigmoid of the negated logit, so the power is an exponential that cannot lose p_t near 1.
    modulation_NK = torch.exp(gamma * F.logsigmoid(-towards_truth_NK))
    return -(modulation_NK * F.logsigmoid(towards_truth_NK)).sum(dim=1)
