"""Metrics that compare as many real as synthetic images of each class: what fid, kid and their like have in common.

Axis suffixes: N images, D features, K classes.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from balancebench import Evaluation, EvaluationImages, LabelledImages, Undefined
from balancebench.component import MetricValue
from balancebench_quality.blocks import computing_device
from balancebench_quality.features import features_of
from balancebench_quality.plugin import PairOptions
from balancebench_quality.selection import by_class, draw, even_counts, named

__all__ = ["NOT_FINITE", "NO_IMAGES", "NO_SYNTHETIC", "TOO_SMALL", "PairMetric"]

NO_IMAGES = "there are no images to measure"
NO_SYNTHETIC = "the balancer made no synthetic images"
TOO_SMALL = "`images` is smaller than the number of classes"
NOT_FINITE = "the extractor's features are not finite"
SAID = {"full_train": "training", "kept": "kept training", "test": "test"}

Compute = Callable[[NDArray[np.float32], NDArray[np.float32], torch.device], float]
TooFew = Callable[[int, int], str | None]


@dataclass(frozen=True, slots=True, kw_only=True)
class PairMetric:
    """A number from features of real and of synthetic images.

    compute: (real_ND, synthetic_ND, device) -> the number. too_few: (images a side, features) -> why they are too few,
    or None.

    Of each class as many real images are taken as synthetic ones, so that no difference in the mix of the classes is
    taken for a difference in the images.
    """

    name: str
    options: PairOptions
    compute: Compute
    too_few: TooFew

    def __call__(self, evaluation: Evaluation) -> MetricValue:
        """Return the number, one a class, or Undefined with the reason."""
        images = evaluation.images
        if images is None:
            return Undefined(NO_IMAGES)
        synthetic = images.synthetic()
        if synthetic is None:
            return Undefined(NO_SYNTHETIC)
        key = ("quality", self.name, self.options.model_dump_json())
        return images.once(key, lambda: self._measured(images, synthetic))

    def _measured(self, images: EvaluationImages, synthetic: LabelledImages) -> MetricValue:
        sources = {"full_train": images.full_train, "kept": images.kept, "test": images.test}
        real = sources[self.options.reference]()
        made_K, found_K = synthetic.counts_K, real.counts_K
        missing = f"no {SAID[self.options.reference]} images to compare with"

        def of_class(label: int) -> float | str:
            if not made_K[label]:
                return "no synthetic images"
            if not found_K[label]:
                return missing
            count = min(made_K[label], found_K[label], self.options.images)
            counts_K = np.where(np.arange(len(made_K)) == label, count, 0)
            return self._compared(images, real, synthetic, counts_K)

        if self.options.per_class:
            return by_class(synthetic.class_names, of_class)
        if unmatched := [synthetic.class_names[label] for label in np.flatnonzero((made_K > 0) & (found_K == 0))]:
            return Undefined(f"{missing}: {named(unmatched)}")
        found = self._compared(images, real, synthetic, even_counts(np.minimum(made_K, found_K), self.options.images))
        return Undefined(found) if isinstance(found, str) else found

    def _compared(
        self, images: EvaluationImages, real: LabelledImages, synthetic: LabelledImages, counts_K: NDArray[np.int64]
    ) -> float | str:
        """Return the number of so many images of each class a side, or why there is none."""
        count = int(counts_K.sum())
        if count == 0:
            return TOO_SMALL
        extractor, reference = self.options.extractor, self.options.reference
        synthetic_ND = features_of(images, extractor, "synthetic", synthetic, draw(synthetic, "synthetic", counts_K))
        if (reason := self.too_few(count, synthetic_ND.shape[1])) is not None:
            return reason
        real_ND = features_of(images, extractor, reference, real, draw(real, reference, counts_K))
        if not (np.isfinite(synthetic_ND).all() and np.isfinite(real_ND).all()):
            return NOT_FINITE
        value = self.compute(real_ND, synthetic_ND, computing_device(images.device))
        return value if math.isfinite(value) else f"it came out as {value}"
