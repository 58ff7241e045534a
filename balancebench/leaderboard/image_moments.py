"""What test images say of differences between rows, for all pairs at once and exactly.

A pair a, b of rows is reduced to d_si = c_asi - c_bsi in {-1, 0, 1}: which of the two predicts image i rightly under
seed s. Of each class with n images, over the S x n table of d,

    MI = var_i(mean_s d_si)      MR = sum_si (d_si - d_s. - d_.i + d_..)^2 / ((S - 1) (n - 1))

and for a mean over classes with weights w_k

    v = max(0, sum_k w_k^2 (MI_k - MR_k / S) / n_k)      images, beyond what seeds show already
    r = sum_k w_k^2 MR_k / (S n_k)                       the least that seeds can vary

The sums that MI and MR need are sums of whole numbers, and those of all pairs come from products of matrices, such as
sum_i (sum_s d_si)^2 = G_aa + G_bb - 2 G_ab with G = H H', H_ri = sum_s c_rsi: the order of images, seeds and rows
changes no bit.

Axis suffixes: R rows, S seeds, N test images, B bytes of packed bits, K classes, W weightings of the classes.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["ImageMoments", "image_moments"]

Floats = NDArray[np.float64]
LARGEST_EXACT = 2**24  # whole numbers up to here are exact in single precision


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageMoments:
    """What test images say of the pairs of R rows, for W weightings.

    image_variance_WRR: v, float64; with one seed all of the images' variance. residual_variance_WRR: r, float64; 0 with
    one seed. Both NaN where a class that weighs has fewer than two images. differing_RR: int64, over all seeds and
    images, how often one of the two is right and the other wrong; 0 is identical. ahead_RR: how often the first is
    right alone.
    """

    image_variance_WRR: Floats
    residual_variance_WRR: Floats
    differing_RR: NDArray[np.int64]
    ahead_RR: NDArray[np.int64]


def image_moments(
    packed_SRB: NDArray[np.uint8], labels_N: NDArray[np.int64], weights_WK: NDArray[np.float64]
) -> ImageMoments:
    """Return the moments of all pairs of rows.

    packed_SRB: uint8, correctness as packed bits, the first image the highest bit. labels_N: int64, 0..K-1. weights_WK:
    of the classes' means; those of a weighting sum to 1 where it is a metric. Unpacked they take S R N bytes.
    """
    seeds, rows, _ = packed_SRB.shape
    weightings, classes = weights_WK.shape
    right_SRN = np.unpackbits(packed_SRB, axis=2, count=len(labels_N))
    right_SRN = right_SRN[:, :, np.argsort(labels_N, kind="stable")]
    image_variance_WRR = np.zeros((weightings, rows, rows))
    residual_variance_WRR = np.zeros((weightings, rows, rows))
    differing_RR = np.zeros((rows, rows))
    hits_R = np.zeros(rows)
    end = 0
    for label, count in enumerate(np.bincount(labels_N, minlength=classes).tolist()):
        begin, end = end, end + count
        if not count:
            continue
        exact = np.float32 if count * seeds**2 < LARGEST_EXACT else np.float64
        right_SRn = right_SRN[:, :, begin:end].astype(exact)
        squares_RR = np.sum([_squared_distances(right_Rn) for right_Rn in right_SRn], axis=0)  # sum_si d^2
        differing_RR += squares_RR
        hits_SR = right_SRn.sum(axis=2, dtype=np.float64)
        hits_R += hits_SR.sum(axis=0)
        weighs_W = weights_WK[:, label] != 0
        if not weighs_W.any():
            continue
        mean_square_images_RR, mean_square_rest_RR = _mean_squares(right_SRn, squares_RR, hits_SR)
        scale_W11 = (weights_WK[weighs_W, label] ** 2 / count)[:, None, None]
        image_variance_WRR[weighs_W] += scale_W11 * (mean_square_images_RR - mean_square_rest_RR / seeds)
        residual_variance_WRR[weighs_W] += scale_W11 * (mean_square_rest_RR / seeds)
    return ImageMoments(
        image_variance_WRR=np.maximum(0.0, image_variance_WRR),
        residual_variance_WRR=residual_variance_WRR,
        differing_RR=differing_RR.astype(np.int64),
        ahead_RR=((differing_RR + hits_R[:, None] - hits_R[None, :]) / 2).astype(np.int64),
    )


def _mean_squares(right_SRn: NDArray[np.floating], squares_RR: Floats, hits_SR: Floats) -> tuple[Floats, Floats]:
    """Return MI and MR of one class, each (R, R)."""
    seeds, rows, count = right_SRn.shape
    if count < 2:
        return np.full((rows, rows), np.nan), np.full((rows, rows), np.nan)
    of_images_RR = _squared_distances(right_SRn.sum(axis=0))  # sum_i (sum_s d)^2
    of_seeds_RR = np.sum([(hits_R[:, None] - hits_R[None, :]) ** 2 for hits_R in hits_SR], axis=0)  # sum_s (sum_i d)^2
    total_R = hits_SR.sum(axis=0)
    of_all_RR = (total_R[:, None] - total_R[None, :]) ** 2
    # Whole numbers throughout, up to the division.
    images_RR = (count * of_images_RR - of_all_RR) / (seeds**2 * count * (count - 1))
    if seeds == 1:
        return images_RR, np.zeros((rows, rows))
    rest_RR = seeds * count * squares_RR - seeds * of_seeds_RR - count * of_images_RR + of_all_RR
    return images_RR, rest_RR / (seeds * count * (seeds - 1) * (count - 1))


def _squared_distances(values_Rn: NDArray[np.floating]) -> Floats:
    """Return sum_i (a_i - b_i)^2 of all pairs of rows, float64 (R, R): exact, for values are whole numbers."""
    gram_RR = (values_Rn @ values_Rn.T).astype(np.float64)
    own_R = gram_RR.diagonal()
    return own_R[:, None] + own_R[None, :] - 2 * gram_RR
