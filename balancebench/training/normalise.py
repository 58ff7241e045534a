"""From uint8 pixels to normalised floats: (pixel / 255 - mean) / std, channel by channel.

Axis suffixes: N images, C channels, H rows, W columns.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

import torch
from torch import Tensor

from balancebench.errors import ClassifierError
from balancebench.training.options import ChannelStatistics

__all__ = ["Normaliser", "Pixels", "channel_statistics", "make_normaliser"]

READ_PIXELS = 2**24  # read at a time
# Squares are summed so many at a time, as int32: what a GPU is filled by, what a processor's cache holds (six times
# as fast there as from its memory).
SUMMED_PIXELS = {"cuda": 2**24, "mps": 2**24, "cpu": 2**16}


class Pixels(Protocol):
    """images_NCHW uint8 on a device, gone through some at a time: a tensor, or what is read as it goes."""

    @property
    def shape(self) -> Sequence[int]:
        """(N, C, H, W)."""
        ...

    @property
    def device(self) -> torch.device:
        """Where the images of `split` are."""
        ...

    def split(self, split_size: int, /) -> Iterable[Tensor]:
        """Return all images in order, at most `split_size` in each tensor."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Normaliser:
    """images_NCHW uint8 -> images_NCHW float32 in `memory_format`; scale and shift are float32 (1, C, 1, 1)."""

    scale_1C11: Tensor
    shift_1C11: Tensor
    memory_format: torch.memory_format = torch.channels_last

    def __call__(self, images_NCHW: Tensor) -> Tensor:
        """Return the normalised images, on the device they are on."""
        scaled_NCHW = torch.addcmul(self.shift_1C11, images_NCHW.to(torch.float32), self.scale_1C11)
        return scaled_NCHW.contiguous(memory_format=self.memory_format)


def channel_statistics(images_NCHW: Pixels) -> ChannelStatistics:
    """Return mean and population standard deviation of each channel of uint8 images, exact up to one rounding.

    Sums are integers, so the result does not depend on the device, the chunks or the order of the images. A channel
    of one value everywhere has the deviation 1.
    """
    count, channels, height, width = images_NCHW.shape
    pixels = count * height * width
    sums, squares = [0] * channels, [0] * channels
    for chunk_NCHW in _pieces(images_NCHW):
        values_NCHW = chunk_NCHW.to(torch.int32)
        for channel, (total, square) in enumerate(
            zip(
                values_NCHW.sum((0, 2, 3), dtype=torch.int64).tolist(),
                (values_NCHW * values_NCHW).sum((0, 2, 3), dtype=torch.int64).tolist(),
                strict=True,
            )
        ):
            sums[channel] += total
            squares[channel] += square
    variances = [pixels * square - total * total for total, square in zip(sums, squares, strict=True)]
    return ChannelStatistics(
        mean=tuple(total / (255 * pixels) for total in sums),
        std=tuple(math.sqrt(variance) / (255 * pixels) if variance else 1.0 for variance in variances),
    )


def _pieces(images_NCHW: Pixels) -> Iterator[Tensor]:
    _, channels, height, width = images_NCHW.shape
    values = channels * height * width
    for read_NCHW in images_NCHW.split(max(1, READ_PIXELS // values)):
        yield from read_NCHW.split(max(1, SUMMED_PIXELS[images_NCHW.device.type] // values))


def make_normaliser(
    normalisation: Literal["training_set", "half"] | ChannelStatistics, images_NCHW: Pixels
) -> Normaliser:
    """Return the normaliser that the option asks for, on the device of the training images `images_NCHW` (uint8).

    Raises ClassifierError where given values do not fit the number of channels.
    """
    channels = images_NCHW.shape[1]
    match normalisation:
        case "training_set":
            statistics = channel_statistics(images_NCHW)
        case "half":
            statistics = ChannelStatistics(mean=(0.5,) * channels, std=(0.5,) * channels)
        case ChannelStatistics():
            statistics = normalisation
    if len(statistics.mean) != channels:
        raise ClassifierError(
            f"normalisation is given for {len(statistics.mean)} channels, but the images have {channels}"
        )

    def per_channel(values: list[float]) -> Tensor:
        return torch.tensor(values, dtype=torch.float32, device=images_NCHW.device).view(1, channels, 1, 1)

    return Normaliser(
        scale_1C11=per_channel([1.0 / (255.0 * std) for std in statistics.std]),
        shift_1C11=per_channel([-mean / std for mean, std in zip(statistics.mean, statistics.std, strict=True)]),
    )
