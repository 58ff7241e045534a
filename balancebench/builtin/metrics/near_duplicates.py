"""Test images that have a near-duplicate among the training images: a classifier can remember those.

Axis suffixes: N images, M images of the training set, C channels, H rows, W columns, P the rows of all channels,
R and L the rows and columns of an image as it is hashed.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from balancebench.builtin.metrics.options import NearDuplicatesOptions
from balancebench.evaluation import MetricValue, SubsetEvaluation, Undefined
from balancebench.large_images import ImageRows, row_chunks

__all__ = ["NearDuplicates", "difference_hashes", "have_near_hash"]

HASH_ROWS, HASH_COLUMNS = 8, 9  # nine columns have eight differences
HASH_BITS = HASH_ROWS * (HASH_COLUMNS - 1)
FEWEST_BITS = 8  # that are set, and that are not: with fewer a hash tells little but that the image is flat
LUMINANCE = {1: (1,), 3: (299, 587, 114)}  # of the channels; red, green and blue in thousandths (ITU-R BT.601)
BLOCK = 2**20  # pixels, or pairs of hashes, at once: so many stay in a processor's cache


@dataclass(frozen=True)
class NearDuplicates:
    """The share of test images with a near-duplicate among the training images.

    That is a training image whose difference hash differs in at most `distance` bits from that of the test image, or
    of the test image mirrored. Flat images, with hashes of fewer than 8 bits set or not set, are not compared by them.
    Images that are equal byte for byte are near-duplicates in any case.
    """

    options: NearDuplicatesOptions

    def __call__(self, evaluation: SubsetEvaluation) -> MetricValue:
        """Return the share, 0..1; Undefined without test images."""
        if len(evaluation.test_images_NCHW) == 0:
            return Undefined("there are no test images")
        train_digests, train_hashes_M = _prints(evaluation.train.images_NCHW)
        train_digest_set = set(train_digests)
        near_N = np.zeros(len(evaluation.test_images_NCHW), dtype=bool)
        for mirrored in (False, True):
            digests, hashes_N = _prints(evaluation.test_images_NCHW, mirrored=mirrored)
            near_N |= np.array([digest in train_digest_set for digest in digests])
            near_N |= have_near_hash(hashes_N, train_hashes_M, self.options.distance)
        return float(near_N.mean())


def difference_hashes(images_NCHW: NDArray[np.uint8]) -> NDArray[np.uint64]:
    """Return the difference hash of each image, uint64 (N,): where the grey image gets brighter from left to right.

    The image is resized to 8 rows and 9 columns, each the mean of the area it covers; a bit for each two neighbours
    in a row says whether the right one is brighter (Krawetz 2013, "Kind of Like That"). All is computed in whole
    numbers below 2**53, exact in float64, so that equal neighbours stay equal.
    """
    _, channels, height, width = images_NCHW.shape
    rows_RP = np.concatenate([weight * _overlaps(height, HASH_ROWS) for weight in LUMINANCE[channels]], axis=1)
    columns_WL = _overlaps(width, HASH_COLUMNS).T
    bits_N64 = np.empty((len(images_NCHW), HASH_BITS), dtype=bool)
    step = max(1, BLOCK // (channels * height * width))
    for begin in range(0, len(images_NCHW), step):
        narrow_NPL = (images_NCHW[begin : begin + step].reshape(-1, width) @ columns_WL).reshape(
            -1, channels * height, HASH_COLUMNS
        )
        grey_NRL = rows_RP @ narrow_NPL
        bits_N64[begin : begin + step] = (grey_NRL[:, :, :-1] < grey_NRL[:, :, 1:]).reshape(-1, HASH_BITS)
    return np.packbits(bits_N64, axis=1).view(np.uint64)[:, 0]


def have_near_hash(hashes_N: NDArray[np.uint64], others_M: NDArray[np.uint64], distance: int) -> NDArray[np.bool_]:
    """Say of each hash whether one of the others differs from it in at most `distance` bits, bool (N,).

    Hashes of flat images are near none.
    """
    others = np.unique(others_M[_tells(others_M)])
    near_N = np.zeros(len(hashes_N), dtype=bool)
    step = max(1, BLOCK // max(1, len(others)))
    for begin in range(0, len(hashes_N), step):
        differing_NM = np.bitwise_count(hashes_N[begin : begin + step, None] ^ others)
        near_N[begin : begin + step] = (differing_NM <= distance).any(axis=1)
    return near_N & _tells(hashes_N)


def _tells(hashes_N: NDArray[np.uint64]) -> NDArray[np.bool_]:
    set_N = np.bitwise_count(hashes_N)
    return (set_N >= FEWEST_BITS) & (set_N <= HASH_BITS - FEWEST_BITS)


def _prints(
    images_NCHW: NDArray[np.uint8] | ImageRows, *, mirrored: bool = False
) -> tuple[list[bytes], NDArray[np.uint64]]:
    """Return a digest of each image's bytes and its difference hash, uint64 (N,), reading a chunk at a time."""
    digests: list[bytes] = []
    hashes = [np.empty(0, dtype=np.uint64)]
    for chunk_NCHW in row_chunks(images_NCHW):
        turned_NCHW = chunk_NCHW[..., ::-1] if mirrored else chunk_NCHW
        digests += [hashlib.blake2b(image_CHW.tobytes(), digest_size=16).digest() for image_CHW in turned_NCHW]
        hashes.append(difference_hashes(turned_NCHW))
    return digests, np.concatenate(hashes)


def _overlaps(length: int, parts: int) -> NDArray[np.float64]:
    """Return how much of each pixel of an axis each of `parts` equal parts of it covers, (parts, length).

    In 1 / parts of a pixel, so that they are whole numbers; each part covers `length` of them.
    """
    part_edges = np.arange(parts + 1) * length
    pixel_edges = np.arange(length + 1) * parts
    ends = np.minimum(part_edges[1:, None], pixel_edges[1:])
    begins = np.maximum(part_edges[:-1, None], pixel_edges[:-1])
    return (ends - begins).clip(0).astype(np.float64)
