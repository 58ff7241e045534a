"""How imbalanced a training subset is, from its images of each class.

Axis suffix: K classes.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from balancebench.config import Options
from balancebench.evaluation import MetricValue, SubsetEvaluation, Undefined

__all__ = ["ClassCounts", "GiniCoefficient", "ImbalanceRatio"]


@dataclass(frozen=True)
class ClassCounts:
    """The training images of each class."""

    options: Options

    def __call__(self, evaluation: SubsetEvaluation) -> MetricValue:
        """Return their numbers, int64 (K,)."""
        return evaluation.train.counts_K


@dataclass(frozen=True)
class ImbalanceRatio:
    """The imbalance factor of Cui et al. 2019."""

    options: Options

    def __call__(self, evaluation: SubsetEvaluation) -> MetricValue:
        """Return the images of the largest class over those of the smallest, 1 or more.

        Undefined where a class has no images.
        """
        counts_K = evaluation.train.counts_K
        if not counts_K.all():
            return Undefined(f"{np.count_nonzero(counts_K == 0)} of {len(counts_K)} classes have no training images")
        return float(counts_K.max() / counts_K.min())


@dataclass(frozen=True)
class GiniCoefficient:
    """How unequally the images are spread over the classes, after Yang et al. 2022."""

    options: Options

    def __call__(self, evaluation: SubsetEvaluation) -> MetricValue:
        """Return sum_i sum_j |n_i - n_j| / (2 K**2 mean(n)), n_i being the images of class i.

        0 where all classes have the same number, (K - 1) / K where one has all; Undefined without images.
        """
        ascending_K = np.sort(evaluation.train.counts_K)
        class_count, image_count = len(ascending_K), int(ascending_K.sum())
        if image_count == 0:
            return Undefined("there are no training images")
        # In ascending order, class i (from 0) is the larger one in i pairs and the smaller one in K - 1 - i.
        weight_K = 2 * np.arange(class_count) - (class_count - 1)
        return int(weight_K @ ascending_K) / (class_count * image_count)
