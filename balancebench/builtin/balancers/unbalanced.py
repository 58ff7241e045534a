"""No balancing: one plain phase over the training set as it is."""

from __future__ import annotations

from balancebench.component import PlanContext, SynthesisContext
from balancebench.data import LabelledImages
from balancebench.training.plan import Phase, TrainingPlan

__all__ = ["Unbalanced"]


class Unbalanced:
    """Leaves the training set alone."""

    def synthesise(self, train: LabelledImages, context: SynthesisContext) -> None:
        """Add nothing."""

    def plan(
        self,
        train: LabelledImages,
        synthetic: LabelledImages | None,
        context: PlanContext,
    ) -> TrainingPlan:
        """Train on `train` with mean cross-entropy."""
        return TrainingPlan(phases=(Phase(images=train),))
