"""What all metrics of this plugin are: a number of the images that a cell's balancer made up.

Axis suffix: K classes.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Generic, TypeVar

import numpy as np

from balancebench import Evaluation, EvaluationImages, LabelledImages, MetricValue, Undefined
from balancebench_quality.options import QualityOptions

__all__ = ["NOT_FINITE", "TOO_SMALL", "SyntheticMetric"]

TOO_SMALL = "`images` is smaller than the number of classes"
NOT_FINITE = "the extractor's features are not finite"

OptionsT = TypeVar("OptionsT", bound=QualityOptions)


class SyntheticMetric(ABC, Generic[OptionsT]):
    """A metric of synthetic images, computed once for all reports of a cell."""

    def __init__(self, options: OptionsT) -> None:
        self.options = options

    def __call__(self, evaluation: Evaluation, /) -> MetricValue:
        """Return the number, one a class, or Undefined with the reason."""
        images = evaluation.images
        if images is None:
            return Undefined("there are no images to measure")
        synthetic = images.synthetic()
        if synthetic is None:
            return Undefined("the balancer made no synthetic images")
        count = self.options.drawn_per_class
        if count is not None:
            counts_K = np.where(synthetic.counts_K > 0, count, 0)
            synthetic = images.once(("quality", "drawn", count), lambda: images.draw(counts_K))
            if synthetic is None:
                return Undefined("the balancer trains no generator that images could be drawn from")
        key = ("quality", type(self).__name__, self.options.model_dump_json())
        return images.once(key, lambda: self.measure(images, synthetic))

    @abstractmethod
    def measure(self, images: EvaluationImages, synthetic: LabelledImages) -> MetricValue:
        """Return the number of `synthetic`, one a class, or Undefined with the reason."""
