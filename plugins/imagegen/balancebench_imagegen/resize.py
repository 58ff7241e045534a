"""Bring images of any size to the training images' size and channels, on the device, antialiased and bilinear.

Axis suffixes: B images of a batch, C channels, H rows, W columns.
"""

from __future__ import annotations

from typing import Literal

import torch.nn.functional as F
from torch import Tensor

__all__ = ["fit", "to_channels"]

LUMA = (0.299, 0.587, 0.114)  # ITU-R BT.601, what Pillow and torchvision use


def fit(images_BCHW: Tensor, size: tuple[int, int], policy: Literal["squash", "letterbox", "center_crop"]) -> Tensor:
    """Return float images of `size` (rows, columns).

    squash distorts what has another aspect ratio; letterbox keeps all of it, with zeros (black) around;
    center_crop keeps the middle.
    """
    rows, columns = images_BCHW.shape[2:]
    new_rows, new_columns = size
    if policy == "center_crop":
        scale = max(new_rows / rows, new_columns / columns)
        kept_rows, kept_columns = round(new_rows / scale), round(new_columns / scale)
        top, left = (rows - kept_rows) // 2, (columns - kept_columns) // 2
        images_BCHW = images_BCHW[:, :, top : top + kept_rows, left : left + kept_columns]
    inner_rows, inner_columns = new_rows, new_columns
    if policy == "letterbox":
        scale = min(new_rows / rows, new_columns / columns)
        inner_rows, inner_columns = max(1, round(rows * scale)), max(1, round(columns * scale))
    resized_BCHW = images_BCHW
    if images_BCHW.shape[2:] != (inner_rows, inner_columns):
        resized_BCHW = F.interpolate(
            images_BCHW, (inner_rows, inner_columns), mode="bilinear", align_corners=False, antialias=True
        )
    top, left = (new_rows - inner_rows) // 2, (new_columns - inner_columns) // 2
    bottom, right = new_rows - inner_rows - top, new_columns - inner_columns - left
    return F.pad(resized_BCHW, (left, right, top, bottom))


def to_channels(images_BCHW: Tensor, channels: int) -> Tensor:
    """Return the images in grey (by luma) or in colour (three equal channels), as `channels` asks."""
    if images_BCHW.shape[1] == channels:
        return images_BCHW
    if channels == 3:
        return images_BCHW.expand(-1, 3, -1, -1)
    weights_3 = images_BCHW.new_tensor(LUMA)
    return (images_BCHW * weights_3.view(1, 3, 1, 1)).sum(1, keepdim=True)
