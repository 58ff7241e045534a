"""mix: real and synthetic images at any share, at a given total ("half and half", "70/30" of the slides).

The published program concatenates both sets and takes indices of the second one from the whole, so that its mixed rows
hold no image of the second set at all. Here each class has two lists of its own images, and both are drawn from.

Axis suffixes: N images, M images chosen, K classes.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from balancebench import Balancer, LabelledImages, Phase, PlanContext, TrainingPlan, concatenate
from balancebench_datasynth.options import MixOptions
from balancebench_datasynth.wrapped import base_images, refuse_shortfall

__all__ = ["Mix"]


class Mix(Balancer[MixOptions]):
    """Trains on a part of the real images and a part of another balancer's."""

    def plan(self, train: LabelledImages, synthetic: LabelledImages | None, context: PlanContext) -> TrainingPlan:
        """Return one phase over the mixture.

        The images of a larger share contain those of a smaller one, as rows of a suite are to differ by the share
        alone. Raises BalancerError, naming the classes, where there are too few of either kind.
        """
        total_K = self._totals(train)
        synthetic_K = np.rint(self.options.synthetic_share * total_K).astype(np.int64)
        real_K = total_K - synthetic_K
        refuse_shortfall(
            "real images", "lower `total`, or raise `synthetic_share`", train.class_names, real_K, train.counts_K
        )
        real = train.take(_first_of_each_class(train.labels_N, real_K, context.rng))
        if not synthetic_K.any():
            return TrainingPlan(phases=(Phase(images=real),))
        generated = base_images("mix", context.base)
        refuse_shortfall(
            "synthetic images",
            "raise the base's `target`, which counts the real images too, or lower `total` or `synthetic_share`",
            train.class_names,
            synthetic_K,
            generated.counts_K,
        )
        chosen = generated.take(_first_of_each_class(generated.labels_N, synthetic_K, context.rng))
        return TrainingPlan(phases=(Phase(images=concatenate([real, chosen])),))

    def _totals(self, train: LabelledImages) -> NDArray[np.int64]:
        """Return the images of each class, real and synthetic together."""
        if self.options.total == "training_set":
            return train.counts_K
        # An even split; what is left over goes to the first classes.
        return np.array(
            [len(part) for part in np.array_split(np.arange(self.options.total), train.class_count)], dtype=np.int64
        )


def _first_of_each_class(
    labels_N: NDArray[np.int64], counts_K: NDArray[np.int64], rng: np.random.Generator
) -> NDArray[np.int64]:
    """Return the indices of counts_K[k] images of each class k: the first ones of a random order of all of them."""
    order_N = rng.permutation(len(labels_N))
    return np.concatenate([order_N[labels_N[order_N] == label][:count] for label, count in enumerate(counts_K)])
