"""Adaptive discriminator augmentation, pipe `bgc` (Karras et al. 2020, "Training GANs with Limited Data").

Each change below is made to an image with probability p, real or made, before the discriminator sees it, and
gradients flow through. As long as p is well below 1, the generator learns the distribution without them.

    pixels     mirrored; turned by quarters; moved by whole pixels, up to 1/8 of the side
    geometry   scaled by 2^N(0, 0.2^2); turned by any angle, before and after stretching by 2^N(0, 0.2^2); moved by
               N(0, 1/8^2) of the side
    colour     brightness + N(0, 0.2^2); contrast times 2^N(0, 0.5^2); luma mirrored; hue turned by any angle;
               saturation times 2^N(0, 1)

Angles are drawn twice, each with probability 1 - sqrt(1 - p), so that with p one of them is. What lies beyond the
border is the image reflected. Geometry is sampled bilinearly from an image of twice the side, and an image that keeps
its geometry keeps its pixels exactly. The low pass in between is a windowed sinc (the authors: a wavelet). Everything
is made of gathers and sums, which are deterministic on every device and can be differentiated twice.

p follows the discriminator: every four batches it moves by 4 batch / (1000 kimg) towards where the mean sign of the
logits of real images is the target; 1 would be an overfitted discriminator.

Axis suffixes: B images of a batch, C channels, H rows, W columns, T taps.
"""

from __future__ import annotations

import math
from functools import cache

import torch
import torch.nn.functional as F
from torch import Tensor

__all__ = ["INTERVAL", "AdaptiveAugmentation", "doubled", "halved", "sampled_bilinearly"]

INTERVAL = 4  # batches from one change of p to the next
SHIFT = 0.125
SCALE_DEVIATION = 0.2
BRIGHTNESS_DEVIATION = 0.2
CONTRAST_DEVIATION = 0.5
TAPS = 12


class AdaptiveAugmentation:
    """Changes images with probability p, and adapts it.

    batch_size: real images of a batch. kimg: thousands of real images in which p can go from 0 to 1. p, sign_sum:
    float32 tensors of no axes on the device, all that it remembers besides the number of batches.
    """

    def __init__(self, *, target: float, kimg: float, batch_size: int, device: torch.device) -> None:
        self.p = torch.zeros((), device=device)
        self.sign_sum = torch.zeros((), device=device)
        self._target = target
        self._change = INTERVAL * batch_size / (1000 * kimg)

    def observe(self, logits_B: Tensor, batch: int) -> None:
        """Take in the logits of the real images of a batch, counted from 0; move p after every fourth."""
        self.sign_sum += logits_B.detach().sign().mean()
        if batch % INTERVAL == INTERVAL - 1:
            direction = (self.sign_sum / INTERVAL - self._target).sign()
            self.p = (self.p + direction * self._change).clamp(0, 1)
            self.sign_sum = torch.zeros_like(self.sign_sum)

    def __call__(self, images_BCHW: Tensor, random: torch.Generator) -> Tensor:
        """Return changed images, float32 around -1..1 as before."""
        images_BCHW = _pixel_moves(images_BCHW, self.p, random)
        images_BCHW = _geometry(images_BCHW, self.p, random)
        return _colour(images_BCHW, self.p, random)


def _chosen(count: int, p: Tensor | float, random: torch.Generator) -> Tensor:
    """Return which of `count` images are changed, bool."""
    return torch.rand(count, generator=random, device=random.device) < p


def _uniform(count: int, random: torch.Generator) -> Tensor:
    """Return numbers in -1..1."""
    return torch.rand(count, generator=random, device=random.device) * 2 - 1


def _normal(count: int, random: torch.Generator) -> Tensor:
    return torch.randn(count, generator=random, device=random.device)


def _pixel_moves(images_BCHW: Tensor, p: Tensor, random: torch.Generator) -> Tensor:
    """Mirror, turn by quarters and move by whole pixels, by looking up where each pixel comes from."""
    count, _, height, width = images_BCHW.shape
    device = images_BCHW.device
    mirrors_B = _chosen(count, p, random) & _chosen(count, 0.5, random)
    drawn_B = torch.randint(4, (count,), generator=random, device=device)
    quarters_B = torch.where(_chosen(count, p, random), drawn_B, 0)
    moves_B = _chosen(count, p, random)
    down_B = torch.where(moves_B, _uniform(count, random) * SHIFT * height, 0.0).round().long()
    right_B = torch.where(moves_B, _uniform(count, random) * SHIFT * width, 0.0).round().long()
    rows_H1 = torch.arange(height, device=device)[:, None]
    columns_1W = torch.arange(width, device=device)[None]
    rows_BHW = _reflected(rows_H1 - down_B[:, None, None], height).expand(count, height, width)
    columns_BHW = _reflected(columns_1W - right_B[:, None, None], width).expand(count, height, width)
    for quarter in (1, 2, 3):  # images are square
        turned = (quarters_B >= quarter)[:, None, None]
        rows_BHW, columns_BHW = (
            torch.where(turned, columns_BHW, rows_BHW),
            torch.where(turned, width - 1 - rows_BHW, columns_BHW),
        )
    columns_BHW = torch.where(mirrors_B[:, None, None], width - 1 - columns_BHW, columns_BHW)
    return _looked_up(images_BCHW, rows_BHW, columns_BHW)


def _geometry(images_BCHW: Tensor, p: Tensor, random: torch.Generator) -> Tensor:
    """Scale, turn, stretch and move by parts of a pixel."""
    count, _, height, width = images_BCHW.shape
    device = images_BCHW.device
    p_of_each_turn = 1 - (1 - p).clamp(0, 1).sqrt()

    scales_B = _chosen(count, p, random)
    scale_B = torch.where(scales_B, _normal(count, random).mul(SCALE_DEVIATION).exp2(), 1.0)
    turns_first_B = _chosen(count, p_of_each_turn, random)
    first_B = torch.where(turns_first_B, _uniform(count, random) * math.pi, 0.0)
    stretches_B = _chosen(count, p, random)
    stretch_B = torch.where(stretches_B, _normal(count, random).mul(SCALE_DEVIATION).exp2(), 1.0)
    turns_last_B = _chosen(count, p_of_each_turn, random)
    last_B = torch.where(turns_last_B, _uniform(count, random) * math.pi, 0.0)
    moves_B = _chosen(count, p, random)
    down_B = torch.where(moves_B, _normal(count, random) * SHIFT * height, 0.0)
    right_B = torch.where(moves_B, _normal(count, random) * SHIFT * width, 0.0)

    zero_B = torch.zeros(count, device=device)
    stretch_B22 = torch.stack([torch.stack([stretch_B, zero_B], 1), torch.stack([zero_B, 1 / stretch_B], 1)], 1)
    # From a pixel of the result, counted from the centre, to where it comes from.
    matrix_B22 = _turn(first_B) @ stretch_B22 @ _turn(last_B) / scale_B[:, None, None]

    twice_BCHW = doubled(images_BCHW)
    high, wide = 2 * height, 2 * width
    rows_H1 = (torch.arange(high, device=device) - (high - 1) / 2)[:, None]
    columns_1W = (torch.arange(wide, device=device) - (wide - 1) / 2)[None]

    def source(axis: int, shift_B: Tensor, size: int) -> Tensor:
        along_rows, along_columns = matrix_B22[:, axis, 0, None, None], matrix_B22[:, axis, 1, None, None]
        return along_rows * rows_H1 + along_columns * columns_1W - 2 * shift_B[:, None, None] + (size - 1) / 2

    moved_BCHW = sampled_bilinearly(twice_BCHW, source(0, down_B, high), source(1, right_B, wide))
    changes_B = scales_B | turns_first_B | stretches_B | turns_last_B | moves_B
    return torch.where(changes_B[:, None, None, None], halved(moved_BCHW), images_BCHW)


def _turn(angle_B: Tensor) -> Tensor:
    cosine, sine = angle_B.cos(), angle_B.sin()
    return torch.stack([torch.stack([cosine, -sine], 1), torch.stack([sine, cosine], 1)], 1)


def sampled_bilinearly(images_BCHW: Tensor, rows_BHW: Tensor, columns_BHW: Tensor) -> Tensor:
    """Return images at positions in pixels, 0 being the centre of the first; beyond the border they are reflected."""
    height, width = images_BCHW.shape[2:]
    top_BHW, left_BHW = rows_BHW.floor(), columns_BHW.floor()
    low_share_B1HW, right_share_B1HW = (rows_BHW - top_BHW)[:, None], (columns_BHW - left_BHW)[:, None]
    rows = [_reflected(top_BHW.long() + step, height) for step in (0, 1)]
    columns = [_reflected(left_BHW.long() + step, width) for step in (0, 1)]
    upper, lower = (
        torch.lerp(
            _looked_up(images_BCHW, row_BHW, columns[0]), _looked_up(images_BCHW, row_BHW, columns[1]), right_share_B1HW
        )
        for row_BHW in rows
    )
    return torch.lerp(upper, lower, low_share_B1HW)


def _looked_up(images_BCHW: Tensor, rows_BHW: Tensor, columns_BHW: Tensor) -> Tensor:
    count, channels, _, width = images_BCHW.shape
    index_BP = (rows_BHW * width + columns_BHW).flatten(1)
    pixels_BCP = images_BCHW.flatten(2).gather(2, index_BP[:, None].expand(count, channels, -1))
    return pixels_BCP.unflatten(2, rows_BHW.shape[1:])


def _reflected(index: Tensor, size: int) -> Tensor:
    """Return indices in 0..size - 1: an image goes on beyond its border as in a mirror at its last pixel."""
    period = 2 * (size - 1)
    index = index.remainder(period)
    return torch.where(index < size, index, period - index)


@cache
def _sinc_taps(device: torch.device, dtype: torch.dtype) -> Tensor:
    """Return the taps of a low pass at half the frequencies, of sum 1, uploaded once as an upload waits for it."""
    with torch.inference_mode(mode=False):  # whoever asks first, training can use it
        position_T = torch.arange(TAPS, dtype=torch.float64) - (TAPS - 1) / 2
        window_T = torch.kaiser_window(TAPS, periodic=False, beta=4.0, dtype=torch.float64)
        taps_T = torch.sinc(position_T / 2) * window_T
        return (taps_T / taps_T.sum()).to(device, dtype)


@cache
def _turned_about_grey(device: torch.device) -> Tensor:
    """Return the matrix that turns a colour by 90 degrees about the axis of grey ones, times sqrt(3)."""
    with torch.inference_mode(mode=False):
        return torch.tensor([[0.0, -1.0, 1.0], [1.0, 0.0, -1.0], [-1.0, 1.0, 0.0]], device=device)


def _bordered(images_BCHW: Tensor, border: int) -> Tensor:
    """Return images with a border in which they are reflected."""
    height, width = images_BCHW.shape[2:]
    rows = _reflected(torch.arange(-border, height + border, device=images_BCHW.device), height)
    columns = _reflected(torch.arange(-border, width + border, device=images_BCHW.device), width)
    return images_BCHW.index_select(2, rows).index_select(3, columns)


def doubled(images_BCHW: Tensor) -> Tensor:
    """Return images of twice the side; pixel i of a row lies at (i - 1/2) / 2 of the old ones."""
    channels = images_BCHW.shape[1]
    border = TAPS // 2
    images_BCHW = _bordered(images_BCHW, border)
    taps_T = _sinc_taps(images_BCHW.device, images_BCHW.dtype) * 2
    cut = 2 * border + TAPS // 2 - 1
    images_BCHW = F.conv_transpose2d(
        images_BCHW, taps_T.view(1, 1, -1, 1).expand(channels, 1, -1, 1), stride=(2, 1), groups=channels
    )
    images_BCHW = F.conv_transpose2d(
        images_BCHW, taps_T.view(1, 1, 1, -1).expand(channels, 1, 1, -1), stride=(1, 2), groups=channels
    )
    return images_BCHW[:, :, cut:-cut, cut:-cut]


def halved(images_BCHW: Tensor) -> Tensor:
    """Return images of half the side: the low pass, then every second pixel."""
    channels = images_BCHW.shape[1]
    images_BCHW = _bordered(images_BCHW, TAPS // 2 - 1)
    taps_T = _sinc_taps(images_BCHW.device, images_BCHW.dtype)
    images_BCHW = F.conv2d(
        images_BCHW, taps_T.view(1, 1, -1, 1).expand(channels, 1, -1, 1), stride=(2, 1), groups=channels
    )
    return F.conv2d(images_BCHW, taps_T.view(1, 1, 1, -1).expand(channels, 1, 1, -1), stride=(1, 2), groups=channels)


def _colour(images_BCHW: Tensor, p: Tensor, random: torch.Generator) -> Tensor:
    """Change brightness, contrast, luma, hue and saturation; of grey images hue and saturation mean nothing.

    The changes are affine maps of a pixel's colour x, x -> A x + b, one after the other.
    """
    count, channels = images_BCHW.shape[:2]
    brightness_B = torch.where(_chosen(count, p, random), _normal(count, random) * BRIGHTNESS_DEVIATION, 0.0)
    contrast_B = torch.where(_chosen(count, p, random), _normal(count, random).mul(CONTRAST_DEVIATION).exp2(), 1.0)
    flips_B = _chosen(count, p, random) & _chosen(count, 0.5, random)
    hue_B = torch.where(_chosen(count, p, random), _uniform(count, random) * math.pi, 0.0)
    saturation_B = torch.where(_chosen(count, p, random), _normal(count, random).exp2(), 1.0)
    if channels != 3:
        factor_B = torch.where(flips_B, -contrast_B, contrast_B)
        shift_B = torch.where(flips_B, -contrast_B, contrast_B) * brightness_B
        return images_BCHW * factor_B[:, None, None, None] + shift_B[:, None, None, None]
    ones_33 = torch.full((3, 3), 1 / 3, device=images_BCHW.device)  # projects on the axis of grey colours
    identity_33 = torch.eye(3, device=images_BCHW.device)
    across_33 = _turned_about_grey(images_BCHW.device)
    flip_B33 = identity_33 - torch.where(flips_B, 2.0, 0.0)[:, None, None] * ones_33
    turn_B33 = (
        ones_33
        + hue_B.cos()[:, None, None] * (identity_33 - ones_33)
        + hue_B.sin()[:, None, None] / math.sqrt(3) * across_33
    )
    saturate_B33 = ones_33 + saturation_B[:, None, None] * (identity_33 - ones_33)
    map_B33 = saturate_B33 @ turn_B33 @ flip_B33 * contrast_B[:, None, None]
    shift_B31 = map_B33 @ brightness_B[:, None, None].expand(-1, 3, 1)
    return (map_B33 @ images_BCHW.flatten(2) + shift_B31).unflatten(2, images_BCHW.shape[2:])
