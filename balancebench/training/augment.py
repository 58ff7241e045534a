"""Augmentation of whole batches of uint8 images on the device, with parameters drawn for each image.

An augmentation maps images_NCHW uint8 and the run's generator to images_NCHW uint8 of the same shape. To add one,
write such a function, enter it in `AUGMENTATIONS` and add its name to `options.Augmentation`.

Axis suffixes: N images, C channels, H rows, W columns.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
import torch.nn.functional as F
from torch import Generator, Tensor

__all__ = ["AUGMENTATIONS", "Augment", "crop_at", "flip_where", "random_crop", "random_crop_flip", "unchanged"]

Augment = Callable[[Tensor, Generator], Tensor]

PADDING_DIVISOR = 8  # an image of 32 rows is padded by 4 on each side, as in He et al. (2016), section 4.2


def unchanged(images_NCHW: Tensor, _generator: Generator) -> Tensor:
    """Return the images as they are."""
    return images_NCHW


def random_crop(images_NCHW: Tensor, generator: Generator) -> Tensor:
    """Pad each image with zeros (black) by an eighth of its rows and columns, and crop it back at a random place."""
    count, _, height, width = images_NCHW.shape
    pad_rows, pad_columns = height // PADDING_DIVISOR, width // PADDING_DIVISOR
    padded_NCHW = F.pad(images_NCHW, (pad_columns, pad_columns, pad_rows, pad_rows))
    device = images_NCHW.device
    top_N = torch.randint(2 * pad_rows + 1, (count,), generator=generator, device=device)
    left_N = torch.randint(2 * pad_columns + 1, (count,), generator=generator, device=device)
    return crop_at(padded_NCHW, top_N, left_N, height, width)


def random_crop_flip(images_NCHW: Tensor, generator: Generator) -> Tensor:
    """`random_crop`, then mirror each image left to right with probability one half."""
    cropped_NCHW = random_crop(images_NCHW, generator)
    flip_N = torch.rand(len(images_NCHW), generator=generator, device=images_NCHW.device) < 0.5
    return flip_where(cropped_NCHW, flip_N)


def crop_at(images_NCHW: Tensor, top_N: Tensor, left_N: Tensor, height: int, width: int) -> Tensor:
    """Cut from each image the `height` x `width` window whose first row and column are top_N and left_N (int64)."""
    count, channels, rows, columns = images_NCHW.shape
    # Row k of `stretches` is the `width` pixels from pixel k on, a view that costs nothing: selecting the one that each
    # row of each window begins with copies whole rows, four times as fast as indexing windows on processors.
    stretches = images_NCHW.reshape(-1).unfold(0, width, 1)
    row_NCH = torch.arange(count * channels * rows, device=images_NCHW.device).view(count, channels, rows)
    top_row_NCH = row_NCH[:, :, :height] + top_N[:, None, None]
    begin_NCH = torch.add(left_N[:, None, None], top_row_NCH, alpha=columns)
    return stretches.index_select(0, begin_NCH.flatten()).view(count, channels, height, width)


def flip_where(images_NCHW: Tensor, flip_N: Tensor) -> Tensor:
    """Mirror left to right the images (uint8) where flip_N (bool) is true."""
    # Bits that differ from the mirror image are turned where the mask has ones: exact, and faster than torch.where,
    # which goes byte by byte.
    mask_N111 = flip_N.to(torch.uint8).neg_()[:, None, None, None]
    return images_NCHW.flip(-1).bitwise_xor_(images_NCHW).bitwise_and_(mask_N111).bitwise_xor_(images_NCHW)


AUGMENTATIONS: Mapping[str, Augment] = {
    "none": unchanged,
    "crop": random_crop,
    "crop_flip": random_crop_flip,
}
