"""Stretches batches to another size on their device, antialiased and bilinear: between a network's size and the data's.

What has another aspect ratio than the data is brought to size by `balancebench.synthesis.image_fit`.
Axis suffixes: B images of a batch, C channels, H rows, W columns.
"""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor

__all__ = ["stretched"]


def stretched(images_BCHW: Tensor, size: tuple[int, int]) -> Tensor:
    """Return float images of `size` (rows, columns); those of this size are returned as they are."""
    if images_BCHW.shape[2:] == size:
        return images_BCHW
    return F.interpolate(images_BCHW, size, mode="bilinear", align_corners=False, antialias=True)
