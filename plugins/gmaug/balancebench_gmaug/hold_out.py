"""Validation images for methods that decide by them, where the suite carves none.

Axis suffixes: N images, K classes.
"""

from __future__ import annotations

import numpy as np

from balancebench import BalancerError, LabelledImages, Predictor

__all__ = ["balanced_accuracy", "hold_out"]

SHARE = 0.1
FEWEST = 5  # images of a class from which some are held out


def hold_out(train: LabelledImages, rng: np.random.Generator) -> tuple[LabelledImages, LabelledImages]:
    """Return (the rest, a tenth of each class, one at least); a class of fewer than 5 images gives none.

    Raises BalancerError where no class has 5 images.
    """
    held: list[np.ndarray] = []
    for label, count in enumerate(train.counts_K):
        if count >= FEWEST:
            members = np.flatnonzero(train.labels_N == label)
            held.append(rng.choice(members, size=max(1, round(SHARE * count)), replace=False))
    if not held:
        raise BalancerError(
            f"no class has the {FEWEST} images of which some could be held out for validation: leave epsilon_points "
            "out, or let the suite carve validation images"
        )
    held_N = np.zeros(len(train), dtype=bool)
    held_N[np.concatenate(held)] = True
    return train.take(np.flatnonzero(~held_N)), train.take(np.flatnonzero(held_N))


def balanced_accuracy(predictor: Predictor, images: LabelledImages) -> float:
    """Return the mean share of right predictions, 0..1, over the classes that have images."""
    is_right_N = predictor.predict_logits(np.ascontiguousarray(images.images_NCHW)).argmax(axis=1) == images.labels_N
    present = np.flatnonzero(images.counts_K)
    return float(np.mean([is_right_N[images.labels_N == label].mean() for label in present]))
