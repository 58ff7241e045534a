"""What SMOTE and ADASYN share: interpolation between images as rows of pixels, and what it needs of a training set.

Axis suffixes: N images, C channels, H rows, W columns, P pixels of an image (C * H * W), K classes.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from balancebench import BalancerError, LabelledImages, Origin, Parents

__all__ = ["new_images", "refuse_unfit"]


def new_images(
    sampler: Any, train: LabelledImages, parents: Callable[[], Parents | None] = lambda: None
) -> LabelledImages:
    """Return what an imbalanced-learn sampler adds to `train`, rounded to whole grey levels, origin SYNTHETIC.

    parents: asked afterwards which images the new ones lie between.

    The sampler sees float32 rows of P pixels, values 0..255: differences of uint8 would wrap around. It returns the
    rows it was given and the new ones after them.
    """
    pixels_NP = train.images_NCHW.reshape(len(train), -1).astype(np.float32)
    resampled_NP, labels_N = sampler.fit_resample(pixels_NP, train.labels_N)
    new_NP = np.rint(resampled_NP[len(train) :]).clip(0, 255).astype(np.uint8)
    return replace(
        train,
        images_NCHW=new_NP.reshape(-1, *train.images_NCHW.shape[1:]),
        labels_N=labels_N[len(train) :],
        origin_N=np.full(len(new_NP), Origin.SYNTHETIC, dtype=np.uint8),
        parents=parents(),
    )


def refuse_unfit(train: LabelledImages, missing_K: NDArray[np.int64], neighbours: int) -> None:
    """Raise BalancerError where a class that is to grow is too small for `neighbours`, or is the only class."""
    counts_K = train.counts_K
    smallest = min(np.flatnonzero(missing_K), key=lambda label: counts_K[label])
    name, count = train.class_names[smallest], counts_K[smallest]
    if count == 1:
        raise BalancerError(
            f"class {name!r} has 1 image, and new ones are drawn between two: keep at least 2, or give a target table "
            "without it"
        )
    if count <= neighbours:
        raise BalancerError(
            f"class {name!r} has {count} images, but neighbours = {neighbours} needs {neighbours + 1}: set neighbours "
            f"to {count - 1} or less, or give a target table without it"
        )
    if np.count_nonzero(counts_K) == 1:
        raise BalancerError(f"only class {name!r} has images, and balancing needs two classes or more")
