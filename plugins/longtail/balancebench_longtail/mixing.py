"""What mixing methods share: the random share of the first image, and partners within a batch.

Everything is drawn on the images' device from the run's generator, and no step waits for a number. As in the methods'
own public code, one share is drawn for a batch and partners are a permutation of it.

Axis suffix: N images of a batch.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from balancebench import BalancerError, Batch, BatchSource
from balancebench_longtail.class_statistics import DeviceVector

__all__ = ["BetaShares", "draw_partners"]

QUANTILES = 2**16


class BetaShares:
    """Draws from Beta(alpha, alpha), alpha > 0.

    A draw is one of 65,536 equally likely quantiles: torch's own sampler takes no generator, and one that rejects
    would have to wait for the device.
    """

    def __init__(self, alpha: float) -> None:
        from scipy.special import betaincinv

        midpoints = (np.arange(QUANTILES) + 0.5) / QUANTILES
        self._quantiles = DeviceVector(betaincinv(alpha, alpha, midpoints))

    def draw(self, source: BatchSource) -> Tensor:
        """Return one share, float32 of shape (1,)."""
        generator = source.generator
        index = torch.randint(QUANTILES, (1,), generator=generator, device=generator.device)
        return self._quantiles.on(generator.device).index_select(0, index)


def draw_partners(batch: Batch, source: BatchSource) -> Tensor:
    """Return the index of each image's partner, a permutation of the batch, int64 (N,).

    Raises BalancerError where the batch is a single image.
    """
    size = len(batch.labels_N)
    if size < 2:
        raise BalancerError(
            "mixing needs at least two images in a batch, and these have one: raise the classifier's batch_size, or "
            "keep more images"
        )
    return torch.randperm(size, generator=source.generator, device=source.generator.device)
