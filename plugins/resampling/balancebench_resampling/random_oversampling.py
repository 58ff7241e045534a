"""Random oversampling: repeat images of the smaller classes (Japkowicz and Stephen 2002).

Axis suffix: M repeated images.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from balancebench import LabelledImages, Origin, Phase, PlanContext, SynthesisContext, TrainingPlan, concatenate
from balancebench.synthesis.target import OversamplingTarget, missing_counts

__all__ = ["RandomOversampling"]


@dataclass(frozen=True, slots=True, kw_only=True)
class RandomOversampling:
    """Trains on every image, and on repeats of the smaller classes after them."""

    target: OversamplingTarget
    variant: Literal["with_replacement", "cycle"]

    def synthesise(self, train: LabelledImages, context: SynthesisContext) -> None:
        """Make no images: repeats are cheap, so `plan` draws them."""

    def plan(
        self,
        train: LabelledImages,
        synthetic: LabelledImages | None,
        context: PlanContext,
    ) -> TrainingPlan:
        """Train on `train` and the repeats; raises BalancerError where the target cannot be met."""
        repeated_M = np.concatenate(
            [
                self.repeats(np.flatnonzero(train.labels_N == label), int(missing), context.rng)
                for label, missing in enumerate(missing_counts(self.target, train))
            ]
        )
        images = concatenate([train, train.take(repeated_M, origin=Origin.REPEATED)])
        return TrainingPlan(phases=(Phase(images=images),))

    def repeats(self, indices: NDArray[np.int64], missing: int, rng: np.random.Generator) -> NDArray[np.int64]:
        """Return `missing` of the indices of a class."""
        if missing == 0:
            return indices[:0]
        if self.variant == "cycle":
            return np.resize(indices, missing)
        return rng.choice(indices, size=missing, replace=True)
