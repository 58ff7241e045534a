"""Equal exposure: the control that adds as many images as a base does, all of them repeats of real ones.

A row with generated images trains on more images, of other class sizes, than the row without. What of its gain comes
from that, and not from what the images show, this row has too.

Axis suffixes: K classes, M repeats.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from balancebench import Balancer, BalancerError, LabelledImages, Origin, PlanContext, TrainingPlan
from balancebench_gmaug.selection_options import EqualExposureOptions

__all__ = ["EqualExposure"]


class EqualExposure(Balancer[EqualExposureOptions]):
    """Trains as the base does, on repeats of each class's own images instead of the images that the base adds."""

    def plan(self, train: LabelledImages, synthetic: LabelledImages | None, context: PlanContext) -> TrainingPlan:
        """Plan as the base does; raises BalancerError where the base adds images of a class that has no real one."""
        if context.base is None:
            raise BalancerError('it wraps nothing: give base = { use = "..." }, a balancer that makes images')
        generated = context.base.synthetic
        if generated is None:
            return context.base.plan(train, context.rng)
        repeated_M = np.concatenate(
            [self._repeats(train, label, int(added), context.rng) for label, added in enumerate(generated.counts_K)]
        )
        repeats = train.take(repeated_M, origin=Origin.REPEATED)
        return replace(context.base, synthetic=repeats).plan(train, context.rng)

    def _repeats(self, train: LabelledImages, label: int, added: int, rng: np.random.Generator) -> NDArray[np.int64]:
        """Return so many indices of a class's images, each as often as any other, give or take one."""
        members = np.flatnonzero(train.labels_N == label)
        if added and not len(members):
            raise BalancerError(
                f"class {train.class_names[label]!r} has no images to repeat, and the base adds {added}: keep some of "
                "it, or give the base a target table without it"
            )
        return np.resize(rng.permutation(members), added)
