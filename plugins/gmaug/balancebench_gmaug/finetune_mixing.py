"""Mixup or CutMix, one of them for each batch (Zhang et al. 2018, Yun et al. 2019; switched as in timm and MAE).

    image = share * image_i + (1 - share) * image_j,       share from Beta(mixup, mixup), or
    image = image_i outside of a box, image_j inside it,   the box of an area 1 - share before it is cut at the border,

j being the batch in reverse, and the loss of both labels weighted by the share of pixels that are i's. Everything is
drawn on the images' device, and no step waits for a number: the choice itself is a mask.

Axis suffixes: N images of a batch, H rows, W columns.
"""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import numpy as np
import torch
from torch import Tensor

from balancebench import Batch, BatchSource, BatchTransform

__all__ = ["box_mask", "mixup_or_cutmix"]

QUANTILES = 2**16


def mixup_or_cutmix(mixup: float, cutmix: float) -> BatchTransform | None:
    """Return the transform with these alphas, an alpha of 0 leaving its method out; None where both are."""
    if not mixup and not cutmix:
        return None
    mixup_share, cutmix_share = _share_of(mixup or 1.0), _share_of(cutmix or 1.0)
    cutmix_probability = 0.5 if mixup and cutmix else float(bool(cutmix))

    def transform(batch: Batch, source: BatchSource) -> Batch:
        device, (height, width) = batch.images_NCHW.device, batch.images_NCHW.shape[-2:]
        draws_5 = torch.rand(5, generator=source.generator, device=device)
        box_HW = box_mask(cutmix_share(draws_5[0]), draws_5[1], draws_5[2], height, width)
        flat_HW = mixup_share(draws_5[3]).expand(height, width)
        own_HW = torch.where(draws_5[4] < cutmix_probability, box_HW, flat_HW)
        return replace(
            batch,
            images_NCHW=torch.lerp(batch.images_NCHW.flip(0), batch.images_NCHW, own_HW),
            second_labels_N=batch.labels_N.flip(0),
            first_weight_N=own_HW.mean().expand(len(batch.labels_N)),
        )

    return transform


def box_mask(share: Tensor, row: Tensor, column: Tensor, height: int, width: int) -> Tensor:
    """Return 0 inside a box and 1 outside, float32 (H, W).

    share: of the pixels outside, before the box is cut at the border. row, column: its centre, in 0..1. Scalars all.
    """
    device = share.device
    half = (1 - share).clamp(min=0).sqrt() / 2
    rows_H = (torch.arange(height, device=device) + 0.5) / height
    columns_W = (torch.arange(width, device=device) + 0.5) / width
    inside_HW = ((rows_H - row).abs() < half)[:, None] & ((columns_W - column).abs() < half)[None]
    return (~inside_HW).to(torch.float32)


class _BetaQuantiles:
    """Uniform number -> one of 65,536 quantiles of Beta(alpha, alpha): torch's own sampler takes no generator."""

    def __init__(self, alpha: float) -> None:
        from scipy.special import betaincinv

        midpoints = (np.arange(QUANTILES) + 0.5) / QUANTILES
        self._on_cpu = torch.from_numpy(betaincinv(alpha, alpha, midpoints).astype(np.float32))
        self._on: dict[torch.device, Tensor] = {}

    def __call__(self, uniform: Tensor) -> Tensor:
        if uniform.device not in self._on:
            self._on[uniform.device] = self._on_cpu.to(uniform.device)
        index = (uniform * QUANTILES).long().clamp(max=QUANTILES - 1)
        return self._on[uniform.device].index_select(0, index.view(1))[0]


@cache
def _share_of(alpha: float) -> _BetaQuantiles:
    return _BetaQuantiles(alpha)
