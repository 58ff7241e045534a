"""Classification accuracy score: a classifier that never saw a real image (Ravuri and Vinyals 2019).

The classifier of the cell is trained on a base's images alone, as many of each class as `images` says, and tested as
every row is. The gap to the row trained on real images is what the generator has not learnt; by class it shows
which classes it has not.

Axis suffix: K classes.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from balancebench import (
    Balancer,
    BalancerError,
    LabelledImages,
    Phase,
    PlanContext,
    SynthesisContext,
    TrainingPlan,
    concatenate,
)
from balancebench.synthesis.target import wanted_counts
from balancebench_gmaug.candidates import CHUNK, candidates_of
from balancebench_gmaug.selection_options import CasOptions

__all__ = ["Cas"]


class Cas(Balancer[CasOptions]):
    """Trains on made images alone."""

    def synthesise(self, train: LabelledImages, context: SynthesisContext) -> LabelledImages | None:
        """Return the images, in the order of the classes.

        Raises BalancerError where the base has fewer of a class than are asked for.
        """
        candidates = candidates_of(context.base, train, context)
        parts: list[LabelledImages] = []
        for label, wanted in enumerate(self._wanted(train).tolist()):
            drawn = list(candidates.chunks(label, min(CHUNK, wanted), wanted)) if wanted else []
            if (count := sum(map(len, drawn))) < wanted:
                raise BalancerError(
                    f"the base made {count} images of class {train.class_names[label]!r} where {wanted} are to be "
                    "trained on: give the base a target that is larger by that many, or this balancer fewer `images`"
                )
            parts += drawn
        return concatenate(parts)

    def plan(self, train: LabelledImages, synthetic: LabelledImages | None, context: PlanContext) -> TrainingPlan:
        """Train on the made images, and on no other."""
        if synthetic is None:
            raise BalancerError("there are no made images to train on")
        return TrainingPlan(phases=(Phase(images=synthetic),))

    def _wanted(self, train: LabelledImages) -> NDArray[np.int64]:
        if self.options.images == "train":
            return train.counts_K
        wanted_K = wanted_counts(self.options.images, train)
        return np.where(train.counts_K > 0, wanted_K, 0) if self.options.images == "largest" else wanted_K
