"""Re-sampling by class: batches in which class c is drawn with a chosen probability (Kang et al. 2020, section 3).

    class-balanced   p_c = 1 / K
    square-root      p_c proportional to sqrt(n_c)
    progressive      p_c = (1 - t) * n_c / N + t / K,   t = 1/T, 2/T, ..., 1 over the T stages of training

Images are drawn with replacement, those of a class equally often; an epoch stays as long as it was.

Axis suffixes: N images, K classes.
"""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from balancebench import Balancer, LabelledImages, Phase, PlanContext, TrainingPlan
from balancebench_longtail.class_statistics import class_counts_of, image_sampling_weights
from balancebench_longtail.options import ProgressiveSamplingOptions, SamplingOptions

__all__ = ["ClassBalancedSampling", "ProgressiveSampling", "SquareRootSampling"]


class PowerSampling(Balancer[SamplingOptions]):
    """Draws class c in proportion to n_c ** exponent: 0 is class-balanced, 1/2 square-root, 1 draws images alike."""

    exponent: ClassVar[float]

    def plan(self, train: LabelledImages, synthetic: LabelledImages | None, context: PlanContext) -> TrainingPlan:
        """Train on such batches throughout."""
        weight_N = image_sampling_weights(train.labels_N, class_counts_of(train) ** self.exponent)
        return TrainingPlan(phases=(Phase(images=train, sampling_weight_N=weight_N),))


class ClassBalancedSampling(PowerSampling):
    """Draws every class equally often."""

    exponent = 0.0


class SquareRootSampling(PowerSampling):
    """Draws each class in proportion to the square root of its size."""

    exponent = 0.5


class ProgressiveSampling(Balancer[ProgressiveSamplingOptions]):
    """Moves in equal stages from the images as they are to balanced classes, which the last stage draws.

    Kang et al. write t / T for epoch t of T; with as many stages as epochs this is that.
    """

    def plan(self, train: LabelledImages, synthetic: LabelledImages | None, context: PlanContext) -> TrainingPlan:
        """Train in one phase a stage; the schedule runs on across them."""
        counts_K = class_counts_of(train)
        as_it_is_K, balanced_K = counts_K / counts_K.sum(), np.full_like(counts_K, 1 / len(counts_K))
        stages = self.options.stages
        progress = np.arange(1, stages + 1) / stages
        phases = [
            Phase(
                images=train,
                share=1 / stages,
                sampling_weight_N=image_sampling_weights(train.labels_N, (1 - t) * as_it_is_K + t * balanced_K),
            )
            for t in progress
        ]
        return TrainingPlan(phases=tuple(phases))
