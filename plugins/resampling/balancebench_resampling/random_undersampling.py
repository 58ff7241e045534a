"""Random undersampling: leave out images of the larger classes (Lauron and Pabico 2016)."""

from __future__ import annotations

import numpy as np

from balancebench import Balancer, LabelledImages, Phase, PlanContext, TrainingPlan
from balancebench.synthesis.target import wanted_counts
from balancebench_resampling.options import RandomUndersamplingOptions

__all__ = ["RandomUndersampling"]


class RandomUndersampling(Balancer[RandomUndersamplingOptions]):
    """Trains on a random part of each class that has more images than its target."""

    def plan(self, train: LabelledImages, synthetic: LabelledImages | None, context: PlanContext) -> TrainingPlan:
        """Train on the images kept, in their order; raises BalancerError where a table names an unknown class."""
        kept = np.concatenate(
            [
                context.rng.permutation(np.flatnonzero(train.labels_N == label))[:wanted]
                for label, wanted in enumerate(wanted_counts(self.options.target, train))
            ]
        )
        return TrainingPlan(phases=(Phase(images=train.take(np.sort(kept))),))
