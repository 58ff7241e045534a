"""Finds images that a balancer should not have: withheld and test images among those it made or plans to train on.

Equal images are found by their bytes. Near ones (shifted by up to an eighth, mirrored, re-encoded, with a little noise)
are looked for among a sample: candidates by the correlation of small versions, then compared pixel by pixel. An image
that lies as near to a kept one has its reason there, and does not count.

Axis suffixes: N images looked at, M images they are compared with, B images of a block, V versions of an image
(shifted, mirrored), C channels, H rows, W columns, D pixels of a small version.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from balancebench.large_images import ImageRows, row_chunks

__all__ = ["Leak", "digests_of", "leaked"]

SAMPLE = 200  # images that near ones are looked for of
SMALL = 8  # rows and columns of small versions
LARGEST_SHIFT = 8  # an eighth of rows and columns
FLAT = 4.0  # grey levels of standard deviation: below, an image is like too many others
LEAST_CORRELATION = 0.85  # of small versions, for a closer look
NEAR = 8.0  # grey levels, root mean square: what compression and a little noise change
BLOCK = 4096  # images compared at once

Images = NDArray[np.uint8] | ImageRows


@dataclass(frozen=True, slots=True, kw_only=True)
class Leak:
    """How many of the images looked at are equal to, or of a sample of `sampled` near, images they should not know."""

    images: int
    equal: int
    near: int
    sampled: int

    def __bool__(self) -> bool:
        return self.equal > 0 or self.near > 0

    def described(self, whose: str) -> str:
        """Return it in words; whose: "test images"."""
        parts = [f"{self.equal} of {self.images} equal {whose}"] if self.equal else []
        if self.near:
            parts.append(f"{self.near} of {self.sampled} looked at are near {whose}")
        return ", ".join(parts)


def leaked(images_NCHW: Images, kept_MCHW: Images, others_MCHW: Images) -> Leak:
    """Return how many of the images are among `others`, or near one of those, and not among or as near to kept ones."""
    if len(images_NCHW) == 0 or len(others_MCHW) == 0:
        return Leak(images=len(images_NCHW), equal=0, near=0, sampled=0)
    foreign = set(digests_of(others_MCHW)) - set(digests_of(kept_MCHW))
    is_varied_N = _are_varied(images_NCHW)
    is_equal_N = np.array([digest in foreign for digest in digests_of(images_NCHW)]) & is_varied_N
    rest_N = np.flatnonzero(is_varied_N & ~is_equal_N)
    sampled_N = rest_N[np.linspace(0, len(rest_N) - 1, min(SAMPLE, len(rest_N))).round().astype(np.int64)]
    varied_NCHW = np.asarray(images_NCHW[sampled_N])
    to_others_N = _distances(varied_NCHW, others_MCHW)
    near_N = np.flatnonzero(to_others_N <= NEAR)
    to_kept_N = _distances(varied_NCHW[near_N], kept_MCHW)
    near = int((to_others_N[near_N] < to_kept_N).sum())
    return Leak(images=len(images_NCHW), equal=int(is_equal_N.sum()), near=near, sampled=len(sampled_N))


def digests_of(images_NCHW: Images) -> list[bytes]:
    """Return 16 bytes for each image, the same for images of the same bytes."""
    return [
        hashlib.blake2b(image_CHW, digest_size=16).digest()
        for chunk_BCHW in row_chunks(images_NCHW)
        for image_CHW in np.ascontiguousarray(chunk_BCHW)
    ]


def _are_varied(images_NCHW: Images) -> NDArray[np.bool_]:
    """Return which images are not flat."""
    deviations = [chunk.reshape(len(chunk), -1).std(axis=1, dtype=np.float32) for chunk in row_chunks(images_NCHW)]
    return np.concatenate(deviations) >= FLAT


def _distances(images_NCHW: NDArray[np.uint8], others_MCHW: Images) -> NDArray[np.float64]:
    """Return how far each image is from the other one that is most like it, in grey levels; inf where none is alike."""
    distances_N = np.full(len(images_NCHW), np.inf)
    if len(images_NCHW) == 0 or len(others_MCHW) == 0:
        return distances_N
    best_N, candidate_N = np.full(len(images_NCHW), -1.0), np.zeros(len(images_NCHW), dtype=np.int64)
    small_VND = np.stack([_small(version_NCHW) for version_NCHW in _coarse_versions(images_NCHW)])
    for begin in range(0, len(others_MCHW), BLOCK):
        others_BD = _small(np.asarray(others_MCHW[begin : begin + BLOCK]))
        for small_ND in small_VND:
            correlation_NB = small_ND @ others_BD.T
            nearest_N = correlation_NB.argmax(axis=1)
            value_N = correlation_NB[np.arange(len(nearest_N)), nearest_N]
            is_better_N = value_N > best_N
            best_N[is_better_N] = value_N[is_better_N]
            candidate_N[is_better_N] = begin + nearest_N[is_better_N]
    for index in np.flatnonzero(best_N >= LEAST_CORRELATION):
        other_CHW = np.asarray(others_MCHW[candidate_N[index : index + 1]])[0]
        distances_N[index] = _aligned_distance(images_NCHW[index], other_CHW)
    return distances_N


def _small(images_NCHW: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Return the images as SMALL x SMALL grey pixels, each of mean 0 and length 1, (N, D); flat ones are all 0."""
    grey_NHW = images_NCHW.mean(axis=1, dtype=np.float32)
    for axis in (1, 2):
        size = grey_NHW.shape[axis]
        edges = np.arange(min(SMALL, size)) * size // min(SMALL, size)
        widths = np.diff([*edges, size]).astype(np.float32)
        shape = (1, -1, 1) if axis == 1 else (1, 1, -1)
        grey_NHW = np.add.reduceat(grey_NHW, edges, axis=axis) / widths.reshape(shape)
    small_ND = grey_NHW.reshape(len(grey_NHW), -1)
    small_ND = small_ND - small_ND.mean(axis=1, keepdims=True)
    length_N1 = np.linalg.norm(small_ND, axis=1, keepdims=True)
    return np.divide(small_ND, length_N1, out=np.zeros_like(small_ND), where=length_N1 > 1e-3)


def _coarse_versions(images_NCHW: NDArray[np.uint8]) -> Iterator[NDArray[np.uint8]]:
    """Yield the images as they are and mirrored, moved by nothing and by the largest shift in each direction."""
    rows, columns = (size // LARGEST_SHIFT for size in images_NCHW.shape[2:])
    for mirrored_NCHW in (images_NCHW, images_NCHW[..., ::-1]):
        for down in sorted({-rows, 0, rows}):
            for right in sorted({-columns, 0, columns}):
                yield np.roll(mirrored_NCHW, (down, right), axis=(2, 3))


def _aligned_distance(image_CHW: NDArray[np.uint8], other_CHW: NDArray[np.uint8]) -> float:
    """Return the least root mean square difference over small shifts, of the part that both show, mirrored or not."""
    _, height, width = image_CHW.shape
    least = np.inf
    for version_CHW in (image_CHW.astype(np.float32), image_CHW[..., ::-1].astype(np.float32)):
        for down in range(-(height // LARGEST_SHIFT), height // LARGEST_SHIFT + 1):
            for right in range(-(width // LARGEST_SHIFT), width // LARGEST_SHIFT + 1):
                own_CHW = version_CHW[:, max(0, -down) : height - max(0, down), max(0, -right) : width - max(0, right)]
                its_CHW = other_CHW[:, max(0, down) : height + min(0, down), max(0, right) : width + min(0, right)]
                least = min(least, float(np.sqrt(np.square(own_CHW - its_CHW).mean())))
    return least
