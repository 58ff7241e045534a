"""Oversampling by mirrored images."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from balancebench import Balancer, LabelledImages, Origin, SynthesisContext
from balancebench_flip.options import FlipOptions


class FlipOversampling(Balancer[FlipOptions]):
    """Fills each class towards the largest with mirrored images of its own; a class without images stays empty."""

    def synthesise(self, train: LabelledImages, context: SynthesisContext) -> LabelledImages | None:
        """Return mirrored images, or None where no class is short of any."""
        counts_K = train.counts_K
        share = self.options.share
        chosen = [
            context.rng.choice(np.flatnonzero(train.labels_N == label), size=int((counts_K.max() - count) * share))
            for label, count in enumerate(counts_K)
            if count
        ]
        repeated = train.take(np.concatenate(chosen), origin=Origin.AUGMENTED)
        if len(repeated) == 0:
            return None
        return replace(repeated, images_NCHW=np.ascontiguousarray(repeated.images_NCHW[..., ::-1]))
