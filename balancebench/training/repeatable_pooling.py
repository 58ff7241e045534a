"""Adaptive average pooling whose gradient repeats bit for bit on CUDA, where torch's own adds up in any order.

Its windows are rectangles, so that their means are those of rows and then of columns, two matrix products:

    pooled = R X C^T,   R[i, h] = 1 / (end_i - start_i) for start_i <= h < end_i, else 0

with start_i = floor(i H / O) and end_i = ceil((i + 1) H / O), for columns alike. The same windows as torch's, and the
same numbers up to rounding.

Axis suffixes: N images, C channels, H rows, W columns, O pooled rows, P pooled columns.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

__all__ = ["RepeatableAveragePool2d", "pool_repeatably"]


class RepeatableAveragePool2d(nn.AdaptiveAvgPool2d):
    """nn.AdaptiveAvgPool2d by matrix products, in float32 whatever the precision around it."""

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002 - torch's name
        """Return pooled_NCOP of images_NCHW, in the same dtype."""
        rows, columns = input.shape[-2:]
        size = self.output_size if isinstance(self.output_size, tuple) else (self.output_size, self.output_size)
        rows_OH = _window_means(rows, rows if size[0] is None else size[0], input.device)
        columns_PW = _window_means(columns, columns if size[1] is None else size[1], input.device)
        with torch.autocast(input.device.type, enabled=False):
            return (rows_OH @ (input.float() @ columns_PW.T)).to(input.dtype)


def _window_means(size: int, pooled_size: int, device: torch.device) -> Tensor:
    """Return the matrix that takes `size` values to the means of `pooled_size` windows, float32."""
    windows = torch.arange(pooled_size, device=device)[:, None]
    places = torch.arange(size, device=device)
    starts, ends = windows * size // pooled_size, -((windows + 1) * -size // pooled_size)
    return ((places >= starts) & (places < ends)).float() / (ends - starts)


def pool_repeatably(network: nn.Module, device: torch.device, *, deterministic: bool) -> None:
    """Replace the adaptive average pooling in `network`, in place, where its gradients would not repeat on `device`.

    Pooling to one pixel stays: torch computes that as a mean. Processors' pooling stays: it repeats.
    """
    if device.type != "cuda" or not deterministic:
        return
    for module in list(network.modules()):
        for name, child in module.named_children():
            if type(child) is nn.AdaptiveAvgPool2d and child.output_size not in (1, (1, 1)):
                setattr(module, name, RepeatableAveragePool2d(child.output_size))
