"""Random oversampling: repeat images of the smaller classes (Japkowicz and Stephen 2002).

Axis suffix: M repeated images.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from balancebench import Balancer, LabelledImages, Origin, Phase, PlanContext, TrainingPlan, concatenate
from balancebench.synthesis.target import missing_counts
from balancebench_resampling.options import RandomOversamplingOptions

__all__ = ["RandomOversampling"]


class RandomOversampling(Balancer[RandomOversamplingOptions]):
    """Trains on every image, and on repeats of the smaller classes after them: cheap enough to draw in the plan."""

    def plan(self, train: LabelledImages, synthetic: LabelledImages | None, context: PlanContext) -> TrainingPlan:
        """Train on `train` and the repeats; raises BalancerError where the target cannot be met."""
        repeated_M = np.concatenate(
            [
                self._repeats(np.flatnonzero(train.labels_N == label), int(missing), context.rng)
                for label, missing in enumerate(missing_counts(self.options.target, train))
            ]
        )
        images = concatenate([train, train.take(repeated_M, origin=Origin.REPEATED)])
        return TrainingPlan(phases=(Phase(images=images),))

    def _repeats(self, indices: NDArray[np.int64], missing: int, rng: np.random.Generator) -> NDArray[np.int64]:
        """Return `missing` of the indices of a class."""
        if missing == 0:
            return indices[:0]
        if self.options.variant == "cycle":
            return np.resize(indices, missing)
        return rng.choice(indices, size=missing, replace=True)
