"""The Frechet distance between two sets of features, each taken for a normal distribution (Heusel et al. 2017).

    |m_1 - m_2|^2 + tr(S_1) + tr(S_2) - 2 tr((S_1 S_2)^(1/2))

with mean m and covariance S (divided by N - 1) of each set. The trace of the root is taken without a root: for any A
with A^T A = S it is the sum of the singular values of A_1 A_2^T. A is the R of a QR decomposition of the centred
features: no matrix is squared (which halves the digits of its small singular values), no root of a nearly singular
product comes out complex, and few images with many features, whose covariance has no full rank, are exact too.

Axis suffixes: N images, D features, R rows of a root: N or D, whichever is less.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

__all__ = ["Moments", "frechet_distance", "moments_of"]


class Moments(NamedTuple):
    """What the distance knows of a set: its mean, and a root of its covariance S, root^T root = S; both float64."""

    mean_D: NDArray[np.float64]
    root_RD: NDArray[np.float64]


def moments_of(features_ND: NDArray[np.floating[Any]]) -> Moments:
    """Return the moments of the features of at least two images, computed in float64."""
    centred_ND = features_ND.astype(np.float64)
    mean_D = centred_ND.mean(axis=0)
    centred_ND -= mean_D
    return Moments(mean_D, np.linalg.qr(centred_ND, mode="r") / np.sqrt(len(features_ND) - 1))


def frechet_distance(first: Moments, second: Moments) -> float:
    """Return the distance, at least 0; NaN where a feature was not finite.

    Computed in float64: it is a small difference of large traces.
    """
    if not (np.isfinite(first.root_RD).all() and np.isfinite(second.root_RD).all()):
        return float("nan")
    shift = ((first.mean_D - second.mean_D) ** 2).sum()
    traces = (first.root_RD**2).sum() + (second.root_RD**2).sum()
    overlap = np.linalg.svd(first.root_RD @ second.root_RD.T, compute_uv=False).sum()
    return float(max(shift + traces - 2 * overlap, 0.0))  # rounding may go below 0 where the sets are the same
