"""Training images that stay on the disk, or in the host's memory, and come to the device in large blocks.

Axis suffixes: N images, M images of a block, B images of a batch, S steps, C channels, H rows, W columns.
"""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager, nullcontext

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from balancebench.data import LabelledImages
from balancebench.large_images import ImageRows, rows_of
from balancebench.training.visiting_order import WINDOW_BYTES

__all__ = ["StreamedImages", "StreamedPixels"]


class StreamedImages:
    """A phase's images where the device cannot hold them: it offers what `ResidentImages` offers, and the same images.

    A block is a whole number of batches. While the batches of one are trained on, a thread reads the next, so that
    two are in memory, of at most `block_bytes` each (but one batch at least).
    """

    def __init__(self, images: LabelledImages, device: torch.device, block_bytes: int = WINDOW_BYTES) -> None:
        self._rows = rows_of(images.images_NCHW)
        self.images_NCHW = StreamedPixels(self._rows, device)
        self.labels_N = torch.from_numpy(np.array(images.labels_N)).to(device)
        self._device = device
        self._image_bytes = images.images_NCHW.nbytes // len(images)
        self._block_bytes = block_bytes

    def __len__(self) -> int:
        return len(self.labels_N)

    @property
    def nbytes(self) -> int:
        """The bytes of all images."""
        return self._rows.nbytes

    def select(self, indices_B: Tensor) -> Tensor:
        """Return images_BCHW uint8 on the device; on CUDA this waits for the device, and reads while it waits."""
        rows_B = self._rows.rows_N[indices_B.cpu().numpy()]
        return self._read(rows_B).to(self._device, non_blocking=True)

    def batches(self, indices_SB: Tensor) -> Iterator[Tensor]:
        """Yield images_BCHW uint8 on the device for each row of indices; each block is read in the file's order."""
        steps, batch_size = indices_SB.shape
        if steps == 0:
            return
        rows_SB = self._rows.rows_N[indices_SB.cpu().numpy()]
        in_block = max(1, self._block_bytes // (batch_size * self._image_bytes))
        blocks = [rows_SB[begin : begin + in_block] for begin in range(0, steps, in_block)]
        with ThreadPoolExecutor(1, thread_name_prefix="balancebench-read-ahead") as reader:
            ahead: Future[tuple[Tensor, Tensor]] = reader.submit(self._read_block, blocks[0])
            for following in [*blocks[1:], None]:
                read_MCHW, index_SB = ahead.result()
                # The block before is let go with its name, and only then the next read begins: never three at a time.
                block_MCHW = read_MCHW.to(self._device, non_blocking=True)
                if following is not None:
                    ahead = reader.submit(self._read_block, following)
                for index_B in index_SB.to(self._device, non_blocking=True):
                    yield block_MCHW.index_select(0, index_B)

    def _read_block(self, rows_SB: NDArray[np.int64]) -> tuple[Tensor, Tensor]:
        """Return the block's images, each once, and for each place of its batches where in the block it is."""
        rows_M, index = np.unique(rows_SB, return_inverse=True)
        index_SB = torch.from_numpy(index.reshape(rows_SB.shape))
        with self._chosen():
            return self._read(rows_M), index_SB.pin_memory() if self._device.type == "cuda" else index_SB

    def _read(self, rows_M: NDArray[np.int64]) -> Tensor:
        # Pinned memory is copied while the device and this process go on; torch keeps it until the copy is done.
        shape = (len(rows_M), *self._rows.shape[1:])
        with self._chosen():
            read_MCHW = torch.empty(shape, dtype=torch.uint8, pin_memory=self._device.type == "cuda")
        self._rows.read(rows_M, read_MCHW.numpy())
        return read_MCHW

    def _chosen(self) -> AbstractContextManager[object]:
        """Memory is pinned for the device that the thread has chosen, and a new thread begins with the first GPU."""
        return torch.cuda.device(self._device) if self._device.type == "cuda" else nullcontext()


class StreamedPixels:
    """All images of a set as normalisation reads them: some at a time."""

    def __init__(self, rows: ImageRows, device: torch.device) -> None:
        self._rows = rows
        self.shape = rows.shape
        self.device = device

    def split(self, split_size: int, /) -> Iterator[Tensor]:
        """Yield images_MCHW uint8 on the device, in order, `split_size` at a time."""
        for begin in range(0, len(self._rows), split_size):
            yield torch.from_numpy(self._rows[begin : begin + split_size]).to(self.device)
