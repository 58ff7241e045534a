"""ADASYN: SMOTE with more new images where other classes are near (He et al. 2008).

    r_i   = share of other classes among the nearest neighbours of image i of the class
    g_i   = round(missing * r_i / sum of r)                       new images drawn from image i
    new   = image_i + step * (neighbour of the same class - image_i),   step uniform in [0, 1)

by imbalanced-learn, on the pixels as they are. The g_i are rounded one by one, so a class comes near its target
rather than upon it.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from balancebench import Balancer, BalancerError, LabelledImages, SynthesisContext, concatenate
from balancebench.synthesis.target import missing_counts
from balancebench_resampling.options import AdasynOptions
from balancebench_resampling.pixels import new_images, refuse_unfit

__all__ = ["Adasyn"]


class Adasyn(Balancer[AdasynOptions]):
    """Fills each class up to about its target with images interpolated from its hard ones."""

    def synthesise(self, train: LabelledImages, context: SynthesisContext) -> LabelledImages | None:
        """Return the new images, or None where no class is short of its target.

        Raises BalancerError where a class that is to grow has `neighbours` images or fewer, has no image near another
        class, or is so close to its target that every g_i rounds to 0.
        """
        from imblearn.over_sampling import ADASYN

        neighbours = self.options.neighbours
        missing_K = missing_counts(self.options.target, train)
        if not missing_K.any():
            return None
        refuse_unfit(train, missing_K, neighbours)
        # imbalanced-learn's errors name no class, so every class is filled by a call of its own. The calls share one
        # random state, which makes their images those of a single call.
        random_state = np.random.RandomState(context.seed % 2**32)
        filled: list[LabelledImages] = []
        growing = np.flatnonzero(missing_K)
        for label in growing:
            name, count, missing = train.class_names[label], train.counts_K[label], missing_K[label]
            context.progress(len(filled), len(growing), name)
            images_wanted: Any = {label: count + missing}
            sampler = ADASYN(sampling_strategy=images_wanted, n_neighbors=neighbours, random_state=random_state)
            try:
                filled.append(new_images(sampler, train))
            except RuntimeError as error:  # all r_i are 0
                raise BalancerError(
                    f"no image of class {name!r} ({count} images) has another class among its {neighbours} "
                    "nearest neighbours, so ADASYN has none to draw from: raise neighbours, or use smote"
                ) from error
            except ValueError as error:  # all g_i are 0
                raise BalancerError(
                    f"class {name!r} has {count} images and is short of {missing}, too few for ADASYN to share out: "
                    "give a target table without it, or use smote"
                ) from error
        return concatenate(filled)
