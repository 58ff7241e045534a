"""Oversampling by mirrored images."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from balancebench import LabelledImages, Origin, Phase, PlanContext, SynthesisContext, TrainingPlan, concatenate


@dataclass(frozen=True, slots=True)
class FlipOversampling:
    """Fills each class towards the largest with mirrored images of its own; a class without images stays empty."""

    share: float

    def synthesise(self, train: LabelledImages, context: SynthesisContext) -> LabelledImages | None:
        """Return mirrored images, or None where no class is short of any."""
        counts_K = train.counts_K
        chosen = [
            context.rng.choice(np.flatnonzero(train.labels_N == label), size=int((counts_K.max() - count) * self.share))
            for label, count in enumerate(counts_K)
            if count
        ]
        repeated = train.take(np.concatenate(chosen), origin=Origin.AUGMENTED)
        if len(repeated) == 0:
            return None
        return replace(repeated, images_NCHW=np.ascontiguousarray(repeated.images_NCHW[..., ::-1]))

    def plan(self, train: LabelledImages, synthetic: LabelledImages | None, context: PlanContext) -> TrainingPlan:
        """Train on both."""
        images = train if synthetic is None else concatenate([train, synthetic])
        return TrainingPlan(phases=(Phase(images=images),))
