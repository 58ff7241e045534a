"""Structural similarity of many pairs of images at once (Wang, Bovik, Sheikh and Simoncelli 2004).

Around each pixel whose window fits into the image, with means m, variances v and covariance c of the window,

    SSIM = (2 m_x m_y + C1) (2 c + C2) / ((m_x^2 + m_y^2 + C1) (v_x + v_y + C2)),
    C1 = (0.01 * 255)^2,  C2 = (0.03 * 255)^2,

and their mean over pixels and channels: what scikit-image's `structural_similarity` gives with data_range 255.

What belongs to one image alone is computed once for all its pairs. Sums over the uniform window are sums of 49 products
of whole numbers up to 255, exact in float32, and 49 * sum(xy) - sum(x) sum(y) is exact in int32: nothing is lost where
variances are small. The Gaussian window is two products with a banded matrix, in float64.

Axis suffixes: N images, P pairs, C channels, H rows, W columns; Y and X the rows and columns of windows that fit.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from balancebench_gmaug.ssim_options import SsimOptions

__all__ = ["Windows", "window_size"]

C1, C2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
UNIFORM_SIZE, GAUSSIAN_SIZE, SIGMA = 7, 11, 1.5
CHUNKS = {"cuda": 256, "mps": 64}  # images or pairs at once
PROCESSOR_CHUNK = 4  # so few that what is computed stays in its cache


def window_size(window: Literal["uniform", "gaussian"]) -> int:
    """Return the rows and columns of a window; images are at least as large."""
    return UNIFORM_SIZE if window == "uniform" else GAUSSIAN_SIZE


@dataclass(frozen=True, slots=True, kw_only=True)
class Windows:
    """Images, and what every window of each holds.

    pixels_NCHW, sums_NCYX: whole numbers where `is_exact`; a window's weights sum to `weight`. luminance_NCYX:
    m^2 + C1 / 2. spread_NCYX: v + C2 / 2. covariance_scale: what weight * sum(xy) - sum(x) sum(y) is multiplied by.
    """

    pixels_NCHW: Tensor
    sums_NCYX: Tensor
    luminance_NCYX: Tensor
    spread_NCYX: Tensor
    covariance_scale: float
    weight: int
    is_exact: bool

    @classmethod
    def of(cls, images_NCHW: Tensor, options: SsimOptions) -> Windows:
        """Return the windows of uint8 images, computed on their device, at their own size and of all their channels.

        Gaussian windows need float64, which mps does not have.
        """
        is_exact = options.window == "uniform"
        dtype = torch.float32 if is_exact else torch.float64
        weight, pixel_count = (UNIFORM_SIZE**2 if is_exact else 1), window_size(options.window) ** 2
        scale = (pixel_count / (pixel_count - 1) if options.covariance == "sample" else 1.0) / weight**2
        *count_and_channels, height, width = images_NCHW.shape
        trimmed = window_size(options.window) - 1
        fitting = (*count_and_channels, height - trimmed, width - trimmed)
        sums_NCYX = torch.empty(fitting, dtype=torch.int32 if is_exact else dtype, device=images_NCHW.device)
        luminance_NCYX, spread_NCYX = (torch.empty(fitting, dtype=dtype, device=images_NCHW.device) for _ in range(2))
        pixels_NCHW = images_NCHW.to(dtype)
        chunk = _chunk(images_NCHW.device)
        for begin in range(0, len(images_NCHW), chunk):
            part = slice(begin, begin + chunk)
            sums, pixels = _sums(pixels_NCHW[part], is_exact=is_exact), pixels_NCHW[part]
            squares = _sums(pixels * pixels, is_exact=is_exact).mul_(weight).sub_(sums * sums)
            sums_NCYX[part] = sums
            luminance_NCYX[part] = (sums.to(dtype) / weight).square_().add_(C1 / 2)
            spread_NCYX[part] = squares.to(dtype).mul_(scale).add_(C2 / 2)
        return cls(
            pixels_NCHW=pixels_NCHW,
            sums_NCYX=sums_NCYX,
            luminance_NCYX=luminance_NCYX,
            spread_NCYX=spread_NCYX,
            covariance_scale=scale,
            weight=weight,
            is_exact=is_exact,
        )

    def similarity(self, first_P: Tensor, second_P: Tensor) -> Tensor:
        """Return the similarity, -1..1, of each pair of images by their indices, (P,), float64 where the device can."""
        chunk = _chunk(self.pixels_NCHW.device)
        chunks = zip(first_P.split(chunk), second_P.split(chunk), strict=True)
        similar_P = torch.cat([self._similarity(first_p, second_p) for first_p, second_p in chunks])
        return similar_P.to(torch.float32 if self.pixels_NCHW.device.type == "mps" else torch.float64)

    def _similarity(self, first_P: Tensor, second_P: Tensor) -> Tensor:
        def both(of_NC: Tensor) -> tuple[Tensor, Tensor]:
            return of_NC.index_select(0, first_P), of_NC.index_select(0, second_P)

        dtype = self.pixels_NCHW.dtype
        pixels, others = both(self.pixels_NCHW)
        products_PCYX = _sums(pixels.mul_(others), is_exact=self.is_exact)
        sums, other_sums = both(self.sums_NCYX)
        means_PCYX = sums.mul_(other_sums)
        covariance_PCYX = products_PCYX.mul_(self.weight).sub_(means_PCYX).to(dtype)
        similar_PCYX = covariance_PCYX.mul_(2 * self.covariance_scale).add_(C2)
        similar_PCYX.mul_(means_PCYX.to(dtype).mul_(2 / self.weight**2).add_(C1))
        luminance, other_luminance = both(self.luminance_NCYX)
        spread, other_spread = both(self.spread_NCYX)
        similar_PCYX.div_(luminance.add_(other_luminance)).div_(spread.add_(other_spread))
        return similar_PCYX.mean(dim=(1, 2, 3))


def _chunk(device: torch.device) -> int:
    return CHUNKS.get(device.type, PROCESSOR_CHUNK)


def _sums(values_NCHW: Tensor, *, is_exact: bool) -> Tensor:
    """Return the sum over each window: int32 of the uniform one, weighted float64 of the Gaussian one."""
    if is_exact:
        return _sums_of_seven(_sums_of_seven(values_NCHW, -1), -2).to(torch.int32)
    weights = _gaussian(values_NCHW.device)
    height, width = values_NCHW.shape[-2:]
    return _band(weights, height) @ (values_NCHW @ _band(weights, width).T)


def _sums_of_seven(values: Tensor, axis: int) -> Tensor:
    """Return the sums of each 7 neighbours along an axis, in four additions: of 2, of 4, of 6, and of 7."""
    count = values.shape[axis] - UNIFORM_SIZE + 1

    def begin(tensor: Tensor, offset: int, length: int) -> Tensor:
        return tensor.narrow(axis, offset, length)

    pairs = begin(values, 0, count + 5) + begin(values, 1, count + 5)
    sevens = begin(pairs, 0, count) + begin(pairs, 2, count)
    return sevens.add_(begin(pairs, 4, count)).add_(begin(values, 6, count))


def _gaussian(device: torch.device) -> Tensor:
    offsets = torch.arange(GAUSSIAN_SIZE, dtype=torch.float64, device=device) - GAUSSIAN_SIZE // 2
    weights = torch.exp(-offsets.square() / (2 * SIGMA**2))
    return weights / weights.sum()


def _band(weights: Tensor, length: int) -> Tensor:
    """Return the matrix (length - size + 1, length) that takes the weighted sum of each window along an axis."""
    size = len(weights)
    band = torch.zeros(length - size + 1, length, dtype=weights.dtype, device=weights.device)
    for offset in range(size):
        band.diagonal(offset).fill_(weights[offset])
    return band
