"""The Frechet distance between two sets of features (Heusel et al. 2017; Chong and Forsyth 2020).

    FID = |m_r - m_g|^2 + tr(S_r) + tr(S_g) - 2 tr((S_r S_g)^(1/2))

with mean m and covariance S (divided by N - 1) of the features of real (r) and generated (g) images.

Axis suffixes: N images, D features.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["extrapolated_frechet_distance", "frechet_distance"]

Moments = tuple[NDArray[np.float64], NDArray[np.float64]]

POINTS = 15  # numbers of images at which the extrapolated distance is measured


def frechet_distance(real_ND: NDArray[np.float32], generated_ND: NDArray[np.float32]) -> float:
    """Return the Frechet distance; each set needs D + 1 images for its covariance to have full rank.

    All in float64: the result is a small difference of large traces. The trace of the root is taken without a root:
    for any A with A^T A = S, tr((S_r S_g)^(1/2)) is the sum of the singular values of A_r A_g^T. A is the R of a QR
    decomposition of the centred features, so that no matrix is squared (which halves the digits of its small singular
    values) and no root of a nearly singular product comes out complex.
    """
    return _distance(_mean_and_root(real_ND), _mean_and_root(generated_ND))


def extrapolated_frechet_distance(real_ND: NDArray[np.float32], generated_ND: NDArray[np.float32]) -> float:
    """Return FID-infinity: the distance for endlessly many generated images, extrapolated from smaller numbers.

    FID is biased upwards by a term in 1 / N. It is measured at 15 numbers of generated images, evenly spaced between a
    tenth of them (D + 1 at least) and all, each a random draw, against all real images; the intercept of the line
    through the distances over 1 / N is the result (Chong and Forsyth 2020). It may be a little below 0.
    Needs 2 (D + 1) generated images. The bias from the number of real images stays.
    """
    count, feature_count = generated_ND.shape
    sizes_P = np.linspace(max(feature_count + 1, count // 10), count, POINTS).astype(np.int64)
    rng = np.random.default_rng(0)
    real = _mean_and_root(real_ND)
    distances_P = [_distance(real, _mean_and_root(generated_ND[rng.permutation(count)[:size]])) for size in sizes_P]
    _slope, intercept = np.polyfit(1 / sizes_P, distances_P, deg=1)
    return float(intercept)


def _distance(real: Moments, generated: Moments) -> float:
    (mean_real_D, root_real_DD), (mean_generated_D, root_generated_DD) = real, generated
    shift = ((mean_real_D - mean_generated_D) ** 2).sum()
    traces = (root_real_DD**2).sum() + (root_generated_DD**2).sum()
    overlap = np.linalg.svd(root_real_DD @ root_generated_DD.T, compute_uv=False).sum()
    return float(max(shift + traces - 2 * overlap, 0.0))  # rounding may go below 0 where the sets are the same


def _mean_and_root(features_ND: NDArray[np.float32]) -> Moments:
    """Return the mean and some A with A^T A = the covariance."""
    centred_ND = features_ND.astype(np.float64)
    mean_D = centred_ND.mean(axis=0)
    centred_ND -= mean_D
    return mean_D, np.linalg.qr(centred_ND, mode="r") / np.sqrt(len(features_ND) - 1)
