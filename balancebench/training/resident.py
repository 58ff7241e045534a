"""Training images that live on the device as uint8, and the batches drawn from them.

Axis suffixes: N images, B images of a batch, S steps, C channels, H rows, W columns.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Generator, Tensor

from balancebench.data import LabelledImages
from balancebench.errors import BalancerError
from balancebench.large_images import rows_of
from balancebench.training.augment import Augment
from balancebench.training.normalise import Normaliser
from balancebench.training.streamed import StreamedImages
from balancebench.training.visiting_order import visiting_order
from balancebench.training_plan import Batch

__all__ = ["BatchDrawer", "ResidentImages", "cumulative_weights", "indices_at"]

CHUNK_BYTES = 2**26  # copied at a time, so that a memory-mapped set is never held twice


@dataclass(frozen=True, slots=True, kw_only=True)
class ResidentImages:
    """images_NCHW uint8 and labels_N int64 on one device."""

    images_NCHW: Tensor
    labels_N: Tensor

    @classmethod
    def upload(cls, images: LabelledImages, device: torch.device) -> ResidentImages:
        """Copy the images to `device`."""
        rows = rows_of(images.images_NCHW)
        resident_NCHW = torch.empty(rows.shape, dtype=torch.uint8, device=device)
        step = max(1, CHUNK_BYTES // max(1, rows.nbytes // max(1, len(rows))))
        for begin in range(0, len(rows), step):
            resident_NCHW[begin : begin + step].copy_(torch.from_numpy(rows[begin : begin + step]))
        return cls(images_NCHW=resident_NCHW, labels_N=torch.from_numpy(np.array(images.labels_N)).to(device))

    def __len__(self) -> int:
        return len(self.labels_N)

    @property
    def nbytes(self) -> int:
        """The bytes of all images."""
        return self.images_NCHW.nbytes

    def select(self, indices_B: Tensor) -> Tensor:
        """Return images_BCHW uint8."""
        return self.images_NCHW.index_select(0, indices_B)

    def batches(self, indices_SB: Tensor) -> Iterator[Tensor]:
        """Yield images_BCHW uint8 for each row of indices."""
        return map(self.select, indices_SB)


class BatchDrawer:
    """Draws augmented, normalised batches of one phase's images; the `BatchSource` that batch transforms see."""

    def __init__(
        self,
        images: ResidentImages | StreamedImages,
        augment: Augment,
        normaliser: Normaliser,
        generator: Generator,
    ) -> None:
        self._images = images
        self._augment = augment
        self._normaliser = normaliser
        self._generator = generator
        # Keyed by identity; the array is held so that its identity stays its own.
        self._cumulative: dict[int, tuple[NDArray[np.float64], Tensor]] = {}

    @property
    def generator(self) -> Generator:
        """The run's generator, on the images' device."""
        return self._generator

    def epoch_indices(
        self, steps: int, batch_size: int, sampling_weight_N: NDArray[np.float64] | None = None
    ) -> Tensor:
        """Return the images of one epoch's batches, indices_SB int64 on the device, all drawn at once.

        Without weights no image comes twice; with weights they are drawn with replacement. Where steps * batch_size is
        more than N, the rest of the last batch holds first images again: `batches` leaves them out.
        """
        if sampling_weight_N is not None:
            return self._draw_indices(steps * batch_size, sampling_weight_N).view(steps, batch_size)
        image_bytes = self._images.nbytes // len(self._images)
        order_N = visiting_order(len(self._images), image_bytes, batch_size, self._generator)
        missing = max(0, steps * batch_size - len(order_N))
        return torch.cat([order_N, order_N[:missing]])[: steps * batch_size].view(steps, batch_size)

    def epoch(
        self, steps: int, batch_size: int, sampling_weight_N: NDArray[np.float64] | None = None
    ) -> Iterator[Batch]:
        """Yield the augmented, normalised batches of one epoch: the images of `epoch_indices`."""
        yield from self.batches(self.epoch_indices(steps, batch_size, sampling_weight_N))

    def batches(self, indices_SB: Tensor, last_batch_size: int | None = None) -> Iterator[Batch]:
        """Yield the augmented, normalised images of each row of indices; of the last row only so many, where given."""
        last = len(indices_SB) - 1
        for step, (indices_B, pixels_BCHW) in enumerate(zip(indices_SB, self._images.batches(indices_SB), strict=True)):
            size = last_batch_size if step == last else None
            yield self._finished(indices_B[:size], pixels_BCHW[:size])

    def batch(self, indices_B: Tensor) -> Batch:
        """Return the augmented, normalised images at `indices_B`."""
        return self._finished(indices_B, self._images.select(indices_B))

    def _finished(self, indices_B: Tensor, pixels_BCHW: Tensor) -> Batch:
        images_BCHW = self._normaliser(self._augment(pixels_BCHW, self._generator))
        return Batch(images_NCHW=images_BCHW, labels_N=self._images.labels_N.index_select(0, indices_B))

    def draw(self, size: int, sampling_weight_N: NDArray[np.float64] | None = None) -> Batch:
        """Draw `size` images with replacement, uniformly or in proportion to the weights.

        Raises BalancerError where there is not one weight for each image of the phase.
        """
        if sampling_weight_N is not None:
            return self.batch(self._draw_indices(size, sampling_weight_N))
        device = self._generator.device
        return self.batch(torch.randint(len(self._images), (size,), generator=self._generator, device=device))

    def _draw_indices(self, size: int, sampling_weight_N: NDArray[np.float64]) -> Tensor:
        kept = self._cumulative.get(id(sampling_weight_N))
        if kept is None:
            if sampling_weight_N.shape != (len(self._images),):
                raise BalancerError(
                    f"{len(self._images)} images but sampling weights of shape {sampling_weight_N.shape}"
                )
            cumulative_N = cumulative_weights(sampling_weight_N, self._generator.device)
            kept = self._cumulative[id(sampling_weight_N)] = (sampling_weight_N, cumulative_N)
        cumulative_N = kept[1]
        uniform = torch.rand(size, generator=self._generator, dtype=cumulative_N.dtype, device=cumulative_N.device)
        return indices_at(cumulative_N, uniform)


def indices_at(cumulative_N: Tensor, uniform: Tensor) -> Tensor:
    """Return for each number in [0, 1) the index of the first cumulative share above it."""
    return torch.searchsorted(cumulative_N, uniform, right=True)


def cumulative_weights(sampling_weight_N: NDArray[np.float64], device: torch.device) -> Tensor:
    """Return cumulative shares that end in exactly 1, for `indices_at`.

    An image of weight 0 repeats its predecessor's share and is never first. torch.multinomial would do the same but
    stops at 2**24 images. float64 everywhere but on mps, which has none.
    """
    cumulative_N = np.cumsum(sampling_weight_N, dtype=np.float64)
    cumulative_N /= cumulative_N[-1]
    dtype = torch.float32 if device.type == "mps" else torch.float64
    return torch.from_numpy(cumulative_N).to(dtype).to(device)
