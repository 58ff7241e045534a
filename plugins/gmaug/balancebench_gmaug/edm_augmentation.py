"""EDM's augmentation pipe: changed images whose changes the network is told, so that it learns none of them.

Karras, Aittala, Aila and Laine 2022, appendix F.2, after Karras et al. 2020. Of each training image, with probability
p for each line but the first, whose coin is always tossed as in the authors' code:

    mirrored left to right (one in two)      label 1
    mirrored top to bottom (one in two)      label 1
    scaled by 2^(0.2 w), w ~ N(0, 1)         label w
    turned by an angle t of U(-pi, pi)       labels cos t - 1, sin t
    stretched by 2^(0.2 w) along u ~ U(-pi, pi), squeezed across it     labels w cos u, w sin u
    moved by w / 8 of height and width, w ~ N(0, 1) each                labels w of rows, of columns

All nine labels of an unchanged image are 0, which is what the network is told when it draws. Geometry is sampled from
an image of twice the side, reflected at its border; an image that keeps its geometry keeps its pixels exactly. The
order of scaling, turning, stretching and moving is the authors'; their low pass is a wavelet, ours a windowed sinc.

Axis suffixes: B images of a batch, C channels, H rows, W columns.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Generator, Tensor

from balancebench_gmaug.adaptive_augmentation import doubled, halved, sampled_bilinearly

__all__ = ["Changes", "changed"]

STRENGTH = 0.2  # of scaling and stretching, in powers of two for a deviation of 1
SHIFT = 0.125


@dataclass(frozen=True, slots=True, kw_only=True)
class Changes:
    """What is done to each image of a batch; 0 is nothing.

    mirrored_B, upside_down_B: 0 or 1. scale_B, stretch_B, down_B, right_B: normal numbers w. angle_B, along_B: in
    -pi..pi. All float32.
    """

    mirrored_B: Tensor
    upside_down_B: Tensor
    scale_B: Tensor
    angle_B: Tensor
    stretch_B: Tensor
    along_B: Tensor
    down_B: Tensor
    right_B: Tensor

    @classmethod
    def draw(cls, count: int, p: float, random: Generator) -> Changes:
        """Draw the changes of `count` images."""

        def chosen(probability: float) -> Tensor:
            return torch.rand(count, generator=random, device=random.device) < probability

        def normal() -> Tensor:
            return torch.randn(count, generator=random, device=random.device)

        def angle() -> Tensor:
            return (torch.rand(count, generator=random, device=random.device) * 2 - 1) * math.pi

        mirrored_B = chosen(0.5).float()
        upside_down_B = (chosen(p) & chosen(0.5)).float()
        scale_B = normal() * chosen(p)
        angle_B = angle() * chosen(p)
        along_B, stretch_B = angle(), normal() * chosen(p)
        moves_B = chosen(p)
        return cls(
            mirrored_B=mirrored_B,
            upside_down_B=upside_down_B,
            scale_B=scale_B,
            angle_B=angle_B,
            stretch_B=stretch_B,
            along_B=along_B,
            down_B=normal() * moves_B,
            right_B=normal() * moves_B,
        )

    @property
    def labels_BL(self) -> Tensor:
        """What the network is told, (B, 9) float32."""
        return torch.stack(
            [
                self.mirrored_B,
                self.upside_down_B,
                self.scale_B,
                self.angle_B.cos() - 1,
                self.angle_B.sin(),
                self.stretch_B * self.along_B.cos(),
                self.stretch_B * self.along_B.sin(),
                self.down_B,
                self.right_B,
            ],
            dim=1,
        )


def changed(images_BCHW: Tensor, changes: Changes) -> Tensor:
    """Return the images after their changes, float32."""
    images_BCHW = torch.where(_of_images(changes.mirrored_B > 0), images_BCHW.flip(3), images_BCHW)
    images_BCHW = torch.where(_of_images(changes.upside_down_B > 0), images_BCHW.flip(2), images_BCHW)
    height, width = images_BCHW.shape[2:]
    stretch_B = (STRENGTH * changes.stretch_B).exp2()
    zero_B = torch.zeros_like(stretch_B)
    squeeze_B22 = torch.stack([torch.stack([1 / stretch_B, zero_B], 1), torch.stack([zero_B, stretch_B], 1)], 1)
    # From a pixel of the result, counted from the centre, to where it comes from.
    matrix_B22 = (_turn(-changes.angle_B) @ _turn(changes.along_B) @ squeeze_B22 @ _turn(-changes.along_B)) / (
        STRENGTH * changes.scale_B
    ).exp2()[:, None, None]
    high, wide = 2 * height, 2 * width
    device = images_BCHW.device
    rows_BH1 = _of_images(-changes.down_B * SHIFT * high)[:, 0] + _centred(high, device)[:, None]
    columns_B1W = _of_images(-changes.right_B * SHIFT * wide)[:, 0] + _centred(wide, device)[None]

    def source(axis: int, size: int) -> Tensor:
        along_rows, along_columns = matrix_B22[:, axis, 0, None, None], matrix_B22[:, axis, 1, None, None]
        return along_rows * rows_BH1 + along_columns * columns_B1W + (size - 1) / 2

    moved_BCHW = halved(sampled_bilinearly(doubled(images_BCHW), source(0, high), source(1, wide)))
    numbers = (changes.scale_B, changes.angle_B, changes.stretch_B, changes.down_B, changes.right_B)
    changes_geometry_B = torch.stack([number_B != 0 for number_B in numbers]).any(dim=0)
    return torch.where(_of_images(changes_geometry_B), moved_BCHW, images_BCHW)


def _of_images(values_B: Tensor) -> Tensor:
    return values_B[:, None, None, None]


def _centred(size: int, device: torch.device) -> Tensor:
    return torch.arange(size, device=device) - (size - 1) / 2


def _turn(angle_B: Tensor) -> Tensor:
    cosine, sine = angle_B.cos(), angle_B.sin()
    return torch.stack([torch.stack([cosine, -sine], 1), torch.stack([sine, cosine], 1)], 1)
