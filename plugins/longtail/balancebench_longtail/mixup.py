"""Mixup and Remix: batches of interpolated images.

    x      = share * x_i + (1 - share) * x_j,    share from Beta(alpha, alpha), j a permutation of the batch
    mixup  loss = share * loss(y_i) + (1 - share) * loss(y_j)                        Zhang et al. 2018
    remix  loss = s_y * loss(y_i) + (1 - s_y) * loss(y_j)                            Chou et al. 2020, eq. 10
           s_y  = 0      where n_i / n_j >= kappa and share < tau                    (the smaller class takes it all)
                  1      where n_i / n_j <= 1 / kappa and 1 - share < tau
                  share  otherwise

n_i is the number of training images of image i's class. The code of BagofTricks-LT multiplies the mean of s_y over the
batch with the batch's mean losses, as if all pairs had that share: `label_share = "batch_mean"`.

Axis suffixes: N images of a batch, K classes, C channels, H rows, W columns.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from balancebench import Balancer, Batch, BatchSource, BatchTransform, LabelledImages, PlanContext, TrainingPlan
from balancebench_longtail.class_statistics import DeviceVector, class_counts_of
from balancebench_longtail.mixing import BetaShares, draw_partners
from balancebench_longtail.options import MixupOptions, RemixOptions
from balancebench_longtail.wrapped_plans import mixed_plan

__all__ = ["Mixup", "Remix", "interpolated", "mixup_transform", "remix_label_share", "remix_transform"]


def interpolated(batch: Batch, partner_N: Tensor, share_1: Tensor) -> Batch:
    """Return share * images + (1 - share) * partners' images, with both labels and the share as their weight."""
    return replace(
        batch,
        images_NCHW=torch.lerp(batch.images_NCHW[partner_N], batch.images_NCHW, share_1),
        second_labels_N=batch.labels_N[partner_N],
        first_weight_N=share_1.expand(len(partner_N)),
    )


def mixup_transform(alpha: float) -> BatchTransform:
    """Return the transform of mixup."""
    shares = BetaShares(alpha)

    def transform(batch: Batch, source: BatchSource) -> Batch:
        partner_N = draw_partners(batch, source)
        return interpolated(batch, partner_N, shares.draw(source))

    return transform


def remix_label_share(
    first_count_N: Tensor, second_count_N: Tensor, share_1: Tensor, kappa: float, tau: float
) -> Tensor:
    """Return s_y of each pair, float32 (N,); share_1 has the shape (1,)."""
    # Products instead of quotients: 1 / kappa is not exact.
    first_gives_way_N = (first_count_N >= kappa * second_count_N) & (share_1 < tau)
    second_gives_way_N = (kappa * first_count_N <= second_count_N) & (1 - share_1 < tau)
    label_share_N = share_1.expand(len(first_count_N)).masked_fill(second_gives_way_N, 1.0)
    return label_share_N.masked_fill(first_gives_way_N, 0.0)


def remix_transform(counts_K: NDArray[np.float64], options: RemixOptions) -> BatchTransform:
    """Return the transform of Remix."""
    shares, counts = BetaShares(options.alpha), DeviceVector(counts_K)

    def transform(batch: Batch, source: BatchSource) -> Batch:
        partner_N = draw_partners(batch, source)
        share_1 = shares.draw(source)
        count_N = counts.on(batch.labels_N.device).index_select(0, batch.labels_N)
        label_share_N = remix_label_share(count_N, count_N[partner_N], share_1, options.kappa, options.tau)
        if options.label_share == "batch_mean":
            label_share_N = label_share_N.mean().expand(len(partner_N))
        return replace(interpolated(batch, partner_N, share_1), first_weight_N=label_share_N)

    return transform


class Mixup(Balancer[MixupOptions]):
    """Mixes every batch of the base's training."""

    def plan(self, train: LabelledImages, synthetic: LabelledImages | None, context: PlanContext) -> TrainingPlan:
        """Train as the base does, on mixed batches."""
        return mixed_plan(train, context, lambda _images: mixup_transform(self.options.alpha))


class Remix(Balancer[RemixOptions]):
    """Mixes every batch of the base's training, and its labels in favour of the smaller class."""

    def plan(self, train: LabelledImages, synthetic: LabelledImages | None, context: PlanContext) -> TrainingPlan:
        """Train as the base does, on mixed batches; classes are counted over each phase's images."""
        return mixed_plan(train, context, lambda images: remix_transform(class_counts_of(images), self.options))
