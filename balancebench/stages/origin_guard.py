"""Holds what a balancer made and plans against what it says of it, and against images it should not know."""

from __future__ import annotations

import numpy as np

from balancebench.artefacts.subset import Subset
from balancebench.data import LabelledImages, Origin
from balancebench.errors import BalancerError
from balancebench.large_images import join_rows
from balancebench.stages.leaks import digests_of, leaked
from balancebench.stages.workplace import Workplace
from balancebench.training_plan import TrainingPlan

__all__ = ["guard_made_images", "guard_planned_images"]

TRAINING_SET = (Origin.REAL, Origin.REPEATED)


def guard_made_images(workplace: Workplace, name: str, added: LabelledImages, subset: Subset) -> None:
    """Refuse test images, and those that only claim to be of the training set; mark what looks like a leak.

    added: what the balancer `name` adds to the training set. Raises BalancerError.
    """
    with workplace.aside():
        train = subset.train
        _refuse_foreign(name, added, set(digests_of(train.images_NCHW)))
        own = added.take(np.flatnonzero(~np.isin(added.origins_N, TRAINING_SET)))
        known_NCHW = train.images_NCHW
        withheld_NCHW = subset.withheld.images_NCHW
        if workplace.used_withheld_data:
            known_NCHW = join_rows([known_NCHW, withheld_NCHW])
        of_test = leaked(own.images_NCHW, known_NCHW, subset.test_images_NCHW)
        if of_test.equal:
            raise BalancerError(f"{name} made images that are test images: {of_test.described('test images')}")
        if of_test:
            workplace.warn(f"{name}: of its images {of_test.described('test images')}")
        if workplace.used_withheld_data:
            return
        of_withheld = leaked(own.images_NCHW, known_NCHW, withheld_NCHW)
        if of_withheld:
            workplace.warn(f"{name}: of its images {of_withheld.described('withheld training images')}")
        workplace.used_withheld_data |= of_withheld.equal > 0


def guard_planned_images(
    workplace: Workplace,
    name: str,
    plan: TrainingPlan,
    train: LabelledImages,
    synthetic: LabelledImages | None,
    subset: Subset,
) -> None:
    """Do the same with the images of a plan, but for those that have been looked at already.

    train: the training set that was planned with, which many plans train on as it is. synthetic: looked at where they
    were made.
    """
    planned = {id(phase.images): phase.images for phase in plan.phases if phase.images is not train}.values()
    if not planned:
        return
    with workplace.aside():
        known = set(digests_of(train.images_NCHW))
        if synthetic is not None:
            known |= set(digests_of(synthetic.images_NCHW))
        new = [
            images.take(np.flatnonzero([digest not in known for digest in digests_of(images.images_NCHW)]))
            for images in planned
        ]
    for images in new:
        if len(images):
            guard_made_images(workplace, name, images, subset)


def _refuse_foreign(name: str, images: LabelledImages, known: set[bytes]) -> None:
    claimed_N = np.flatnonzero(np.isin(images.origins_N, TRAINING_SET))
    claimed = images.images_NCHW[claimed_N]
    foreign = [index for index, digest in zip(claimed_N, digests_of(claimed), strict=True) if digest not in known]
    if foreign:
        origin = Origin(int(images.origins_N[foreign[0]])).name
        raise BalancerError(
            f"{name} trains on {len(foreign)} images of origin {origin} that are not of the training set; what it "
            "makes is AUGMENTED or SYNTHETIC, and images from elsewhere belong into the data set"
        )
