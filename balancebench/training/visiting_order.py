"""The order in which an epoch visits the images, when it visits each once."""

from __future__ import annotations

import torch
from torch import Generator, Tensor

from balancebench.large_images import is_large

__all__ = ["WINDOW_BYTES", "visiting_order"]

CHUNK_BYTES = 2**19  # consecutive images that are read together: large enough for a disk, small enough to mix
WINDOW_BYTES = 2**28  # images that are shuffled among each other: 512 chunks


def visiting_order(count: int, image_bytes: int, batch_size: int, generator: Generator) -> Tensor:
    """Return the indices 0..count - 1, shuffled, int64 on the generator's device.

    Of large sets (`balancebench.large_images`) chunks of consecutive images are shuffled, and then the images within
    windows of many chunks, each a whole number of batches: a window can be read from a disk in large pieces. Where the
    images lie, in the device's memory or not, does not change the order, so it changes no result.
    """
    device = generator.device
    if not is_large(count * image_bytes):
        return torch.randperm(count, generator=generator, device=device)
    chunk = max(1, CHUNK_BYTES // image_bytes)
    window = max(1, WINDOW_BYTES // (image_bytes * batch_size)) * batch_size
    first_of_chunk = chunk * torch.randperm(-(-count // chunk), generator=generator, device=device)
    by_chunk = (first_of_chunk[:, None] + torch.arange(chunk, device=device)).flatten()
    by_chunk = by_chunk[by_chunk < count]  # the last chunk may be a short one
    shuffled = [part[torch.randperm(len(part), generator=generator, device=device)] for part in by_chunk.split(window)]
    return torch.cat(shuffled)
