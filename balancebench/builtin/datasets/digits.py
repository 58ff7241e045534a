"""scikit-learn's handwritten digits, part of its installation: 1,797 images of 8x8 pixels, 10 classes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from balancebench.builtin.datasets.options import DigitsOptions
from balancebench.contracts import LoadContext
from balancebench.data import DatasetSplits, LabelledImages
from balancebench.loading.held_out import as_asked, held_out

__all__ = ["Digits"]

CLASS_NAMES = tuple("0123456789")


@dataclass(frozen=True)
class Digits:
    """Grey images, their 17 levels (0..16) spread over 0..255; the test images are drawn by `split_seed`."""

    options: DigitsOptions

    def load(self, context: LoadContext) -> DatasetSplits:
        """Return images_NCHW of shape (N, 1, 8, 8)."""
        from sklearn.datasets import load_digits

        levels_NP, labels_N = load_digits(return_X_y=True)
        images = LabelledImages(
            images_NCHW=np.rint(levels_NP * (255 / 16)).astype(np.uint8).reshape(-1, 1, 8, 8),
            labels_N=np.asarray(labels_N, dtype=np.int64),
            class_names=CLASS_NAMES,
        )
        train, test = held_out(images.labels_N, CLASS_NAMES, self.options.test_fraction, self.options.split_seed)
        return as_asked(DatasetSplits(train=images.take(train), test=images.take(test)), self.options)
