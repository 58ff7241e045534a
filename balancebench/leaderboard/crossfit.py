"""What the test set gains by choosing the epoch that it then scores.

The test images are split in halves, class by class; one half chooses the epoch, the other scores it, and they swap. The
mean over many splits is the *cross-fitted best*: best_test minus it is what the test set chose, and it minus the last
epoch is what stopping early gained.

Axis suffixes: E epochs, N test images, K classes.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray
from pydantic import ConfigDict
from pydantic.dataclasses import dataclass

__all__ = ["CrossFit", "cross_fitted_best"]

SPLITS = 20


@dataclass(frozen=True, slots=True, kw_only=True, config=ConfigDict(extra="forbid", allow_inf_nan=False))
class CrossFit:
    """Scores 0..1 of the last epoch, of the best one on all test images, and cross-fitted."""

    last: float
    best: float
    cross_fitted: float

    @property
    def chosen_by_the_test_set(self) -> float:
        """The optimism of the best: best - cross-fitted."""
        return self.best - self.cross_fitted

    @property
    def gained_by_stopping_early(self) -> float:
        """What an honest choice of the epoch gains: cross-fitted - last."""
        return self.cross_fitted - self.last


def cross_fitted_best(
    correct_EN: NDArray[np.bool_], labels_N: NDArray[np.int64], weights_K: NDArray[np.float64], *, seed: int
) -> CrossFit:
    """Return the scores of a training whose every epoch was tested; among equal epochs the first is chosen.

    weights_K: of the classes' recalls, see `balancebench.leaderboard.priors.class_weights`. seed: of the splits, one
    for all rows of a data set. Raises ValueError where a class that weighs has fewer than two images.
    """
    counts_K = np.bincount(labels_N, minlength=len(weights_K))
    if (counts_K[weights_K > 0] < 2).any():
        raise ValueError("a class of fewer than two test images cannot be halved")
    rng = np.random.default_rng(seed)
    members = [np.flatnonzero(labels_N == label) for label in np.flatnonzero(weights_K > 0)]
    scores: list[float] = []
    for _ in range(SPLITS):
        in_first_N = np.zeros(len(labels_N), dtype=bool)
        for images in members:
            in_first_N[rng.permutation(images)[: len(images) // 2]] = True
        of_half = [_scores_E(correct_EN, labels_N, weights_K, half_N) for half_N in (in_first_N, ~in_first_N)]
        scores += [float(of_half[1 - half][of_half[half].argmax()]) for half in (0, 1)]
    whole_E = _scores_E(correct_EN, labels_N, weights_K, np.ones(len(labels_N), dtype=bool))
    return CrossFit(last=float(whole_E[-1]), best=float(whole_E.max()), cross_fitted=math.fsum(scores) / len(scores))


def _scores_E(
    correct_EN: NDArray[np.bool_],
    labels_N: NDArray[np.int64],
    weights_K: NDArray[np.float64],
    chosen_N: NDArray[np.bool_],
) -> NDArray[np.float64]:
    """Return the weighted mean recall of each epoch over some of the images."""
    counts_K = np.bincount(labels_N[chosen_N], minlength=len(weights_K))
    weight_N = (weights_K / np.maximum(counts_K, 1))[labels_N[chosen_N]]
    return correct_EN[:, chosen_N] @ weight_N
