"""Precision and recall, density and coverage: how two sets of features overlap.

Around each image lies a ball that reaches to its k-th nearest neighbour in its own set; the balls of a set stand for
the region that its images come from.

    precision   share of generated images in a ball of a real one (Kynkaanniemi et al. 2019, k = 3)
    recall      share of real images in a ball of a generated one
    density     mean over generated images of (number of real balls around it) / k (Naeem et al. 2020, k = 5)
    coverage    share of real images whose ball holds a generated one

Axis suffixes: N real, M generated images, D features.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from balancebench_quality.blocks import (
    SAME,
    kth_neighbour_distances,
    nearest_distances,
    neighbours_within,
)

__all__ = ["coverage", "density", "precision", "recall"]


def precision(real_ND: NDArray[np.float32], generated_MD: NDArray[np.float32], k: int, device: torch.device) -> float:
    """Return the share of generated images that lie in a ball of a real one."""
    radii_N = kth_neighbour_distances(real_ND, k, device)
    return float((neighbours_within(real_ND, radii_N, generated_MD, device) > 0).mean())


def recall(real_ND: NDArray[np.float32], generated_MD: NDArray[np.float32], k: int, device: torch.device) -> float:
    """Return the share of real images that lie in a ball of a generated one."""
    radii_M = kth_neighbour_distances(generated_MD, k, device)
    return float((neighbours_within(generated_MD, radii_M, real_ND, device) > 0).mean())


def density(real_ND: NDArray[np.float32], generated_MD: NDArray[np.float32], k: int, device: torch.device) -> float:
    """Return how many real balls a generated image lies in, divided by k: about 1 for real images, and not bounded."""
    radii_N = kth_neighbour_distances(real_ND, k, device)
    return float(neighbours_within(real_ND, radii_N, generated_MD, device).mean() / k)


def coverage(real_ND: NDArray[np.float32], generated_MD: NDArray[np.float32], k: int, device: torch.device) -> float:
    """Return the share of real images whose ball holds a generated one."""
    radii_N = kth_neighbour_distances(real_ND, k, device)
    nearest_N = nearest_distances(real_ND, generated_MD, device)
    return float((nearest_N**2 <= radii_N**2 * SAME).mean())
