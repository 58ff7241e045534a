"""LDAM: larger margins for smaller classes (Cao et al. 2019).

    m_c         = max_margin * n_c ** (-1/4) / max_k n_k ** (-1/4)
    ldam(z, y)  = cross-entropy of scale * (z - m_y on the label's logit),   z cosines           eq. 13

z comes from a head of normalised features and weights. The scale belongs to the loss there, so trained logits are
multiplied by it before they are read: the softmax of the result is the network's posterior without margins.

Axis suffixes: N images, K classes.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from balancebench import Loss
from balancebench.training.optimiser_step import cross_entropy
from balancebench_longtail.class_statistics import DeviceVector

__all__ = ["ldam_loss", "margins"]


def margins(counts_K: NDArray[np.float64], max_margin: float) -> NDArray[np.float64]:
    """Return the margin of each class; that of the smallest is `max_margin`."""
    return max_margin * (counts_K / counts_K.min()) ** -0.25


def ldam_loss(margin_K: NDArray[np.float64], scale: float) -> Loss:
    """Return the loss for cosines in -1..1; scale > 0."""
    margin = DeviceVector(margin_K)

    def loss(logits_NK: Tensor, labels_N: Tensor) -> Tensor:
        classes_K = torch.arange(logits_NK.shape[1], device=logits_NK.device)
        margin_N = margin.on(logits_NK.device).index_select(0, labels_N)
        reduced_NK = torch.where(labels_N[:, None] == classes_K, logits_NK - margin_N[:, None], logits_NK)
        return cross_entropy(scale * reduced_NK, labels_N)

    return loss
