"""SMOTE: new images on the lines between an image and its nearest neighbours of the same class (Chawla et al. 2002).

    new = image + step * (neighbour - image),   step uniform in [0, 1), one for the whole image

by imbalanced-learn, on the pixels as they are.
"""

from __future__ import annotations

from typing import Any

from balancebench import Balancer, LabelledImages, SynthesisContext
from balancebench.synthesis.target import missing_counts
from balancebench_resampling.options import SmoteOptions
from balancebench_resampling.pixels import new_images, refuse_unfit
from balancebench_resampling.smote_parents import listen

__all__ = ["Smote"]


class Smote(Balancer[SmoteOptions]):
    """Fills each class up to its target with interpolated images."""

    def synthesise(self, train: LabelledImages, context: SynthesisContext) -> LabelledImages | None:
        """Return the new images, or None where no class is short of its target.

        Raises BalancerError where a class that is to grow has `neighbours` images or fewer.
        """
        from imblearn.over_sampling import SMOTE

        missing_K = missing_counts(self.options.target, train)
        if not missing_K.any():
            return None
        refuse_unfit(train, missing_K, self.options.neighbours)
        # Any, because imbalanced-learn has no types and a checker takes its default, a string, for one.
        images_wanted: Any = {
            label: train.counts_K[label] + missing for label, missing in enumerate(missing_K) if missing > 0
        }
        sampler = SMOTE(
            sampling_strategy=images_wanted,
            k_neighbors=self.options.neighbours,
            random_state=context.seed % 2**32,  # it seeds NumPy's legacy generator, which takes 32 bits
        )
        return new_images(sampler, train, listen(sampler, train.labels_N))
