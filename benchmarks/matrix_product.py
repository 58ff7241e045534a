"""The matrix product that arithmetic is compared with: the fastest of several sizes and layouts.

One size says little: which of them a library is good at differs by processor and precision, and a network that runs
faster than "the" matrix product shows that it was the wrong one.

Axis suffixes: M rows, K what is summed over, N columns.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence

import torch

from benchmarks.timing import synchronise

__all__ = ["matrix_product_rates"]

Shape = tuple[int, int, int]
"""M, K, N."""

# Squares, and the tall products that convolutions are.
SHAPES: Mapping[str, Sequence[Shape]] = {
    "cpu": ((512, 512, 512), (1024, 1024, 1024), (2048, 2048, 2048), (8192, 1152, 128)),
    "cuda": ((4096, 4096, 4096), (8192, 8192, 8192), (16384, 16384, 16384), (262144, 4608, 512)),
}
LAYOUTS = ("NN", "NT", "TN")  # of left and right factor; N: rows lie together in memory, T: columns do
SECONDS = 0.25  # for each shape and layout


def matrix_product_rates(device: str, precision: str) -> dict[str, float]:
    """Return operations a second of each shape and layout, each at its fastest, in "fp32" or "bf16"."""
    dtype = torch.bfloat16 if precision == "bf16" else torch.float32
    rates: dict[str, float] = {}
    for rows, inner, columns in SHAPES["cuda" if device.startswith("cuda") else "cpu"]:
        left_MK = torch.randn(rows, inner, device=device).to(dtype)
        right_KN = torch.randn(inner, columns, device=device).to(dtype)
        for layout in LAYOUTS:
            left = left_MK.t().contiguous().t() if layout[0] == "T" else left_MK
            right = right_KN.t().contiguous().t() if layout[1] == "T" else right_KN
            fastest = _fastest_seconds(left, right, device)
            rates[f"{rows}x{inner}x{columns} {layout}"] = 2 * rows * inner * columns / fastest
    return rates


def _fastest_seconds(left: torch.Tensor, right: torch.Tensor, device: str) -> float:
    torch.mm(left, right)  # chooses kernels
    synchronise(device)
    seconds: list[float] = []
    while sum(seconds) < SECONDS:
        begin = time.perf_counter()
        torch.mm(left, right)
        synchronise(device)
        seconds.append(time.perf_counter() - begin)
    return min(seconds)
