"""Fills classes with images that a generator makes.

Axis suffixes: K classes, M images to make, B images of a batch, C channels, H rows, W columns.
"""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from balancebench.contracts import ImageGenerator, Progress
from balancebench.data import LabelledImages, Origin
from balancebench.errors import BalancerError

__all__ = ["MakeImages", "draw_images", "fill_classes"]

MakeImages = Callable[[NDArray[np.int64]], NDArray[np.uint8]]
"""make(labels_B int64) -> images_BCHW uint8, one image of each label, in that order."""

SECONDS_BETWEEN_REPORTS = 0.5
DRAWN_AT_ONCE = 256


def draw_images(
    generator: ImageGenerator,
    like: LabelledImages,
    counts_K: NDArray[np.int64],
    *,
    seed: int,
    device: str,
    deterministic: bool,
    progress: Progress,
) -> LabelledImages | None:
    """Return counts_K[k] new images of each class k, of the classes and the shape of `like`, or None where all are 0.

    All noise is drawn from one generator on `device`, seeded by `seed`: the same seed and counts give the same images,
    to the bit where torch's kernels are `deterministic`.
    """
    import torch

    from balancebench.training.reproducibility import backend_settings

    random = torch.Generator(device=device).manual_seed(seed)
    with backend_settings(deterministic=deterministic):
        return fill_classes(
            like,
            counts_K,
            lambda labels_B: generator.draw(labels_B, random),
            batch_size=DRAWN_AT_ONCE,
            progress=progress,
        )


def fill_classes(
    train: LabelledImages,
    missing_K: NDArray[np.int64],
    make: MakeImages,
    *,
    batch_size: int,
    progress: Progress,
    origin: Origin = Origin.SYNTHETIC,
) -> LabelledImages | None:
    """Return missing_K[k] made images of each class k, in the order of the classes, or None where none is missing.

    `make` is called with at most `batch_size` labels at a time; batches run over class borders, so that many small
    classes cost no more than one large one. Raises BalancerError where it returns another shape than the training
    images', another dtype or another number of images.
    """
    labels_M = np.repeat(np.arange(len(missing_K), dtype=np.int64), missing_K)
    if len(labels_M) == 0:
        return None
    shape = train.images_NCHW.shape[1:]
    images_MCHW = np.empty((len(labels_M), *shape), dtype=np.uint8)
    next_report = time.monotonic() + SECONDS_BETWEEN_REPORTS
    for begin in range(0, len(labels_M), batch_size):
        labels_B = labels_M[begin : begin + batch_size]
        images_BCHW = make(labels_B)
        if images_BCHW.dtype != np.uint8 or images_BCHW.shape != (len(labels_B), *shape):
            raise BalancerError(
                f"the generator made {images_BCHW.dtype} {images_BCHW.shape} where uint8 {(len(labels_B), *shape)} "
                "was asked for"
            )
        images_MCHW[begin : begin + len(labels_B)] = images_BCHW
        if time.monotonic() >= next_report:
            progress(begin + len(labels_B), len(labels_M), f"image {begin + len(labels_B)}/{len(labels_M)}")
            next_report = time.monotonic() + SECONDS_BETWEEN_REPORTS
    return LabelledImages(
        images_NCHW=images_MCHW,
        labels_N=labels_M,
        class_names=train.class_names,
        superclass_K=train.superclass_K,
        origin_N=np.full(len(labels_M), origin, dtype=np.uint8),
    )
