"""fid: the Frechet distance between features of real and of synthetic images (Heusel et al. 2017).

The distance itself, and how it is computed, is `balancebench.synthesis.frechet`.

Axis suffixes: N images, D features, P numbers of images.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from balancebench.synthesis.frechet import frechet_distance, moments_of
from balancebench_quality.options import FrechetOptions
from balancebench_quality.pairs import PairMetric

__all__ = ["Fid", "extrapolated_frechet_distance"]

POINTS = 15  # numbers of images at which the extrapolated distance is measured


class Fid(PairMetric[FrechetOptions]):
    """FID, or FID-infinity."""

    def too_few(self, count: int, feature_count: int) -> str | None:
        """Refuse what leaves a covariance without full rank: it says more of the number of images than of them."""
        needed = feature_count + 1 if self.options.correction == "none" else 2 * (feature_count + 1)
        if count >= needed:
            return None
        return f"{feature_count} features need {needed} images a side, or the covariance is singular; kid needs 2"

    def compare(self, real_ND: NDArray[np.float32], synthetic_ND: NDArray[np.float32], device: torch.device) -> float:
        """Return the distance, computed on the processor."""
        if self.options.correction == "extrapolated":
            return extrapolated_frechet_distance(real_ND, synthetic_ND)
        return frechet_distance(moments_of(real_ND), moments_of(synthetic_ND))


def extrapolated_frechet_distance(real_ND: NDArray[np.float32], synthetic_ND: NDArray[np.float32]) -> float:
    """Return FID-infinity: the distance for endlessly many synthetic images, extrapolated from smaller numbers.

    FID is biased upwards by a term in 1 / N. It is measured at 15 numbers of synthetic images, evenly spaced between a
    tenth of them (D + 1 at least) and all, each a random draw, against all real images; the intercept of the line
    through the distances over 1 / N is the result (Chong and Forsyth 2020). It may be a little below 0.
    Needs 2 (D + 1) synthetic images. The bias from the number of real images stays.
    """
    count, feature_count = synthetic_ND.shape
    sizes_P = np.linspace(max(feature_count + 1, count // 10), count, POINTS).astype(np.int64)
    rng = np.random.default_rng(0)
    real = moments_of(real_ND)
    distances_P = [frechet_distance(real, moments_of(synthetic_ND[rng.permutation(count)[:size]])) for size in sizes_P]
    _slope, intercept = np.polyfit(1 / sizes_P, distances_P, deg=1)
    return float(intercept)
