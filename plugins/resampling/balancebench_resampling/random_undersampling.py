"""Random undersampling: leave out images of the larger classes (Lauron and Pabico 2016)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from balancebench import LabelledImages, Phase, PlanContext, SynthesisContext, TrainingPlan
from balancebench.synthesis.target import UndersamplingTarget, wanted_counts

__all__ = ["RandomUndersampling"]


@dataclass(frozen=True, slots=True, kw_only=True)
class RandomUndersampling:
    """Trains on a random part of each class that has more images than its target."""

    target: UndersamplingTarget

    def synthesise(self, train: LabelledImages, context: SynthesisContext) -> None:
        """Make no images."""

    def plan(
        self,
        train: LabelledImages,
        synthetic: LabelledImages | None,
        context: PlanContext,
    ) -> TrainingPlan:
        """Train on the images kept, in their order; raises BalancerError where a table names an unknown class."""
        kept = np.concatenate(
            [
                context.rng.permutation(np.flatnonzero(train.labels_N == label))[:wanted]
                for label, wanted in enumerate(wanted_counts(self.target, train))
            ]
        )
        return TrainingPlan(phases=(Phase(images=train.take(np.sort(kept))),))
