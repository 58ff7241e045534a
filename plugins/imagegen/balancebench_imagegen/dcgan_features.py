"""What images are compared by where the DCGAN's epoch is chosen: features of Inception-v3, or small pixels.

Axis suffixes: B images, C channels, H rows, W columns, D features.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from balancebench.synthesis.inception import load_inception

__all__ = ["Features", "load_features"]

Features = Callable[[Tensor], Tensor]
"""images_BCHW uint8 on the device -> features_BD float32 there."""

PIXEL_SIDE = 8


def load_features(kind: Literal["inception", "pixels"], device: torch.device) -> Features:
    """Return the features of `kind`; raises DataError where the weights of Inception-v3 are not on this machine."""
    return _pixels if kind == "pixels" else load_inception(device)


def _pixels(images_BCHW: Tensor) -> Tensor:
    small_BCHW = F.interpolate(
        images_BCHW.float(), (PIXEL_SIDE, PIXEL_SIDE), mode="bilinear", align_corners=False, antialias=True
    )
    return small_BCHW.flatten(1)
