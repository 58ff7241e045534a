"""kid: the kernel distance between two sets of features (Binkowski et al. 2018).

    k(x, y) = (x . y / D + 1)^3
    KID = mean of k over pairs of different real images + the same of synthetic ones
          - 2 * mean of k over all pairs of a real and a synthetic image

which is the unbiased estimate of the squared maximum mean discrepancy (Gretton et al. 2012) under this kernel.

Axis suffixes: N real, M synthetic images, D features.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from balancebench_quality.blocks import inner_products
from balancebench_quality.options import PairOptions
from balancebench_quality.pairs import PairMetric

__all__ = ["Kid"]


class Kid(PairMetric[PairOptions]):
    """KID, over all pairs at once.

    The paper averages over subsets of 1,000 images, for want of memory and to have an interval; the mean of those is
    the same estimate with more variance and a seed.
    """

    def too_few(self, count: int, feature_count: int) -> str | None:
        """Refuse sets without a pair of different images."""
        return None if count >= 2 else "fewer than 2 images a side"

    def compare(self, real_ND: NDArray[np.float32], synthetic_ND: NDArray[np.float32], device: torch.device) -> float:
        """Return KID, which may be a little below 0."""
        real, synthetic = len(real_ND), len(synthetic_ND)
        within_real = _kernel_sum(real_ND, real_ND, device) - _kernel_sum_of_squares(real_ND)
        within_synthetic = _kernel_sum(synthetic_ND, synthetic_ND, device) - _kernel_sum_of_squares(synthetic_ND)
        between = _kernel_sum(real_ND, synthetic_ND, device)
        return (
            within_real / (real * (real - 1))
            + within_synthetic / (synthetic * (synthetic - 1))
            - 2 * between / (real * synthetic)
        )


def _kernel_sum(first_ND: NDArray[np.float32], second_MD: NDArray[np.float32], device: torch.device) -> float:
    """Return the sum of k over all pairs."""
    feature_count = first_ND.shape[1]
    total = torch.zeros((), dtype=torch.float64, device=device)
    for _, _, products_AB in inner_products(first_ND, second_MD, device):
        total += (products_AB / feature_count + 1).pow(3).sum()
    return float(total)


def _kernel_sum_of_squares(features_ND: NDArray[np.float32]) -> float:
    """Return the sum of k(x, x)."""
    squares_N = (features_ND.astype(np.float64) ** 2).sum(axis=1)
    return float(((squares_N / features_ND.shape[1] + 1) ** 3).sum())
