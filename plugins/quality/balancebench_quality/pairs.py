"""Metrics that compare as many real as synthetic images of each class: what fid, kid and their like have in common.

Axis suffixes: N images, D features, K classes.
"""

from __future__ import annotations

import math
from abc import abstractmethod
from typing import TypeVar

import numpy as np
import torch
from numpy.typing import NDArray

from balancebench import EvaluationImages, LabelledImages, MetricValue, Undefined
from balancebench_quality.blocks import computing_device
from balancebench_quality.features import features_of
from balancebench_quality.options import PairOptions
from balancebench_quality.selection import by_class, draw, even_counts, named
from balancebench_quality.synthetic_metric import NOT_FINITE, TOO_SMALL, SyntheticMetric

__all__ = ["PairMetric"]

SAID = {"full_train": "training", "kept": "kept training", "test": "test"}

PairOptionsT = TypeVar("PairOptionsT", bound=PairOptions)


class PairMetric(SyntheticMetric[PairOptionsT]):
    """A number from features of real and of synthetic images.

    Of each class as many real images are taken as synthetic ones, so that no difference in the mix of the classes is
    taken for a difference in the images.
    """

    @abstractmethod
    def too_few(self, count: int, feature_count: int) -> str | None:
        """Return why `count` images a side are too few for so many features, or None."""

    @abstractmethod
    def compare(self, real_ND: NDArray[np.float32], synthetic_ND: NDArray[np.float32], device: torch.device) -> float:
        """Return the number of these features, computed on `device`."""

    def measure(self, images: EvaluationImages, synthetic: LabelledImages) -> MetricValue:
        """Return the number, one a class, or Undefined with the reason."""
        sources = {"full_train": images.full_train, "kept": images.kept, "test": images.test}
        real = sources[self.options.reference]()
        synthetic_K, real_K = synthetic.counts_K, real.counts_K
        missing = f"no {SAID[self.options.reference]} images to compare with"

        def of_class(label: int) -> float | str:
            if not synthetic_K[label]:
                return "no synthetic images"
            if not real_K[label]:
                return missing
            count = min(synthetic_K[label], real_K[label], self.options.images)
            counts_K = np.where(np.arange(len(synthetic_K)) == label, count, 0)
            return self._compared(images, real, synthetic, counts_K)

        if self.options.per_class:
            return by_class(synthetic.class_names, of_class)
        if unmatched := [synthetic.class_names[label] for label in np.flatnonzero((synthetic_K > 0) & (real_K == 0))]:
            return Undefined(f"{missing}: {named(unmatched)}")
        counts_K = even_counts(np.minimum(synthetic_K, real_K), self.options.images)
        value = self._compared(images, real, synthetic, counts_K)
        return Undefined(value) if isinstance(value, str) else value

    def _compared(
        self, images: EvaluationImages, real: LabelledImages, synthetic: LabelledImages, counts_K: NDArray[np.int64]
    ) -> float | str:
        """Return the number of so many images of each class a side, or why there is none."""
        count = int(counts_K.sum())
        if count == 0:
            return TOO_SMALL
        extractor, reference = self.options.extractor, self.options.reference
        synthetic_ND = features_of(images, extractor, synthetic, draw(synthetic, "synthetic", counts_K))
        if (reason := self.too_few(count, synthetic_ND.shape[1])) is not None:
            return reason
        real_ND = features_of(images, extractor, real, draw(real, reference, counts_K))
        if not (np.isfinite(synthetic_ND).all() and np.isfinite(real_ND).all()):
            return NOT_FINITE
        value = self.compare(real_ND, synthetic_ND, computing_device(images.device))
        return value if math.isfinite(value) else f"it came out as {value}"
