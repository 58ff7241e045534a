"""How alike the images of a training subset are: SSIM-mergeCls and SSIM-supSubCls (Guo et al., section 3.2).

    SSIM_set(X) = the mean SSIM of 2 |X| random pairs of different images of X
    mergeCls = SSIM_set(all images),   supSubCls = max over super-classes k of SSIM_set(X_k)

Where a data set has no super-classes each class is one. Pairs are drawn inside random groups of at most 512 images, so
that each pair of different images is as likely as any other, and windows of no more than a group are held at a time.

The standard error is of a bootstrap over images (pairs share them): each replicate weighs a pair by the product of how
often its two images were drawn. Where pairs differ more than images do it is too large, by sqrt(3) at most. Of a
maximum it is that of the set which has it; that a maximum over few images is too high, it does not know.

Axis suffixes: N images, P pairs, R replicates, K classes.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from balancebench import LabelledImages, MetricValue, SubsetEvaluation, Undefined, seed_for
from balancebench_gmaug.ssim import Windows, window_size
from balancebench_gmaug.ssim_options import SsimOptions

__all__ = ["Similarity", "SsimMergeClasses", "SsimSuperSubClasses", "TooSmall", "merged", "super_sub"]

GROUP_IMAGES = 512  # of 128x128 in three colours: some 350 MiB
REPLICATES = 200


class TooSmall(ValueError):
    """Says why there is no similarity."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Similarity:
    """The similarity of a set. images: it has. skipped: names of the sets of one image, which have none."""

    value: float
    standard_error: float
    set_name: str
    images: int
    pairs: int
    skipped: tuple[str, ...] = ()


class SsimMergeClasses:
    """The similarity of all training images."""

    def __init__(self, options: SsimOptions) -> None:
        self.options = options

    def __call__(self, evaluation: SubsetEvaluation) -> MetricValue:
        """Return it, -1..1; Undefined with fewer than 2 images, or images smaller than a window."""
        try:
            return merged(evaluation.train, self.options, evaluation.device).value
        except TooSmall as error:
            return Undefined(str(error))


class SsimSuperSubClasses:
    """The largest similarity within a super-class."""

    def __init__(self, options: SsimOptions) -> None:
        self.options = options

    def __call__(self, evaluation: SubsetEvaluation) -> MetricValue:
        """Return it, -1..1; Undefined where no set has 2 images, or images are smaller than a window."""
        try:
            return super_sub(evaluation.train, self.options, evaluation.device).value
        except TooSmall as error:
            return Undefined(str(error))


def merged(train: LabelledImages, options: SsimOptions, device: str) -> Similarity:
    """Return the similarity of all images; raises TooSmall with fewer than 2."""
    if len(train) < 2:
        raise TooSmall("there are fewer than 2 training images")
    return _of_set("all classes", train, np.arange(len(train)), options, device)


def super_sub(train: LabelledImages, options: SsimOptions, device: str) -> Similarity:
    """Return the similarity of the super-class that has the largest; raises TooSmall where none has 2 images."""
    members = _members_by_set(train)
    large = {name: indices_N for name, indices_N in members.items() if len(indices_N) > 1}
    skipped = tuple(name for name, indices_N in members.items() if len(indices_N) == 1)
    if not large:
        raise TooSmall("no super-class has 2 training images")
    of_sets = [_of_set(name, train, indices_N, options, device) for name, indices_N in large.items()]
    most = max(of_sets, key=lambda similarity: similarity.value)
    return Similarity(
        value=most.value,
        standard_error=most.standard_error,
        set_name=most.set_name,
        images=most.images,
        pairs=most.pairs,
        skipped=skipped,
    )


def _members_by_set(train: LabelledImages) -> dict[str, NDArray[np.int64]]:
    set_names = train.superclass_K or train.class_names
    labels_by_set: dict[str, list[int]] = {}
    for label, name in enumerate(set_names):
        labels_by_set.setdefault(name, []).append(label)
    members = {name: np.flatnonzero(np.isin(train.labels_N, labels)) for name, labels in labels_by_set.items()}
    return {name: indices_N for name, indices_N in members.items() if len(indices_N)}


def _of_set(
    name: str, train: LabelledImages, indices_N: NDArray[np.int64], options: SsimOptions, device: str
) -> Similarity:
    size = min(train.images_NCHW.shape[2:]) if options.size == "as_is" else options.size
    if size < window_size(options.window):
        raise TooSmall(f"images of {size} pixels are smaller than a window of {window_size(options.window)}")
    # By what they show: pairs depend neither on the order of the images nor on the names of the classes.
    digests = [hashlib.sha256(train.images_NCHW[index].tobytes()).digest() for index in indices_N]
    ordered_N = indices_N[sorted(range(len(digests)), key=digests.__getitem__)]
    rng = np.random.default_rng(seed_for("ssim", options.seed))
    if options.most_pairs is not None and 2 * len(ordered_N) > options.most_pairs:
        ordered_N = ordered_N[np.sort(rng.permutation(len(ordered_N))[: max(2, options.most_pairs // 2)])]
    firsts: list[NDArray[np.int64]] = []
    seconds: list[NDArray[np.int64]] = []
    similar: list[NDArray[np.float64]] = []
    for group_N, first_P, second_P in _groups_and_pairs(len(ordered_N), rng):
        images_NCHW = torch.from_numpy(np.ascontiguousarray(train.images_NCHW[ordered_N[group_N]])).to(device)
        windows = Windows.of(_prepared(images_NCHW, options), options)
        pairs = (torch.from_numpy(index_P).to(device) for index_P in (first_P, second_P))
        similar.append(windows.similarity(*pairs).cpu().numpy().astype(np.float64))
        firsts.append(group_N[first_P])
        seconds.append(group_N[second_P])
    similar_P = np.concatenate(similar)
    return Similarity(
        value=float(similar_P.mean()),
        standard_error=_standard_error(similar_P, np.concatenate(firsts), np.concatenate(seconds), rng),
        set_name=name,
        images=len(indices_N),
        pairs=len(similar_P),
    )


def _groups_and_pairs(
    count: int, rng: np.random.Generator
) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]]:
    """Yield the images of each group, and two pairs an image by their places there, which are never equal."""
    for group_N in np.array_split(rng.permutation(count), -(-count // GROUP_IMAGES)):
        first_P = rng.integers(0, len(group_N), 2 * len(group_N))
        second_P = (first_P + rng.integers(1, len(group_N), len(first_P))) % len(group_N)
        yield group_N, first_P, second_P


def _prepared(images_NCHW: Tensor, options: SsimOptions) -> Tensor:
    """Return uint8 images of the size and the channels that are compared."""
    if options.crop:
        height, width = images_NCHW.shape[-2:]
        side = min(height, width)
        top, left = (height - side) // 2, (width - side) // 2
        images_NCHW = images_NCHW[..., top : top + side, left : left + side]
    if options.channels == "grey" and images_NCHW.shape[1] == 3:
        luminance_C11 = torch.tensor([0.299, 0.587, 0.114], device=images_NCHW.device).view(3, 1, 1)
        grey_N1HW = (images_NCHW.float() * luminance_C11).sum(dim=1, keepdim=True)
        images_NCHW = grey_N1HW.round().to(torch.uint8)
    if options.size == "as_is" or images_NCHW.shape[-2:] == (options.size, options.size):
        return images_NCHW.contiguous()
    mode = "nearest" if options.resize == "nearest" else "bilinear"
    resized_NCHW = F.interpolate(
        images_NCHW.float(), size=(options.size, options.size), mode=mode, antialias=options.resize == "antialiased"
    )
    return resized_NCHW.round().clamp(0, 255).to(torch.uint8)


def _standard_error(
    similar_P: NDArray[np.float64],
    first_P: NDArray[np.int64],
    second_P: NDArray[np.int64],
    rng: np.random.Generator,
) -> float:
    """Return the deviation of the mean over bootstrap samples of the images."""
    count = int(max(first_P.max(), second_P.max())) + 1
    means: list[float] = []
    for _ in range(REPLICATES):
        drawn_N = np.bincount(rng.integers(0, count, count), minlength=count)
        weight_P = drawn_N[first_P] * drawn_N[second_P]
        if weight_P.any():
            means.append(float(weight_P @ similar_P / weight_P.sum()))
    return float(np.std(means, ddof=1)) if len(means) > 1 else 0.0
