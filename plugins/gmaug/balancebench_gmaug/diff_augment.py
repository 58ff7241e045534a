"""Differentiable augmentation of every image the discriminator sees (Zhao et al. 2020, "DiffAugment").

Colour: brightness + U(-1/2, 1/2), saturation times U(0, 2), contrast times U(1/2, 3/2). Translation by up to an
eighth of the side, black (0, the middle of -1..1) beyond. Cutout: a square of half the side becomes 0. Made of
products and lookups: deterministic, and twice differentiable.

Axis suffixes: B images of a batch, C channels, H rows, W columns.
"""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["diff_augmented"]


def diff_augmented(images_BCHW: Tensor, random: torch.Generator) -> Tensor:
    """Return changed images, float32 around -1..1 as before."""
    return _cut_out(_translated(_coloured(images_BCHW, random), random), random)


def _coloured(images_BCHW: Tensor, random: torch.Generator) -> Tensor:
    brightness, saturation, contrast = (
        torch.rand((len(images_BCHW), 1, 1, 1), generator=random, device=random.device) for _ in range(3)
    )
    images_BCHW = images_BCHW + (brightness - 0.5)
    grey_B1HW = images_BCHW.mean(dim=1, keepdim=True)
    images_BCHW = torch.lerp(grey_B1HW, images_BCHW, 2 * saturation)
    mean_B111 = images_BCHW.mean(dim=(1, 2, 3), keepdim=True)
    return torch.lerp(mean_B111, images_BCHW, contrast + 0.5)


def _translated(images_BCHW: Tensor, random: torch.Generator) -> Tensor:
    count, channels, height, width = images_BCHW.shape
    rows_BH, row_is_inside_BH = _moved(count, height, random)
    columns_BW, column_is_inside_BW = _moved(count, width, random)
    source_BHW = rows_BH[:, :, None] * width + columns_BW[:, None]
    index_BCP = source_BHW.flatten(1)[:, None].expand(-1, channels, -1)
    moved_BCHW = images_BCHW.flatten(2).gather(2, index_BCP).view_as(images_BCHW)
    is_inside_BHW = row_is_inside_BH[:, :, None] & column_is_inside_BW[:, None]
    return moved_BCHW * is_inside_BHW[:, None]


def _moved(count: int, size: int, random: torch.Generator) -> tuple[Tensor, Tensor]:
    """Return where each row or column comes from, cut to the image, and whether that is inside."""
    most = round(size / 8)
    shift_B1 = torch.randint(-most, most + 1, (count, 1), generator=random, device=random.device)
    source_BS = torch.arange(size, device=random.device) - shift_B1
    return source_BS.clamp(0, size - 1), (source_BS >= 0) & (source_BS < size)


def _cut_out(images_BCHW: Tensor, random: torch.Generator) -> Tensor:
    count, _, height, width = images_BCHW.shape
    is_cut_row_BH, is_cut_column_BW = (_cut(count, size, random) for size in (height, width))
    return images_BCHW * ~(is_cut_row_BH[:, :, None] & is_cut_column_BW[:, None])[:, None]


def _cut(count: int, size: int, random: torch.Generator) -> Tensor:
    """Return which rows or columns lie in the square, whose centre is anywhere in the image."""
    centre_B1 = torch.randint(size, (count, 1), generator=random, device=random.device)
    distance_BS = torch.arange(size, device=random.device) - centre_B1
    return (distance_BS >= -(size // 4)) & (distance_BS < size // 4)
