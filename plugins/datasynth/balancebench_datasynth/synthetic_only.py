"""synthetic_only: training on another balancer's images alone, the "all synthetic" row of the slides.

Axis suffixes: N images, K classes.
"""

from __future__ import annotations

import numpy as np

from balancebench import Balancer, LabelledImages, Phase, PlanContext, TrainingPlan
from balancebench_datasynth.options import SyntheticOnlyOptions
from balancebench_datasynth.wrapped import base_images, refuse_shortfall

__all__ = ["SyntheticOnly"]


class SyntheticOnly(Balancer[SyntheticOnlyOptions]):
    """Trains on the synthetic images and on no other; pixels are normalised by them, as no real ones are at hand."""

    def plan(self, train: LabelledImages, synthetic: LabelledImages | None, context: PlanContext) -> TrainingPlan:
        """Return one phase over the base's images.

        Raises BalancerError where a class that has real images has no synthetic one.
        """
        generated = base_images("synthetic_only", context.base)
        refuse_shortfall(
            "synthetic images",
            "raise the base's `target` above the real images of every class",
            train.class_names,
            np.minimum(train.counts_K, 1),
            generated.counts_K,
        )
        return TrainingPlan(phases=(Phase(images=generated),))
