"""CutMix and CMO: a box of each image is replaced by the same box of another one.

    side    = sqrt(1 - share) of the image's sides, centred on a pixel drawn uniformly, cut off at the borders
    share   from Beta(alpha, alpha); then 1 - (area of the box) / (area of the image)
    loss    = share * loss(y of the image) + (1 - share) * loss(y of the box)             Yun et al. 2019, eqs. 1, 2

    CutMix  boxes come from a permutation of the batch
    CMO     boxes come from a second batch in which image i is drawn in proportion to 1 / n_i: rare classes in front of
            the many backgrounds of frequent ones                                         Park et al. 2022, algorithm 1

A batch gets boxes with the given probability, and stays as it is otherwise. The paper of CMO gives class k the weight
1 / n_k; its public code gives it to each image of the class, which makes classes equally likely, and is followed here.

Axis suffixes: N images of a batch, C channels, H rows, W columns.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Generator, Tensor

from balancebench import Balancer, Batch, BatchSource, BatchTransform, LabelledImages, PlanContext, TrainingPlan
from balancebench_longtail.class_statistics import class_counts_of, image_sampling_weights
from balancebench_longtail.mixing import BetaShares, draw_partners
from balancebench_longtail.options import CmoOptions, CutMixOptions
from balancebench_longtail.wrapped_plans import mixed_plan

__all__ = ["Cmo", "CutMix", "cmo_transform", "cutmix_transform", "inside_box", "pasted"]


def inside_box(share_1: Tensor, row_1: Tensor, column_1: Tensor, height: int, width: int) -> Tensor:
    """Return inside_HW, true in the box around (row, column) that leaves about `share` of the image."""
    half_side = 0.5 * torch.sqrt(1 - share_1)

    def inside(centre_1: Tensor, length: int) -> Tensor:
        half = torch.floor(half_side * length)
        pixel = torch.arange(length, device=share_1.device)
        return (pixel >= centre_1 - half) & (pixel < centre_1 + half)

    return inside(row_1, height)[:, None] & inside(column_1, width)


def pasted(batch: Batch, front: Batch, inside_HW: Tensor) -> Batch:
    """Return the images of `batch` with the box of `front`'s images, and the share of pixels that stayed as weight."""
    stayed = 1 - inside_HW.float().mean()
    return replace(
        batch,
        images_NCHW=torch.where(inside_HW, front.images_NCHW, batch.images_NCHW),
        second_labels_N=front.labels_N,
        first_weight_N=stayed.expand(len(batch.labels_N)),
    )


class BoxDrawer:
    """Draws boxes; an empty one where a batch is to stay as it is."""

    def __init__(self, alpha: float, probability: float) -> None:
        self._shares = BetaShares(alpha)
        self._probability = probability

    def draw(self, batch: Batch, source: BatchSource) -> Tensor:
        """Return inside_HW for the batch."""
        height, width = batch.images_NCHW.shape[2:]
        generator = source.generator
        wanted_1 = torch.rand(1, generator=generator, device=generator.device) < self._probability
        share_1 = self._shares.draw(source)
        box_HW = inside_box(share_1, _uniform_index(height, generator), _uniform_index(width, generator), height, width)
        return box_HW & wanted_1


def _uniform_index(length: int, generator: Generator) -> Tensor:
    return torch.randint(length, (1,), generator=generator, device=generator.device)


def cutmix_transform(alpha: float, probability: float) -> BatchTransform:
    """Return the transform of CutMix."""
    boxes = BoxDrawer(alpha, probability)

    def transform(batch: Batch, source: BatchSource) -> Batch:
        partner_N = draw_partners(batch, source)
        front = Batch(images_NCHW=batch.images_NCHW[partner_N], labels_N=batch.labels_N[partner_N])
        return pasted(batch, front, boxes.draw(batch, source))

    return transform


def cmo_transform(front_weight_N: NDArray[np.float64], alpha: float, probability: float) -> BatchTransform:
    """Return the transform of CMO; front_weight_N: how likely each image of the phase is to be in front."""
    boxes = BoxDrawer(alpha, probability)

    def transform(batch: Batch, source: BatchSource) -> Batch:
        front = source.draw(len(batch.labels_N), front_weight_N)
        return pasted(batch, front, boxes.draw(batch, source))

    return transform


class CutMix(Balancer[CutMixOptions]):
    """Pastes boxes within every batch of the base's training."""

    def plan(self, train: LabelledImages, synthetic: LabelledImages | None, context: PlanContext) -> TrainingPlan:
        """Train as the base does, on mixed batches."""
        alpha, probability = self.options.alpha, self.options.probability
        return mixed_plan(train, context, lambda _images: cutmix_transform(alpha, probability))


class Cmo(Balancer[CmoOptions]):
    """Pastes boxes of class-balanced images into every batch of the base's training."""

    def plan(self, train: LabelledImages, synthetic: LabelledImages | None, context: PlanContext) -> TrainingPlan:
        """Train as the base does, on mixed batches; images in front are drawn from each phase's own."""

        def transform_for(images: LabelledImages) -> BatchTransform:
            balanced_N = image_sampling_weights(images.labels_N, np.ones_like(class_counts_of(images)))
            return cmo_transform(balanced_N, self.options.alpha, self.options.probability)

        return mixed_plan(train, context, transform_for)
