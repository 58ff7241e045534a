"""Precision and recall, density and coverage: how two sets of features overlap.

Around each image lies a ball that reaches to its k-th nearest neighbour in its own set; the balls of a set stand for
the region that its images come from.

    precision   share of synthetic images in a ball of a real one (Kynkaanniemi et al. 2019, k = 3)
    recall      share of real images in a ball of a synthetic one
    density     mean over synthetic images of (number of real balls around it) / k (Naeem et al. 2020, k = 5)
    coverage    share of real images whose ball holds a synthetic one

Axis suffixes: N images of a set, D features.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from balancebench_quality.blocks import SAME, kth_neighbour_distances, nearest_distances, neighbours_within
from balancebench_quality.options import OverlapOptions
from balancebench_quality.pairs import PairMetric

__all__ = ["Coverage", "Density", "GenerativePrecision", "GenerativeRecall"]


class Overlap(PairMetric[OverlapOptions]):
    """What the four have in common."""

    def too_few(self, count: int, feature_count: int) -> str | None:
        """Refuse sets whose images have no k-th neighbour."""
        k = self.options.k
        return None if count > k else f"a {k}-th neighbour needs {k + 1} images a side"

    def balls_around(
        self, points_ND: NDArray[np.float32], centres_ND: NDArray[np.float32], device: torch.device
    ) -> NDArray[np.int64]:
        """Return for each point in how many of the balls around the centres it lies."""
        radii_N = kth_neighbour_distances(centres_ND, self.options.k, device)
        return neighbours_within(centres_ND, radii_N, points_ND, device)


class GenerativePrecision(Overlap):
    """The share of synthetic images that lie in a ball of a real one."""

    def compare(self, real_ND: NDArray[np.float32], synthetic_ND: NDArray[np.float32], device: torch.device) -> float:
        """Return precision."""
        return float((self.balls_around(synthetic_ND, real_ND, device) > 0).mean())


class GenerativeRecall(Overlap):
    """The share of real images that lie in a ball of a synthetic one."""

    def compare(self, real_ND: NDArray[np.float32], synthetic_ND: NDArray[np.float32], device: torch.device) -> float:
        """Return recall."""
        return float((self.balls_around(real_ND, synthetic_ND, device) > 0).mean())


class Density(Overlap):
    """How many real balls a synthetic image lies in, divided by k: about 1 for real images, and not bounded."""

    def compare(self, real_ND: NDArray[np.float32], synthetic_ND: NDArray[np.float32], device: torch.device) -> float:
        """Return density."""
        return float(self.balls_around(synthetic_ND, real_ND, device).mean() / self.options.k)


class Coverage(Overlap):
    """The share of real images whose ball holds a synthetic one."""

    def compare(self, real_ND: NDArray[np.float32], synthetic_ND: NDArray[np.float32], device: torch.device) -> float:
        """Return coverage."""
        radii_N = kth_neighbour_distances(real_ND, self.options.k, device)
        nearest_N = nearest_distances(real_ND, synthetic_ND, device)
        return float((nearest_N**2 <= radii_N**2 * SAME).mean())
